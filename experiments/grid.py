"""A grid of experiments: protocol × data sets × methods × seeds, cell by cell, to one table.

Every cell is a folder of its own, finished when it holds `cell.json`. A grid that was killed goes on from its cells,
and the table depends on the cells alone: not on their order, their executor, or on how often the grid was begun.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ipo.experiments.config import RunConfig, read_words, read_yaml
from ipo.experiments.executors import Executor, Failure
from ipo.experiments.result import write_text
from ipo.metrics.errors import InputError
from ipo.metrics.nearest import did_you_mean

if TYPE_CHECKING:
    from ipo.experiments.protocols import Cell
    from ipo.experiments.tables import Table

CELLS = "cells"


class Variant(BaseModel):
    """A row of the table: a method, and what it does differently from the grid's settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    method: str
    settings: dict[str, Any] = {}


class GridConfig(BaseModel):
    """What a grid file holds; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    protocol: str
    data: list[str] = Field(min_length=1)
    targets: list[str] = []
    methods: list[Variant] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    reference: str = "anchor"
    settings: dict[str, Any] = {}

    @field_validator("data", "targets", mode="before")
    @classmethod
    def _listed(cls, names: Any) -> Any:
        """Names may be written `one,two` on the command line."""
        return [name.strip() for name in names.split(",")] if isinstance(names, str) else names

    @field_validator("methods", mode="before")
    @classmethod
    def _named(cls, methods: Any) -> Any:
        """A bare name is a method as it is."""
        listed = cls._listed(methods)
        if not isinstance(listed, list):
            return listed
        return [{"label": entry, "method": entry} if isinstance(entry, str) else entry for entry in listed]

    @field_validator("methods")
    @classmethod
    def _distinct(cls, methods: list[Variant]) -> list[Variant]:
        labels = [variant.label for variant in methods]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"two rows are called {twice!r}; give each its own label")
        return methods

    @model_validator(mode="after")
    def _has_reference(self) -> GridConfig:
        labels = [variant.label for variant in self.methods]
        if self.reference not in labels:
            raise ValueError(f"the reference {self.reference!r} is no row; it can be {', '.join(labels)}")
        return self

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, seeds: Any) -> Any:
        """A number N stands for the seeds 0 … N-1."""
        return list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds

    def to_yaml(self) -> str:
        """Return the complete grid as YAML."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True)


@dataclass(frozen=True)
class Entry:
    """A cell, the row it belongs to, and where it lies. Picklable: this is what an executor is handed."""

    label: str
    cell: Cell
    folder: Path


def shipped() -> list[str]:
    """Return the names of the grids that ship with us."""
    return sorted(entry.name.removesuffix(".yaml") for entry in files("ipo.experiments").joinpath("configs").iterdir())


def load_grid(name: str, words: Sequence[str] = ()) -> GridConfig:
    """Read a grid.

    Args:
        name: a YAML file, or the name of a shipped grid.
        words: `key=value`: a key of the grid, else a setting that all methods share.

    Raises:
        InputError: no such file or grid, an unknown key (the nearest is named), a value of the wrong kind.
    """
    path = Path(name)
    if not path.suffix:
        if name not in shipped():
            raise InputError(
                f"there is no grid {name!r}{did_you_mean(name, shipped())}; there are: {', '.join(shipped())}."
            )
        path = Path(str(files("ipo.experiments").joinpath("configs", f"{name}.yaml")))
    values = read_yaml(path)
    settings = values.setdefault("settings", {})
    for key, value in read_words(words).items():
        if key in GridConfig.model_fields:
            values[key] = value
        elif key in RunConfig.model_fields and isinstance(settings, dict):
            settings[key] = value
        else:
            known = [*GridConfig.model_fields, *RunConfig.model_fields]
            raise InputError(
                f"unknown key {key!r}{did_you_mean(key, known)}; give a key of the grid or a setting of a run."
            )
    for key in values:
        if key not in GridConfig.model_fields:
            raise InputError(f"unknown key {key!r} in {name}{did_you_mean(key, GridConfig.model_fields)}.")
    try:
        return GridConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the grid"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where} in {name} is wrong: {message[:1].lower()}{message[1:]}.") from error


def entries(grid: GridConfig, folder: Path) -> list[Entry]:
    """Return the grid's cells in the order they are done: seed by seed, so that one stopped early has whole seeds."""
    from ipo.experiments.protocols import Cell

    return [
        Entry(
            variant.label,
            Cell(
                grid.protocol,
                data,
                variant.method,
                seed,
                tuple(grid.targets),
                tuple(sorted({**grid.settings, **variant.settings}.items())),
            ),
            folder / CELLS / _slug(data) / _slug(variant.label) / f"seed-{seed}",
        )
        for seed in grid.seeds
        for data in grid.data
        for variant in grid.methods
    ]


