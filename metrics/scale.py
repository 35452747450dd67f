"""The numbers that a reward counts in, which whoever compares or tells its values has to know."""

from __future__ import annotations

from dataclasses import dataclass

from ipo_prompts.metrics.errors import InputError


@dataclass(frozen=True)
class Scale:
    """In what numbers the values of a reward are; higher is always better.

    Attributes:
        low, high: no value lies outside; what a single unit contributes may.
        word: what a word more in a template must add to the value, for a search that adds words.
        percent: whether people are told hundredths, as of an accuracy; else the numbers as they are.
        lead: what a template must have over the initial one to replace it, whatever luck allows for: of a measure whose
            lead may mean nothing for what is wanted. Of those that ship, `fit` has one (`programs/optimizer.py`).

    >>> Scale().told(0.523), Scale(low=float("-inf"), percent=False).told(-1.25)
    ('52.30 %', '-1.25')
    """

    low: float = 0.0
    high: float = 1.0
    word: float = 0.005
    percent: bool = True
    lead: float = 0.0

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.word >= 0 and self.lead >= 0):
            raise InputError(f"a scale needs low < high, and a word and a lead that are 0 or more, not {self}.")

    @property
    def fractions(self) -> bool:
        """Whether percent, points and intervals between 0 and 1 are right for it.

        >>> Scale().fractions, Scale(low=-1).fractions, Scale(percent=False).fractions
        (True, False, False)
        """
        return self.percent and self.low >= 0 and self.high <= 1

    def told(self, value: float) -> str:
        """Return a value as people read it."""
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"


FRACTION = Scale()
"""Shares of right answers: accuracies, recalls, intersections over unions."""
