"""A grid of experiments: protocol × data sets × methods × seeds, cell by cell.

Every cell is a folder of its own, finished when it holds `cell.json`. A grid that was killed goes on from its cells,
and what is made of them depends on the cells alone: not on their order, their executor, or on how often it was begun.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo.experiments.compare.grid_file import GridConfig
from ipo.experiments.executors.base import Executor, Failure
from ipo.experiments.run.result import write_text
from ipo.metrics.errors import InputError

if TYPE_CHECKING:
    from ipo.experiments.compare.protocols import Cell

CELLS = "cells"
FAILURE_FILE_NAME = "failure.txt"
"""The traceback of a cell's last failure."""
LONGEST_NAME = 100
"""Characters of a folder's name; file systems end at 255 bytes."""


@dataclass(frozen=True)
class Entry:
    """A cell, the row it belongs to, and where it lies. Picklable: this is what an executor is handed."""

    label: str
    cell: Cell
    folder: Path


def entries(grid: GridConfig, folder: Path) -> list[Entry]:
    """Return the grid's cells in the order they are done: seed by seed, so that one stopped early has whole seeds."""
    from ipo.experiments.compare.protocols import Cell

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
    """Refuse a grid that cannot be run, before its first cell: names, settings, folders, data sets.

    No picture is opened and no model loaded.

    Raises:
        InputError: what is wrong, in one sentence.
    """
    from ipo.experiments.compare.protocols import PROTOCOLS, run_config, shared_config
    from ipo.experiments.data import load_data
    from ipo.experiments.run.pipeline import SPLIT_SEED
    from ipo.metrics.clip import check_name

    for entry in found:
        shared_config(entry.cell)
        run_config(entry.cell)
    _check_folders(found)
    for name in sorted({shared_config(entry.cell).clip for entry in found}):
        check_name(name)
    drawn = set()
    for entry in found:
        cell, shared = entry.cell, shared_config(entry.cell)
        kind = (cell.data, cell.targets, shared.shots, shared.selection_shots)  # a seed draws others, not fewer
        if kind not in drawn:
            drawn.add(kind)
            source = load_data(cell.data, seed=SPLIT_SEED, task=shared.task)
            targets = [load_data(spec, seed=SPLIT_SEED) for spec in cell.targets]
            PROTOCOLS[cell.protocol](source, targets, shared)


def check_models(found: Sequence[Entry], budget_usd: float | None) -> None:
    """Refuse a grid whose language models cannot be asked, or not within a budget. Nothing is asked of them yet.

    Raises:
        InputError: an unknown model, a missing key or weights, or a budget in dollars where a price is not known.
    """
    from ipo.experiments.compare.protocols import run_config
    from ipo.programs.lm.connect import find_backend

    if budget_usd is not None and budget_usd <= 0:
        raise InputError(f"--budget-usd must be above 0, not {budget_usd:g}.")
    configs = [config for entry in found if (config := run_config(entry.cell))]
    asked = {(config.lm, "optimizer", config.lm_api_base) for config in configs}
    asked |= {(config.describer, "describer", config.describer_api_base) for config in configs}
    for name, role, api_base in sorted(asked, key=str):
        if role == "describer" and name in ("clip", "none"):
            continue
        backend = find_backend(name, role=role, api_base=api_base)
        if budget_usd is not None and backend.price(1, 1) is None:
            raise InputError(
                f"the price of {backend.model} is not known, so --budget-usd cannot be kept; leave it out."
            )


def _check_folders(found: Sequence[Entry]) -> None:
    from ipo.experiments.compare.methods import METHODS

    owners: dict[Path, Entry] = {}
    for entry in found:
        if entry.label in METHODS and entry.label != entry.cell.method:
            raise InputError(
                f"the row {entry.label!r} has the method {entry.cell.method!r}; name no row after another method."
            )
        other = owners.setdefault(Path(str(entry.folder).casefold()), entry)
        if other is not entry:
            what, one, two = (
                ("rows", other.label, entry.label)
                if other.label != entry.label
                else ("data sets", other.cell.data, entry.cell.data)
            )
            raise InputError(f"the {what} {one!r} and {two!r} would share a folder; rename one.")


def run_entry(entry: Entry) -> dict[str, Any]:
    """Do one cell; importable by name, so that any process can."""
    import logging

    from ipo.experiments.compare.protocols import run_cell

    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return run_cell(entry.cell, entry.folder)


def finished(found: Sequence[Entry]) -> dict[Entry, dict[str, Any]]:
    """Read the cells that earlier sittings have finished.

    Raises:
        InputError: one is damaged, or is a cell of another grid.
    """
    from ipo.experiments.compare.protocols import FILE_NAME

    return {entry: run_entry(entry) for entry in found if (entry.folder / FILE_NAME).is_file()}


