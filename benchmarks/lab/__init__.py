"""Parts of the lab that are no benchmark by themselves: commands, methods, protocols, data sets."""

from pathlib import Path

GRIDS = Path(__file__).parents[1] / "grids"
"""The grids that pages are made with: `ipo benchmark benchmarks/grids/claims.yaml`."""
