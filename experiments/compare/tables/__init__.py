"""Tables of a benchmark: from one `cell.json` per protocol, data set, method and seed to numbers with verdicts."""
