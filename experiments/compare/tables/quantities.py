"""The columns of a table: their values, their intervals, and the differences between two methods.

A column is a side of the protocol (base, new, test, source, a target), or made of sides: H, the mean of the data sets'
H's, the mean over the targets. H is not linear in the values; its variance is that of its linearisation at the observed
means (the delta method): dH = (2 new² dbase + 2 base² dnew) / (base + new)².
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ipo_prompts.experiments.compare.published import data_key
from ipo_prompts.experiments.compare.tables.runs import Runs, align
from ipo_prompts.metrics.accuracy import accuracy_interval
from ipo_prompts.metrics.evidence import SAME, Crossed, Scopes, Spread, effect_of, over_data_sets, paired_effect, spread
from ipo_prompts.metrics.statistics import harmonic_mean

H = "H"
MEAN_OF_H = "mean of H"
MEAN = "mean"
MEAN_WITHOUT_EUROSAT = "mean without EuroSAT"
MEANS = (MEAN, MEAN_WITHOUT_EUROSAT)


@dataclass(frozen=True)
class ColumnScore:
    """A value with its 95 % interval; fractions. `sd` over seeds is None for one seed or where seeds differ.

    `n` counts units, `draws` those that are independent of each other: variants of one picture are one.
    `low_like_these`, `high_like_these`: for data sets like these; None for a single one.
    """

    value: float
    low: float
    high: float
    sd: float | None
    n: int
    draws: int
    low_like_these: float | None = None
    high_like_these: float | None = None


class ColumnDifference(NamedTuple):
    """A method minus another, for the classes or data sets as given and for such like these, and the seeds of both."""

    scopes: Scopes
    seeds: int


_Share = tuple[Runs, dict[str, float]]
"""One data set's share of a column: its runs and the weight of each side."""


def value(column: str, group: Sequence[Runs]) -> float:
    """Return a column's value over one or more data sets."""
    if column == H:
        return harmonic_mean(_average("base", group), _average("new", group))
    if column == MEAN_OF_H:
        return float(np.mean([value(H, [runs]) for runs in group]))
    if column in MEANS:
        return float(np.mean([_average(side, group) for side in targets(column, group[0])]))
    return _average(column, group)


def targets(column: str, runs: Runs) -> list[str]:
    """The sides that a mean column averages."""
    sides = [side for side in sorted(runs.values) if side != "source"]
    return [side for side in sides if column == MEAN or data_key(side) != "eurosat"]


def score(column: str, group: Sequence[Runs]) -> ColumnScore:
    """Return a column's value with its interval, for the data sets as given."""
    found = value(column, group)
    shares = _shares(column, group)
    parts = [_parts(share) for share in shares]
    general = None
    if len(shares) == 1 and column in group[0].values and group[0].counts_hits(column):
        low, high = accuracy_interval(parts[0][0])
    else:
        spreads = [_spread(one, added=0) for one in parts]
        if len(shares) == 1:
            effect = effect_of(found, [spreads[0].units, spreads[0].seeds])
        else:
            effect, general = over_data_sets(spreads, found, shared_seeds=column in MEANS)
        low, high = max(0.0, effect.low), effect.high
    seeds = group[0].seeds
    sd = None
    if len(seeds) > 1 and all(runs.seeds == seeds for runs in group):
        sd = float(np.std([value(column, [runs.at([seed]) for runs in group]) for seed in seeds], ddof=1))
    units = [part.sampling for one in parts for part in one]
    n, draws = sum(one.n for one in units), sum(one.size for one in units)
    like_these = (None, None) if general is None else (max(0.0, general.low), general.high)
    return ColumnScore(found, low, high, sd, n, draws, *like_these)


def difference(column: str, ours: Sequence[Runs], theirs: Sequence[Runs]) -> ColumnDifference | None:
    """Compare two methods on the same data sets, in the same order; None when a data set has no seed of both."""
    pairs = [pair for pair in map(align, ours, theirs) if pair]
    if len(pairs) < len(ours):
        return None
    group_a, group_b = [a for a, _ in pairs], [b for _, b in pairs]
    seeds = min(len(runs.seeds) for runs in group_a)
    if all(a.same_templates(b) for a, b in pairs):
        return ColumnDifference(Scopes(SAME, None), seeds)
    mean = value(column, group_a) - value(column, group_b)
    parts = [_parts(a, b) for a, b in zip(_shares(column, group_a), _shares(column, group_b), strict=True)]
    if len(parts) == 1:
        return ColumnDifference(paired_effect(parts[0], mean), seeds)
    return ColumnDifference(over_data_sets([_spread(one) for one in parts], mean, column in MEANS), seeds)


def _spread(parts: Sequence[Crossed], added: int = 2) -> Spread:
    found = spread(parts, added=added)
    assert found is not None  # only classes like these may be missing
    return found


def _average(side: str, group: Sequence[Runs]) -> float:
    return float(np.mean([runs.means[side] for runs in group]))


def _shares(column: str, group: Sequence[Runs]) -> list[_Share]:
    if column == H:
        weights = _slopes(_average("base", group), _average("new", group))
        return [(runs, weights) for runs in group]
    if column == MEAN_OF_H:
        return [(runs, _slopes(runs.means["base"], runs.means["new"])) for runs in group]
    if column in MEANS:
        return [(group[0], {side: 1.0}) for side in targets(column, group[0])]
    return [(runs, {column: 1.0}) for runs in group]


def _slopes(base: float, new: float) -> dict[str, float]:
    base, new = max(base, 1e-3), max(new, 1e-3)  # H has no slope at 0
    return {"base": 2 * new**2 / (base + new) ** 2, "new": 2 * base**2 / (base + new) ** 2}


def _parts(ours: _Share, theirs: _Share | None = None) -> list[Crossed]:
    """The weighted values of a share, or their differences from another's on the same pictures."""
    parts = []
    runs, weights = ours
    for side, weight in weights.items():
        values, scale, hits = weight * runs.values[side], weight, None
        if theirs is not None:
            others, other_weights = theirs
            values = values - other_weights[side] * others.values[side]
            hits = runs.values[side] - others.values[side]
            # the same templates cannot differ anywhere
            scale = 0.0 if runs.same_templates(others) else max(weight, other_weights[side])
        parts.append(Crossed(values, runs.sampling[side], scale, hits))
    return parts
