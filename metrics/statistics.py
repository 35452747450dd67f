"""Intervals and tests for accuracies and losses whose pictures are not independent.

Pictures that share a group (a base picture, a scene, a class) tend to be right or wrong together, so a score has fewer
independent units than pictures. Everything here takes `groups`: one name per picture, equal for pictures that belong
together; None when all pictures are independent. Fractions are in [0, 1], losses in nats.

The variance of a mean over G groups is the ratio estimator's (the sandwich estimator with the factor G/(G-1)):
`G/(G-1) * sum_g (sum of (value - mean) in group g)^2 / n^2` (Cochran 1977, 11.8; Cameron & Miller 2015), with the
t-quantile of G-1 degrees of freedom. With one picture a group it is the ordinary standard error of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ipo.metrics.arrays import Doubles


class Interval(NamedTuple):
    """The two ends of a confidence interval; infinite where the data do not bound the value."""

    low: float
    high: float


class Difference(NamedTuple):
    """Accuracy of b minus that of a on the same pictures, its interval, and the two-sided p of "they are equally good".

    `test` is the name of the test behind `p`.
    """

    mean: float
    low: float
    high: float
    p: float
    test: str


class Estimate(NamedTuple):
    """A mean of n values, their standard deviation (n-1 below; nan for one value) and the mean's interval."""

    mean: float
    sd: float
    low: float
    high: float
    n: int


def accuracy_interval(hits: ArrayLike, groups: Sequence[Hashable] | None = None, level: float = 0.95) -> Interval:
    """Confidence interval of an accuracy.

    Without groups: Wilson's score interval (1927). With groups: Wilson's on the effective sample size n/deff with the
    t-quantile of G-1 degrees of freedom (Korn & Graubard 1998; Dean & Pagano 2015). The design effect is the
    cluster-robust variance over p(1-p)/n, never taken below 1. Where all pictures are right, or all wrong, no design
    effect can be estimated and the groups count as the sample: the widest that clustering allows.

    Args:
        hits: bool (n,), whether each picture was labelled rightly; n of at least 1.
        groups: n group names, or None. One group says nothing about others: the interval is [0, 1].
        level: coverage, in (0, 1).

    >>> "%.3f to %.3f" % accuracy_interval([True] * 8 + [False] * 2)
    '0.490 to 0.943'
    """
    values = _values(hits)
    n, p = len(values), float(values.mean())
    if groups is None:
        return wilson(p, n, float(special.ndtri(0.5 + level / 2)))
    index, count = group_index(groups, n)
    if count == 1:
        return Interval(0.0, 1.0)
    if p in (0.0, 1.0):
        effective = float(count)
    else:
        effective = n / max(1.0, cluster_variance(values, index, count) / (p * (1 - p) / n))
    return wilson(p, effective, t_quantile(count - 1, level))


def mean_interval(values: ArrayLike, groups: Sequence[Hashable] | None = None, level: float = 0.95) -> Interval:
    """Confidence interval of a mean over pictures, for losses and for differences of losses.

    The mean plus and minus t times the cluster-robust standard error (see the head of this file).

    Args:
        values: float (n,), n of at least 1.
        groups: n group names, or None. With one group (or one picture) the interval is the whole line.
        level: coverage, in (0, 1).
    """
    data = _values(values)
    _, count = group_index(groups, len(data))
    if count == 1:
        return Interval(-math.inf, math.inf)
    half = t_quantile(count - 1, level) * standard_error(data, groups)
    return Interval(float(data.mean()) - half, float(data.mean()) + half)


def standard_error(values: ArrayLike, groups: Sequence[Hashable] | None = None) -> float:
    """Cluster-robust standard error of a mean over pictures; infinite with one group, which can prove nothing.

    Args:
        values: float (n,), n of at least 1.
        groups: n group names, or None when all pictures are independent.
    """
    data = _values(values)
    index, count = group_index(groups, len(data))
    return math.inf if count == 1 else math.sqrt(cluster_variance(data, index, count))


