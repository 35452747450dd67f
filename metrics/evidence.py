"""How certain a comparison over seeds and data sets is.

Seeds × pictures is a crossed table: a mean's variance due to pictures and that due to seeds are estimated apart and
added. Over data sets, *these data sets* and *data sets like these* are different questions. `docs/statistics.md` gives
the reasons and the sources.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ipo.metrics.arrays import Doubles
from ipo.metrics.statistics import (
    Interval,
    cluster_variance,
    group_index,
    sign_flip_p,
    t_quantile,
    wilson,
)


class Crossed(NamedTuple):
    """One set of pictures under several seeds.

    `values` float (seeds, pictures): hits, or differences of hits, perhaps weighted; `groups` one name per picture, or
    an array of numbers that are all used from 0 on, or None; `scale` the largest size that a value can have.
    """

    values: Doubles
    groups: Sequence[Hashable] | NDArray[np.int64] | None
    scale: float = 1.0


class Variance(NamedTuple):
    """The variance of a mean and its degrees of freedom."""

    value: float
    degrees: float


class Spread(NamedTuple):
    """A sum of means over pictures: its value per seed (seeds,), and its variance due to pictures and due to seeds."""

    per_seed: Doubles
    pictures: Variance
    seeds: Variance

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(self.per_seed.mean())


class Effect(NamedTuple):
    """A difference, its interval, the two-sided p of "there is none", and the test behind p.

    `detectable` is the true difference that this comparison would find four times in five; infinite if none.
    """

    mean: float
    low: float
    high: float
    p: float
    test: str
    detectable: float


ALPHA = 0.05
"""The largest corrected p that counts as evidence; the intervals here are of 1 - ALPHA."""

SAME = Effect(0.0, 0.0, 0.0, 1.0, "same templates", 0.0)
"""Two methods that ended with the same templates under every seed: the difference is exactly 0."""


def combine(variances: Sequence[Variance], divisor: float = 1.0) -> Variance:
    """Add variances of means, each divided by `divisor` squared; the degrees of freedom are Satterthwaite's (1946)."""
    total = sum(variance.value for variance in variances)
    if total == 0 or not math.isfinite(total):
        return Variance(total, max((variance.degrees for variance in variances), default=1.0))
    weight = sum(variance.value**2 / variance.degrees for variance in variances if variance.value > 0)
    return Variance(total / divisor**2, total**2 / weight)


def spread(parts: Sequence[Crossed]) -> Spread:
    """Split the variance of the sum of the parts' means into that due to pictures and that due to seeds.

    Args:
        parts: each with its own pictures (base and new classes share none) and the same number of seeds.

    Where a part has no variance over its groups, two groups, one of each sign, are added, as Bonett & Price (2012)
    add pairs: otherwise agreement on a few pictures would count as certainty.
    """
    per_seed = np.sum([part.values.mean(axis=1) for part in parts], axis=0)
    pictures = []
    for part in parts:
        averaged = part.values.mean(axis=0)
        index, count = group_index(part.groups, len(averaged))
        value = cluster_variance(averaged, index, count) if count > 1 else math.inf
        if value < 1e-18 * part.scale**2:
            added = np.append(np.full(count, averaged.mean()), [part.scale, -part.scale])
            value = float(added.var()) / len(added)
        pictures.append(Variance(value, max(1, count - 1)))
    return Spread(np.asarray(per_seed, dtype=np.float64), combine(pictures), _over_seeds(per_seed))


def accuracy_over_seeds(part: Crossed, level: float = 0.95) -> Interval:
    """Interval of an accuracy averaged over seeds: Wilson's on the effective sample size p(1-p)/variance.

    With one seed this is `statistics.accuracy_interval`: it then covers the choice of pictures alone.
    """
    averaged = part.values.mean(axis=0)
    p = float(averaged.mean())
    index, count = group_index(part.groups, len(averaged))
    if count == 1:
        return Interval(0.0, 1.0)
    if p in (0.0, 1.0):
        return wilson(p, count, t_quantile(count - 1, level))
    pictures = max(cluster_variance(averaged, index, count), float(averaged.var()) / len(averaged))
    variances = [Variance(pictures, count - 1), _over_seeds(part.values.mean(axis=1))]
    total = sum(variance.value for variance in variances)
    if total == 0:  # every picture is right under equally many seeds: no variance can be estimated
        return wilson(p, count, t_quantile(count - 1, level))
    return wilson(p, p * (1 - p) / total, _half_width(variances, 1 - level) / math.sqrt(total))


def paired_effect(parts: Sequence[Crossed], mean: float | None = None) -> Effect:
    """Compare two methods on the same pictures under the same seeds, in one data set.

    The interval is t with the variance of pictures and seeds. p is the larger of that t test's and, for one plain set
    of pictures, of the exact sign-flip test over the groups' sums of differences (seeds added up): the first covers the
    seeds, the second needs no normality and is exact for few groups. Each is valid, hence so is the larger.

    Args:
        parts: values are b's hits minus a's; several parts for a linearised quantity such as H.
        mean: the difference itself where it is not linear in the hits; the parts then give its variance alone.
    """
    found = spread(parts)
    result = effect_of(found.mean if mean is None else mean, [found.pictures, found.seeds])
    if len(parts) > 1 or mean is not None:
        return result
    sums = np.rint(parts[0].values.sum(axis=0))
    index, count = group_index(parts[0].groups, len(sums))
    exact = sign_flip_p(np.rint(np.bincount(index, sums, count)).astype(np.int64))
    test = "larger p of exact sign-flip over picture groups and t over picture groups and seeds"
    return result._replace(p=max(exact, result.p), test=test)


