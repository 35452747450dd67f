"""Score templates by a reward, check what the reward gave, and write scores into the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ipo_prompts.metrics.arrays import batches
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward, Score, Units, by_embeddings, scale_of
from ipo_prompts.metrics.scale import Scale
from ipo_prompts.programs.journal import Journal

if TYPE_CHECKING:
    from ipo_prompts.programs.bench import Rejection

AT_ONCE = 256
"""The most templates in one call of the reward."""
ROUNDING = 1e-5
"""The accepted distance of a value from the mean of its hits, and from its scale: sums in float32 are not exact."""


def score(reward: Reward, templates: Sequence[str], units: Units) -> list[Score]:
    """Return the scores of templates on units, in the order of the templates.

    Raises:
        InputError: the reward, which may be a user's own, did not give one valid `Score` for each template.
    """
    # At most `AT_ONCE` at a time: with many classes, the texts of a whole search would fill the memory.
    parts = batches(templates, AT_ONCE)
    return [one for part in parts for one in _checked(reward, reward.score(part, units), part, units)]


def score_together(reward: Reward, templates: Sequence[str], units: Units) -> list[Score]:
    """Return the scores as `score` does, but quickly: the last bits of a score may depend on the other templates."""
    together = by_embeddings(reward)
    if together is None:
        return score(reward, templates, units)
    return _checked(reward, together.score_batch(templates, units), templates, units)


def note_scores(
    journal: Journal, kind: str, step: int, scores: Sequence[Score], rejected: Sequence[Rejection] = ()
) -> None:
    """Write the scores of the proposed templates of a step, and the refused templates, as one event.

    `kind` is `train` or `val`.
    """
    journal.note(
        "scores",
        kind=kind,
        step=step,
        # The journal uses the key `accuracy` for every reward, so that journals of all versions have the same keys.
        scores=[
            {"template": s.template, "accuracy": s.value, "loss": s.loss, "n": s.n, "hits": units_of(s)} for s in scores
        ],
        rejected=[asdict(rejection) for rejection in rejected],
    )


def units_of(score: Score) -> str | list[float]:
    """Return the hits of a score for the journal.

    Boolean hits become a text with `1` (right) or `0` (wrong) for each unit. Other hits become a list of numbers.
    """
    return score.bits if score.hits.dtype == bool else [float(hit) for hit in score.hits]


def _checked(reward: Reward, scores: Any, templates: Sequence[str], units: Units) -> list[Score]:
    """Check the scores that a reward gave, make their arrays read-only, and return them."""
    name = f"the reward {type(reward).__name__}"
    if not isinstance(scores, (list, tuple)):
        raise InputError(f"score() of {name} gave {type(scores).__name__}, not a list of Score.")
    if len(scores) != len(templates):
        raise InputError(f"{name} gave {len(scores)} scores for {len(templates)} templates; give one for each.")
    size = None if units.groups is None else len(units.groups)
    for one, template in zip(scores, templates, strict=True):
        wrong = _wrong(one, template, size, scale_of(reward))
        if wrong:
            raise InputError(f"{name} gave the template {template!r} {wrong}; see ipo docs own-reward.")
        for array in (one.hits, one.losses, one.predictions):
            array.setflags(write=False)
        size = one.n
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
