"""How certain a comparison is: over pictures, over seeds, over data sets.

The results of all pictures under all seeds are a crossed table. The mean of the table has a variance due to pictures
and a variance due to seeds; they are estimated separately and added. Only `sampling.py` decides which units are
independent. Interval and p come from one method: p is the level whose interval ends at 0. `ipo docs statistics` gives
the reasons and the sources, and shows how well the method holds in simulations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.sampling import Sampling, Variance, combine, values_of

ALPHA = 0.05
"""The largest corrected p with which a difference is shown. The level of the intervals is 1 - ALPHA."""
FEWEST_SEEDS = 3
"""The fewest seeds with which the joint effect of seeds and pictures is separated from the effect of seeds."""


class Crossed(NamedTuple):
    """The results of one set of units under several seeds.

    Attributes:
        values: hits or differences of hits, perhaps weighted, float (seeds, units).
        sampling: how the units were drawn.
        scale: the largest absolute value that is possible.
        hits: the differences without weights, (seeds, units), which tell which units differ; None if the values have
            no weights.
    """

    values: Doubles
    sampling: Sampling
    scale: float = 1.0
    hits: Doubles | None = None


class Spread(NamedTuple):
    """A sum of means over units, with its variances.

    Attributes:
        per_seed: the sum under each seed, (seeds,).
        units: the variance of the mean over seeds that is due to units.
        seeds: the variance of the mean over seeds that is due to seeds.
        joint: the variance due to units and seeds jointly; it was subtracted from `seeds`.
        step: how much one draw that differs changes the mean.
    """

    per_seed: Doubles
    units: Variance
    seeds: Variance
    joint: float = 0.0
    step: float = 0.0

    @property
    def mean(self) -> float:
        """The mean of the sum over seeds."""
        return float(self.per_seed.mean())


class Effect(NamedTuple):
    """A difference, with its 95 % interval and the two-sided p of "there is no difference"; neither is corrected.

    Attributes:
        mean: the difference.
        low, high: the ends of the interval.
        p: the p-value.
        variances: the variances of the mean; they come from independent sources and add up.
        covers: what the interval is for: "these classes", "classes like these", "these data sets", "data sets like
            these".
        joint: the joint variance, which was subtracted from the last of `variances`.
        step: how much one draw that differs changes the mean.
    """

    mean: float
    low: float
    high: float
    p: float
    variances: tuple[Variance, ...]
    covers: str
    joint: float = 0.0
    step: float = 0.0

    def detectable(self, comparisons: float = 1) -> float:
        """Return the true difference that is found four times in five if p is corrected for `comparisons`.

        The level is ALPHA / comparisons (Bonferroni); Holm's correction is never stricter. See the function
        `detectable`.
        """
        return detectable(self.variances, ALPHA / comparisons, self.joint, self.step)

    def within(self, comparisons: float = 1) -> float:
        """Return the smallest margin m, at most 1, for which the difference is shown to lie between -m and m.

        The method is two one-sided tests (Schuirmann 1987) at the level ALPHA / comparisons. A difference that is not
        shown may still exist, and the margin shows how small it must be. A margin of 1 shows nothing.
        """
        if not all(math.isfinite(variance.value) for variance in self.variances):
            return 1.0
        return min(1.0, abs(self.mean) + half_width(self.variances, 2 * ALPHA / comparisons))


class Scopes(NamedTuple):
    """One mean difference as two effects.

    `these` is for the tested classes or data sets. `like_these` is for others like them; None if they are no sample.
    """

    these: Effect
    like_these: Effect | None


THESE_CLASSES, CLASSES_LIKE_THESE = "these classes", "classes like these"
THESE_DATA_SETS, DATA_SETS_LIKE_THESE = "these data sets", "data sets like these"
EACH_CLASS_ALIKE = "these classes, each counting the same"
"""The value of `covers` for a mean over classes in which each class weighs the same."""
SAME = Effect(0.0, 0.0, 0.0, 1.0, (), "same templates")
"""The effect for two methods that ended with the same templates under every seed: a difference of exactly 0."""


def split_variance(parts: Sequence[Crossed], *, like_these: bool = False, added: int = 2) -> Spread | None:
    """Add the means of the parts, and split the variance of the sum into variance due to units and due to seeds.

    Two draws of the typical size, one of each sign, are added to every part's sum of squares. Otherwise a few pictures
    that agree would count as certainty. Bonett & Price (2012) add pairs to a paired difference of proportions in the
    same way. Both variances contain the joint effect of seeds and units. From three seeds on it is subtracted from the
    variance due to seeds.

    Args:
        parts: parts that share no units (such as base and new classes), with the same number of seeds.
        like_these: whether the result is for classes like these, and not for these classes. Such a result is None if a
            part has no classes.
        added: how many draws are added: 0 for scores, which are no differences. Scores that do not vary at all get two
            draws anyway.
    """
    per_seed = np.sum([part.values.mean(axis=1) for part in parts], axis=0)
    units, joint, step = [], 0.0, 0.0
    for part in parts:
        variance = part.sampling.like_these if like_these else part.sampling.these
        averaged = part.values.mean(axis=0)
        square = _typical_square(part, averaged)
        found = variance(averaged, added * square)
        if found is None:
            return None
        if found.value < 1e-18 * part.scale**2:
            found = variance(averaged, 2 * square) or found
        if like_these:  # classes that happen to agree must not give a smaller variance than the pictures do
            found = found._replace(value=max(found.value, part.sampling.these(averaged, added * square).value))
        units.append(found)
        step = max(step, math.sqrt(square) / len(averaged))
        # For classes like these, at most as much is subtracted as for these classes: its variance cannot be smaller.
        joint += min(joint_variance(part, averaged, scope) for scope in {False, like_these})
    return Spread(np.asarray(per_seed, dtype=np.float64), combine(units), over_seeds(per_seed, joint), joint, step)


def paired_effect(parts: Sequence[Crossed], mean: float | None = None) -> Scopes:
    """Compare two methods on the same units under the same seeds, in one data set.

    Args:
        parts: the differences of contributions, method b minus method a. A linearised quantity, such as the harmonic
            mean H, has several parts.
        mean: the difference, if it is not linear in the contributions; the parts then give only the variance. By
            default it is the sum of the means of the parts.
    """
    here, general = split_variance(parts), split_variance(parts, like_these=True)
    assert here is not None
    difference = here.mean if mean is None else mean
    return Scopes(
        _effect(difference, here, THESE_CLASSES),
        general and _effect(difference, general, CLASSES_LIKE_THESE),
    )


def paired_difference(before: ArrayLike, after: ArrayLike, sampling: Sampling) -> Scopes:
    """Compare the contributions of two templates on the same n units under one seed: `after` minus `before`.

    >>> found = paired_difference([True, False] * 50, [True, True] * 50, Sampling(100)).these
    >>> found.mean, found.p < 0.0001
    (0.5, True)
    """
    return paired_effect([Crossed((values_of(after) - values_of(before))[None], sampling)])


def over_data_sets(spreads: Sequence[Spread], mean: float, shared_seeds: bool = False) -> Scopes:
    """Average a difference over two or more data sets (see `ipo docs statistics`).

    Args:
        spreads: the spread of each data set, for its classes as given.
        mean: the averaged difference.
        shared_seeds: whether one search per seed was tested on all data sets (cross-dataset); the effect of a seed then
            does not average out. Otherwise each data set had searches of its own.

    The variance over data sets can be smaller than the variance due to units and seeds within them only by chance. The
    larger of the two is used.
    """
    count, joint = len(spreads), 0.0
    step = float(np.mean([one.step for one in spreads])) / count
    units = combine([one.units for one in spreads], divisor=count)
    if shared_seeds:
        joint = sum(one.joint for one in spreads) / count**2
        seeds = over_seeds(np.mean([one.per_seed for one in spreads], axis=0), joint)
    else:
        seeds = combine([one.seeds for one in spreads], divisor=count)
    within = [units, seeds]
    between = Variance(float(np.var([one.mean for one in spreads], ddof=1)) / count, count - 1)
    general = [between, seeds] if shared_seeds else [between]
    missing = sum(one.value for one in within) - sum(one.value for one in general)
    if missing > 0:
        general[0] = Variance(between.value + missing, between.degrees)
    return Scopes(
        effect_of(mean, within, THESE_DATA_SETS, joint, step), effect_of(mean, general, DATA_SETS_LIKE_THESE, joint)
    )


def effect_of(
    mean: float,
    variances: Sequence[Variance],
    covers: str = THESE_CLASSES,
    joint: float = 0.0,
    step: float = 0.0,
) -> Effect:
    """Return the effect of a difference: compute its interval and p from the variances. See `Effect`."""
    if not all(math.isfinite(variance.value) for variance in variances):
        return Effect(mean, -1.0, 1.0, 1.0, tuple(variances), covers, joint, step)
    half = half_width(variances, ALPHA)
    p = _p(mean, variances)
    return Effect(mean, max(-1.0, mean - half), min(1.0, mean + half), p, tuple(variances), covers, joint, step)


def _effect(mean: float, found: Spread, covers: str) -> Effect:
    return effect_of(mean, [found.units, found.seeds], covers, found.joint, found.step)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979).

    This bounds the chance of any false positive, however the p-values depend on each other.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def _typical_square(part: Crossed, averaged: Doubles) -> float:
    """Return the square of a typical draw: the mean square of the sums of the draws that differ.

    If no draw differs, the result is for draws whose units all differ by `scale`. The square of a draw is also added
    for classes like these. If two whole classes were added instead, the addition would grow with the difference itself,
    so that few classes could never show a difference.
    """
    hits = averaged if part.hits is None else part.scale * part.hits.mean(axis=0)
    sums = part.sampling.draw_sums(hits)
    squares = sums[np.abs(sums) > 1e-9 * part.scale] ** 2
    if not len(squares):
        squares = (part.scale * part.sampling.draw_sums(np.ones_like(averaged))) ** 2
    return float(squares.mean())


def joint_variance(part: Crossed, averaged: Doubles, like_these: bool) -> float:
    """Return the variance of the mean due to seeds and units jointly; 0 for fewer seeds than `FEWEST_SEEDS`."""
    seeds = len(part.values)
    if seeds < FEWEST_SEEDS:
        return 0.0
    variance = part.sampling.like_these if like_these else part.sampling.these
    found = [variance(row - averaged) for row in part.values]
    return sum(one.value for one in found if one) / (seeds * (seeds - 1))


def over_seeds(per_seed: Doubles, joint: float) -> Variance:
    """Return the variance of the mean due to seeds: the variance over seeds less `joint`, and at least 0."""
    count = len(per_seed)
    if count == 1:
        return Variance(0.0, 1.0)
    value = float(np.var(per_seed, ddof=1)) / count - joint
    return Variance(value if value > 1e-24 else 0.0, count - 1)


def half_width(variances: Sequence[Variance], alpha: float) -> float:
    """Return half the width of the interval that misses the truth with probability alpha; see `ipo docs statistics`."""
    return math.sqrt(sum(float(special.stdtrit(degrees, alpha / 2)) ** 2 * value for value, degrees in variances))


def _p(mean: float, variances: Sequence[Variance]) -> float:
    """Return p, the alpha whose interval ends at 0; at least 1e-12, unless all variances are 0."""
    from scipy.optimize import brentq

    if mean == 0 or all(variance.value == 0 for variance in variances):
        return float(mean == 0)
    if half_width(variances, 1e-12) < abs(mean):
        return 1e-12
    return math.exp(brentq(lambda log: half_width(variances, math.exp(log)) - abs(mean), math.log(1e-12), 0.0))


# How small a difference a comparison can find: the true difference that is shown four times in five.


POWER = 0.8
"""The chance that a detectable difference is found: four times in five."""
_QUANTILES = 48


def detectable(variances: Sequence[Variance], alpha: float, joint: float = 0.0, step: float = 0.0) -> float:
    """Return the true difference that is found with the chance POWER; infinite if even a difference of 1 is not found.

    The variances are estimates, and two things follow. First, the median of such an estimate is below the true
    variance. So each estimate is divided by the ratio of the median to the true variance; the result is then as often
    too large as too small. Second, a repetition would estimate the variances anew. So the power is averaged over the
    estimates of repetitions; for a single variance this is the power of the noncentral t.

    A difference needs draws that differ. If too few draws differ now, the variance is that of as many draws as the
    difference needs, all in one direction.

    Args:
        variances: the variances of the difference; they come from independent sources and add up.
        alpha: the level of the two-sided test.
        joint: the joint variance, which was subtracted from the last of `variances`.
        step: how much one draw that differs changes the mean.
    """
    from scipy.optimize import brentq

    taken = [0.0] * (len(variances) - 1) + [joint]
    sources = list(zip(variances, taken, strict=False))
    now = [_raised(*source) for source in sources]
    if sum(now) == 0 or not math.isfinite(sum(now)):
        return sum(now)

    def missing(difference: float) -> float:
        true = [max(now[0], difference * step + 2 * step**2), *now[1:]]
        halves = _half_widths_to_come(sources, true, alpha)
        return POWER - float(special.ndtr((difference - halves) / math.sqrt(sum(true))).mean())

    return math.inf if missing(1.0) > 0 else float(brentq(missing, 0.0, 1.0, xtol=1e-6))


def _raised(variance: Variance, taken: float) -> float:
    """Divide an estimated variance by the ratio of the median of such estimates to the true variance; 0 stays 0.

    `taken` is the variance that was subtracted from the estimate.
    """
    if variance.value == 0 or not math.isfinite(variance.value):
        return variance.value
    return (variance.value + taken) * variance.degrees / float(special.chdtri(variance.degrees, 0.5)) - taken


def _half_widths_to_come(sources: Sequence[tuple[Variance, float]], true: Sequence[float], alpha: float) -> Doubles:
    """Return the half widths of the intervals that repetitions would give, a float64 array.

    There is one half width for each combination of quantiles of the estimated variances.

    Args:
        sources: each estimated variance, with the variance that was subtracted from it.
        true: the true variance of each source.
        alpha: the level of the two-sided test.
    """
    squares = np.zeros(1)
    for (variance, taken), value in zip(sources, true, strict=True):
        if value + taken == 0:
            continue
        found = (value + taken) * _chi_squares(variance.degrees) / variance.degrees - taken
        critical = float(special.stdtrit(variance.degrees, alpha / 2)) ** 2
        squares = np.add.outer(squares, critical * np.maximum(0.0, found)).ravel()
    return np.asarray(np.sqrt(squares), dtype=np.float64)


@lru_cache(maxsize=256)
def _chi_squares(degrees: float) -> Doubles:
    """Return `_QUANTILES` quantiles of chi-squared with these degrees of freedom, float64 (`_QUANTILES`,).

    Their probabilities are the middles of equal parts of 0 to 1. The result is cached, because many differences have
    the same degrees of freedom.
    """
    return np.asarray(special.chdtri(degrees, (np.arange(_QUANTILES) + 0.5) / _QUANTILES), dtype=np.float64)