@dataclass(frozen=True)
class Progress:
    """What is known after a cell.

    Attributes:
        done, total: cells; those of earlier sittings count as done.
        entry: the cell that was just finished.
        content: what it holds, or a `Failure`.
        usd: what was paid, in all sittings; None when a price is not known.
        left: seconds that the rest takes on one worker, at the pace of each row so far; None before anything is known.
    """

    done: int
    total: int
    entry: Entry
    content: dict[str, Any] | Failure
    usd: float | None
    left: float | None


@dataclass(frozen=True)
class Outcome:
    """What a sitting has come to.

    Attributes:
        contents: what each cell holds, a `Failure`, or None where it was not run, in the order of the cells.
        stopped: how the budget ended the sitting, or None.
    """

    contents: list[dict[str, Any] | Failure | None]
    stopped: str | None


class _Spent(Exception):
    """The budget is reached."""


def run_grid(
    found: Sequence[Entry],
    before: dict[Entry, dict[str, Any]],
    executor: Executor,
    tell: Callable[[Progress], None],
    budget_usd: float | None = None,
) -> Outcome:
    """Do the cells that are not finished; see `run_entry`.

    Args:
        found: the cells.
        before: see `finished`.
        executor: where they are done.
        tell: called after each cell that was not finished before.
        budget_usd: the sitting ends once so much was paid, failed cells included. A cell under way elsewhere is cut
            off and can be gone on with.
    """
    contents: dict[Entry, dict[str, Any] | Failure] = {**before}
    waiting = [entry for entry in found if entry not in before]
    paid = {entry: paid_for(entry) for entry in found}

    def stop_if_spent() -> None:
        usd = _sum(paid.values())
        if budget_usd is not None and usd is not None and usd >= budget_usd and len(contents) < len(found):
            raise _Spent(
                f"${usd:.4f} of ${budget_usd:.4f} spent, {len(found) - len(contents)} of {len(found)} cells are left"
            )

    def done(index: int, content: dict[str, Any] | Failure) -> None:
        entry = waiting[index]
        contents[entry], paid[entry] = content, paid_for(entry)
        _note_failure(entry, content)
        left = _left(contents, [other for other in waiting if other not in contents])
        tell(Progress(len(contents), len(found), entry, content, _sum(paid.values()), left))
        stop_if_spent()

    stopped = None
    try:
        stop_if_spent()
        executor.run(run_entry, waiting, done)
    except _Spent as spent:
        stopped = str(spent)
    return Outcome([contents.get(entry) for entry in found], stopped)


def paid_for(entry: Entry) -> float | None:
    """Return the US dollars that a cell's replies have cost so far, in all sittings; None when a price is not known.

    Unlike the budget in its table, replies from the cache cost nothing here.
    """
    from ipo.programs.record.journal import FILE_NAME, read

    folder = entry.folder / "run"
    replies = [event for event in read(folder) if event["type"] == "lm"] if (folder / FILE_NAME).is_file() else []
    return _sum(event["usd"] for event in replies)


def reason(failure: Failure) -> str:
    """Word a failure in one line; one without a message has its kind."""
    return failure.line or failure.kind


def _note_failure(entry: Entry, content: dict[str, Any] | Failure) -> None:
    """Keep a failure's traceback with its cell, until the cell is mended."""
    from ipo.programs.record.journal import redact

    file = entry.folder / FAILURE_FILE_NAME
    if isinstance(content, Failure) and content.trace:
        entry.folder.mkdir(parents=True, exist_ok=True)
        write_text(file, redact(content.trace))
    else:
        file.unlink(missing_ok=True)


def _sum(prices: Iterable[float | None]) -> float | None:
    known = list(prices)
    return None if None in known else sum(price or 0.0 for price in known)


def _left(done: Iterable[Entry], left: Sequence[Entry]) -> float | None:
    """Sum what the waiting cells take: each as long as its row's did so far, rows without one as long as any."""
    from ipo.experiments.compare.protocols import TIME_FILE_NAME

    seconds: dict[str, list[float]] = {}
    for entry in done:
        file = entry.folder / TIME_FILE_NAME
        with suppress(OSError, ValueError, KeyError, TypeError):  # a forecast is worth no failure
            took = float(json.loads(file.read_text(encoding="utf-8"))["seconds"])
            seconds.setdefault(entry.label, []).append(took)
    if not seconds:
        return None
    means = {label: statistics.fmean(values) for label, values in seconds.items()}
    usual = statistics.fmean(means.values())
    return sum(means.get(entry.label, usual) for entry in left)


def _slug(name: str) -> str:
    """Make a folder's name; of a long path the end tells more."""
    return re.sub(r"[^A-Za-z0-9.=+-]+", "-", name)[-LONGEST_NAME:].strip("-.") or "unnamed"