def paired_difference(
    hits_a: ArrayLike, hits_b: ArrayLike, groups: Sequence[Hashable] | None = None, level: float = 0.95
) -> Difference:
    """Compare two classifiers on the same pictures.

    Interval: t with the cluster-robust standard error on the per-picture differences, within [-1, 1]. Where that error
    is 0 (a and b agree everywhere, or differ equally in every group) an interval of no width would claim certainty. So
    Bonett & Price's (2012) is used, which adds one discordant pair of either kind, with the groups as sample.

    p: without groups McNemar's exact test (binomial on the discordant pictures). With groups the sign-flip permutation
    test: if a and b are equally good, each group's sum of differences could as well have the other sign. The sums are
    whole numbers, so that all 2^G sign patterns are counted exactly by convolution, for any G; nothing is drawn. With
    one picture a group both tests are the same. Interval and p come from different methods, so near the border one may
    exclude 0 where the other does not; decide by p.

    Args:
        hits_a: bool (n,), n of at least 1.
        hits_b: bool (n,), the same pictures in the same order.
        groups: n group names, or None. With one group: interval [-1, 1], p 1.
        level: coverage, in (0, 1).

    >>> paired_difference([True, False, False, False], [True, True, True, True]).p
    0.25
    """
    a, b = _values(hits_a), _values(hits_b)
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} pictures and b has {len(b)}; they must be the same pictures.")
    difference = b - a
    mean = float(difference.mean())
    index, count = group_index(groups, len(a))
    if groups is None:
        better, worse = int((difference > 0).sum()), int((difference < 0).sum())
        p = min(1.0, 2 * float(special.bdtr(min(better, worse), better + worse, 0.5))) if better + worse else 1.0
        test = "exact McNemar"
    else:
        p = sign_flip_p(np.rint(np.bincount(index, difference, count)).astype(np.int64))
        test = "exact sign-flip over groups"
    if count == 1:
        return Difference(mean, -1.0, 1.0, p, test)
    centre, variance = mean, cluster_variance(difference, index, count)
    if variance < 1e-18:
        better_rate = (float((difference > 0).mean()) * count + 1) / (count + 2)
        worse_rate = (float((difference < 0).mean()) * count + 1) / (count + 2)
        centre = better_rate - worse_rate
        variance = (better_rate + worse_rate - centre**2) / (count + 2)
    half = t_quantile(count - 1, level) * math.sqrt(variance)
    return Difference(mean, max(-1.0, centre - half), min(1.0, centre + half), p, test)


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
    data = _values(values)
    low, high = mean_interval(data, level=level)
    sd = float(data.std(ddof=1)) if len(data) > 1 else math.nan
    return Estimate(float(data.mean()), sd, low, high, len(data))


def _values(data: ArrayLike) -> Doubles:
    values = np.asarray(data, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected one value per picture, at least one; found the shape {values.shape}.")
    return values


def group_index(groups: Sequence[Hashable] | NDArray[np.int64] | None, n: int) -> tuple[NDArray[Any], int]:
    """Number the groups in order of appearance: index (n,) and their count. An array has such numbers already."""
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise ValueError(f"there are {n} pictures and {len(groups)} group names; each picture needs one.")
    if isinstance(groups, np.ndarray):
        return groups, int(groups.max()) + 1
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups]), len(numbers)


def cluster_variance(values: Doubles, index: NDArray[Any], count: int) -> float:
    """Cluster-robust variance of a mean over `count` of at least 2 groups; see the head of this file."""
    sums = np.bincount(index, values - values.mean(), count)
    return float(count / (count - 1) * (sums @ sums) / len(values) ** 2)


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


def sign_flip_p(sums: NDArray[np.int64]) -> float:
    """Share of the 2^G sign patterns whose total is at least as far from 0 as the observed one."""
    sums = sums // max(1, int(np.gcd.reduce(sums)))  # sums over k equal seeds are multiples of k
    sizes = np.abs(sums[sums != 0])
    total = int(sizes.sum())
    chance = np.zeros(2 * total + 1)
    chance[total] = 1.0  # chance[total + t] is the probability of the sum t over the groups so far
    reach = 0
    for size in sizes.tolist():
        low, high = total - reach, total + reach + 1
        inner = chance[low:high] / 2
        chance[low:high] = 0.0
        chance[low - size : high - size] += inner
        chance[low + size : high + size] += inner
        reach += size
    far = np.abs(np.arange(-total, total + 1)) >= abs(int(sums.sum()))
    return min(1.0, float(chance[far].sum()))
