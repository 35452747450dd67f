"""All cells of a grid in one file, of which anybody can make its tables again without data, CLIP or language model.

`cells.json.gz` is JSON: the grid, each set of test pictures once (its labels, no pictures), and every cell in the order
of the grid with its templates, its scores picture by picture and its budget, or the reason why it is a gap. The same
cells give the same bytes. It tells nothing of the machine: it has no time of day and no addresses of servers, and a
grid that names a place on the machine has no such file.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from ipo_prompts.experiments.compare import cell as cells
from ipo_prompts.experiments.compare.grid import GridCell, GridConfig, entries
from ipo_prompts.experiments.compare.methods.base import Recorded
from ipo_prompts.experiments.compare.sweep_file import MOST
from ipo_prompts.experiments.run.files import Content, content_of, write_bytes
from ipo_prompts.metrics.errors import InputError, first_error
from ipo_prompts.metrics.files import read_json
from ipo_prompts.metrics.registry import is_own

FILE_NAME = "cells.json.gz"
ENDING = ".json.gz"
_WHAT, _FIX = "the file of cells", "get it anew"

Count = Annotated[int, Field(ge=0, lt=2**53, strict=True)]
Number = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Label = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Text = Annotated[str, Field(max_length=10_000)]
Numbers = dict[Text, Count | Number | None]


class TestUnits(Content):
    """What cells were tested on: a digest of the pictures, and how they were drawn; see `evaluate`."""

    data: Text
    side: Text
    picture_ids: Text
    n: Annotated[int, Field(ge=1, lt=2**31, strict=True)]
    classes: Count
    split: Text
    labels: list[Label] | None
    draws: list[Label] | None


class Tested(Content):
    """A cell's score on `tests[test]`, unit by unit."""

    test: Count
    value: Number
    loss: Number
    hits: Annotated[str, Field(pattern="^[01]+$")] | None = None
    values: list[Number] | None = None


class PackedCell(Content):
    """One cell, with the parts of `run_cell` under their names; without a result where `gap` says why."""

    data: Text
    row: Text
    seed: int
    gap: Text | None = None
    absent: Text | None = None
    measure: Text | None = None
    unit: Text | None = None
    templates: list[dict[Text, Text | Number]] | None = None
    scores: dict[Text, Tested] = Field({}, max_length=1_000)
    gaps: dict[Text, Text] = Field({}, max_length=1_000)
    search: Numbers | None = None
    selection: Numbers | None = None
    choice: dict[Text, Text | bool | Count | Number | None] | None = None
    budget: Numbers | None = None
    shortened: Text | None = None


class RawCells(Content):
    """What the file holds; `ipo` is the version that wrote it. `rows` tells of rows of classes of somebody's own."""

    schema_: Literal[1] = Field(1, alias="schema")
    ipo: Text
    grid: GridConfig
    rows: dict[Text, Recorded] = Field({}, max_length=MOST)
    tests: list[TestUnits]
    cells: list[PackedCell]


def pack(grid: GridConfig, found: Sequence[GridCell], outcomes: Sequence[dict[str, Any] | str]) -> bytes:
    """Return the content of the file.

    Args:
        grid: of the cells.
        found: its entries.
        outcomes: of each entry the content of its `cell.json`, or why there is none.

    Raises:
        InputError: the grid names a place on this machine.
    """
    grid = _without_addresses(grid)
    place = next(filter(names_a_place, _words(grid)), None)
    if place is not None:
        raise InputError(f"{place!r} is a place on this machine; write it as a relative path.")
    tests: dict[str, tuple[int, TestUnits]] = {}
    records = [_record(entry, outcome, tests) for entry, outcome in zip(found, outcomes, strict=True)]
    raw = RawCells(
        ipo=version("ipo-prompts"),
        grid=grid,
        rows={one.label: _recorded(one) for one in found if is_own(one.cell.method)},
        tests=[units for _, units in tests.values()],
        cells=records,
    )
    text = json.dumps(content_of(raw), ensure_ascii=False, separators=(",", ":")) + "\n"
    return gzip.compress(text.encode(), 9, mtime=0)


def _recorded(entry: GridCell) -> Recorded:
    return Recorded.of(entry.method, cells.shared_config(entry.cell))


