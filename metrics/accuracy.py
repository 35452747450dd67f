"""The interval of one score: an accuracy or another mean over units, or over classes, under one seed or several."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ipo_prompts.metrics.evidence import (
    ALPHA,
    EACH_CLASS_ALIKE,
    Crossed,
    Effect,
    effect_of,
    half_width,
    joint_variance,
    over_seeds,
    spread,
)
from ipo_prompts.metrics.sampling import Sampling, Variance
from ipo_prompts.metrics.statistics import Interval, t_quantile, values_of, wilson


def score_interval(
    contributions: ArrayLike, sampling: Sampling, level: float = 1 - ALPHA, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """Interval of one score on n units under one seed, for the classes as given.

    Args:
        contributions: (n,), of each unit. Right or wrong (bool): Wilson's interval; else t, within the bounds.
        sampling: how the units were drawn.
        level: coverage, in (0, 1).
        bounds: of the score, see `scale.Scale`.

    >>> low, high = score_interval([True] * 8 + [False] * 2, Sampling(10))
    >>> f"{low:.3f} to {high:.3f}"
    '0.490 to 0.943'
    """
    values = np.asarray(contributions)
    part = Crossed(values_of(values)[None], sampling)
    if values.dtype == bool:
        return accuracy_interval(part, level)
    found = spread([part], added=0)
    assert found is not None
    mean, variance = found.mean, found.units
    if not math.isfinite(variance.value):
        return Interval(*bounds)
    half = t_quantile(variance.degrees, level) * math.sqrt(variance.value)
    return Interval(max(bounds[0], mean - half), min(bounds[1], mean + half))


def accuracy_interval(part: Crossed, level: float = 1 - ALPHA) -> Interval:
    """Interval of an accuracy averaged over seeds: Wilson's (1927) on the effective sample size p(1-p)/variance.

    Variants of one picture make it wider (Korn & Graubard 1998); classes that differ never make it narrower than
    independent pictures would. With one seed it covers the choice of pictures alone. Where every picture is right
    equally often no variance can be estimated, and the draws count as the sample.
    """
    averaged = part.values.mean(axis=0)
    p, draws = float(averaged.mean()), part.sampling.size
    units = Variance(float(averaged.var()) / len(averaged), 1e9)  # of independent pictures it is known, given p
    if draws < len(averaged):
        clustered = replace(part.sampling, classes=None).these(averaged)
        if not math.isfinite(clustered.value):
            return Interval(0.0, 1.0)
        units = Variance(max(clustered.value, units.value), clustered.degrees)
    seeds = over_seeds(part.values.mean(axis=1), joint_variance(part, averaged, like_these=False))
    total = units.value + seeds.value
    if total < 1e-18 or p in (0.0, 1.0):
        return wilson(p, draws, t_quantile(units.degrees, level))
    return wilson(p, p * (1 - p) / total, half_width([units, seeds], 1 - level) / math.sqrt(total))


class OverClasses(NamedTuple):
    """A mean over classes of the same weight, and the two ends of its interval."""

    mean: float
    low: float
    high: float


def class_mean_interval(contributions: ArrayLike, sampling: Sampling, level: float = 1 - ALPHA) -> OverClasses:
    """Average what n units contribute over their classes, all alike, with Wilson's interval on the effective sample.

    Where no class varies, each picture of a class of n_c counts as 1/n_c of a sample of its class.

    Args:
        contributions: (n,), of each unit, from 0 to 1.
        sampling: how the units were drawn; each has one class.
        level: coverage, in (0, 1).

    >>> found = class_mean_interval([True] * 6 + [False] * 2, Sampling.of(8, classes=list("aaaaaabb")))
    >>> found.mean
    0.5
    """
    values = values_of(contributions)
    means = sampling.class_means(values)
    p, variance = float(means.mean()), sampling.over_classes(values)
    if not math.isfinite(variance.value):
        return OverClasses(p, 0.0, 1.0)
    if variance.value < 1e-18 or p in (0.0, 1.0):
        variance = sampling.over_classes(values, added=2.0)
        n = max(1.0, len(means) ** 2 / float((1 / sampling.draws_of_classes).sum()))
    else:
        n = p * (1 - p) / variance.value
    return OverClasses(p, *wilson(p, n, t_quantile(variance.degrees, level)))


def difference_over_classes(before: ArrayLike, after: ArrayLike, sampling: Sampling) -> Effect:
    """Average the difference of what two templates contribute over classes, all alike: after minus before, t.

    Two draws of the typical size are added within classes, as `evidence.spread` adds them, so that pictures that agree
    do not count as certainty.

    Raises:
        ValueError: units have no classes.
    """
    values = values_of(after) - values_of(before)
    differ = values[values != 0]
    square = float((differ**2).mean()) if len(differ) else 1.0
    variance = sampling.over_classes(values, 2 * square)
    # One draw of a class of the middling size changes the mean by its share of its class.
    step = math.sqrt(square) / len(sampling.draws_of_classes) / float(np.median(sampling.draws_of_classes))
    return effect_of(float(sampling.class_means(values).mean()), [variance], EACH_CLASS_ALIKE, step=step)
