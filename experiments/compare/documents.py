"""Makes the table of a grid from its cells, and the files of a table: Markdown, CSV and JSON.

Values in CSV and JSON are percent and points, rounded so that the same cells give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas

from ipo_prompts.experiments.compare.cell import shared_config
from ipo_prompts.experiments.compare.executors import Failure
from ipo_prompts.experiments.compare.grid import GridCell, GridConfig
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.printing import details, on_terminal, plain, section, terminal, to_markdown
from ipo_prompts.experiments.compare.published import ablations_of
from ipo_prompts.experiments.compare.raw_cells import unpack, without_places
from ipo_prompts.experiments.compare.table import COUNTS, Table, build_table
from ipo_prompts.experiments.compare.words import notes, verdicts
from ipo_prompts.experiments.run.files import check_writable, write_text
from ipo_prompts.metrics.errors import InputError

TOLD = ("protocol", "measure", "unit", "reference", "columns", "headline", "seeds")
NUMBERS = ("p", "p_corrected", "usd", *COUNTS)
"""The columns of a frame whose floats are no fractions."""


def outcomes_of(contents: Sequence[dict[str, Any] | Failure | None]) -> list[dict[str, Any] | str]:
    """Return the contents of cells, but for each cell that failed or was not run a text that says why it is missing."""

    def why(content: Failure | None) -> str:
        return "not run yet" if content is None else without_places(f"failed: {content.line}")

    return [content if isinstance(content, dict) else why(content) for content in contents]


def table_of(grid: GridConfig, found: Sequence[GridCell], outcomes: Sequence[dict[str, Any] | str]) -> Table | None:
    """Make the table of a grid.

    Args:
        grid: the grid.
        found: the entries of the grid.
        outcomes: for each entry the content of its `cell.json`, or a text that says why there is none.

    Returns:
        The table, or None when no cell has scores.

    Raises:
        InputError: see `build_table`.
    """
    cells, methods = [], {}
    for entry, outcome in zip(found, outcomes, strict=True):
        gap: dict[str, Any] = {"cell": entry.cell.record(), "absent": outcome}
        content = gap if isinstance(outcome, str) else outcome
        shared, method = shared_config(entry.cell), entry.method
        methods[entry.label] = method
        about = {
            "cell": {**content["cell"], "method": entry.label},
            "labelled_per_class": method.labelled_per_class(shared),
            "differs": method.differs(shared),
            "remark": method.remark,
        }
        cells.append({**content, **about})
    if not any(cell.get("scores") for cell in cells):
        return None
    plain_rows = [row.label for row in grid.methods if row.is_plain]
    names, place, places = [*METHODS], len([*METHODS]), {}
    for label in plain_rows:  # a class of the user's own follows the row before it in the grid
        place = places[label] = names.index(label) if label in names else place
    known = {label: methods[label] for label in sorted(plain_rows, key=places.__getitem__)}
    return build_table(cells, grid.reference, shared_config(found[0].cell).shots, known)


def documents(grid: GridConfig, table: Table) -> dict[str, str]:
    """Return the files of a table: name → text. The same cells give the same texts."""
    ablations = ablations_of(grid.published, grid.data)
    title = f"## {plain(grid.title)}\n\n"
    frame = to_frame(table)
    safe = pandas.DataFrame({name: [_safe(value) for value in frame[name]] for name in frame}, dtype=object)
    content = {
        "schema": 2,
        "title": grid.title,
        **{name: getattr(table, name) for name in TOLD},
        "lines": [{name: x for name, x in line.items() if x is not None} for line in frame.to_dict("records")],
        "verdicts": verdicts(table),
        "notes": notes(table),
        "ablations": [one.model_dump() for one in ablations],
    }
    texts = {
        "table.md": "".join([title + to_markdown(table), *map(section, ablations)]),
        "table.csv": safe.to_csv(index=False, lineterminator="\n"),
        "table.json": json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    if table.averages:
        texts["data-sets.md"] = title + details(table)
    return texts


def write_documents(texts: dict[str, str], folder: Path) -> None:
    """Write the files into a folder, which is made if it does not exist. Each file is written whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)


def print_documents(table: Table, texts: dict[str, str], as_json: bool, where: str) -> None:
    """Print a table: as JSON if `as_json`, as a summary on a terminal, elsewhere as the whole Markdown table.

    `where` is a line that says where the whole table is; it is printed after the summary.
    """
    console = None if as_json else terminal()
    if console is None:
        print(texts["table.json" if as_json else "table.md"], end="")
        return
    for part in on_terminal(table, console.width):
        console.print(part, markup=False)
    console.print(f"\n{where}", markup=False)


def tables_of_file(file: Path, out: Path | None, as_json: bool) -> None:
    """Make the tables of a file of cells and print them. Write them into the folder `out`, too, unless it is None.

    Raises:
        InputError: the file cannot be read, no cell has scores, or `out` already has a file of the same name.
    """
    grid, found, outcomes = unpack(file)
    table = table_of(grid, found, outcomes)
    if table is None:
        raise InputError(f"no cell of {file} has scores, so there is no table to make.")
    texts = documents(grid, table)
    if out is not None:
        check_writable(out)
        there = next((out / name for name in texts if (out / name).exists()), None)
        if there is not None:
            raise InputError(f"{there} is there already; choose another --out.")
        write_documents(texts, out)
    whole = "with --out DIR, or through a pipe to another program" if out is None else f"{out}/table.md"
    print_documents(table, texts, as_json, f"the whole table: {whole}")
    with file.open("rb") as content:
        print(f"{file.name}: SHA-256 {hashlib.file_digest(content, 'sha256').hexdigest()}", file=sys.stderr)
    if out is not None:
        print(f"{out}/{', '.join(texts)}", file=sys.stderr)


def to_frame(table: Table) -> pandas.DataFrame:
    """Return the frame of a table as files show it: values in percent and points, without lines that only say why.

    Fractions have four decimals in percent, far finer than any interval; other floats have six. A float that is not
    finite becomes None.
    """
    frame = table.frame[table.frame.gap.isna()].drop(columns=["covers", "gap"])

    def rounded(name: str, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        if not math.isfinite(value):
            return None
        return round(value, 6) if name in NUMBERS else round(100 * value, 4) + 0.0

    columns = {name: [rounded(name, value) for value in frame[name]] for name in frame}
    return pandas.DataFrame(columns, dtype=object)


def _safe(value: Any) -> Any:
    """Return a user's text in a form that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
