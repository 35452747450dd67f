"""How certain a comparison is: over pictures, over seeds, over data sets.

Pictures × seeds is a crossed table. The variance of a mean due to pictures and the variance due to seeds are estimated
separately and added. Only `sampling.py` decides which units are independent. Interval and p are one method: p is the
level whose interval ends at 0. `docs/statistics.md` gives the reasons, the sources, and how well the method holds in
simulations.
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
"""The largest corrected p that counts as evidence; the level of the intervals is 1 - ALPHA."""
FEWEST_SEEDS = 3
"""The fewest seeds that separate the joint effect of seeds and pictures from the effect of seeds alone."""


class Crossed(NamedTuple):
    """One set of units under several seeds.

    `values` float (seeds, units): hits, or differences of hits, perhaps weighted; `scale`: the largest absolute value
    that is possible. `hits` (seeds, units): the differences without weights, which tell which units differ; None where
    the values have no weights.
    """

    values: Doubles
    sampling: Sampling
    scale: float = 1.0
    hits: Doubles | None = None


class Spread(NamedTuple):
    """A sum of means over units: its value per seed (seeds,), its variance due to units and its variance due to seeds.

    `joint` is the variance due to both jointly, which was subtracted from that due to seeds. `step` is how much one
    draw that differs changes the mean.
    """

    per_seed: Doubles
    units: Variance
    seeds: Variance
    joint: float = 0.0
    step: float = 0.0

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(self.per_seed.mean())


class Effect(NamedTuple):
    """A difference, its 95 % interval, and the two-sided p of "there is no difference"; neither is corrected.

    `variances` come from independent sources and add up. `covers` says what was sampled: "these classes", "classes like
    these", "these data sets", "data sets like these". `joint` was subtracted from the last variance; `step` is how much
    one draw that differs changes the mean.
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
        """Return the true difference that is found four times in five when p is corrected for `comparisons`.

        The level is ALPHA / comparisons (Bonferroni); Holm's correction is never stricter. See `detectable`.
        """
        return detectable(self.variances, ALPHA / comparisons, self.joint, self.step)

    def within(self, comparisons: float = 1) -> float:
        """Return the smallest margin, at most 1, within which the difference is shown to lie on either side of 0.

        Two one-sided tests (Schuirmann 1987) at the level ALPHA / comparisons. A difference that is not shown may still
        exist, but it may be shown to be small. A margin of 1 shows nothing.
        """
        if not all(math.isfinite(variance.value) for variance in self.variances):
            return 1.0
        return min(1.0, abs(self.mean) + half_width(self.variances, 2 * ALPHA / comparisons))


class Scopes(NamedTuple):
    """One mean difference: for the tested classes or data sets, and for others like these, None without a sample."""

    these: Effect
    like_these: Effect | None


THESE_CLASSES, CLASSES_LIKE_THESE = "these classes", "classes like these"
THESE_DATA_SETS, DATA_SETS_LIKE_THESE = "these data sets", "data sets like these"
EACH_CLASS_ALIKE = "these classes, each counting the same"
"""What a mean over classes covers, in which each class weighs the same."""
SAME = Effect(0.0, 0.0, 0.0, 1.0, (), "same templates")
"""The effect of two methods that ended with the same templates under every seed: the difference is exactly 0."""


def split_variance(parts: Sequence[Crossed], *, like_these: bool = False, added: int = 2) -> Spread | None:
    """Split the variance of the sum of the parts' means into variance due to units and variance due to seeds.

    Two draws of the typical size, one of each sign, are added to every part's sum of squares, as Bonett & Price (2012)
    add pairs to a paired difference of proportions: a few pictures that agree would otherwise count as certainty.
    The joint effect of seeds and units is in both variances; from three seeds on it is subtracted from that of the
    seeds.

    Args:
        parts: parts with units of their own (base and new classes share none) and the same number of seeds.
        like_these: whether the result is for classes like these instead of these classes; it is None where a part has
            no classes.
        added: how many draws are added; 0 for scores, which are not differences, unless they do not vary at all.
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
        if like_these:  # classes that happen to agree prove no more than pictures do
            found = found._replace(value=max(found.value, part.sampling.these(averaged, added * square).value))
        units.append(found)
        step = max(step, math.sqrt(square) / len(averaged))
        # For classes like these no more is subtracted than for these classes: that result cannot be the surer one.
        joint += min(joint_variance(part, averaged, scope) for scope in {False, like_these})
    return Spread(np.asarray(per_seed, dtype=np.float64), combine(units), over_seeds(per_seed, joint), joint, step)


def paired_effect(parts: Sequence[Crossed], mean: float | None = None) -> Scopes:
    """Compare two methods on the same units under the same seeds, in one data set.

    Args:
        parts: values are the contributions of b minus those of a; several parts for a linearised quantity such as H.
        mean: the difference, where it is not linear in the contributions; the parts then give the variance alone.
    """
    here, general = split_variance(parts), split_variance(parts, like_these=True)
    assert here is not None
    difference = here.mean if mean is None else mean
    return Scopes(
        _effect(difference, here, THESE_CLASSES),
        general and _effect(difference, general, CLASSES_LIKE_THESE),
    )


def paired_difference(before: ArrayLike, after: ArrayLike, sampling: Sampling) -> Scopes:
    """Compare the contributions of two templates on the same n units under one seed: after minus before.

    >>> found = paired_difference([True, False] * 50, [True, True] * 50, Sampling(100)).these
    >>> found.mean, found.p < 0.0001
    (0.5, True)
    """
    return paired_effect([Crossed((values_of(after) - values_of(before))[None], sampling)])


def over_data_sets(spreads: Sequence[Spread], mean: float, shared_seeds: bool = False) -> Scopes:
    """Average a difference over two or more data sets (see `docs/statistics.md`).

    Args:
        spreads: one per data set, for its classes as given.
        mean: the averaged difference.
        shared_seeds: whether one search per seed was tested on all data sets (cross-dataset), so that the effect of a
            seed does not average out; otherwise each data set had searches of its own.

    If the variance over data sets is below that of the units and seeds within them, this is chance: the larger is used.
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
    """Return a difference with its interval and p; see `Effect`."""
    if not all(math.isfinite(variance.value) for variance in variances):
        return Effect(mean, -1.0, 1.0, 1.0, tuple(variances), covers, joint, step)
    half = half_width(variances, ALPHA)
    p = _p(mean, variances)
    return Effect(mean, max(-1.0, mean - half), min(1.0, mean + half), p, tuple(variances), covers, joint, step)