def check(found: Sequence[Entry]) -> None:
    """Refuse a grid that cannot be run, before its first cell: names, settings, data sets, language models.

    No picture is opened.

    Raises:
        InputError: what is wrong, in one sentence.
    """
    from ipo.experiments.data import load_data
    from ipo.experiments.protocols import PROTOCOLS, run_config, shared_config
    from ipo.experiments.run import SPLIT_SEED, plan

    folders: dict[Path, str] = {}
    for entry in found:
        other = folders.setdefault(entry.folder, entry.label)
        if other != entry.label:
            raise InputError(f"the rows {other!r} and {entry.label!r} would share a folder; rename one.")
    seen: set[str] = set()
    for entry in found:
        cell = entry.cell
        shared, asked = shared_config(cell), run_config(cell)
        if repr((cell.data, cell.targets, shared.shots, shared.selection_shots)) not in seen:
            seen.add(repr((cell.data, cell.targets, shared.shots, shared.selection_shots)))
            source = load_data(cell.data, seed=SPLIT_SEED, task=shared.task)
            targets = [load_data(spec, seed=SPLIT_SEED) for spec in cell.targets]
            PROTOCOLS[cell.protocol](source, targets, shared)
        if asked and repr((asked.lm, asked.describer, cell.data)) not in seen:
            seen.add(repr((asked.lm, asked.describer, cell.data)))
            plan(asked)


def run_entry(entry: Entry) -> dict[str, Any]:
    """Do one cell; importable by name, so that any process can."""
    import logging

    from ipo.experiments.protocols import run_cell

    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return run_cell(entry.cell, entry.folder)


@dataclass(frozen=True)
class Progress:
    """What is known after a cell.

    Attributes:
        done, total: cells; those of earlier sittings count as done.
        entry: the cell that was just finished.
        content: what it holds, or a `Failure`.
        usd: what the finished cells have cost, in all sittings; None when a price is not known.
        left: seconds that the rest takes on one worker, at the pace of each row so far; None before anything is known.
    """

    done: int
    total: int
    entry: Entry
    content: Any
    usd: float | None
    left: float | None


class MoneySpent(Exception):
    """The finished cells have cost as much as the grid may."""


def run_grid(
    found: Sequence[Entry], executor: Executor, tell: Callable[[Progress], None], budget_usd: float | None = None
) -> list[dict[str, Any] | Failure]:
    """Do the cells that are not finished; see `run_entry`.

    Args:
        found: the cells.
        executor: where they are done.
        tell: called after each cell that was not finished before.
        budget_usd: the grid ends once its cells have cost so much. A cell under way is cut off and can be gone on with.

    Returns:
        What each cell holds, or a `Failure`, in the order of `found`.

    Raises:
        MoneySpent: the budget is reached and cells are left.
    """
    from ipo.experiments.protocols import FILE_NAME

    waiting = [entry for entry in found if not (entry.folder / FILE_NAME).is_file()]
    contents = {entry: run_entry(entry) for entry in found if entry not in set(waiting)}
    _within(budget_usd, contents, len(found))

    def done(index: int, content: dict[str, Any] | Failure) -> None:
        contents[waiting[index]] = content
        left = [entry for entry in waiting if entry not in contents]
        tell(
            Progress(
                len(contents), len(found), waiting[index], content, spent(contents.values()), _left(contents, left)
            )
        )
        _within(budget_usd, contents, len(found))

    executor.run(run_entry, waiting, done)
    return [contents[entry] for entry in found]


def spent(contents: Iterable[dict[str, Any] | Failure]) -> float | None:
    """Return US dollars; None when a price is not known. What failed cells have cost is in their journals."""
    prices = [(content["budget"] or {"usd": 0.0})["usd"] for content in contents if isinstance(content, dict)]
    return None if None in prices else sum(prices)


def table_of(grid: GridConfig, found: Sequence[Entry], contents: Sequence[dict[str, Any] | Failure]) -> Table:
    """Make the table; a cell that failed is a gap with its reason.

    Raises:
        InputError: see `build_table`.
    """
    from ipo.experiments.protocols import shared_config
    from ipo.experiments.published import published_rows
    from ipo.experiments.tables import build_table

    cells = []
    for entry, content in zip(found, contents, strict=True):
        if not isinstance(content, dict):
            content = {"cell": entry.cell.record(), "absent": f"failed: {content.message}"}
        cells.append({**content, "cell": {**content["cell"], "method": entry.label}})
    return build_table(cells, grid.reference, published_rows(grid.protocol, shared_config(found[0].cell).shots, grid.data))


def write_table(table: Table, folder: Path) -> None:
    """Write `table.md`, `table.csv` and `table.json`, each whole or not at all."""
    for suffix, text in (("md", table.to_markdown()), ("csv", table.to_csv()), ("json", table.to_json())):
        write_text(folder / f"table.{suffix}", text)


def _within(budget_usd: float | None, contents: dict[Entry, Any], total: int) -> None:
    usd = spent(contents.values())
    if budget_usd is not None and usd is not None and usd >= budget_usd and len(contents) < total:
        raise MoneySpent(f"${usd:.4f} of ${budget_usd:.4f} spent, {total - len(contents)} of {total} cells are left")


def _left(done: Iterable[Entry], left: Sequence[Entry]) -> float | None:
    """Sum what the waiting cells take: each as long as its row's did so far, rows without one as long as any."""
    from ipo.experiments.protocols import TIME_FILE_NAME

    seconds: dict[str, list[float]] = {}
    for entry in done:
        file = entry.folder / TIME_FILE_NAME
        if file.is_file():
            seconds.setdefault(entry.label, []).append(json.loads(file.read_text(encoding="utf-8"))["seconds"])
    if not seconds:
        return None
    means = {label: statistics.fmean(values) for label, values in seconds.items()}
    usual = statistics.fmean(means.values())
    return sum(means.get(entry.label, usual) for entry in left)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=+-]+", "-", name).strip("-.") or "unnamed"
