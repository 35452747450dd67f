"""Intervals of one mean or proportion. Comparisons: `evidence.py`; what is independent of what: `sampling.py`."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.sampling import Sampling, Variance


class Interval(NamedTuple):
    """The two ends of a confidence interval; infinite where the data do not bound the value."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A mean of n values, their standard deviation (n-1 below; nan for one value) and the mean's interval."""

    mean: float
    sd: float
    low: float
    high: float
    n: int


def mean_interval(values: ArrayLike, sampling: Sampling | None = None, level: float = 0.95) -> Interval:
    """Confidence interval of a mean over units, for losses and for differences of losses: t, for the classes as given.

    Args:
        values: float (n,), n of at least 1.
        sampling: how the units were drawn; None when all are independent and of one kind.
        level: coverage, in (0, 1).
    """
    data = values_of(values)
    variance = (sampling or Sampling(len(data))).these(data)
    if not math.isfinite(variance.value):
        return Interval(-math.inf, math.inf)
    half = t_quantile(variance.degrees, level) * math.sqrt(variance.value)
    return Interval(float(data.mean()) - half, float(data.mean()) + half)


def crossed_interval(
    values: ArrayLike, factors: Sequence[Sequence[Hashable]], shared: Sequence[Variance] = (), level: float = 0.95
) -> Interval:
    """Confidence interval of a mean over things that share what they are made of, as sets share operations.

    It is the widest of: all independent; clustered by each factor alone (Liang & Zeger 1986); and the sum of what
    independent things would vary by and of what each factor adds to that, each variance with its own quantile. A factor
    of four levels has three degrees of freedom, however many things there are. One level is taken as given: what others
    would show is not in the interval. How often it covers: `benchmarks/coverage.py`.

    Args:
        values: float (n,), n of at least 2.
        factors: for each factor the level of each value, n names.
        shared: what things have in common beside the factors, such as pictures.
        level: coverage, in (0, 1).
    """
    data = values_of(values)
    each = Sampling(len(data)).these(data)
    clustered = [Sampling.of(len(data), draws=levels).these(data) for levels in factors if len(set(levels)) > 1]
    parts = [*shared, *(Variance(max(0.0, one.value - each.value), one.degrees) for one in clustered)]
    sums = sum(t_quantile(one.degrees, level) ** 2 * one.value for one in [each, *parts])
    half = max(math.sqrt(sums), *(t_quantile(one.degrees, level) * math.sqrt(one.value) for one in [each, *clustered]))
    return Interval(float(data.mean()) - half, float(data.mean()) + half)


def standard_error(values: ArrayLike, draws: Sequence[Hashable] | None = None) -> float:
    """Standard error of a mean over units; infinite with one draw, which can prove nothing.

    Args:
        values: float (n,), n of at least 1.
        draws: n names, equal for variants of one picture, or None when all units are independent.
    """
    data = values_of(values)
    return math.sqrt(Sampling.of(len(data), draws=draws).these(data).value)


def harmonic_mean(base: float, new: float) -> float:
    """Harmonic mean of the accuracies on base and new classes; 0 when either is 0. Same unit as its arguments.

    >>> round(harmonic_mean(69.34, 74.22), 2)
    71.7
    """
    return 2 * base * new / (base + new) if base > 0 and new > 0 else 0.0


def mean_over_seeds(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean over runs that differ in their seed, with the t interval (n-1 degrees of freedom).

    It covers what the seed changes (shots, search), not the choice of test pictures. One seed: the interval is the
    whole line and sd is nan.
    """
    data = values_of(values)
    low, high = mean_interval(data, level=level)
    sd = float(data.std(ddof=1)) if len(data) > 1 else math.nan
    return Estimate(float(data.mean()), sd, low, high, len(data))


def t_quantile(degrees: float, level: float) -> float:
    """Two-sided quantile of Student's t: the half width of an interval in standard errors."""
    return float(special.stdtrit(degrees, 0.5 + level / 2))


def wilson(p: float, n: float, quantile: float) -> Interval:
    """Wilson's score interval of an accuracy p for a sample size (or effective sample size) n."""
    ratio = quantile**2 / n
    half = quantile * math.sqrt(p * (1 - p) / n + ratio / (4 * n)) / (1 + ratio)
    centre = (p + ratio / 2) / (1 + ratio)
    # At p = 0 and 1 rounding must not put the outer end past the accuracy itself.
    return Interval(min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


def values_of(data: ArrayLike) -> Doubles:
    """Return numbers as float64 (n,).

    Raises:
        ValueError: they are none, or not in one row.
    """
    values = np.asarray(data, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected one value per picture, at least one; found the shape {values.shape}.")
    return values
