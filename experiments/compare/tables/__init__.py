"""Tables of a benchmark: from one `cell.json` per (protocol, data, method, seed) to numbers with verdicts.

`build_table` reads cells; the `Table` renders itself as Markdown, CSV and JSON, the same bytes for the same cells.
"""

from ipo.experiments.compare.tables.build import build_table
from ipo.experiments.compare.tables.table import Table

__all__ = ["Table", "build_table"]
