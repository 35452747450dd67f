"""What a comparison could have found: the true difference that it shows four times in five."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.sampling import Variance

POWER = 0.8
"""How often a difference is found that is called detectable: four times in five."""
_QUANTILES = 48


def detectable(variances: Sequence[Variance], alpha: float, joint: float = 0.0, step: float = 0.0) -> float:
    """Return the true difference that is found with the chance POWER; infinite where a difference of 1 would not be.

    The variances are estimates, of which two things follow. They are raised by what such an estimate falls short of in
    the median, so that the difference is as often too large as too small. And they would be estimated anew: the power
    is averaged over what would be found, which for one variance alone is the noncentral t's. And a difference is made
    of draws that differ: where fewer do now, the variance is what so many, all one way, would have.

    Args:
        variances: of independent sources; they add up.
        alpha: the level of the two-sided test.
        joint: what was taken out of the last of them.
        step: by how much one draw that differs changes the mean.
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
    """An estimate divided by what the median of such estimates is of the true variance; 0 stays 0."""
    if variance.value == 0 or not math.isfinite(variance.value):
        return variance.value
    return (variance.value + taken) * variance.degrees / float(special.chdtri(variance.degrees, 0.5)) - taken


def _half_widths_to_come(sources: Sequence[tuple[Variance, float]], true: Sequence[float], alpha: float) -> Doubles:
    """Half the widths that intervals would have in repetitions: at all combinations of quantiles of the variances."""
    squares = np.zeros(1)
    quantiles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    for (variance, taken), value in zip(sources, true, strict=True):
        if value + taken == 0:
            continue
        found = (value + taken) * special.chdtri(variance.degrees, quantiles) / variance.degrees - taken
        critical = float(special.stdtrit(variance.degrees, alpha / 2)) ** 2
        squares = np.add.outer(squares, critical * np.maximum(0.0, found)).ravel()
    return np.asarray(np.sqrt(squares), dtype=np.float64)
