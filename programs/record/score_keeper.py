"""Between the reward and the search: scores are written to the journal before the search may use them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ipo.metrics.reward import Reward, Score, Screening, Units
from ipo.programs.admission import Rejection
from ipo.programs.record.journal import Event, Journal
from ipo.programs.strategies.base import Shown

AT_ONCE = 256
"""Templates that are scored in one call of the reward."""
BEST_LOOKED_AT = 5
"""Scores recorded of each chunk that `look` scores: the best ones."""


class ScoreKeeper:
    """Scores templates and records them, one event a step.

    An event that an earlier session wrote is not written twice. Its scores are made again rather than read: they are
    exact and cheap, and a damaged or edited record cannot change a result.

    Args:
        journal: where scores are recorded; None records nothing.
        reward: scores the templates.
    """

    def __init__(self, journal: Journal | None, reward: Reward) -> None:
        self._journal = journal
        self._reward = reward

    def score(
        self,
        step: int,
        templates: Sequence[str],
        units: Units,
        rejected: Sequence[Rejection] = (),
        kind: str = "search",
    ) -> list[Score]:
        """Score the templates of a step on `search` or `selection` units, those of an `earlier` run on the former."""
        scores = self.again(templates, units)
        self.note(
            "scores",
            kind=kind,
            step=step,
            # The journal calls the value an accuracy, whatever the reward, so that all versions' runs are read alike.
            scores=[
                {"template": s.template, "accuracy": s.value, "loss": s.loss, "n": s.n, "hits": units_of(s)}
                for s in scores
            ],
            rejected=[asdict(rejection) for rejection in rejected],
        )
        return scores

    def again(self, templates: Sequence[str], units: Units) -> list[Score]:
        """Score templates without recording it, as where the same scores are recorded already."""
        # A few at a time: the texts of a whole search, for many classes, would fill the memory.
        parts = [templates[start : start + AT_ONCE] for start in range(0, len(templates), AT_ONCE)]
        return [score for part in parts for score in self._reward.score(part, units)]

    def look(self, step: int, templates: Sequence[str], units: Units) -> list[Score]:
        """Score templates that are not proposed; the record holds their digest, their number and the best few."""
        scoring = self._reward.screen if isinstance(self._reward, Screening) else self._reward.score
        scores = scoring(templates, units)
        best = sorted(scores, key=lambda score: score.rank, reverse=True)[:BEST_LOOKED_AT]
        self.note(
            "looked",
            step=step,
            count=len(templates),
            digest=hashlib.sha256("\n".join(templates).encode()).hexdigest()[:32],
            best=[{"template": s.template, "value": s.value, "loss": s.loss} for s in best],
        )
        return scores

    def shown(self, step: int, shown: Shown) -> None:
        """Record what a step may know, before anything is asked."""
        taught = {"findings": list(shown.findings)} if shown.findings else {}
        self.note("shown", step=step, rows=[asdict(row) for row in shown.templates], **taught)

    def find(self, type_: str) -> Event | None:
        """Return the latest event of a type from earlier sessions."""
        return self._journal.find(type_) if self._journal else None

    def note(self, type_: str, **content: Any) -> None:
        """Write an event, unless the record holds it already."""
        if self._journal and not self._journal.find(type_, **content):
            self._journal.append(type_, **content)


def units_of(score: Score) -> str | list[float]:
    """Return what each unit contributed: `1` and `0` where it is right or wrong, else its number."""
    return score.bits if score.hits.dtype == bool else [float(hit) for hit in score.hits]
