"""Which units are independent, and the variances of means. Search, selection, report and tables share these rules.

The classes are given, and images were sampled within each class. So the variance of a mean comes from differences
within classes (stratified sampling; Cochran 1977, 5.3). Variants of one base image count as one draw.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ipo_prompts.metrics.arrays import Doubles

Numbers = NDArray[np.int64]
"""The class or the base image of each unit, as a number, int64 (n,). The numbers go from 0 without gaps."""
Names = Sequence[Hashable] | NDArray[Any]
"""The class or the base image of each unit, by name."""


class Variance(NamedTuple):
    """The variance of a mean and its degrees of freedom. The variance is infinite if there are too few units for it."""

    value: float
    degrees: float


@dataclass(frozen=True)
class Sampling:
    """How n units were drawn.

    Attributes:
        n: the number of units: images, queries or scenes.
        classes: the class of each unit, (n,); None if a unit has no single class.
        draws: the draw of each unit, (n,), equal for variants of one base image; None if each unit is its own draw.
    """

    n: int
    classes: Numbers | None = None
    draws: Numbers | None = None

    @classmethod
    def of(cls, n: int, classes: Names | None = None, draws: Names | None = None) -> Sampling:
        """Make a sampling from the names of classes and draws.

        Args:
            n: the number of units.
            classes: the name of each unit's class. They are not used if there are not n, as with queries.
            draws: the name of each unit's draw; None if each unit is its own draw.

        Raises:
            ValueError: there are not n names of draws.
        """
        if draws is not None and len(draws) != n:
            raise ValueError(f"there are {n} units and {len(draws)} names of draws; each unit needs one.")
        numbered = None if draws is None else _numbered(draws)
        if numbered is not None and int(numbered.max()) + 1 == n:
            numbered = None
        return cls(n, None if classes is None or len(classes) != n else _numbered(classes), numbered)

    @cached_property
    def strata(self) -> Numbers:
        """The stratum of each unit, (n,).

        A class with several draws is a stratum. All classes with a single draw together form one stratum. The variance
        of this stratum contains the differences between its classes, so it is too large rather than too small. There
        is a single stratum if there are no classes, or if a draw has units of several classes.
        """
        if self.classes is None or not np.array_equal(self.classes, self._class_of_draw[self._draw]):
            return np.zeros(self.n, dtype=np.int64)
        counts = np.bincount(self._class_of_draw)
        names = np.where(counts == 1, len(counts), np.arange(len(counts)))
        return _numbered(names[self.classes].tolist())

    def these(self, values: Doubles, added: float = 0.0) -> Variance:
        """Return the variance of the mean of the values.

        Args:
            values: a number for each unit, (n,).
            added: a number that is added to the sum of the squares of the draws' sums; see `evidence.spread`.
        """
        size = np.bincount(self.strata)
        centred = values - (np.bincount(self.strata, values) / size)[self.strata]
        sums = np.bincount(self._draw, centred)  # the sum of each draw; the mean of a stratum's sums is 0
        stratum = np.zeros(len(sums), dtype=np.int64)
        stratum[self._draw] = self.strata
        draws, squares = np.bincount(stratum), np.bincount(stratum, sums**2)
        told = draws > 1
        if not told.any():
            return Variance(math.inf, 1.0)
        value = (float((draws[told] / (draws[told] - 1)) @ squares[told]) + added) / self.n**2
        # A stratum with one draw does not show its variance. Its draw is assumed to vary like those of other strata.
        return Variance(value * draws.sum() / draws[told].sum(), float((draws[told] - 1).sum()))

    def over_classes(self, values: Doubles, added: float = 0.0) -> Variance:
        """Return the variance of a mean over classes that weigh the same.

        The mean of a class is the mean over its draws. A class with one draw does not show how its draws vary. It is
        given the variance of a draw in the classes with several draws. If no class has several draws, the variance over
        all draws is used.

        Args:
            values: a number for each unit, (n,).
            added: a number that is added to the sum of squares of draws within classes. Each class gets a part in
                proportion to its draws. See `evidence.spread`.

        Raises:
            ValueError: the units have no classes.
        """
        own, of = self._draw_means(values), self._class_of_draw
        if len(own) < 2:
            return Variance(math.inf, 1.0)
        draws = self.draws_of_classes
        if draws.max() == 1:
            return Variance(
                (float(((own - own.mean()) ** 2).sum()) + added) / (len(own) - 1) / len(own), len(own) - 1.0
            )
        squares = np.bincount(of, (own - self.class_means(values)[of]) ** 2) + added * draws / len(own)
        told, degrees = draws > 1, float((draws - 1).sum())
        found = [
            Variance(square / (n - 1) / n, n - 1.0)
            for square, n in zip(squares[told].tolist(), draws[told].tolist(), strict=True)
        ]
        if not told.all():
            found.append(Variance(float((~told).sum() * squares[told].sum()) / degrees, degrees))
        return combine(found, divisor=len(draws))

    @property
    def draws_of_classes(self) -> Numbers:
        """The number of draws of each class, (C,)."""
        return np.bincount(self._class_of_draw)

    def class_means(self, values: Doubles) -> Doubles:
        """Return the mean of each class, which is the mean of the means of its draws: float64 (C,).

        Raises:
            ValueError: the units have no classes.
        """
        of = self._class_of_draw
        return np.asarray(np.bincount(of, self._draw_means(values)) / self.draws_of_classes, dtype=np.float64)

    def _draw_means(self, values: Doubles) -> Doubles:
        """Return the mean of the values of each draw, float64 (draws,). It needs draws within classes."""
        if self.classes is None or not np.array_equal(self.classes, self._class_of_draw[self._draw]):
            raise ValueError("a mean over classes needs units with one class each, and draws within a class.")
        return np.asarray(self.draw_sums(values) / np.bincount(self._draw), dtype=np.float64)

    @property
    def size(self) -> int:
        """The number of draws."""
        return len(self._class_of_draw)

    def draw_sums(self, values: Doubles) -> Doubles:
        """Return the sum of the values, (n,), of each draw: float64 (draws,)."""
        return np.asarray(np.bincount(self._draw, values), dtype=np.float64)

    @cached_property
    def _draw(self) -> Numbers:
        """The draw of each unit, (n,)."""
        return np.arange(self.n) if self.draws is None else self.draws

    @cached_property
    def _class_of_draw(self) -> Numbers:
        """The class of each draw, (draws,); 0 if there are no classes."""
        found = np.zeros(int(self._draw.max()) + 1, dtype=np.int64)
        if self.classes is not None:
            found[self._draw] = self.classes
        return found


def combine(variances: Sequence[Variance], divisor: float = 1.0) -> Variance:
    """Return the variance of a sum of independent means that is divided by `divisor`.

    The degrees of freedom are Satterthwaite's (1946).
    """
    total = sum(variance.value for variance in variances)
    if total == 0 or not math.isfinite(total):
        return Variance(total, max((variance.degrees for variance in variances), default=1.0))
    weight = sum(variance.value**2 / variance.degrees for variance in variances if variance.value > 0)
    return Variance(total / divisor**2, total**2 / weight)


def _numbered(names: Names) -> Numbers:
    """Return the number of each name. Distinct names are numbered from 0 in the order of their first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


# Intervals of one mean or proportion. Scores and comparisons: `evidence.py`.


class Interval(NamedTuple):
    """The two ends of a confidence interval; infinite if the data do not bound the value."""

    low: float
    high: float


def t_quantile(degrees: float) -> float:
    """Return the quantile of Student's t: the half width of a 95 % interval in standard errors."""
    return float(special.stdtrit(degrees, 0.975))


def wilson(p: float, n: float, quantile: float) -> Interval:
    """Return Wilson's score interval of an accuracy.

    Args:
        p: the accuracy, from 0 to 1.
        n: the sample size, or the effective sample size.
        quantile: half the width of an interval in standard errors, such as 1.96.
    """
    ratio = quantile**2 / n
    half = quantile * math.sqrt(p * (1 - p) / n + ratio / (4 * n)) / (1 + ratio)
    centre = (p + ratio / 2) / (1 + ratio)
    # At p = 0 and 1 rounding must not put the outer end past the accuracy itself.
    return Interval(min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


def values_of(data: ArrayLike) -> Doubles:
    """Return numbers as float64 (n,).

    Raises:
        ValueError: there are no numbers, or they are not in one row.
    """
    values = np.asarray(data, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected one value per image, at least one; found the shape {values.shape}.")
    return values
