"""The gain of one template over another, from labels of pictures on which the two disagree.

On a picture that both templates name alike, the gain is 0, whatever the picture shows. So a label is worth asking for
only on a picture on which the templates disagree. A random part of these pictures is enough: two-phase sampling (Neyman
1938; Särndal, Swensson & Wretman 1992, chapter 9). The N pictures are a sample of the pictures to come, and the k
answers are a sample of the M disagreements among the N pictures. Each sample adds a variance:

    share² · s²/k · (1 − k/M)  +  (share · mean of squares − gain²) / N,   share = M/N

where s² is the variance of the answers. An answer is 1 (the second template is right), −1 (the first is) or 0. The
first term alone is the variance for *these* N pictures. As a verdict on new pictures, an interval from it would cover
the truth far too seldom. Variants of one base picture are one draw. One picture of a draw is asked about, and its
answer counts for every picture of the draw on which the templates disagree.

Occasional wrong clicks make a gain look smaller than it is; they do not create a gain where there is none. So some
pictures are asked about twice. The two answers tell which share of the gain is lost: 2e, if a share e of answers names
the wrong side. The gain is divided by the share that is left. The uncertainty of this share adds a third variance: see
`slips_of`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.evidence import Effect, effect_of
from ipo_prompts.metrics.sampling import Variance, t_quantile, values_of

NEW_PICTURES, THESE_PICTURES = "pictures like these", "these pictures"
ADDED = 2
"""How many answers of the typical size are added to the sum of squares, one of each sign: see `split_variance`."""
HARDLY = 1.1
"""If the wanted half width is out of reach, the plan aims at the narrowest half width times this factor."""
UNSEEN = 20
"""How many imagined pictures are added to the pictures answered twice.

