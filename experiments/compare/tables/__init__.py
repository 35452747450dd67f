"""Tables of a benchmark: from one `cell.json` per (protocol, data, method, seed) to numbers with verdicts.

`build_table` reads cells; `to_markdown`, `to_csv` and `to_json` give the same bytes for the same cells.
"""

from ipo.experiments.compare.tables.build import build_table
from ipo.experiments.compare.tables.markdown import to_markdown
from ipo.experiments.compare.tables.records import to_csv, to_json
from ipo.experiments.compare.tables.table import Table

__all__ = ["Table", "build_table", "to_csv", "to_json", "to_markdown"]
