"""Stands between the reward and the search: scores are written to the journal before the search may use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ipo.metrics.reward import Reward, Score, Units
from ipo.programs.proposer import Rejection
from ipo.programs.record.journal import Event, Journal


class ScoreKeeper:
    """Scores templates and records them, one event a step.

    An event that an earlier sitting wrote is not written twice. Its scores are made again rather than read: they are
    exact and cheap, and so a damaged or edited record cannot change a result.

    Args:
        journal: where to; None keeps nothing.
        reward: what scores.
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
        """Score the templates of a step on `search` or `selection` units."""
        scores = self._reward.score(templates, units)
        self.note(
            "scores",
            kind=kind,
            step=step,
            scores=[
                {"template": s.template, "accuracy": s.accuracy, "loss": s.loss, "n": s.n, "hits": _record(s)}
                for s in scores
            ],
            rejected=[asdict(rejection) for rejection in rejected],
        )
        return scores

    def find(self, type_: str) -> Event | None:
        """Return the latest event of a type from earlier sittings."""
        return self._journal.find(type_) if self._journal else None

    def note(self, type_: str, **content: Any) -> None:
        """Write an event that the record does not hold yet."""
        if self._journal and not self._journal.find(type_, **content):
            self._journal.append(type_, **content)


def _record(score: Score) -> str | list[float]:
    """What each unit contributed: `1` and `0` where it is right or wrong, else its number."""
    return score.bits if score.hits.dtype == bool else [float(hit) for hit in score.hits]