class Scopes(NamedTuple):
    """The same mean difference, as an effect on these data sets and on data sets like these."""

    these: Effect
    like_these: Effect


def over_data_sets(spreads: Sequence[Spread], mean: float, shared_seeds: bool = False) -> Scopes:
    """Average a difference over two or more data sets (see `docs/statistics.md`).

    Args:
        spreads: one per data set.
        mean: the averaged difference.
        shared_seeds: one search per seed was tested on all of them (cross-dataset), so that the seed's effect is common
            and does not average out; otherwise each data set had searches of its own.

    A variance over data sets below that of the pictures and seeds within them is chance: the larger is used.
    """
    count = len(spreads)
    pictures = combine([one.pictures for one in spreads], divisor=count)
    if shared_seeds:
        seeds = _over_seeds(np.mean([one.per_seed for one in spreads], axis=0))
    else:
        seeds = combine([one.seeds for one in spreads], divisor=count)
    within = [pictures, seeds]
    between = Variance(float(np.var([one.mean for one in spreads], ddof=1)) / count, count - 1)
    general = [between, seeds] if shared_seeds else [between]
    missing = sum(one.value for one in within) - sum(one.value for one in general)
    if missing > 0:
        general[0] = Variance(between.value + missing, between.degrees)
    return Scopes(effect_of(mean, within), effect_of(mean, general, "t over data sets"))


def effect_of(mean: float, variances: Sequence[Variance], test: str = "t over picture groups and seeds") -> Effect:
    """Give a difference its interval and p; `variances` are of independent sources and add up."""
    if not all(math.isfinite(variance.value) for variance in variances):
        return Effect(mean, -1.0, 1.0, 1.0, test, math.inf)
    half = _half_width(variances, ALPHA)
    found = math.sqrt(
        sum(
            (t_quantile(degrees, 1 - ALPHA) + float(special.stdtrit(degrees, 0.8))) ** 2 * value
            for value, degrees in variances
        )
    )
    return Effect(mean, max(-1.0, mean - half), min(1.0, mean + half), _p(mean, variances), test, found)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979): keeps the chance of any false positive, however they depend.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def verdict(other: str, effect: Effect, corrected: float, comparisons: int) -> str:
    """Format a comparison; accuracies are fractions, the text has percentage points.

    Args:
        other: what was compared with.
        effect: the method's accuracy minus the other's.
        corrected: its p after correction for `comparisons` comparisons; up to 0.05 it counts as evidence.
    """
    if effect.test == SAME.test:
        return f"the same templates as {other}, so no gain over it"
    size = f"{points(effect.mean)} points [{points(effect.low)}, {points(effect.high)}]"
    number = "1 comparison" if comparisons == 1 else f"{comparisons} comparisons"
    p = f"{format_p(corrected)} after correction for {number}"
    if corrected <= ALPHA and effect.mean > 0:
        return f"a gain over {other} of {size}, {p}"
    if corrected <= ALPHA and effect.mean < 0:
        return f"worse than {other} by {size}, {p}"
    if effect.detectable >= 1:
        limit = "no difference could have been shown with so few groups of pictures, seeds or data sets"
    else:
        limit = f"a true difference of {100 * effect.detectable:.1f} points would be found four times in five"
    return f"no evidence of a gain over {other}: {size}, {p}; {limit}"


def points(value: float) -> str:
    """Format a difference in percentage points, with its sign; never -0.00.

    >>> points(-0.0123)
    '-1.23'
    """
    return f"{round(100 * value, 2) + 0.0:+.2f}"


def format_p(p: float) -> str:
    """Format a p-value: "p = 0.013", "p < 0.0001"."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def _over_seeds(per_seed: Doubles) -> Variance:
    count = len(per_seed)
    if count == 1:
        return Variance(0.0, 1.0)
    value = float(np.var(per_seed, ddof=1)) / count
    return Variance(value if value > 1e-24 else 0.0, count - 1)


def _half_width(variances: Sequence[Variance], alpha: float) -> float:
    """Half the width of the interval that misses with probability alpha; see `docs/statistics.md`."""
    return math.sqrt(sum(float(special.stdtrit(degrees, alpha / 2)) ** 2 * value for value, degrees in variances))


def _p(mean: float, variances: Sequence[Variance]) -> float:
    """The alpha whose interval ends at 0, at least 1e-12."""
    from scipy.optimize import brentq

    if mean == 0 or all(variance.value == 0 for variance in variances):
        return float(mean == 0)
    if _half_width(variances, 1e-12) < abs(mean):
        return 1e-12
    return math.exp(brentq(lambda log: _half_width(variances, math.exp(log)) - abs(mean), math.log(1e-12), 0.0))
