"""The columns of a table, their values, intervals and differences; and the finished table that is made of them.

A column is a side of the protocol (base, new, test, source, a target), or made of sides: H, the mean of the data sets'
H's, the mean over the targets. H is not linear in the values; its variance is that of its linearisation at the observed
means (the delta method): dH = (2 new² dbase + 2 base² dnew) / (base + new)².

Values and differences are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ipo_prompts.experiments.compare.published import PublishedRow, data_key
from ipo_prompts.experiments.compare.tables.runs import Runs, align
from ipo_prompts.metrics.evidence import (
    SAME,
    Crossed,
    Scopes,
    Spread,
    effect_of,
    over_data_sets,
    paired_effect,
    split_variance,
)
from ipo_prompts.metrics.sampling import harmonic_mean
from ipo_prompts.metrics.verdict import Verdict, accuracy_interval

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


@dataclass(frozen=True)
class Scope:
    """What a row is about: one data set, or an average over several.

    Attributes:
        name: the data set, or "average", "average without EuroSAT".
        data: the data sets in it.
        split: "official", "own" or "different: why"; of an average, the first that differs.
    """

    name: str
    data: tuple[str, ...]
    split: str

    @property
    def is_average(self) -> bool:
        """Whether it averages data sets."""
        return self.name.startswith("average")


@dataclass(frozen=True)
class TableRow:
    """A method in a scope. `scores` holds None where a column does not apply; it is empty where `absent` is all.

    `labelled_per_class` counts the labelled pictures of each class that it saw; None where that is not known. `gaps`
    says why a column that the others have is missing.
    """

    seeds: int
    absent: str
    scores: dict[str, ColumnScore | None]
    labelled_per_class: int | None = None
    gaps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodGain:
    """A method minus another, in one column and scope.

    Attributes:
        verdict: for the classes of a data set, on an average for the data sets, as given; it decides.
        like_these: for classes, on an average for data sets, like these; None where they cannot be told.
        seeds: how many seeds both have (the smallest number over the data sets).
    """

    verdict: Verdict
    like_these: Verdict | None
    seeds: int

    def for_scope(self, scope: Scope) -> Verdict:
        """Return what a mean over data sets is told by: the verdict for data sets like these, where there is one."""
        return (self.like_these if scope.is_average else None) or self.verdict


@dataclass(frozen=True)
class Table:
    """All parts of a table.

    Attributes:
        measure, unit: what the values are and what they are of: accuracy of pictures, mean IoU of scenes.
        headline: the column that gains and verdicts speak of.
        rows: (scope, method) → row.
        gains: (scope, method, other, column) → what the method has over the other.
        searches: (scope, method) → what its search cost and how much better it looked than it was, means per run over
            seeds and data sets, by name. `search`, `selection`, `test` are the values of the final templates on
            pictures of the classes searched on, None where none were drawn; a method that learns nothing from them is
            scored on them too. `optimism` is the gain over the reference on the search pictures minus that on the test
            pictures: both gains are paired, so that easier pictures do not look like over-fitting. `proposals`,
            `looked_at`, `calls`, `tokens_in`, `tokens_out` are those of `Budget`; `usd` is None where a price is
            unknown. `gain_held_back` is what the choice gained over the search's initial template on held-back
            pictures, see `Choice`; None where none were.
    """

    protocol: str
    measure: str
    unit: str
    reference: str
    references: tuple[str, ...]
    columns: tuple[str, ...]
    headline: str
    seeds: tuple[int, ...]
    scopes: tuple[Scope, ...]
    rows: dict[tuple[str, str], TableRow]
    gains: dict[tuple[str, str, str, str], MethodGain]
    searches: dict[tuple[str, str], dict[str, float | None]]
    verdicts: tuple[str, ...]
    notes: tuple[str, ...]
    published: tuple[PublishedRow, ...]

    @property
    def averages(self) -> tuple[Scope, ...]:
        """The scopes that are averages; there are none of one data set."""
        return tuple(scope for scope in self.scopes if scope.is_average)

    @property
    def is_of_several(self) -> bool:
        """Whether it has several data sets to learn from."""
        return sum(not scope.is_average for scope in self.scopes) > 1

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of the rows."""
        return list(dict.fromkeys(method for _, method in self.rows))

    def over(self, scope: Scope, method: str, other: str) -> MethodGain | None:
        """Return what a method has over another in the headline; None where they are not compared."""
        return self.gains.get((scope.name, method, other, self.headline))


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


def column_score(column: str, group: Sequence[Runs]) -> ColumnScore:
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


def difference(column: str, ours: Sequence[Runs], theirs: Sequence[Runs]) -> tuple[Scopes, int] | None:
    """Compare two methods on the same data sets, in the same order.

    Returns:
        The first minus the second, for the classes or data sets as given and for such like these, and how many seeds
        both have; None when a data set has no seed of both.
    """
    pairs = [pair for pair in map(align, ours, theirs) if pair]
    if len(pairs) < len(ours):
        return None
    group_a, group_b = [a for a, _ in pairs], [b for _, b in pairs]
    seeds = min(len(runs.seeds) for runs in group_a)
    if all(a.same_templates(b) for a, b in pairs):
        return Scopes(SAME, None), seeds
    mean = value(column, group_a) - value(column, group_b)
    parts = [_parts(a, b) for a, b in zip(_shares(column, group_a), _shares(column, group_b), strict=True)]
    if len(parts) == 1:
        return paired_effect(parts[0], mean), seeds
    return over_data_sets([_spread(one) for one in parts], mean, column in MEANS), seeds


def _spread(parts: Sequence[Crossed], added: int = 2) -> Spread:
    found = split_variance(parts, added=added)
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
