"""The paper's data sets, by name."""
