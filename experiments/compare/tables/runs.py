"""What a table is made of: all seeds of one method on one data set, and pairs of methods under the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.sampling import Sampling

CellContent = Mapping[str, Any]


@dataclass(frozen=True)
class Runs:
    """A method on a data set under its seeds; all sides keep the order of `seeds`.

    Attributes:
        seeds: ascending.
        values: side ("base", "test", a target's name …) → what each unit contributes, (seeds, units): 1.0 for a hit,
            or a fraction such as a scene's IoU.
        sampling: side → how its units were drawn.
        cells: one per seed.
    """

    data: str
    method: str
    seeds: tuple[int, ...]
    values: Mapping[str, Doubles]
    sampling: Mapping[str, Sampling]
    cells: tuple[CellContent, ...]

    def at(self, seeds: Sequence[int]) -> Runs:
        """Return the runs of some seeds; the one run of a method that no seed changes stands for any seed."""
        if tuple(seeds) == self.seeds:
            return self
        rows = [self.seeds.index(seed) if seed in self.seeds else 0 for seed in seeds]
        values = {side: found[rows] for side, found in self.values.items()}
        return replace(self, seeds=tuple(seeds), values=values, cells=tuple(self.cells[row] for row in rows))

    def ran_with_its_seeds(self) -> bool:
        """Whether every row is of a run with that very seed; see `at`."""
        return all(cell["cell"]["seed"] == seed for seed, cell in zip(self.seeds, self.cells, strict=True))

    @cached_property
    def means(self) -> dict[str, float]:
        """Side → value averaged over seeds."""
        return {side: float(values.mean()) for side, values in self.values.items()}

    @cached_property
    def gaps(self) -> dict[str, str]:
        """Side → why the method has no score there, where others may have one."""
        return {side: why for cell in self.cells for side, why in cell["gaps"].items()}

    def counts_hits(self, side: str) -> bool:
        """Whether the units of a side are right or wrong."""
        return all("hits" in cell["scores"][side] for cell in self.cells)

    def same_templates(self, other: Runs) -> bool:
        """Whether both ended with the same templates under every seed, so that nothing is to be compared.

        Where the same text scores differently, another CLIP or other class names make the difference.
        """
        ours, theirs = ([cell.get("templates") for cell in runs.cells] for runs in (self, other))
        scored_alike = self.values.keys() == other.values.keys() and all(
            np.array_equal(values, other.values[side]) for side, values in self.values.items()
        )
        return None not in ours and ours == theirs and scored_alike


@dataclass(frozen=True)
class Grid:
    """All cells of one table.

    Attributes:
        protocol: of every cell.
        measure: what the values are, "accuracy" or a reward's own such as "mean IoU".
        unit: what they are of, in the plural: "pictures", "queries", "scenes".
        sides: in the order of their columns.
        runs: (data, method) → runs.
        absent: (data, method) → why some or all of its seeds are missing.
        splits: data → "official", "own" or "different: why".
    """

    protocol: str
    measure: str
    unit: str
    data: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    sides: tuple[str, ...]
    runs: Mapping[tuple[str, str], Runs]
    absent: Mapping[tuple[str, str], tuple[str, ...]]
    splits: Mapping[str, str]


def align(a: Runs, b: Runs) -> tuple[Runs, Runs] | None:
    """Bring two methods to the seeds that both ran with; None when there are none."""
    if _is_fixed(a.method):
        seeds = list(b.seeds)
    elif _is_fixed(b.method):
        seeds = list(a.seeds)
    else:
        seeds = [seed for seed in a.seeds if seed in b.seeds]
    return (a.at(seeds), b.at(seeds)) if seeds else None


def _is_fixed(row: str) -> bool:
    """Whether no seed changes a row; a row with a label of its own may depend on it."""
    return row in METHODS and not METHODS[row].depends_on_seed
