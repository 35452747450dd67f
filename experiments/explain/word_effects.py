"""What each word of the chosen template does: how accuracy and loss change when it goes, is neutral, or moves.

Readable is not the same as explanatory: a fluent sentence may win through its length or the place of the class name.
Removing a word shortens the sentence and shifts what follows; a placebo, neutral words of as many tokens, does neither.
A word matters where both hurt. (Single-word removal: table of word effects in Du, Sun & Snoek 2024; placebos are ours.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ipo.experiments.explain.word_changes import Change, changes, tidy
from ipo.metrics.reward import ClipReward, EncodedPictures, Score
from ipo.metrics.statistics import mean_interval, paired_difference

LEVEL = 0.05
"""Family-wise error of all changes together."""


def word_effects(
    reward: ClipReward, pictures: EncodedPictures, chosen: Score, groups: Sequence[str] | None
) -> dict[str, Any]:
    """Return the `words` entry of `analysis.json`. All changed templates are scored in one call, about 50 of them.

    Args:
        reward: with the classes of the run.
        pictures: selection pictures, never sealed ones.
        chosen: the chosen template on these pictures, in their order.
        groups: length n, what is not independent of each other.

    Returns:
        `change` is changed minus chosen: an accuracy as a fraction, a loss in nats. `ci95` is null where all pictures
        are one group, which cannot bound it. A placebo's `template` is the first of the wordings in `with`, its numbers
        are the mean over them; wordings that the CLIP cannot tell apart are there once. `p` is Holm's; offsets count
        code points.
    """
    empty = reward.clip.count("")
    proposed = changes(chosen.template, lambda word: reward.clip.count(word) - empty)
    problems: dict[str, str | None] = {}
    for template in (template for change in proposed for template in change.templates):
        if template not in problems:
            same = template == tidy(chosen.template)
            problems[template] = "it is the template itself" if same else reward.problem(template)
    usable = [template for template, reason in problems.items() if reason is None]
    scores = dict(zip(usable, reward.score(usable, pictures), strict=True))

    rows = [row for change in proposed if (row := _row(change, chosen, scores, groups))]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row |= {"p": rounded(p), "significant": p < LEVEL}
    skipped = [{"template": template, "reason": reason} for template, reason in problems.items() if reason]
    return {
        "part": "selection",
        "n": chosen.n,
        "template": chosen.template,
        "accuracy": rounded(chosen.accuracy),
        "loss": rounded(chosen.loss),
        "changes": rows,
        "skipped": skipped,
        "note": _note(rows, chosen.n),
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that all decisions together keep the error level (Holm 1979), whatever their dependence.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def rounded(value: float) -> float:
    """Keep six decimals, as `result.json` does, and no negative zero."""
    return round(float(value), 6) + 0.0


def _row(
    change: Change, chosen: Score, scores: dict[str, Score], groups: Sequence[str] | None
) -> dict[str, Any] | None:
    """Compare one change with the chosen template; None when nothing of it could be scored."""
    pairs: list[tuple[Score, str]] = []
    for template, detail in zip(change.templates, change.details, strict=True):
        score = scores.get(template)
        # A CLIP of few words reads some wordings alike; they are one measurement and not several.
        if score and not any(np.allclose(score.losses, other.losses, atol=1e-4) for other, _ in pairs):
            pairs.append((score, detail))
    if not pairs:
        return None
    found = [score for score, _ in pairs]
    hits = np.sum([score.hits for score in found], axis=0)  # wordings that got each picture right, 0 to k
    losses = np.mean([score.losses for score in found], axis=0)
    k = len(found)
    accuracy = paired_difference(chosen.hits, hits / k, groups)
    # The sign-flip test counts in whole numbers, so it sees k times the differences; its p does not depend on scale.
    p = paired_difference(k * chosen.hits, hits, groups).p
    loss = mean_interval(losses - chosen.losses, groups)
    row: dict[str, Any] = {
        "kind": change.kind,
        "span": list(change.span),
        "text": change.text,
        "template": found[0].template,
    }
    if change.kind == "placebo":
        row["with"] = [detail for _, detail in pairs]
    elif change.kind == "move":
        row["to"] = pairs[0][1]
    return row | {
        "accuracy": {"change": rounded(accuracy.mean), "ci95": _ends(accuracy.low, accuracy.high)},
        "loss": {"change": rounded(float((losses - chosen.losses).mean())), "ci95": _ends(*loss)},
        "p": p,
    }


def _ends(low: float, high: float) -> list[float] | None:
    return [rounded(low), rounded(high)] if math.isfinite(low) and math.isfinite(high) else None


def _note(rows: Sequence[dict[str, Any]], n: int) -> str:
    wordings = max((len(row["with"]) for row in rows if row["kind"] == "placebo"), default=0)
    placebos = (
        "A placebo puts as many neutral words in a word's place as it has tokens, so that length and places stay"
        + (f"; its numbers are the mean over up to {wordings} wordings." if wordings > 1 else ".")
        if wordings
        else "There are no placebos: the template has no words for them, or too many."
    )
    return (
        f"{_counted(len(rows), 'change')} looked at on {_counted(n, 'selection picture')}. Told from chance means "
        f"p < {LEVEL} after Holm's correction over all changes in accuracy; the intervals are not corrected. The same "
        "pictures chose the template for its accuracy, so any change of it tends to look worse than it is; the loss is "
        f"touched less by that. {placebos}"
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
