"""The scale of a reward: the bounds and the unit of its values, for code that compares or shows the values."""

from __future__ import annotations

from dataclasses import dataclass

from ipo_prompts.metrics.errors import InputError


@dataclass(frozen=True)
class Scale:
    """The bounds and the unit of a reward's values. A higher value is always better.

    Attributes:
        low, high: the bounds of the value. The contribution of a single unit may lie outside them.
        word: the gain in value that a search which adds words demands for each word with meaning, see
            `metrics.template.words`. With few images a search demands more of fractions, see `Bench.word`.
        percent: whether values are shown in percent, like an accuracy; else they are shown as they are.

    >>> Scale().told(0.523), Scale(low=float("-inf"), percent=False).told(-1.25)
    ('52.30 %', '-1.25')
    """

    low: float = 0.0
    high: float = 1.0
    word: float = 0.005
    percent: bool = True

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.word >= 0):
            raise InputError(f"a scale needs low < high, and a word that is 0 or more, not {self}.")

    @property
    def fractions(self) -> bool:
        """Whether percent, points and intervals between 0 and 1 suit this scale.

        >>> Scale().fractions, Scale(low=-1).fractions, Scale(percent=False).fractions
        (True, False, False)
        """
        return self.percent and self.low >= 0 and self.high <= 1

    def told(self, value: float) -> str:
        """Format a value for people."""
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"


FRACTION = Scale()
"""The scale of fractions: accuracies, recalls, intersections over unions."""
