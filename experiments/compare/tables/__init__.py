"""Tables of a benchmark: from one `cell.json` per (protocol, data, method, seed) to numbers with verdicts."""
