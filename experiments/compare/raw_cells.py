"""All cells of a grid in one file. Anybody can make its tables again without data, CLIP or language model.

`cells.jsonl.gz` has lines of JSON. The first line is the grid, with the reasons for missing
cells. Each other line is the content of one `cell.json`, in the order of the grid. The same cells give the same bytes.
The file says nothing about the machine: it has no time of day and no addresses of servers. No such file is written for
a grid that names an absolute path or a path in a home directory.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ipo_prompts.experiments.compare import cell as cells
from ipo_prompts.experiments.compare.cell import Result, read_line
from ipo_prompts.experiments.compare.grid import GridCell, GridConfig, entries
from ipo_prompts.experiments.compare.methods import METHODS, Recorded
from ipo_prompts.experiments.run.files import Content, content_of, write_bytes
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import JSON_BYTES, read_text
from ipo_prompts.programs.record.journal import line_of

FILE_NAME = "cells.jsonl.gz"
ENDING = ".jsonl.gz"


class Heading(Content):
    """The first line of the file.

    Attributes:
        ipo: the version that wrote the file.
        grid: the grid, without addresses of servers.
        rows: label of a row → the facts about its method that tables need. Only for methods that are a user's own
            classes.
        gaps: name of a cell → why the file has no line for the cell.
    """

    schema_: Literal[2] = Field(2, alias="schema")
    ipo: str
    grid: GridConfig
    rows: dict[str, Recorded] = Field({})
    gaps: dict[str, str] = Field({})


def pack(grid: GridConfig, found: Sequence[GridCell], outcomes: Sequence[dict[str, Any] | str]) -> bytes:
    """Return the content of a file of cells, compressed.

    Args:
        grid: the grid of the cells.
        found: the entries of the grid.
        outcomes: for each entry the content of its `cell.json`, or a text that says why there is none.

    Raises:
        InputError: the grid names an absolute path, or a path in a home directory.
    """
    grid = _without_addresses(grid)
    place = next(filter(names_a_place, _words(grid)), None)
    if place is not None:
        raise InputError(f"{place!r} is a place on this machine; write it as a relative path.")
    heading = Heading(
        ipo=version("ipo-prompts"),
        grid=grid,
        rows={
            one.label: Recorded.of(one.method, cells.shared_config(one.cell))
            for one in found
            if one.cell.method not in METHODS
        },
        gaps={one.name: why for one, why in zip(found, outcomes, strict=True) if isinstance(why, str)},
    )
    told = zip(entries(grid, Path()), outcomes, strict=True)
    lines = [{**content, "cell": one.cell.record()} for one, content in told if not isinstance(content, str)]
    return gzip.compress(b"".join(map(line_of, [content_of(heading), *lines])), 9, mtime=0)


def unpack(file: Path) -> tuple[GridConfig, list[GridCell], list[dict[str, Any] | str]]:
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
    heading = read_line(Heading, first, what, fix)
    found = [replace(entry, recorded=heading.rows.get(entry.label)) for entry in entries(heading.grid, file.parent)]
    done = [entry for entry in found if entry.name not in heading.gaps]
    if len(done) != len(lines):
        raise InputError(f"{what} is damaged (it has {len(lines)} cells, and its grid {len(done)}); {fix}.")
    contents = {}
    for number, (entry, line) in enumerate(zip(done, lines, strict=True), 2):
        result = read_line(Result, line, f"line {number} of {what}", fix)
        if result.cell != entry.cell.record():
            raise InputError(f"line {number} of {what} is damaged (it is not {entry.name}); {fix}.")
        contents[entry.name] = result.content()
    return heading.grid, found, [heading.gaps.get(entry.name) or contents[entry.name] for entry in found]


def check_kept(folder: Path) -> None:
    """Refuse a folder whose file of cells has a cell that is not in the folder's `cells`: rewriting would lose it.

    Raises:
        InputError: the file has such a cell, or the file cannot be read.
    """
    file = folder / FILE_NAME
    if not file.exists():
        return
    _, found, outcomes = unpack(file)
    for entry, outcome in zip(found, outcomes, strict=True):
        if isinstance(outcome, dict) and not (entry.folder / cells.FILE_NAME).is_file():
            raise InputError(
                f"{file} holds a cell that {folder / 'cells'} does not ({entry.name}), and would be written anew; move "
                "the file or choose another --out."
            )


def keep(folder: Path, grid: GridConfig, found: Sequence[GridCell], outcomes: Sequence[dict[str, Any] | str]) -> str:
    """Write the file of cells into the grid's folder, if that is possible.

    Returns:
        A text about the file, to be printed after the names of the other files.
    """
    try:
        content = pack(grid, found, outcomes)
    except InputError as error:
        return f"; no {FILE_NAME}: {error}"
    write_bytes(folder / FILE_NAME, content)
    return f", all in {FILE_NAME}"


def without_places(text: str) -> str:
    """Return a message in which each absolute path is cut to its last part.

    >>> without_places("cannot read /home/me/birds/list.csv; see https://example.org/a/b")
    'cannot read …/list.csv; see https://example.org/a/b'
    """
    return re.sub(r"(?<![\w./])/(?!/)(?:[^\s/'\"]+/)+", "…/", text)


def _without_addresses(grid: GridConfig) -> GridConfig:
    """Return the grid without the addresses of servers, which change no table."""

    def kept(settings: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in settings.items() if not key.endswith("_api_base")}

    rows = [row.model_copy(update={"settings": kept(row.settings)}) for row in grid.methods]
    return grid.model_copy(update={"settings": kept(grid.settings), "methods": rows})


def _words(grid: GridConfig) -> Iterator[str]:
    """Yield every text of a grid that can name a path. Templates are left out: they cannot name a path."""
    yield from (*grid.data, *grid.targets)
    for settings in (grid.settings, *(row.settings for row in grid.methods)):
        yield from (str(value) for key, value in settings.items() if key != "initial_template")


def names_a_place(word: str) -> bool:
    """Whether a specification names an absolute path, or a path in a home directory."""
    return re.search(r"(^|[:=,'\"]|^replay/)(/(?!/)|~|[A-Za-z]:\\)", word) is not None
