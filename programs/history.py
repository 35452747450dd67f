"""The history of a search: every scored template, those that were proposed and those that were only tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.template import key


@dataclass(frozen=True, slots=True)
class Tried:
    """A template that was scored on the train units without being proposed.

    It keeps two numbers and not the values of the units, because those of thousands of templates would fill the memory.

    Attributes:
        template, value, loss: see `Score`.
        step: the number of the step that scored the template.
    """

    template: str
    value: float
    loss: float
    step: int

    @property
    def rank(self) -> tuple[float, float]:
        """The rank of the score; see `Score.rank`."""
        return (self.value, -self.loss)


@dataclass(frozen=True, repr=False)
class Proposed(Score):
    """A proposed template with its score on the train units. Only a proposed template can win.

    Attributes:
        step: the step that proposed the template; -1 for the initial template.
        source: where the template came from: `initial`, `language model`, `composition`, or `no language model`.
    """

    step: int = -1
    source: str = "initial"

    @classmethod
    def of(cls, score: Score, step: int, source: str) -> Proposed:
        """Return a scored template as proposed."""
        own = {field.name: getattr(score, field.name) for field in fields(Score)}  # a user's Score may have more fields
        return cls(**own, step=step, source=source)

    def record(self) -> dict[str, Any]:
        """Return the template and its score as plain JSON, without the values of single units."""
        return {name: getattr(self, name) for name in ("template", "value", "loss", "n", "step", "source")}


class History:
    """The scored templates of a search. Iterating gives the proposed ones, each once, the initial template first.

    Proposed texts that differ only in case, spaces or end punctuation are the same template.

    Attributes:
        initial: the initial template.
        tried: text → template, for the templates that were scored without being proposed, in the order of scoring.
    """

    def __init__(self, initial: Proposed) -> None:
        self.initial = initial
        self.tried: dict[str, Tried] = {}
        self._proposed = {key(initial.template): initial}

    def add(self, one: Proposed) -> None:
        """Add a proposed template. If it is known already, nothing changes."""
        self._proposed.setdefault(key(one.template), one)

    def __contains__(self, template: str) -> bool:
        return key(template) in self._proposed

    def __len__(self) -> int:
        return len(self._proposed)

    def __iter__(self) -> Iterator[Proposed]:
        return iter(self._proposed.values())

    @property
    def best(self) -> Proposed:
        """The proposed template with the highest rank; of equal ones the earliest."""
        return max(self, key=lambda one: one.rank)

    def ranked(self) -> list[Proposed]:
        """Return the proposed templates, best first; of equal ones the earliest first."""
        return sorted(self, key=lambda one: one.rank, reverse=True)

    def view(self, k: int, *, pin_initial: bool = True, floor: float = 0.0) -> list[Proposed]:
        """Return the `k` best proposed templates, the best one last.

        Args:
            k: the number of templates; 0 for none.
            pin_initial: whether the initial template is always among them, as in the paper but not in its code.
            floor: the lowest value of a template. The paper's code uses 0.20.
        """
        if k <= 0:
            return []
        shown = [one for one in self.ranked()[:k] if one.value >= floor]
        if pin_initial and self.initial not in shown:
            shown = [*shown[: k - 1], self.initial]
        return shown[::-1] if self.initial not in shown else sorted(shown, key=lambda one: one.rank)
