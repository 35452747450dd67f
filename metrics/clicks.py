"""The gain of one template over another, from labels of pictures on which the two disagree.

On a picture that both name alike the gain is 0, whatever it shows. So a label is worth asking for only where they
disagree, and of those pictures some, drawn at random, are enough: two-phase sampling (Neyman 1938; Särndal, Swensson &
Wretman 1992, chapter 9). N pictures are a sample of those to come, and k answers a sample of the M disagreements among
them. Both are uncertain, and their variances add up:

    share² · s²/k · (1 − k/M)  +  (share · mean of squares − gain²) / N,   share = M/N

where s² is the variance of the answers, each 1 (the second template is right), −1 (the first is) or 0. The first term
alone is what is not known of *these* N pictures; read as a verdict on new ones, it covers far too seldom. Variants of
one base picture are one draw, of which one picture is asked about; it speaks for those of them that disagree.

Who clicks wrong now and then makes a gain smaller than it is, and none where there is none. Some pictures come twice,
and the two answers tell how much of the gain is lost: 2e where a share e of answers names the other side. The gain is
divided by what is left of it, and how little is known of that share is a third variance: see `slips_of`.
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
"""Answers of the typical size, one of each sign, that are added to the sum of squares: see `split_variance`."""
HARDLY = 1.1
"""So many times the narrowest half width is planned for where the wanted one is out of reach."""
UNSEEN = 20
"""So many pictures more, all decided, count as if they had come twice, and one of them had got the opposite answer: one
slip in forty answers. They are in variances alone, as what is `ADDED`: a few pairs that agree are no certainty."""
MOST_LOST = 0.5
"""The share of a gain that slips are taken to lose, at most; who loses more tells next to nothing."""
FIRST = 10
"""Answers after which it is told anew how many are needed."""


class Clicked(NamedTuple):
    """The same difference for pictures like those that were labelled, and of exactly these."""

    new: Effect
    these: Effect


class Slips(NamedTuple):
    """What wrong clicks do: the share of the gain that they lose, how uncertain that is, the variance of one answer."""

    lost: float
    uncertain: Variance
    noise: float


def slips_of(pairs: ArrayLike) -> Slips:
    """Estimate what wrong clicks do from pictures that were answered twice.

    Opposite answers show a slip from one side to the other, which changes an answer by 2. Only pictures on which a side
    is right can show one. An answer for a side beside one for none shows a slip that changes an answer by 1. Such slips
    are taken to be as frequent where a side is right as where none is; those where none is right lose nothing.

    Args:
        pairs: (r, 2), as the answers of `Disagreements.gain`; r may be 0.

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
    """Where two templates disagree.

    Attributes:
        pictures: N, all that both have named.
        draws: base pictures among them; N where no picture has variants.
        differing: float (M,), of each draw with a disagreement, in the order asked: how many of its pictures disagree.
        sizes: float (M,), how many pictures these draws have.
    """

    pictures: int
    draws: int
    differing: Doubles
    sizes: Doubles

    @classmethod
    def single(cls, pictures: int, differing: int) -> Disagreements:
        """Return those of pictures that are all draws of their own."""
        ones = np.ones(differing)
        return cls(pictures, pictures, ones, ones)

    @property
    def count(self) -> int:
        """M, the draws that can be asked about."""
        return len(self.differing)

    def gain(self, answers: ArrayLike, slips: Slips | None = None) -> Clicked:
        """Estimate the second template's gain over the first.

        Args:
            answers: (k,), of the first k draws in the order asked: 1 the second template is right, -1 the first, 0 none
                or both; 1 to M.
            slips: of who gave them; without it the answers are taken to be right.

        Raises:
            ValueError: there are none, or more than disagreements.

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
            # All of these pictures may be answered, but not surely right; of new ones that is in their variances.
            wrong = asked._replace(value=(self.count / self.pictures) ** 2 * square * slips.noise / self.count)
            kept, most = 1 - slips.lost, float(self.differing.sum()) / self.pictures
            gain, step = max(-most, min(most, gain / kept)), step / kept
            lost = slips.uncertain._replace(value=slips.uncertain.value * (gain / kept) ** 2)
            asked, drawn, wrong = (one._replace(value=one.value / kept**2) for one in (asked, drawn, wrong))
            new, these = [asked, drawn, lost], [asked, wrong, lost]
        return Clicked(effect_of(gain, new, NEW_PICTURES, step=step), effect_of(gain, these, THESE_PICTURES))

    def _variances(self, apart: Doubles, residuals: Doubles, square: float, gain: float) -> tuple[Variance, Variance]:
        """Return the variance due to what was not asked, and that due to which pictures there are.

        `apart`: the answers less their mean; `residuals`: less what the gain says of draws of that size.
        """
        k, degrees = len(apart), max(1.0, len(apart) - 1.0)
        spread = (float(apart @ apart) + ADDED * square) / degrees
        asked = (self.count / self.pictures) ** 2 * spread / k * self._left(k)
        alike = self.draws - self.count  # the size of draws without a disagreement is taken to be the mean one
        others = gain**2 * alike * ((self.pictures - float(self.sizes.sum())) / alike) ** 2 if alike else 0.0
        squares = self.count * (float(residuals @ residuals) + ADDED * square) / k + others
        drawn = squares / self.pictures**2 * self.draws / max(1, self.draws - 1)
        return Variance(asked, degrees), Variance(drawn, degrees)

    def _left(self, k: float) -> float:
        """The share of disagreements that k answers leave open; all of it where one picture speaks for several."""
        return 1.0 if bool((self.differing > 1).any()) else 1 - k / self.count

    def half_width(self, k: int, decided: float = 1.0) -> float:
        """Return half the width of the interval that k answers would give, where so large a share decides between them.

        For a gain of 0, the widest. `decided` is the share of answers that name one of the two right; k is 1 to M.
        """
        square = (decided + ADDED / k) * float((self.differing**2).mean())
        asked = (self.count / self.pictures) ** 2 / k * self._left(k)
        return t_quantile(max(1, k - 1), 0.95) * math.sqrt(square * (asked + self.count / self.pictures**2))

    def needed(self, wanted: float, decided: float = 1.0) -> int:
        """Return how many answers bring half the width down to `wanted`, or to what the rest would hardly narrow."""
        wanted = max(wanted, HARDLY * self.half_width(self.count, decided))
        low, high = min(FIRST, self.count), self.count
        while low < high:  # the more answers, the narrower
            middle = (low + high) // 2
            low, high = (low, middle) if self.half_width(middle, decided) <= wanted else (middle + 1, high)
        return high


def decided_after(decided: int, answers: int) -> float:
    """Return the share of deciding answers to plan with; a few are taken with a grain of salt.

    >>> decided_after(10, 10), decided_after(0, 10)
    (0.9166666666666666, 0.08333333333333333)
    """
    return (decided + 1) / (answers + 2)
