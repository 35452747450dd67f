"""How certain a score or a difference is: over images, over seeds, over data sets.

Only `sampling.py` decides which units are independent. A number over several seeds and data sets is a sum of weighted
means. Its variance is the sum of the variances due to units and of those due to seeds; what seeds and units do jointly
is in both, so it is rather too large. Its interval is the wider of two t intervals: of the whole variance, with
Satterthwaite's degrees of freedom, and of the variance due to seeds alone, which few seeds estimate badly. Interval and
p come from one method: p is the level whose interval ends at 0. `ipo docs statistics` gives the reasons and the
sources, and shows how well the method holds in simulations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.sampling import Interval, Sampling, Variance, combine, t_quantile, values_of, wilson

ALPHA = 0.05
"""The largest corrected p with which a difference is shown."""
THESE_CLASSES, THESE_DATA_SETS = "these classes", "these data sets"
EACH_CLASS_ALIKE = "these classes, each counting the same"
"""The value of `covers` for a mean over classes in which each class weighs the same."""


class UnitResults(NamedTuple):
    """The results of one set of units under one seed or several.

    Attributes:
        values: hits or differences of hits, float (seeds, units).
        sampling: how the units were drawn.
        weight: the weight of its mean in a sum.
    """

    values: Doubles
    sampling: Sampling
    weight: float = 1.0


class Spread(NamedTuple):
    """The variance of a sum of weighted means, and the part of it that is due to seeds; that is 0 with one seed."""

    whole: Variance
    seeds: Variance

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return max(t_quantile(one.degrees) * math.sqrt(one.value) for one in self)


class Effect(NamedTuple):
    """A difference, with its 95 % interval and the two-sided p of "there is no difference"; neither is corrected.

    Attributes:
        mean: the difference.
        low, high: the ends of the interval.
        p: the p-value.
        covers: what the interval is for: "these classes", "these data sets".
    """

    mean: float
    low: float
    high: float
    p: float
    covers: str


SAME = Effect(0.0, 0.0, 0.0, 1.0, "same templates")
"""The effect for two methods that ended with the same templates under every seed: a difference of exactly 0."""


# The difference of two templates or methods on the same units.


def paired_difference(before: ArrayLike, after: ArrayLike, sampling: Sampling) -> Effect:
    """Compare the contributions of two templates on the same n units under one seed: `after` minus `before`.

    Args:
        before: the contribution of each unit under the first template, (n,).
        after: the same under the second template.
        sampling: how the units were drawn.

    >>> found = paired_difference([True, False] * 50, [True, True] * 50, Sampling(100))
    >>> found.mean, found.p < 0.0001
    (0.5, True)
    """
    values = values_of(after) - values_of(before)
    return effect_of(float(values.mean()), spread([[UnitResults(values[None], sampling)]]))


def difference_over_classes(before: ArrayLike, after: ArrayLike, sampling: Sampling) -> Effect:
    """Compare two templates by their means over classes, which all weigh the same: `after` minus `before`.

    Args:
        before: the contribution of each unit under the first template, (n,).
        after: the same under the second template.
        sampling: how the units were drawn.

    Raises:
        ValueError: the units have no classes.
    """
    values = values_of(after) - values_of(before)
    differ = values[values != 0]
    square = float((differ**2).mean()) if len(differ) else 1.0
    variance = sampling.over_classes(values, 2 * square)
    return effect_of(float(sampling.class_means(values).mean()), Spread(variance, NO_SEEDS), EACH_CLASS_ALIKE)


def effect_of(mean: float, found: Spread, covers: str = THESE_CLASSES) -> Effect:
    """Return the effect of a difference with this spread: its interval, from -1 to 1 at the widest, and its p."""
    if not math.isfinite(found.whole.value):
        return Effect(mean, -1.0, 1.0, 1.0, covers)
    half = found.half_width
    return Effect(mean, max(-1.0, mean - half), min(1.0, mean + half), max(_p(mean, one) for one in found), covers)


def _p(mean: float, variance: Variance) -> float:
    if variance.value == 0:
        return float(mean == 0)
    return 2 * float(special.stdtr(variance.degrees, -abs(mean) / math.sqrt(variance.value)))


# Several seeds and data sets.


def spread(searches: Sequence[Sequence[UnitResults]], added: int = 2) -> Spread:
    """Return the spread of a sum of weighted means.

    Two draws of the typical size, one of each sign, are added to every part's sum of squares. Otherwise a few images
    that agree would count as certainty. Bonett & Price (2012) add pairs to a paired difference of proportions in the
    same way.

    Args:
        searches: the parts of each data set, at least one. Parts share no units (such as base and new classes). Those
            of one data set have the same seeds; the searches on two data sets are independent.
        added: how many draws are added: 0 for scores, which are no differences.
    """
    units, seeds = [], []
    for parts in searches:
        units += [_over_units(part, added) for part in parts]
        per_seed = np.sum([part.weight * part.values.mean(axis=1) for part in parts], axis=0)
        seeds.append(_over_seeds(per_seed))
    return Spread(combine([*units, *seeds]), combine(seeds))


def _over_units(part: UnitResults, added: int) -> Variance:
    """Return the variance of a weighted mean due to units. Scores that do not vary at all get two draws anyway."""
    averaged = part.values.mean(axis=0)
    square = _typical_square(part.sampling, averaged)
    found = part.sampling.these(averaged, added * square)
    if found.value < 1e-18:
        found = part.sampling.these(averaged, 2 * square)
    return found._replace(value=part.weight**2 * found.value)


def _typical_square(sampling: Sampling, averaged: Doubles) -> float:
    """Return the mean square of the sums of the draws that differ; if none does, of draws whose units differ by 1."""
    sums = sampling.draw_sums(averaged)
    squares = sums[np.abs(sums) > 1e-9] ** 2
    if not len(squares):
        squares = sampling.draw_sums(np.ones_like(averaged)) ** 2
    return float(squares.mean())


NO_SEEDS = Variance(0.0, 1.0)


def _over_seeds(per_seed: Doubles) -> Variance:
    count = len(per_seed)
    return NO_SEEDS if count == 1 else Variance(float(per_seed.var(ddof=1)) / count, count - 1.0)


# Several comparisons.


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


# Intervals of a single score: an accuracy, another mean over units, or a mean over classes.


def score_interval(contributions: ArrayLike, sampling: Sampling, bounds: tuple[float, float] = (0.0, 1.0)) -> Interval:
    """Return the 95 % interval of one score on n units with one seed.

    Args:
        contributions: the contribution of each unit, (n,). For bool (right or wrong), the interval is Wilson's. For
            other numbers it is a t interval, cut at the bounds.
        sampling: how the units were drawn.
        bounds: the bounds of the score; see `scale.Scale`.

    >>> low, high = score_interval([True] * 8 + [False] * 2, Sampling(10))
    >>> f"{low:.3f} to {high:.3f}"
    '0.490 to 0.943'
    """
    values = np.asarray(contributions)
    part = UnitResults(values_of(values)[None], sampling)
    if values.dtype == bool:
        return accuracy_interval(part)
    mean, half = float(part.values.mean()), spread([[part]], added=0).half_width
    return Interval(max(bounds[0], mean - half), min(bounds[1], mean + half))


def accuracy_interval(part: UnitResults) -> Interval:
    """Return the 95 % interval of an accuracy averaged over seeds: Wilson's (1927) for the effective sample size.

    The effective sample size is p(1-p)/variance. Variants of one image make the interval wider (Korn & Graubard
    1998). The interval is never narrower than for independent images, whatever the differences between classes. With
    one seed the interval covers the choice of images alone. If no variance can be estimated, because all images are
    right equally often, the sample size is the number of draws.
    """
    averaged = part.values.mean(axis=0)
    p, draws = float(averaged.mean()), part.sampling.size
    units = Variance(float(averaged.var()) / len(averaged), 1e9)  # the variance for independent images
    if draws < len(averaged):
        clustered = replace(part.sampling, classes=None).these(averaged)
        if not math.isfinite(clustered.value):
            return Interval(0.0, 1.0)
        units = Variance(max(clustered.value, units.value), clustered.degrees)
    seeds = _over_seeds(part.values.mean(axis=1))
    found = Spread(combine([units, seeds]), seeds)
    if found.whole.value < 1e-18 or p in (0.0, 1.0):
        return wilson(p, draws, t_quantile(units.degrees))
    return wilson(p, p * (1 - p) / found.whole.value, found.half_width / math.sqrt(found.whole.value))


def class_mean_interval(contributions: ArrayLike, sampling: Sampling) -> tuple[float, Interval]:
    """Return the mean over classes that weigh the same, with Wilson's 95 % interval for the effective sample size.

    If the images of no class differ, the variance is 0. The sample size is then C² / Σ(1/n_c), for C classes with n_c
    draws each.

    Args:
        contributions: the contribution of each of n units, (n,), from 0 to 1.
        sampling: how the units were drawn; each unit has one class.

    >>> class_mean_interval([True] * 6 + [False] * 2, Sampling.of(8, classes=list("aaaaaabb")))[0]
    0.5
    """
    values = values_of(contributions)
    means = sampling.class_means(values)
    p, variance = float(means.mean()), sampling.over_classes(values)
    if not math.isfinite(variance.value):
        return p, Interval(0.0, 1.0)
    if variance.value < 1e-18 or p in (0.0, 1.0):
        variance = sampling.over_classes(values, added=2.0)
        n = max(1.0, len(means) ** 2 / float((1 / sampling.draws_of_classes).sum()))
    else:
        n = p * (1 - p) / variance.value
    return p, wilson(p, n, t_quantile(variance.degrees))
