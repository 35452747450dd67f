"""The history of a search: the initial template and every proposed template, with their scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipo_prompts.metrics.template import key

if TYPE_CHECKING:
    from ipo_prompts.metrics.reward import Score


@dataclass(frozen=True)
class ScoredTemplate:
    """A template of the history.

    Attributes:
        score: the score on the search pictures, with the value of each unit.
        step: the step that proposed the template; -1 for the initial template.
        source: where the template came from: `initial`, `language model`, `composition` (of words of a
            language model or of a vocabulary), or `no language model`.

    Example:
        >>> import numpy as np
        >>> from ipo_prompts.metrics.reward import Score
        >>> hits = np.array([True, False, False, True])
        >>> entry = ScoredTemplate(Score("a sketch of a <CLASS>.", 0.5, 1.25, hits, 2.0 - hits), step=0, source="list")
        >>> entry.value, entry.n, entry.rank
        (0.5, 4, (0.5, -1.25))
    """

    score: Score
    step: int
    source: str

    @property
    def template(self) -> str:
        """The template."""
        return self.score.template

    @property
    def value(self) -> float:
        """The value on the search units, on the reward's scale; a search maximises it."""
        return self.score.value

    @property
    def loss(self) -> float:
        """The mean loss; for classification the cross-entropy in nats."""
        return self.score.loss

    @property
    def n(self) -> int:
        """The number of search units."""
        return self.score.n

    @property
    def rank(self) -> tuple[float, float]:
        """The rank of the score; see `Score.rank`."""
        return self.score.rank

    def record(self) -> dict[str, Any]:
        """Return the template and its score as plain JSON, without the values of single units."""
        return {
            "template": self.template,
            "value": self.value,
            "loss": self.loss,
            "n": self.n,
            "step": self.step,
            "source": self.source,
        }


class PromptHistory:
    """All proposed templates of a search, each once, and the initial template.

    Texts that differ only in case, spaces or end punctuation are the same template.

    Example:
        >>> from ipo_prompts.metrics.reward import Score
        >>> import numpy as np
        >>> def scored(template, hits, step):
        ...     score = Score(template, sum(hits) / len(hits), 1.0, np.array(hits, dtype=bool), np.ones(len(hits)))
        ...     return ScoredTemplate(score, step, "example")
        >>> history = PromptHistory(scored("a photo of a <CLASS>.", [1, 0, 0, 0], -1))
        >>> history.add(scored("a sketch of a <CLASS>.", [1, 1, 0, 0], 0))
        True
        >>> history.add(scored("A Sketch of a <CLASS>", [1, 1, 0, 0], 1))
        False
        >>> [entry.value for entry in history.view(20)]
        [0.25, 0.5]
        >>> history.best.template, len(history)
        ('a sketch of a <CLASS>.', 2)
    """

    def __init__(self, initial: ScoredTemplate) -> None:
        self.initial = initial
        self._entries: dict[str, ScoredTemplate] = {key(initial.template): initial}

    def add(self, scored: ScoredTemplate) -> bool:
        """Add a template and return True. If the template is known already, change nothing and return False."""
        return self._entries.setdefault(key(scored.template), scored) is scored

    def __contains__(self, template: object) -> bool:
        return isinstance(template, str) and key(template) in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ScoredTemplate]:
        """Iterate in the order of insertion."""
        return iter(self._entries.values())

    @property
    def best(self) -> ScoredTemplate:
        """The entry with the highest rank; of equal entries the earliest."""
        return max(self, key=lambda entry: entry.rank)

    def ranked(self) -> list[ScoredTemplate]:
        """Return all entries, best first; of equal entries the earliest first."""
        return sorted(self, key=lambda entry: entry.rank, reverse=True)

    def view(self, k: int, *, pin_initial: bool = True, floor: float = 0.0) -> list[ScoredTemplate]:
        """Return the `k` best entries, the best one last.

        Args:
            k: the number of entries; 0 for none.
            pin_initial: whether the initial template is always among them, as in the paper but not in its code.
            floor: the lowest value of an entry. Entries with a lower value are left out. The paper's code uses 0.20.
        """
        if k <= 0:
            return []
        shown = [entry for entry in self.ranked()[:k] if entry.value >= floor]
        if pin_initial and self.initial not in shown:
            shown = [*shown[: k - 1], self.initial]
        return shown[::-1] if self.initial not in shown else sorted(shown, key=lambda entry: entry.rank)
