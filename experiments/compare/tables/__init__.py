"""Tables of a benchmark: from one `cell.json` per (protocol, data, method, seed) to numbers with verdicts.

`build_table` reads cells; all that is made of a table has the same bytes for the same cells.
"""

from ipo_prompts.experiments.compare.tables.answer import answer
from ipo_prompts.experiments.compare.tables.build import build_table
from ipo_prompts.experiments.compare.tables.figure import gain_plot
from ipo_prompts.experiments.compare.tables.markdown import details, to_markdown
from ipo_prompts.experiments.compare.tables.records import to_csv, to_json
from ipo_prompts.experiments.compare.tables.table import Table

__all__ = ["Table", "answer", "build_table", "details", "gain_plot", "to_csv", "to_json", "to_markdown"]
