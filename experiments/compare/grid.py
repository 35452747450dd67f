"""A grid of experiments: protocol × data sets × methods × seeds, cell by cell; `runner.py` runs the cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.compare import cell as cells
from ipo_prompts.experiments.compare.cell import Cell, run_config, shared_config
from ipo_prompts.experiments.compare.grid_file import CELLS, GridConfig
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.experiments.compare.protocols import laid_out
from ipo_prompts.experiments.compare.runner import Item
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.benchmarks import absent, assumed, sizes
from ipo_prompts.experiments.run.config import RunConfig, dotted, nested, overlaid
from ipo_prompts.experiments.run.plan import SPLIT_SEED, backends, draw_for, room_of
from ipo_prompts.metrics.clip import check_name
from ipo_prompts.metrics.errors import InputError

LONGEST_NAME = 100
"""Characters of a folder's name; file systems allow 255 bytes."""


@dataclass(frozen=True)
class Entry(Item[dict[str, Any]]):
    """A cell with the row it belongs to. It is finished when its folder holds `cell.json`."""

    cell: Cell

    @property
    def name(self) -> str:
        """Data set, row and seed."""
        return f"{self.cell.data}  {self.label}  seed {self.cell.seed}"

    @property
    def record(self) -> Path:
        """The run directory of its search."""
        return self.folder / "run"

    def finished(self) -> dict[str, Any] | None:
        """Read the cell of an earlier session; see `cell.finished`."""
        return cells.finished(self.cell, self.folder)

    def run(self) -> dict[str, Any]:
        """Do the cell; see `run_cell`."""
        return cells.run_cell(self.cell, self.folder)

    def said(self, content: dict[str, Any]) -> str:
        """Name its values, or why there are none."""
        values = (f"{name} {100 * score['value']:.2f}" for name, score in content["scores"].items())
        return content["absent"] or ", ".join(values)


def entries(grid: GridConfig, folder: Path) -> list[Entry]:
    """Return the grid's cells in the order they are done: seed by seed, so that one stopped early has whole seeds."""
    shared = nested(grid.settings)
    settings = {row.label: dotted(overlaid(shared, nested(row.settings))).items() for row in grid.methods}
    targets = tuple(grid.targets)
    return [
        Entry(
            row.label,
            folder / CELLS / _slug(data) / _slug(row.label) / f"seed-{seed}",
            Cell(grid.protocol, data, row.method, seed, targets, tuple(sorted(settings[row.label]))),
        )
        for seed in grid.seeds
        for data in grid.data
        for row in grid.methods
    ]


def check_grid(found: Sequence[Entry], *, ready: bool = True) -> None:
    """Refuse a grid that cannot be run, before its first cell: names, settings, folders, data sets.

    No picture is opened and no model loaded.

    Args:
        found: the cells.
        ready: the data sets must be there; else those that are registered and absent are assumed to be as published.

    Raises:
        InputError: what is wrong, in one sentence.
    """
    kinds: dict[Any, tuple[Cell, RunConfig]] = {}
    for cell in (entry.cell for entry in found):
        shared = shared_config(cell)
        METHODS[cell.method].run_config(shared, dict(cell.settings))  # refuses what that method cannot have
        kind = (cell.data, cell.targets, shared.clip, shared.shots, shared.selection_shots)  # a seed draws no fewer
        kinds.setdefault(kind, (cell, shared))
    _check_folders(found)
    for name in sorted({shared.clip for _, shared in kinds.values()}):
        check_name(name)
    for cell, shared in kinds.values():
        if not ready and any(map(absent, (cell.data, *cell.targets))):
            gone = absent(cell.data)
            draw_for(assumed(gone) if gone else load_data(cell.data, seed=SPLIT_SEED), shared)
            continue
        laid_out(cell.protocol, cell.data, cell.targets, shared)


def assumed_sizes(found: Sequence[Entry]) -> list[str]:
    """Word the sizes of the data sets that are not on this machine, see `check_grid`."""
    specs = dict.fromkeys(spec for entry in found for spec in (entry.cell.data, *entry.cell.targets))
    return [sizes(entry) for spec in specs if (entry := absent(spec))]


def searches(found: Sequence[Entry]) -> list[RunConfig]:
    """Return the configurations of the cells' searches, one for each set of language models."""
    configs = [config for entry in found if (config := run_config(entry.cell))]
    models = [(c.asks_lm, c.lm, c.lm_api_base, c.describer, c.describer_api_base) for c in configs]
    return list(dict(zip(models, configs, strict=True)).values())


def check_models(configs: Sequence[RunConfig], budget_usd: float | None) -> None:
    """Refuse searches whose language models cannot be asked, or not within a budget. Nothing is asked of them yet.

    Raises:
        InputError: an unknown model, a missing key or weights, or a budget in dollars where a price is not known.
    """
    if budget_usd is not None and budget_usd <= 0:
        raise InputError(f"--budget-usd must be above 0, not {budget_usd:g}.")
    for backend in (backend for config in configs for backend in backends(config) if backend):
        if budget_usd is not None and backend.price(1, 1) is None:
            raise InputError(
                f"the price of {backend.model} is not known, so --budget-usd cannot be kept; leave it out."
            )


def check_windows(found: Sequence[Entry]) -> None:
    """Refuse rows whose questions a language model cannot take, before the first of them is paid.

    Raises:
        InputError: names the row.
    """
    for entry in {entry.label: entry for entry in found}.values():  # seeds and pictures change nothing of it
        if config := run_config(entry.cell):
            optimizer, _ = backends(config, ready=False)
            try:
                room_of(config, optimizer, config.task or "")
            except InputError as error:
                raise InputError(f"the row {entry.label}: {error}") from error


def _check_folders(found: Sequence[Entry]) -> None:
    owners: dict[Path, Entry] = {}
    for entry in found:
        if entry.label in METHODS and entry.label != entry.cell.method:
            raise InputError(
                f"the row {entry.label!r} has the method {entry.cell.method!r}; name no row after another method."
            )
        other = owners.setdefault(Path(str(entry.folder).casefold()), entry)
        if other is not entry:
            what, first, second = "rows", other.label, entry.label
            if first == second:
                what, first, second = "data sets", other.cell.data, entry.cell.data
            raise InputError(f"the {what} {first!r} and {second!r} would share a folder; rename one.")


def _slug(name: str) -> str:
    """Make a folder's name; of a long path the end is kept."""
    return re.sub(r"[^A-Za-z0-9.=+-]+", "-", name)[-LONGEST_NAME:].strip("-.") or "unnamed"
