"""The files of a grid: its tables (Markdown, CSV, JSON), and all its cells in one file.

Values in CSV and JSON are percent and points, rounded so that the same cells give the same bytes.

From `cells.jsonl.gz`, anybody can make the tables again without data, CLIP or language model. It has lines of JSON. The
first line is the grid, with the reasons for missing cells. Each other line is the `result.json` of one cell, in the
order of the grid. The file names data, models and servers as the grid names them.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas
from pydantic import Field
from rich.console import Console
from rich.markdown import Markdown

from ipo_prompts.experiments.compare.cell import Cell, Result, as_result
from ipo_prompts.experiments.compare.grid import GridConfig, entries
from ipo_prompts.experiments.compare.printing import details, in_short, plain, section, to_markdown
from ipo_prompts.experiments.compare.published import ablations_of
from ipo_prompts.experiments.compare.table import COUNTS, Table, build_table
from ipo_prompts.experiments.compare.words import notes, verdicts
from ipo_prompts.experiments.run.files import (
    Content,
    as_model,
    check_writable,
    content_of,
    digest,
    read_settings,
    write_text,
)
from ipo_prompts.metrics.errors import InputError, as_cell
from ipo_prompts.metrics.files import JSON_BYTES, read_text
from ipo_prompts.programs.journal import line_of
from ipo_prompts.programs.trust import GRID_FILE

FILE_NAME = "cells.jsonl.gz"
ENDING = ".jsonl.gz"
TOLD = ("protocol", "measure", "unit", "reference", "columns", "headline", "seeds")
NUMBERS = ("p", "p_corrected", "usd", *COUNTS)
"""The columns of a frame whose floats are no fractions."""


def table_of(grid: GridConfig, found: Sequence[Cell], outcomes: Sequence[Result | str]) -> Table | None:
    """Make the table of a grid.

    Args:
        grid: the grid.
        found: the entries of the grid.
        outcomes: for each entry its record, or a text that says why there is none.

    Returns:
        The table, or None when no cell has scores.

    Raises:
        InputError: see `build_table`.
    """
    placed = [entry.placed(outcome) for entry, outcome in zip(found, outcomes, strict=True)]
    if all(cell.absent for cell in placed):
        return None
    shots = {cell.facts.shots for cell in placed if cell.facts.shots}
    # Published numbers have the shots of one row; they are beside none that has others.
    return build_table(placed, grid.reference, min(shots) if len(shots) == 1 else None)


def documents(grid: GridConfig, table: Table) -> dict[str, str]:
    """Return the files of a table: name → text. The same cells give the same texts."""
    ablations = ablations_of(grid.published, grid.data)
    title = f"## {plain(grid.title)}\n\n"
    frame = to_frame(table)
    safe = {name: [as_cell(value) if isinstance(value, str) else value for value in frame[name]] for name in frame}
    content = {
        "schema": 2,
        "title": grid.title,
        **{name: getattr(table, name) for name in TOLD},
        "lines": [{name: x for name, x in line.items() if x is not None} for line in frame.to_dict("records")],
        "verdicts": verdicts(table),
        "notes": notes(table),
        "ablations": ablations,
    }
    texts = {
        "table.md": "".join([title + to_markdown(table), *map(section, ablations)]),
        "table.csv": pandas.DataFrame(safe, dtype=object).to_csv(index=False, lineterminator="\n"),
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
    if as_json or not sys.stdout.isatty():
        print(texts["table.json" if as_json else "table.md"], end="")
        return
    Console().print(Markdown(in_short(table)), f"\n{where}")


def tables_of(place: Path, out: Path | None) -> None:
    """Make the tables of a grid from its results and print them. Write them into the folder `out`, too, if it is given.

    Args:
        place: the folder of a grid, or a file of cells.
        out: a folder.

    Raises:
        InputError: a result cannot be read, no cell has scores, or `out` already has a file of the same name.
    """
    grid, found, outcomes = unpack(place) if place.is_file() else read_folder(place)
    table = table_of(grid, found, outcomes)
    if table is None:
        raise InputError(f"no cell of {place} has scores, so there is no table to make.")
    texts = documents(grid, table)
    if out is not None:
        check_writable(out)
        there = next((out / name for name in texts if (out / name).exists()), None)
        if there is not None:
            raise InputError(f"{there} is there already; choose another --out.")
        write_documents(texts, out)
    whole = "with --out DIR, or through a pipe to another program" if out is None else f"{out}/table.md"
    print_documents(table, texts, as_json=False, where=f"the whole table: {whole}")
    if place.is_file():
        print(f"{place.name}: SHA-256 {digest(place)}", file=sys.stderr)
    if out is not None:
        print(f"{out}/{', '.join(texts)}", file=sys.stderr)


def to_frame(table: Table) -> pandas.DataFrame:
    """Return the frame of a table as files show it: values in percent and points, without lines that only say why.

    Fractions have four decimals in percent, far finer than any interval; other floats have six. A float that is not
    finite becomes None.
    """
    frame = table.frame[table.frame.gap.isna()].drop(columns=["verdict", "gap"])

    def rounded(name: str, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        if not math.isfinite(value):
            return None
        return round(value, 6) if name in NUMBERS else round(100 * value, 4) + 0.0

    columns = {name: [rounded(name, value) for value in frame[name]] for name in frame}
    return pandas.DataFrame(columns, dtype=object)


class Heading(Content):
    """The first line of the file.

    Attributes:
        ipo: the version that wrote the file.
        grid: the grid.
        gaps: name of a cell → why the file has no line for the cell.
    """

    ipo: str
    grid: GridConfig
    gaps: dict[str, str] = Field({})


def pack(grid: GridConfig, found: Sequence[Cell], outcomes: Sequence[Result | str]) -> bytes:
    """Return the content of a file of cells, compressed.

    Args:
        grid: the grid of the cells.
        found: the entries of the grid.
        outcomes: for each entry its record, or a text that says why there is none.
    """
    gaps = {one.name: why for one, why in zip(found, outcomes, strict=True) if isinstance(why, str)}
    heading = Heading(ipo=version("ipo-prompts"), grid=grid, gaps=gaps)
    lines = [heading, *(outcome for outcome in outcomes if not isinstance(outcome, str))]
    return gzip.compress(b"".join(line_of(content_of(line)) for line in lines), 9, mtime=0)


def read_folder(folder: Path) -> tuple[GridConfig, list[Cell], list[Result | str]]:
    """Read the results in the folder of a grid; see `unpack`. Nothing that the grid names is imported or loaded."""
    grid = as_model(GridConfig, read_settings(folder / GRID_FILE), str(folder / GRID_FILE), "run the grid again")
    found = entries(grid, folder)
    return grid, found, [entry.finished() or "not run yet" for entry in found]


def unpack(file: Path) -> tuple[GridConfig, list[Cell], list[Result | str]]:
    """Read a file of cells, which may come from any source.

    Returns:
        The grid, its entries and their outcomes, as `pack` takes them. The folders of the entries lie beside the file;
        they need not exist.

    Raises:
        InputError: the file cannot be read, is too large or damaged, or another version wrote it.
    """
    what, fix = "the file of cells", "get it anew"
    first, *lines = read_text(file, what, JSON_BYTES, "JSON", fix).rstrip("\n").split("\n")
    what = f"{what} {file}"
    heading = as_model(Heading, first, what, fix)
    found = entries(heading.grid, file.parent)
    done = [entry for entry in found if entry.name not in heading.gaps]
    if len(done) != len(lines):
        raise InputError(f"{what} is damaged (it has {len(lines)} cells, and its grid {len(done)}); {fix}.")
    outcomes: dict[str, Result | str] = dict(heading.gaps)
    for number, (entry, line) in enumerate(zip(done, lines, strict=True), 2):
        outcomes[entry.name] = as_result(line, f"line {number} of {what}", fix)
    return heading.grid, found, [outcomes[entry.name] for entry in found]
