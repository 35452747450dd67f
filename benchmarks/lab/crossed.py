"""The interval of a mean over things that share parts, as sets of pictures share transformations."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from numpy.typing import ArrayLike

from ipo_prompts.metrics.sampling import Interval, Sampling, Variance, t_quantile, values_of


def crossed_interval(
    values: ArrayLike, factors: Sequence[Sequence[Hashable]], shared: Sequence[Variance] = (), level: float = 0.95
) -> Interval:
    """Return the confidence interval of a mean over things that share parts, as sets share transformations.

    It is the widest of three: all independent; clustered by each factor alone (Liang & Zeger 1986); and the sum of the
    variance of independent things and of what each factor adds, each variance with its own quantile. A factor of four
    levels has three degrees of freedom, however many things there are. A factor with one level is taken as given: what
    other levels would show is not in the interval. How often it covers: `benchmarks/coverage.py`.

    Args:
        values: float (n,), n of at least 2.
        factors: for each factor the level of each value, n names.
        shared: variances of what things have in common beside the factors, such as pictures.
        level: coverage, in (0, 1).
    """
    data = values_of(values)
    each = Sampling(len(data)).these(data)
    clustered = [Sampling.of(len(data), draws=levels).these(data) for levels in factors if len(set(levels)) > 1]
    parts = [*shared, *(Variance(max(0.0, one.value - each.value), one.degrees) for one in clustered)]
    sums = sum(t_quantile(one.degrees, level) ** 2 * one.value for one in [each, *parts])
    half = max(math.sqrt(sums), *(t_quantile(one.degrees, level) * math.sqrt(one.value) for one in [each, *clustered]))
    return Interval(float(data.mean()) - half, float(data.mean()) + half)