def unpack(file: Path) -> tuple[GridConfig, list[GridCell], list[dict[str, Any] | str]]:
    """Read such a file, from wherever it comes; return what `pack` was given.

    The entries have folders beside the file, which need not be there.

    Raises:
        InputError: it cannot be read, is too large, damaged, or of another version.
    """
    content = read_json(file, _WHAT, _FIX)
    if isinstance(content, dict) and content.get("schema", cells.SCHEMA) != cells.SCHEMA:
        raise InputError(f"{file} was written by another version of ipo; read it with that one, or {_FIX}.")
    try:
        raw = RawCells.model_validate(content)
    except ValidationError as error:
        where, said = first_error(error)
        raise InputError(f"{_WHAT} {file} is damaged ({where[:100]}: {said}); {_FIX}.") from error
    grid = raw.grid
    if len(grid.data) * len(grid.methods) * len(grid.seeds) != len(raw.cells):
        raise InputError(f"{_WHAT} {file} is damaged (it has {len(raw.cells)} cells, its grid another number); {_FIX}.")
    found = [replace(entry, recorded=raw.rows.get(entry.label)) for entry in entries(grid, file.parent)]
    for number, (entry, record) in enumerate(zip(found, raw.cells, strict=True)):
        key = (entry.cell.data, entry.label, entry.cell.seed)
        wrong = _damage(record, raw.tests) if key == (record.data, record.row, record.seed) else f"it is not {key}"
        if wrong:
            raise InputError(f"{_WHAT} {file} is damaged (cell {number}: {wrong}); {_FIX}.")
    outcomes = [_outcome(entry, one, raw.tests) for entry, one in zip(found, raw.cells, strict=True)]
    return grid, found, outcomes


def check_kept(folder: Path) -> None:
    """Refuse to work in a folder whose file of cells holds some that are nowhere else: it would be written anew.

    Raises:
        InputError: there is such a file; or it cannot be read.
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
    """Write the file into a grid's folder; return what to say of it after the names of the other files."""
    try:
        content = pack(grid, found, outcomes)
    except InputError as error:
        return f"; no {FILE_NAME}: {error}"
    write_bytes(folder / FILE_NAME, content)
    return f", all in {FILE_NAME}"


def without_places(text: str) -> str:
    """Return a message with the paths of this machine cut to their last part.

    >>> without_places("cannot read /home/me/birds/list.csv; see https://example.org/a/b")
    'cannot read …/list.csv; see https://example.org/a/b'
    """
    return re.sub(r"(?<![\w./])/(?!/)(?:[^\s/'\"]+/)+", "…/", text)


def _record(entry: GridCell, outcome: dict[str, Any] | str, tests: dict[str, tuple[int, TestUnits]]) -> PackedCell:
    """Pack a cell; test pictures that are met for the first time join `tests`."""
    about = {"data": entry.cell.data, "row": entry.label, "seed": entry.cell.seed}
    if isinstance(outcome, str):
        return PackedCell(**about, gap=outcome)
    scores = {}
    for side, score in outcome["scores"].items():
        shared = {name: score[name] for name in ("n", "classes", "split", "labels", "draws")}
        units = TestUnits(data=entry.cell.data, side=side, picture_ids=outcome["picture_ids"][side], **shared)
        place, _ = tests.setdefault(units.model_dump_json(), (len(tests), units))
        scores[side] = {"test": place, **{name: one for name, one in score.items() if name in Tested.model_fields}}
    kept = {name: one for name, one in outcome.items() if name in PackedCell.model_fields}
    return PackedCell(**about, **{**kept, "scores": scores})


def _outcome(entry: GridCell, record: PackedCell, tests: Sequence[TestUnits]) -> dict[str, Any] | str:
    """Unpack a cell, the opposite of `_record`."""
    if record.gap is not None:
        return record.gap
    scores, picture_ids = {}, {}
    for side, tested in record.scores.items():
        units = tests[tested.test]
        scores[side] = {
            **tested.model_dump(exclude={"test"}, exclude_none=True),
            **units.model_dump(exclude={"data", "side", "picture_ids"}),
        }
        picture_ids[side] = units.picture_ids
    own = record.model_dump(exclude={"data", "row", "seed", "gap", "scores"})
    return {"schema": cells.SCHEMA, "cell": entry.cell.record(), **own, "scores": scores, "picture_ids": picture_ids}


def _damage(record: PackedCell, tests: Sequence[TestUnits]) -> str:
    """Say what is wrong with a cell beyond its form; empty if nothing."""
    if record.gap is None and record.absent is None and not (record.scores and record.measure and record.unit):
        return "it has neither scores nor a reason"
    for side, tested in record.scores.items():
        if tested.test >= len(tests) or (tests[tested.test].data, tests[tested.test].side) != (record.data, side):
            return f"test pictures {tested.test} are not those of {side!r}"
        if (tested.hits is None) == (tested.values is None):
            return f"{side!r} needs hits or values"
    return ""


def _without_addresses(grid: GridConfig) -> GridConfig:
    """Leave out the addresses of servers, which change no table."""

    def kept(settings: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in settings.items() if not key.endswith("_api_base")}

    rows = [row.model_copy(update={"settings": kept(row.settings)}) for row in grid.methods]
    return grid.model_copy(update={"settings": kept(grid.settings), "methods": rows})


def _words(grid: GridConfig) -> Iterator[str]:
    """All texts of a grid that can name a place; templates cannot."""
    yield from (*grid.data, *grid.targets)
    for settings in (grid.settings, *(row.settings for row in grid.methods)):
        yield from (str(value) for key, value in settings.items() if key != "initial_template")


def names_a_place(word: str) -> bool:
    """Whether a specification names an absolute path, or one of a home."""
    return re.search(r"(^|[:=,'\"]|^replay/)(/(?!/)|~|[A-Za-z]:\\)", word) is not None