def _effect(mean: float, found: Spread, covers: str) -> Effect:
    return effect_of(mean, [found.units, found.seeds], covers, found.joint, found.step)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979): bounds the chance of any false positive, however they depend.

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
    """Return the mean square of the sums of the draws that differ; where none differs, of draws that differ by `scale`.

    It is used for classes like these, too. Two whole classes would add an amount that grows with the difference itself,
    so that few classes could never show one.
    """
    hits = averaged if part.hits is None else part.scale * part.hits.mean(axis=0)
    sums = part.sampling.draw_sums(hits)
    squares = sums[np.abs(sums) > 1e-9 * part.scale] ** 2
    if not len(squares):
        squares = (part.scale * part.sampling.draw_sums(np.ones_like(averaged))) ** 2
    return float(squares.mean())


def joint_variance(part: Crossed, averaged: Doubles, like_these: bool) -> float:
    """Return the variance of the mean due to seeds and units jointly; 0 for too few seeds to tell."""
    seeds = len(part.values)
    if seeds < FEWEST_SEEDS:
        return 0.0
    variance = part.sampling.like_these if like_these else part.sampling.these
    found = [variance(row - averaged) for row in part.values]
    return sum(one.value for one in found if one) / (seeds * (seeds - 1))


def over_seeds(per_seed: Doubles, joint: float = 0.0) -> Variance:
    """Return the variance of the mean over seeds, less the variance due to seeds and units jointly."""
    count = len(per_seed)
    if count == 1:
        return Variance(0.0, 1.0)
    value = float(np.var(per_seed, ddof=1)) / count - joint
    return Variance(value if value > 1e-24 else 0.0, count - 1)


def half_width(variances: Sequence[Variance], alpha: float) -> float:
    """Return half the width of the interval that misses with probability alpha; see `docs/statistics.md`."""
    return math.sqrt(sum(float(special.stdtrit(degrees, alpha / 2)) ** 2 * value for value, degrees in variances))


def _p(mean: float, variances: Sequence[Variance]) -> float:
    """Return the alpha whose interval ends at 0, at least 1e-12."""
    from scipy.optimize import brentq

    if mean == 0 or all(variance.value == 0 for variance in variances):
        return float(mean == 0)
    if half_width(variances, 1e-12) < abs(mean):
        return 1e-12
    return math.exp(brentq(lambda log: half_width(variances, math.exp(log)) - abs(mean), math.log(1e-12), 0.0))


# What a comparison can find: the true difference that it shows four times in five.


POWER = 0.8
"""The chance with which a detectable difference is found: four times in five."""
_QUANTILES = 48


def detectable(variances: Sequence[Variance], alpha: float, joint: float = 0.0, step: float = 0.0) -> float:
    """Return the true difference that is found with the chance POWER; infinite where even a difference of 1 is not.

    The variances are estimates, and two things follow. First, the median of such an estimate falls short of the true
    variance, so each is raised by that factor; the result is then as often too large as too small. Second, a repetition
    would estimate the variances anew, so the power is averaged over those estimates; for a single variance this is the
    power of the noncentral t. Moreover, a difference is made of draws that differ. Where too few differ now, the
    variance is that of as many draws as the difference needs, all in one direction.

    Args:
        variances: variances of independent sources; they add up.
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
    """Return an estimate divided by the ratio of the median of such estimates to the true variance; 0 stays 0."""
    if variance.value == 0 or not math.isfinite(variance.value):
        return variance.value
    return (variance.value + taken) * variance.degrees / float(special.chdtri(variance.degrees, 0.5)) - taken


def _half_widths_to_come(sources: Sequence[tuple[Variance, float]], true: Sequence[float], alpha: float) -> Doubles:
    """Return half widths of intervals in repetitions, one for each combination of quantiles of the variances."""
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
    """Cut the probabilities into `_QUANTILES` equal parts; return the chi-squared quantile at the middle of each.

    The result is cached, because many differences have the same degrees of freedom.
    """
    return np.asarray(special.chdtri(degrees, (np.arange(_QUANTILES) + 0.5) / _QUANTILES), dtype=np.float64)
