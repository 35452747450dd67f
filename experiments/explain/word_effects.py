"""What each word of the chosen template does: how value and loss change when it goes, is neutral, or moves.

Readable is not the same as explanatory: a fluent sentence may win through its length or the place of the class name.
Removing a word shortens the sentence and shifts what follows; a placebo, neutral words of as many tokens, does neither.
A word matters where both hurt. (Single-word removal: table of word effects in Du, Sun & Snoek 2024; placebos are ours.)

Changes are tested on fresh pictures, which neither searched nor chose. On those that chose the template its value is
too high, so that every change looks harmful: without fresh ones the numbers there are given, and called a description.
Cross-fitting would not help. The template that other pictures choose is another one, with other words; and to keep only
the folds in which it is the same would choose again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ipo_prompts.experiments.explain.model import Shift, Skipped, WordChange, Words
from ipo_prompts.experiments.explain.word_changes import Change, changes, tidy
from ipo_prompts.experiments.run.comparison import CLASSIFICATION, RewardNames
from ipo_prompts.metrics.evidence import ALPHA, holm, paired_difference
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.statistics import mean_interval

if TYPE_CHECKING:
    from ipo_prompts.metrics.clip import Clip


@dataclass(frozen=True)
class Looked:
    """The chosen template on the n units on which its words are looked at, never sealed ones.

    Attributes:
        part: `fresh`, or `selection` where they chose the template.
        units: what the reward made of them.
        chosen: the score of the chosen template, in their order.
        sampling: how they were drawn.
    """

    part: Literal["fresh", "selection"]
    units: Any
    chosen: Score
    sampling: Sampling


def word_effects(
    reward: Reward, looked: Looked, tokens: Callable[[str], int], names: RewardNames = CLASSIFICATION
) -> Words:
    """Say what each word does. All changed templates are scored in one call, about 50 of them.

    Args:
        reward: what was maximised.
        looked: what the words are looked at on.
        tokens: how many tokens a word has; see `token_counter`.
        names: what the measure and the units are called.
    """
    chosen = looked.chosen
    proposed = changes(chosen.template, tokens)
    problems: dict[str, str | None] = {}
    for template in (template for change in proposed for template in change.templates):
        if template not in problems:
            same = template == tidy(chosen.template)
            problems[template] = "it is the template itself" if same else reward.problem(template)
    usable = [template for template, reason in problems.items() if reason is None]
    scores = dict(zip(usable, reward.score(usable, looked.units), strict=True))

    found = [row for change in proposed if (row := _row(change, chosen, scores, looked.sampling))]
    if looked.part == "fresh":
        corrected = holm([p for _, p in found])
        rows = [
            row.model_copy(update={"p": rounded(p), "significant": p < ALPHA})
            for (row, _), p in zip(found, corrected, strict=True)
        ]
    else:
        rows = [_described(row) for row, _ in found]
    return Words(
        part=looked.part,
        n=chosen.n,
        template=chosen.template,
        value=rounded(chosen.value),
        loss=rounded(chosen.loss),
        changes=tuple(rows),
        skipped=tuple(Skipped(template=template, reason=reason) for template, reason in problems.items() if reason),
        note=_note(rows, looked, len(reward.class_names), names),
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
    hits = np.mean([score.hits for score in found], axis=0)
    losses = np.mean([score.losses for score in found], axis=0)
    value = paired_difference(chosen.hits, hits, sampling).these
    loss = losses - chosen.losses
    row = WordChange(
        kind=change.kind,
        span=change.span,
        text=change.text,
        template=found[0].template,
        wordings=tuple(detail for _, detail in pairs) if change.kind == "placebo" else (),
        to=pairs[0][1] if change.kind == "move" else None,
        value=_shift(value.mean, value.low, value.high),
        loss=_shift(float(loss.mean()), *mean_interval(loss, sampling)),
        significant=False,
    )
    return row, value.p


def _shift(change: float, low: float, high: float) -> Shift:
    bounded = math.isfinite(low) and math.isfinite(high)
    return Shift(change=rounded(change), ci95=(rounded(low), rounded(high)) if bounded else None)


def _described(row: WordChange) -> WordChange:
    """Leave out what would be an inference from pictures that chose the template."""
    bare = {name: shift.model_copy(update={"ci95": None}) for name, shift in (("value", row.value), ("loss", row.loss))}
    return row.model_copy(update=bare)


def _note(rows: Sequence[WordChange], looked: Looked, classes: int, names: RewardNames) -> str:
    wordings = max((len(row.wordings) for row in rows), default=0)
    placebos = (
        "A placebo puts as many neutral words in a word's place as it has tokens, so that length and places stay"
        + (f"; its numbers are the mean over up to {wordings} wordings." if wordings > 1 else ".")
        if wordings
        else "There are no placebos: the template has no words for them, or too many."
    )
    count = f"{len(rows)} change{'' if len(rows) == 1 else 's'}"
    number = f"{count} looked at on {looked.chosen.n} {looked.part} {names.unit}"
    if looked.part == "selection":
        return (
            f"{number}, which chose the template: no other training pictures could be used. This describes how it came "
            f"to win on them. They chose it for its {names.measure}, so that changes look worse here than they are: "
            f"none is tested; the loss is touched less by that. With more training pictures, or fewer shots, changes "
            f"are tested on {names.unit} that chose nothing. {placebos}"
        )
    there = classes if looked.sampling.classes is None else int(looked.sampling.classes.max()) + 1
    of = "" if there == classes else f" of {there} of the {classes} classes"
    return (
        f"{number}{of}, training or validation pictures that neither searched for the template nor chose it. Told from "
        f"chance means p < {ALPHA} after Holm's correction over all changes in {names.measure}; the intervals are not "
        f"corrected. {placebos}"
    )
