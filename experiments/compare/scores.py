"""The runs of a method on a data set, and the numbers of a column: values, intervals and differences.

A column shows one side of the protocol (base, new, test, source, a target), or it combines several sides: H, the mean
of the H of the data sets, or the mean over the targets. All are sums of weighted means of sides. H is not linear in the
values: its weights are its slopes at the observed means (the delta method), which for a difference are the means of
both methods: dH = (2 new² dbase + 2 base² dnew) / (base + new)².

Values are fractions in [0, 1]; differences are differences of fractions. A group is the runs of one method: one `Runs`
for each data set.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ipo_prompts.experiments.compare.published import data_key
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.evidence import (
    SAME,
    THESE_CLASSES,
    THESE_DATA_SETS,
    Effect,
    UnitResults,
    accuracy_interval,
    effect_of,
    spread,
)
from ipo_prompts.metrics.sampling import Sampling

if TYPE_CHECKING:
    from ipo_prompts.experiments.compare.cell import Result
    from ipo_prompts.experiments.compare.methods import Facts
    from ipo_prompts.experiments.run.result import Tested

H = "H"
MEAN_OF_H = "mean of H"
MEAN = "mean"
MEAN_WITHOUT_EUROSAT = "mean without EuroSAT"
MEANS = (MEAN, MEAN_WITHOUT_EUROSAT)

OWN_SIDE = {"base-to-new": "base", "cross-dataset": "source", "domain-generalization": "source"}
"""Protocol → the name of the side with the test images of the classes that were learnt; else `test`."""

T = TypeVar("T")


@dataclass(frozen=True)
class Placed:
    """A cell in its place in a table.

    Attributes:
        protocol, data, row, seed: the place; `row` is the label of the row.
        facts: what the table needs to know about the method.
        result: the record of the cell; None if there is none.
        absent: why there are no scores; empty if there are.
    """

    protocol: str
    data: str
    row: str
    seed: int
    facts: Facts
    result: Result | None
    absent: str = ""

    @property
    def name(self) -> str:
        """The name of the cell in messages."""
        return f"{self.data} / {self.row} / seed {self.seed}"

    @property
    def done(self) -> Result:
        """The record of a cell that has scores."""
        assert self.result is not None
        return self.result

    @cached_property
    def sides(self) -> dict[str, Tested]:
        """Side → the test set."""
        return self._by_side(self.done.tests)

    @cached_property
    def gaps(self) -> dict[str, str]:
        """Side → why the method has no score on this side."""
        return self._by_side(self.done.gaps)

    def _by_side(self, found: Mapping[str, T]) -> dict[str, T]:
        if self.protocol == "cross-clip":  # its sides are the CLIPs
            return {name: one for name, one in found.items() if name != "test"}
        own = OWN_SIDE.get(self.protocol, "test")
        return {own if name == "test" else name: one for name, one in found.items()}


@dataclass(frozen=True)
class Runs:
    """The runs of one method on one data set, one run for each seed. Rows of values follow the order of `seeds`.

    Attributes:
        seeds: the seeds, ascending.
        values: side ("base", "test", a target's name …) → the value of each unit, float64 (seeds, units): 1.0 for a
            hit and 0.0 for a miss, or a fraction such as a scene's IoU.
        sampling: side → how the units of the side were drawn.
        cells: one cell for each seed.
        is_fixed: whether the method gives the same result for every seed.
    """

    seeds: tuple[int, ...]
    values: Mapping[str, Doubles]
    sampling: Mapping[str, Sampling]
    cells: tuple[Placed, ...]
    is_fixed: bool = False

    def at(self, seeds: Sequence[int]) -> Runs:
        """Return the runs of the given seeds. A seed without a run takes the first run: the method ignores seeds."""
        rows = [self.seeds.index(seed) if seed in self.seeds else 0 for seed in seeds]
        values = {side: found[rows] for side, found in self.values.items()}
        return replace(self, seeds=tuple(seeds), values=values, cells=tuple(self.cells[row] for row in rows))

    @cached_property
    def means(self) -> dict[str, float]:
        """Side → the mean value over seeds and units."""
        return {side: float(values.mean()) for side, values in self.values.items()}

    @cached_property
    def gaps(self) -> dict[str, str]:
        """Side → why the method has no score on this side; other methods may have one."""
        return {side: why for cell in self.cells for side, why in cell.gaps.items()}

    def same_templates(self, other: Runs) -> bool:
        """Whether both methods ended with the same templates and values under every seed: nothing can be compared.

        The same templates can have different values where the methods use different CLIPs or class names.
        """
        ours, theirs = ([cell.done.templates for cell in runs.cells] for runs in (self, other))
        scored_alike = self.values.keys() == other.values.keys() and all(
            np.array_equal(values, other.values[side]) for side, values in self.values.items()
        )
        return None not in ours and ours == theirs and scored_alike

    def ignore_seeds(self) -> bool:
        """Whether the runs ended with the same templates and values under every seed."""
        first, *others = (self.at([seed]) for seed in self.seeds)
        return all(first.same_templates(other) for other in others)


def align(a: Runs, b: Runs) -> tuple[Runs, Runs] | None:
    """Return the runs of two methods for the seeds that both have; None when they have no seed in common."""
    seeds = [seed for seed in (b if a.is_fixed else a).seeds if a.is_fixed or b.is_fixed or seed in b.seeds]
    return (a.at(seeds), b.at(seeds)) if seeds else None


class ColumnScore(NamedTuple):
    """The value of a column with its 95 % interval from `low` to `high`; all are fractions.

    `sd` is the standard deviation over seeds. It is None for one seed, or where the data sets have different seeds.
    `n` counts units. `draws` counts independent units: variants of one image count once.
    """

    value: float
    low: float
    high: float
    sd: float | None
    n: int
    draws: int


def sides(column: str, runs: Runs) -> list[str]:
    """Return the sides that a column combines."""
    if column in (H, MEAN_OF_H):
        return ["base", "new"]
    if column not in MEANS:
        return [column]
    targets = [side for side in sorted(runs.values) if side != "source"]
    return [side for side in targets if column == MEAN or data_key(side) != "eurosat"]


def applies(column: str, group: Sequence[Runs]) -> bool:
    """Whether a group has a value in a column.

    Every run must have all sides of the column. If the column combines several sides, no run may have a gap.
    """
    made_of = sides(column, group[0])
    whole = made_of == [column] or not any(runs.gaps for runs in group)
    return bool(made_of) and whole and all({*made_of} <= {*runs.values} for runs in group)


def value(column: str, group: Sequence[Runs]) -> float:
    """Return the value of a column over one or more data sets, as a fraction."""
    if column == MEAN_OF_H:
        return float(np.mean([value(H, [runs]) for runs in group]))
    averages = [_average(side, group) for side in sides(column, group[0])]
    return statistics.harmonic_mean(averages) if column == H else float(np.mean(averages))


def column_score(column: str, group: Sequence[Runs]) -> ColumnScore:
    """Return the value of a column with its interval, for the classes and data sets as given."""
    found, seeds = value(column, group), group[0].seeds
    weights = _weights(column, [(runs,) for runs in group])
    searches = [
        [UnitResults(runs.values[side], runs.sampling[side], weight) for side, weight in of_sides.items()]
        for runs, of_sides in zip(group, weights, strict=True)
    ]
    parts = [part for search in searches for part in search]
    if len(parts) == 1 and all(_are_hits(cell, column) for cell in group[0].cells):
        low, high = accuracy_interval(parts[0])
    else:
        effect = effect_of(found, spread(searches, added=0))
        low, high = max(0.0, effect.low), effect.high
    sd = None
    if len(seeds) > 1 and all(runs.seeds == seeds for runs in group):
        sd = float(np.std([value(column, [runs.at([seed]) for runs in group]) for seed in seeds], ddof=1))
    n, draws = (sum(getattr(part.sampling, name) for part in parts) for name in ("n", "size"))
    return ColumnScore(found, low, high, sd, n, draws)


def _are_hits(cell: Placed, side: str) -> bool:
    return side in cell.sides and isinstance(cell.sides[side].answer, str)


def difference(column: str, ours: Sequence[Runs], theirs: Sequence[Runs]) -> tuple[Effect, int] | None:
    """Compare two methods on the same data sets. Both groups list the data sets in the same order.

    Returns:
        A pair, or None when the methods have no common seed on some data set. First: the value of the first method
        minus that of the second, for the classes and data sets as given. Second: the number of common seeds, the
        smallest over the data sets.
    """
    pairs = [pair for pair in map(align, ours, theirs) if pair]
    if len(pairs) < len(ours):
        return None
    group_a, group_b = zip(*pairs, strict=True)
    seeds = min(len(runs.seeds) for runs in group_a)
    if all(a.same_templates(b) for a, b in pairs):
        return SAME, seeds
    weights = _weights(column, pairs)
    searches = [
        [UnitResults(a.values[side] - b.values[side], a.sampling[side], weight) for side, weight in of_sides.items()]
        for (a, b), of_sides in zip(pairs, weights, strict=True)
        if not a.same_templates(b)  # the same templates cannot differ anywhere
    ]
    covers = THESE_DATA_SETS if len(pairs) > 1 or (len(weights[0]) > 1 and column in MEANS) else THESE_CLASSES
    return effect_of(value(column, group_a) - value(column, group_b), spread(searches), covers), seeds


def _average(side: str, group: Sequence[Runs]) -> float:
    return float(np.mean([runs.means[side] for runs in group]))


def _weights(column: str, data_sets: Sequence[Sequence[Runs]]) -> list[dict[str, float]]:
    """Return the weight of each side of each data set in a column.

    `data_sets` are the runs on each data set: of one method, or of the two that are compared.
    """
    count, every = len(data_sets), [runs for one in data_sets for runs in one]
    if column == H:
        found = [_slopes(every)] * count
    elif column == MEAN_OF_H:
        found = [_slopes(one) for one in data_sets]
    else:
        made_of = sides(column, every[0])
        found = [dict.fromkeys(made_of, 1 / len(made_of))] * count
    return [{side: weight / count for side, weight in one.items()} for one in found]


def _slopes(group: Sequence[Runs]) -> dict[str, float]:
    base, new = (max(_average(side, group), 1e-3) for side in ("base", "new"))  # H has no slope at 0
    return {"base": 2 * new**2 / (base + new) ** 2, "new": 2 * base**2 / (base + new) ** 2}
