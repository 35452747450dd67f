"""Makes the tables of a benchmark, numbers with verdicts, from `cell.json` files: one per data set, method and seed."""
