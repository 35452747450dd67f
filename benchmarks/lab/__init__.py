"""Parts that several benchmarks use, or that a command or a grid names: commands, methods, protocols, data sets."""

from pathlib import Path

GRIDS = Path(__file__).parents[1] / "grids"
"""The folder of the grids behind the documentation's tables: `ipo benchmark benchmarks/grids/claims.yaml`."""
