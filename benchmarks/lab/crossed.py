"""The confidence interval of a mean over values that share factors, as sets of images share transformations."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from numpy.typing import ArrayLike

from ipo_prompts.metrics.sampling import Interval, Sampling, Variance, t_quantile, values_of


def crossed_interval(
    values: ArrayLike, factors: Sequence[Sequence[Hashable]], shared: Sequence[Variance] = ()
) -> Interval:
    """Return the 95 % confidence interval of the mean of values that share factors, as sets share transformations.

    The interval is the widest of several intervals:

    - one for independent values;
    - for each factor, one for values that are clustered by this factor alone (Liang & Zeger 1986);
    - one whose variance is that of independent values, plus the variance that each factor adds, plus `shared`. Each
      variance has its own quantile.

    A factor of four levels has three degrees of freedom, however many values there are. A factor with one level is
    taken as given: the interval does not cover other levels. `benchmarks/coverage.py` measures the coverage.

    Args:
        values: float (n,), n of at least 2.
        factors: for each factor, the level of each value: n names.
        shared: variances of other things that the values have in common, such as images.

    """
    data = values_of(values)
    each = Sampling(len(data)).these(data)
    clustered = [Sampling.of(len(data), draws=levels).these(data) for levels in factors if len(set(levels)) > 1]
    parts = [*shared, *(Variance(max(0.0, one.value - each.value), one.degrees) for one in clustered)]
    sums = sum(t_quantile(one.degrees) ** 2 * one.value for one in [each, *parts])
    half = max(math.sqrt(sums), *(t_quantile(one.degrees) * math.sqrt(one.value) for one in [each, *clustered]))
    return Interval(float(data.mean()) - half, float(data.mean()) + half)
