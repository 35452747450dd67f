"""The layer between reward and search. It writes scores to the journal before the search may use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward, Score, Units, by_embeddings, scale_of
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.metrics.surrogate import Surrogate
from ipo_prompts.programs.record.journal import Event, Journal
from ipo_prompts.programs.templates.admission import Rejection

AT_ONCE = 256
"""The most templates in one call of the reward."""
ROUNDING = 1e-5
"""The accepted distance of a value from the mean of its hits, and from its scale: sums in float32 are not exact."""


class ScoreKeeper:
    """Scores templates and writes the scores to the journal.

    An event that an earlier session wrote is not written again. But its scores are computed again, and not read from
    the journal: this is exact and cheap, and a damaged or edited journal cannot change a result.

    Args:
        journal: the journal that scores are written to; None records nothing.
        reward: the reward that scores the templates.

    Attributes:
        scale: the scale of the reward.
    """

    def __init__(self, journal: Journal | None, reward: Reward) -> None:
        self._journal = journal
        self._reward = reward
        self.scale = scale_of(reward)

    def score(
        self,
        step: int,
        templates: Sequence[str],
        units: Units,
        rejected: Sequence[Rejection] = (),
        kind: str = "search",
        known: Mapping[str, Score] | None = None,
    ) -> list[Score]:
        """Score the templates of a step, record the scores in one event, and return them in the order of `templates`.

        Args:
            step: the number of the step.
            templates: the templates to score.
            units: the search or selection units.
            rejected: the templates that were refused in this step; they are recorded in the event.
            kind: `search` or `selection`.
            known: the scores on these units that `propose` has already returned, by template.
        """
        made = dict(known or {})
        new = [template for template in templates if template not in made]
        made |= {score.template: score for score in self.again(new, units)}
        scores = [made[template] for template in templates]
        self.note(
            "scores",
            kind=kind,
            step=step,
            # The journal uses the key `accuracy` for every reward, so that journals of all versions have the same keys.
            scores=[
                {"template": s.template, "accuracy": s.value, "loss": s.loss, "n": s.n, "hits": units_of(s)}
                for s in scores
            ],
            rejected=[asdict(rejection) for rejection in rejected],
        )
        return scores

    def again(self, templates: Sequence[str], units: Units) -> list[Score]:
        """Return the scores of templates without recording them, as when they are recorded already."""
        # At most `AT_ONCE` at a time: with many classes, the texts of a whole search would fill the memory.
        parts = [templates[start : start + AT_ONCE] for start in range(0, len(templates), AT_ONCE)]
        return [score for part in parts for score in self._checked(self._reward.score(part, units), part, units)]

    def score_only(
        self, step: int, templates: Sequence[str], units: Units, around: str = "", surrogate: Surrogate | None = None
    ) -> list[Score]:
        """Score templates that are not proposed; record value and loss of each template, rounded to six decimals.

        If the templates are neighbours of one template, `around` is that template. With a surrogate, only the most
        promising templates are scored.
        """
        if surrogate:
            scores = surrogate.promising(templates)
            self._checked(scores, [score.template for score in scores], units)
        elif together := by_embeddings(self._reward):
            scores = self._checked(together.score_batch(templates, units), templates, units)
        else:
            scores = self.again(templates, units)
        rows = [[score.template, round(score.value, 6), round(score.loss, 6)] for score in scores]
        tried = {"tried": len(templates)} if surrogate else {}
        self.note("scored_only", step=step, around=around, rows=rows, **tried)
        return scores

    def propose(self, step: int, template: str, units: Units) -> Score:
        """Score one template before the end of its step; record its value and loss, rounded to six decimals."""
        (score,) = self.again([template], units)
        self.note("proposed", step=step, row=[template, round(score.value, 6), round(score.loss, 6)])
        return score

    def done(self, step: int) -> bool:
        """Return whether an earlier session recorded the scores of a step."""
        return bool(self._journal and self._journal.find("scores", kind="search", step=step))

    def find(self, type_: str) -> Event | None:
        """Return the latest event of a type that an earlier session wrote; None if there is none."""
        return self._journal.find(type_) if self._journal else None

    def note(self, type_: str, **content: Any) -> None:
        """Write an event to the journal, unless an earlier session has written the same event."""
        if self._journal and not self._journal.find(type_, **content):
            self._journal.append(type_, **content)

    def _checked(self, scores: Any, templates: Sequence[str], units: Units) -> list[Score]:
        """Check the scores that a reward gave, make their arrays read-only, and return them.

        The reward may be a user's own, so its scores may be wrong.

        Raises:
            InputError: there is not one valid `Score` for each template, in the order of the templates.
        """
        name = f"the reward {type(self._reward).__name__}"
        if not isinstance(scores, (list, tuple)):
            raise InputError(f"score() of {name} gave {type(scores).__name__}, not a list of Score.")
        if len(scores) != len(templates):
            raise InputError(f"{name} gave {len(scores)} scores for {len(templates)} templates; give one for each.")
        size = None if units.groups is None else len(units.groups)
        for score, template in zip(scores, templates, strict=True):
            wrong = _wrong(score, template, size, self.scale)
            if wrong:
                raise InputError(f"{name} gave the template {template!r} {wrong}; see ipo docs own-reward.")
            for array in (score.hits, score.losses, score.predictions):
                array.setflags(write=False)
            size = score.n
        return list(scores)


def _wrong(score: Any, template: str, size: int | None, scale: Scale) -> str | None:
    """Return what is wrong with a score, as part of a sentence; None if the score is valid.

    Args:
        score: the object that the reward gave for the template.
        template: the template that was scored.
        size: the number of units; None if it is not known.
        scale: the scale of the reward.
    """
    if not isinstance(score, Score):
        return f"{type(score).__name__}, not a Score"
    if score.template != template:
        return f"the score of {score.template!r}: scores come in the order of the templates"
    for name in ("hits", "losses"):
        array = getattr(score, name)
        if not isinstance(array, np.ndarray) or array.ndim != 1:
            return f"{name} that are not an array with one number for each unit"
        if len(array) != (score.n if size is None else size):
            return f"{len(array)} {name} where there are {score.n if size is None else size} units"
    mean = float(np.mean(score.hits, dtype=np.float64)) if score.n else float("nan")
    if not scale.low - ROUNDING <= score.value <= scale.high + ROUNDING or not np.isfinite(score.value):  # NaN, too
        return (
            f"the value {score.value}, which is not in [{scale.low:g}, {scale.high:g}]; a reward with other numbers "
            "has a scale = Scale(low=…, high=…)"
        )
    if not abs(mean - score.value) <= ROUNDING * max(1.0, abs(score.value)):
        return f"the value {score.value:.6g} and hits with the mean {mean:.6g}; they must be the same"
    if not np.isfinite(score.loss) or not np.isfinite(np.sum(score.losses)):
        return f"the loss {score.loss}, or losses that are not finite; every loss must be a finite number"
    return None


def units_of(score: Score) -> str | list[float]:
    """Return the hits of a score for the journal.

    Boolean hits become a text with `1` (right) or `0` (wrong) for each unit. Other hits become a list of numbers.
    """
    return score.bits if score.hits.dtype == bool else [float(hit) for hit in score.hits]
