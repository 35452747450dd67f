"""The prompt-score history: what was tried, what it scored, and which part of it the language model sees."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ipo.metrics.template import key


@dataclass(frozen=True)
class ScoredTemplate:
    """A template and what it scored on the search pictures.

    Attributes:
        template: the template.
        accuracy: fraction in [0, 1].
        loss: mean cross-entropy in nats, ≥ 0.
        n: number of pictures scored.
        step: the step that proposed it; -1 for the initial template.
        source: who wrote it: `initial` or the language model's name.

    Example:
        >>> ScoredTemplate("a sketch of a <CLASS>.", 0.625, 1.25, n=8, step=0, source="language model").line()
        'accuracy 62.50 %, loss 1.2500: a sketch of a <CLASS>.'
    """

    template: str
    accuracy: float
    loss: float
    n: int
    step: int
    source: str

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: accuracy, then lower loss."""
        return (self.accuracy, -self.loss)

    def line(self) -> str:
        """Return the line that the language model reads."""
        return f"accuracy {100 * self.accuracy:.2f} %, loss {self.loss:.4f}: {self.template}"


class PromptHistory:
    """Every template of a run, once. Spellings that differ in case, spaces or end punctuation are one template.

    Args:
        initial: the scored template that the search starts from.
        pin_initial: whether a view always holds the initial template, as the paper does and its code does not.
        floor: accuracy in [0, 1] below which an entry is stored but not shown; the paper's code hides those under 0.20.

    Example:
        >>> history = PromptHistory(ScoredTemplate("a photo of a <CLASS>.", 0.40, 2.0, 50, -1, "initial"))
        >>> history.add(ScoredTemplate("a sketch of a <CLASS>.", 0.60, 1.5, 50, 0, "language model"))
        True
        >>> history.add(ScoredTemplate("A Sketch of a <CLASS>", 0.60, 1.5, 50, 1, "language model"))
        False
        >>> print("\\n".join(entry.line() for entry in history.view(20)))
        accuracy 40.00 %, loss 2.0000: a photo of a <CLASS>.
        accuracy 60.00 %, loss 1.5000: a sketch of a <CLASS>.
        >>> history.best.template, len(history)
        ('a sketch of a <CLASS>.', 2)
    """

    def __init__(self, initial: ScoredTemplate, *, pin_initial: bool = True, floor: float = 0.0) -> None:
        self.initial = initial
        self._pin_initial = pin_initial
        self._floor = floor
        self._entries: dict[str, ScoredTemplate] = {key(initial.template): initial}

    def add(self, scored: ScoredTemplate) -> bool:
        """Insert a template; return False, and change nothing, when it is known."""
        return self._entries.setdefault(key(scored.template), scored) is scored

    def __contains__(self, template: str) -> bool:
        return key(template) in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ScoredTemplate]:
        """Iterate in the order of insertion."""
        return iter(self._entries.values())

    @property
    def best(self) -> ScoredTemplate:
        """The entry with the highest rank; the earlier one of equals."""
        return max(self, key=lambda entry: entry.rank)

    def ranked(self) -> list[ScoredTemplate]:
        """Return all entries, best first; the earlier one of equals first."""
        return sorted(self, key=lambda entry: entry.rank, reverse=True)

    def shuffled(self, rng: random.Random) -> PromptHistory:
        """Return a copy in which the scores have changed hands: the same templates and scores, in other pairs.

        What a search gains with it, it gains without knowing which template was good: the control for the history.
        """
        entries = list(self)
        givers = rng.sample(entries, len(entries))
        mixed = [replace(e, accuracy=g.accuracy, loss=g.loss) for e, g in zip(entries, givers, strict=True)]
        copy = PromptHistory(mixed[0], pin_initial=self._pin_initial, floor=self._floor)
        for entry in mixed[1:]:
            copy.add(entry)
        return copy

    def view(self, k: int) -> list[ScoredTemplate]:
        """Return what the language model is shown: the `k` best, worst first, best last."""
        if k <= 0:
            return []
        shown = [entry for entry in self.ranked()[:k] if entry.accuracy >= self._floor]
        if self._pin_initial and self.initial not in shown:
            shown = [*shown[: k - 1], self.initial]
        return shown[::-1] if self.initial not in shown else sorted(shown, key=lambda entry: entry.rank)