All are decided, and one has opposite answers: one slip in forty answers. They are added in variances only, like
`ADDED`. Without them a few pairs of answers that agree would count as certainty.
"""
MOST_LOST = 0.5
"""The largest share of a gain that slips are assumed to lose; answers with more slips tell next to nothing."""
FIRST = 10
"""The number of answers after which the number of answers needed is estimated anew."""


class Clicked(NamedTuple):
    """One difference as two effects: `new` for new pictures like these, `these` for exactly these pictures."""

    new: Effect
    these: Effect


class Slips(NamedTuple):
    """What wrong clicks do to a gain.

    `lost` is the share of the gain that is lost, `uncertain` the variance of this share, and `noise` the variance that
    wrong clicks add to one answer.
    """

    lost: float
    uncertain: Variance
    noise: float


def slips_of(pairs: ArrayLike) -> Slips:
    """Estimate what wrong clicks do from pictures that were answered twice.

    Two opposite answers show a slip from one side to the other, which changes an answer by 2. Such a slip can be seen
    only on pictures on which one side is right. If one answer names a side and the other names neither, the slip
    changes an answer by 1. These smaller slips are assumed to be as frequent on pictures where a side is right as on
    pictures where neither is; on the latter they lose nothing.

    Args:
        pairs: the two answers for each of r pictures, (r, 2), coded as in `Disagreements.gain`; r may be 0.

    >>> [round(slips_of([[1, 1]] * 18 + [[1, -1]] * 2 + [[0, 0]] * 10).lost, 3), slips_of([]).lost]
    [0.1, 0.0]
    """
    one, other = np.asarray(pairs, dtype=np.float64).reshape(-1, 2).T
    opposite, mixed = float((one * other < 0).sum()), float(((one == 0) != (other == 0)).sum())
    decided, count = float(((one != 0) + 0.0 + (other != 0)).sum()) / 2, len(one)
    lost = opposite / max(1.0, decided) + mixed / 2 / max(1, count)
    value = (opposite + 1) / (decided + UNSEEN) ** 2 + mixed / 4 / (count + UNSEEN) ** 2
    noise = (4 * (opposite + 1) + mixed) / 2 / (count + UNSEEN)
    return Slips(min(MOST_LOST, lost), Variance(value, count + UNSEEN), noise)


@dataclass(frozen=True)
class Disagreements:
    """The disagreements of two templates: base pictures (draws) with a picture that the templates name differently.

    Attributes:
        pictures: N, the number of all pictures that both templates have named.
        draws: the number of all base pictures; N if no picture has variants.
        differing: for each draw with a disagreement, in the order of asking, the number of its pictures that the
            templates name differently, float (M,).
        sizes: for each of these draws, the number of all its pictures, float (M,).
    """

    pictures: int
    draws: int
    differing: Doubles
    sizes: Doubles

    @classmethod
    def single(cls, pictures: int, differing: int) -> Disagreements:
        """Return the disagreements on pictures without variants, where each picture is a draw."""
        ones = np.ones(differing)
        return cls(pictures, pictures, ones, ones)

    @property
    def count(self) -> int:
        """M, the number of draws with a disagreement, which can be asked about."""
        return len(self.differing)

    def gain(self, answers: ArrayLike, slips: Slips | None = None) -> Clicked:
        """Estimate the second template's gain over the first.

        Args:
            answers: the answers for the first k draws in the order of asking, (k,), k from 1 to M: 1 if the second
                template is right, -1 if the first is, 0 if neither or both are.
            slips: the estimated effect of wrong answers; None assumes that all answers are right.

        Raises:
            ValueError: there are no answers, or more answers than disagreements.

        >>> found = Disagreements.single(400, 200).gain([1, 0, 0, -1, 1, 0, 1, 0, 0, 0] * 4)
        >>> round(found.new.mean, 3), found.new.high > found.these.high
        (0.1, True)
        """
        given = values_of(answers)
        if len(given) > self.count:
            raise ValueError(f"there are {len(given)} answers and {self.count} disagreements.")
        sums, sizes = given * self.differing[: len(given)], self.sizes[: len(given)]
        gain = self.count / self.pictures * float(sums.mean())
        square = float((sums[sums != 0] ** 2).mean()) if sums.any() else float((self.differing**2).mean())
        asked, drawn = self._variances(sums - sums.mean(), sums - gain * sizes, square, gain)
        step = self.count / self.pictures * math.sqrt(square) / len(sums)
        new, these = [asked, drawn], [asked]
        if slips:
            # Even with an answer for each of these pictures, answers may be wrong: these pictures need a variance for
            # it. For new pictures the variances already contain it.
            wrong = asked._replace(value=(self.count / self.pictures) ** 2 * square * slips.noise / self.count)
            kept, most = 1 - slips.lost, float(self.differing.sum()) / self.pictures
            gain, step = max(-most, min(most, gain / kept)), step / kept
            lost = slips.uncertain._replace(value=slips.uncertain.value * (gain / kept) ** 2)
            asked, drawn, wrong = (one._replace(value=one.value / kept**2) for one in (asked, drawn, wrong))
            new, these = [asked, drawn, lost], [asked, wrong, lost]
        return Clicked(effect_of(gain, new, NEW_PICTURES, step=step), effect_of(gain, these, THESE_PICTURES))

    def _variances(self, apart: Doubles, residuals: Doubles, square: float, gain: float) -> tuple[Variance, Variance]:
        """Return two variances: due to the draws not asked about, and due to the sample of pictures.

        Args:
            apart: each answer minus the mean of the answers, (k,).
            residuals: each answer minus the answer that the gain predicts for a draw of that size, (k,).
            square: the typical square of an answer.
            gain: the estimated gain.
        """
        k, degrees = len(apart), max(1.0, len(apart) - 1.0)
        spread = (float(apart @ apart) + ADDED * square) / degrees
        asked = (self.count / self.pictures) ** 2 * spread / k * self._left(k)
        alike = self.draws - self.count  # draws without a disagreement; each is assumed to have their mean size
        others = gain**2 * alike * ((self.pictures - float(self.sizes.sum())) / alike) ** 2 if alike else 0.0
        squares = self.count * (float(residuals @ residuals) + ADDED * square) / k + others
        drawn = squares / self.pictures**2 * self.draws / max(1, self.draws - 1)
        return Variance(asked, degrees), Variance(drawn, degrees)

    def _left(self, k: float) -> float:
        """Return the share of disagreements that k answers leave open; 1 if an answer counts for several pictures."""
        return 1.0 if bool((self.differing > 1).any()) else 1 - k / self.count

    def half_width(self, k: int, decided: float = 1.0) -> float:
        """Return half the width of the interval that k answers would give. It is for a gain of 0: the widest interval.

        `k` is from 1 to M. `decided` is the share of answers that say that one of the two templates is right.
        """
        square = (decided + ADDED / k) * float((self.differing**2).mean())
        asked = (self.count / self.pictures) ** 2 / k * self._left(k)
        return t_quantile(max(1, k - 1), 0.95) * math.sqrt(square * (asked + self.count / self.pictures**2))

    def needed(self, wanted: float, decided: float = 1.0) -> int:
        """Return how many answers are needed for the half width `wanted`.

        If this width is out of reach, return the number of answers after which more would hardly narrow the interval.
        """
        wanted = max(wanted, HARDLY * self.half_width(self.count, decided))
        low, high = min(FIRST, self.count), self.count
        while low < high:  # more answers give a narrower interval
            middle = (low + high) // 2
            low, high = (low, middle) if self.half_width(middle, decided) <= wanted else (middle + 1, high)
        return high


def decided_after(decided: int, answers: int) -> float:
    """Return the share of deciding answers to plan with; it is moved towards one half while answers are few.

    >>> decided_after(10, 10), decided_after(0, 10)
    (0.9166666666666666, 0.08333333333333333)
    """
    return (decided + 1) / (answers + 2)
