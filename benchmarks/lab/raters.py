"""Simulated pictures on which two templates disagree, and simulated raters who say which template is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator as Rng
from numpy.typing import NDArray

Values = NDArray[np.int64]
"""For each disagreement: 1 if the second template is right, -1 if the first is, 0 if neither is."""
Rater = Callable[[Values, Rng], Values]
"""What somebody says of pictures, by program, who sees names in shuffled order."""


class World(NamedTuple):
    """N pictures of an endless supply, the share where two templates disagree, and the share of that with neither."""

    pictures: int
    share: float
    neither: float

    def gain(self, lead: float) -> float:
        """The true gain on new pictures."""
        return self.share * (1 - self.neither) * lead

    def values(self, rng: Rng, lead: float) -> Values:
        """Draw N pictures, and return those with a disagreement in the order asked."""
        count = max(1, rng.binomial(self.pictures, self.share))
        right = np.where(rng.random(count) < (1 + lead) / 2, 1, -1)
        return np.where(rng.random(count) < self.neither, 0, right)


def careful(values: Values, rng: Rng) -> Values:
    """Answer rightly."""
    return values


def slips(share: float) -> Rater:
    """Press another button, any of them, in this share of answers."""

    def rate(values: Values, rng: Rng) -> Values:
        other = (values + rng.integers(1, 3, len(values)) + 1) % 3 - 1
        return np.where(rng.random(len(values)) < share, other, values)

    return rate


def swaps(share: float) -> Rater:
    """Take one name for the other in this share of answers."""
    return lambda values, rng: np.where(rng.random(len(values)) < share, -values, values)


def forced(values: Values, rng: Rng) -> Values:
    """Guess where neither is right."""
    return np.where(values == 0, rng.choice([-1, 1], len(values)), values)


def lean(share: float) -> Rater:
    """Prefer one class: where neither is right and it is offered, in three of ten, take it with this chance.

    Four times in five it is the second template that offers it.
    """

    def rate(values: Values, rng: Rng) -> Values:
        taken = (values == 0) & (rng.random(len(values)) < 0.3 * share)
        return np.where(taken, np.where(rng.random(len(values)) < 0.8, 1, -1), values)

    return rate
