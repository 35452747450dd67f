"""What each word of the chosen template does: how value and loss change when it goes, is neutral, or moves.

Readable is not the same as explanatory: a fluent sentence may win through its length or the place of the class name.
Removing a word shortens the sentence and shifts what follows; a placebo, neutral words of as many tokens, does neither.
A word matters where both hurt. (Single-word removal: table of word effects in Du, Sun & Snoek 2024; placebos are ours.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ipo.experiments.explain.model import Shift, Skipped, WordChange, Words
from ipo.experiments.explain.word_changes import Change, changes, tidy
from ipo.experiments.run.comparison import CLASSIFICATION, RewardNames
from ipo.metrics.evidence import Crossed, holm, paired_effect
from ipo.metrics.reward import Reward, Score
from ipo.metrics.sampling import Sampling
from ipo.metrics.statistics import mean_interval

if TYPE_CHECKING:
    from ipo.metrics.clip import Clip

LEVEL = 0.05
"""Family-wise error of all changes together."""


def word_effects(
    reward: Reward,
    units: Any,
    chosen: Score,
    sampling: Sampling,
    tokens: Callable[[str], int],
    names: RewardNames = CLASSIFICATION,
) -> Words:
    """Say what each word does. All changed templates are scored in one call, about 50 of them.

    Args:
        reward: what was maximised.
        units: what it made of the selection examples, never of sealed ones.
        chosen: the chosen template on these units, in their order.
        sampling: how they were drawn.
        tokens: how many tokens a word has; see `token_counter`.
        names: what the measure and the units are called.
    """
    proposed = changes(chosen.template, tokens)
    problems: dict[str, str | None] = {}
    for template in (template for change in proposed for template in change.templates):
        if template not in problems:
            same = template == tidy(chosen.template)
            problems[template] = "it is the template itself" if same else reward.problem(template)
    usable = [template for template, reason in problems.items() if reason is None]
    scores = dict(zip(usable, reward.score(usable, units), strict=True))

    found = [row for change in proposed if (row := _row(change, chosen, scores, sampling))]
    corrected = holm([p for _, p in found])
    rows = [
        row.model_copy(update={"p": rounded(p), "significant": p < LEVEL})
        for (row, _), p in zip(found, corrected, strict=True)
    ]
    return Words(
        part="selection",
        n=chosen.n,
        template=chosen.template,
        value=rounded(chosen.value),
        loss=rounded(chosen.loss),
        changes=tuple(rows),
        skipped=tuple(Skipped(template=template, reason=reason) for template, reason in problems.items() if reason),
        note=_note(rows, chosen.n, names),
    )


def token_counter(clip: Clip) -> Callable[[str], int]:
    """Return what counts the tokens of a word, without those that begin and end a text."""
    empty = clip.count("")
    return lambda word: clip.count(word) - empty


def rounded(value: float) -> float:
    """Keep six decimals, as `result.json` does, and no negative zero."""
    return round(float(value), 6) + 0.0


def _row(
    change: Change, chosen: Score, scores: dict[str, Score], sampling: Sampling
) -> tuple[WordChange, float] | None:
    """Compare one change with the chosen template, with its own p; None when nothing of it could be scored."""
    pairs: list[tuple[Score, str]] = []
    for template, detail in zip(change.templates, change.details, strict=True):
        score = scores.get(template)
        # A CLIP of few words reads some wordings alike; they are one measurement and not several.
        if score and not any(np.allclose(score.losses, other.losses, atol=1e-4) for other, _ in pairs):
            pairs.append((score, detail))
    if not pairs:
        return None
    found = [score for score, _ in pairs]
    hits = np.sum([score.hits for score in found], axis=0)  # added up over the wordings
    losses = np.mean([score.losses for score in found], axis=0)
    k = len(found)
    value = paired_effect([Crossed((hits / k - chosen.hits)[None], sampling)]).these
    p = value.p
    row = WordChange(
        kind=change.kind,
        span=change.span,
        text=change.text,
        template=found[0].template,
        wordings=tuple(detail for _, detail in pairs) if change.kind == "placebo" else (),
        to=pairs[0][1] if change.kind == "move" else None,
        value=Shift(change=rounded(value.mean), ci95=_ends(value.low, value.high)),
        loss=Shift(
            change=rounded(float((losses - chosen.losses).mean())),
            ci95=_ends(*mean_interval(losses - chosen.losses, sampling)),
        ),
        significant=False,
    )
    return row, p


def _ends(low: float, high: float) -> tuple[float, float] | None:
    return (rounded(low), rounded(high)) if math.isfinite(low) and math.isfinite(high) else None


def _note(rows: Sequence[WordChange], n: int, names: RewardNames) -> str:
    wordings = max((len(row.wordings) for row in rows), default=0)
    placebos = (
        "A placebo puts as many neutral words in a word's place as it has tokens, so that length and places stay"
        + (f"; its numbers are the mean over up to {wordings} wordings." if wordings > 1 else ".")
        if wordings
        else "There are no placebos: the template has no words for them, or too many."
    )
    return (
        f"{len(rows)} change{'' if len(rows) == 1 else 's'} looked at on {n} selection {names.unit}. Told from chance "
        f"means p < {LEVEL} after Holm's correction over all changes in {names.measure}; the intervals are not "
        f"corrected. The same {names.unit} chose the template for its {names.measure}, so any change of it tends to "
        f"look worse than it is; the loss is touched less by that. {placebos}"
    )
