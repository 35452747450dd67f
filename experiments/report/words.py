"""Measure the effect of each word of the chosen template on value and loss.

The template is scored again without each word and without each phrase. Words are separated by spaces. Punctuation
around a word is not part of the word. Phrases are found by two rules: commas and similar marks end a phrase, and a
preposition begins a phrase. Readers can check both rules by eye. They could not check the trees of a parser. (Removal
of single words is from the table of word effects in Du, Sun & Snoek 2024.)

A readable template is not an explanation: a fluent sentence may win by its length or by the place of the class name,
and removing a word shortens the sentence and shifts the words after it.

Changes are tested on fresh pictures, which were used neither for the search nor for the choice. On the pictures that
chose the template, the value of the template is too high, so every change looks harmful. If there are no fresh
pictures, changes are measured on those pictures, but the numbers are called a description. Cross-fitting would not
help. Other pictures would choose another template with other words. To keep only the folds that choose the same
template would again be a choice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from ipo_prompts.experiments.report.analysis import Shift, Skipped, WordChange, Words
from ipo_prompts.experiments.run.result import CLASSIFICATION, RewardNames
from ipo_prompts.experiments.run.sealed import Compared
from ipo_prompts.metrics.evidence import ALPHA, holm, paired_difference
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.metrics.sampling import Sampling, mean_interval


def word_effects(
    reward: Reward,
    template: str,
    name: Literal["fresh", "selection"],
    part: Compared,
    names: RewardNames = CLASSIFICATION,
) -> Words:
    """Measure the effect of each word. All changed templates are scored in one call.

    Args:
        reward: the reward of the search.
        template: the chosen template.
        name: the name of the part. `selection` units chose the template; `fresh` units were not used before.
        part: the part with the units to score on. It is never a sealed part.
        names: the names of the measure and the units.
    """
    proposed = removals(template)
    problems: dict[str, str | None] = {}
    for _, shorter in proposed:
        if shorter not in problems:
            same = shorter == tidied(template)
            problems[shorter] = "it is the template itself" if same else reward.problem(shorter)
    usable = [shorter for shorter, reason in problems.items() if reason is None]
    chosen, *others = reward.score([template, *usable], part.units)
    scores = dict(zip(usable, others, strict=True))

    found = [_row(span, chosen, scores[shorter], part.sampling) for span, shorter in proposed if shorter in scores]
    if name == "fresh":
        corrected = holm([p for _, p in found])
        rows = [
            row.model_copy(update={"p": round(p, 6), "significant": p < ALPHA})
            for (row, _), p in zip(found, corrected, strict=True)
        ]
    else:
        rows = [_described(row) for row, _ in found]
    return Words(
        part=name,
        n=chosen.n,
        template=chosen.template,
        value=chosen.value,
        loss=chosen.loss,
        changes=tuple(rows),
        skipped=tuple(Skipped(template=shorter, reason=reason) for shorter, reason in problems.items() if reason),
        note=_note(rows, name, part, len(reward.class_names), names),
    )


def _row(span: Span, chosen: Score, score: Score, sampling: Sampling) -> tuple[WordChange, float]:
    """Compare the template without a part with the chosen template.

    Returns:
        The row of the change, and the uncorrected p-value of the change of the value.
    """
    value = paired_difference(chosen.hits, score.hits, sampling)
    loss = score.losses - chosen.losses
    row = WordChange(
        span=span,
        text=chosen.template[slice(*span)],
        template=score.template,
        value=_shift(value.mean, value.low, value.high),
        loss=_shift(float(loss.mean()), *mean_interval(loss, sampling)),
        significant=False,
    )
    return row, value.p


def _shift(change: float, low: float, high: float) -> Shift:
    bounded = math.isfinite(low) and math.isfinite(high)
    return Shift(change=change, ci95=(low, high) if bounded else None)


def _described(row: WordChange) -> WordChange:
    """Return the row without its intervals, because the pictures that chose the template allow no inference."""
    bare = {name: shift.model_copy(update={"ci95": None}) for name, shift in (("value", row.value), ("loss", row.loss))}
    return row.model_copy(update=bare)


def _note(rows: Sequence[WordChange], name: str, part: Compared, classes: int, names: RewardNames) -> str:
    count = f"{len(rows)} change{'' if len(rows) == 1 else 's'}"
    number = f"{count} scored on {part.optimised.n} {name} {names.unit}"
    if name == "selection":
        return (
            f"{number}, which chose the template: no other training pictures could be used. This only describes why it "
            f"won on them. They chose it for its {names.measure}, so changes look worse here than they are, the loss "
            f"less so. No change is tested. With more training pictures, or fewer shots, changes "
            f"are tested on {names.unit} that chose nothing."
        )
    there = classes if part.sampling.classes is None else int(part.sampling.classes.max()) + 1
    of = "" if there == classes else f" of {there} of the {classes} classes"
    return (
        f"{number}{of}, training or validation pictures that neither searched for the template nor chose it. Told from "
        f"chance means p < {ALPHA} after Holm's correction over all changes in {names.measure}. The intervals are not "
        "corrected."
    )


MOST_TEMPLATES = 150
"""The most changed templates that are scored."""

_OUTER = re.escape(".,;:!?…()[]{}\"'“”‘’«»„–—-")
_WORD = re.compile(rf"[^\s{_OUTER}](?:\S*[^\s{_OUTER}])?")
_PREPOSITION = re.compile(
    r"about|above|across|against|along|amid|among|around|as|at|behind|below|beneath|beside|between|beyond|by|during|"
    r"for|from|in|inside|into|like|near|of|off|on|onto|out|outside|over|past|through|to|toward|towards|under|"
    r"underneath|upon|via|with|within|without",
    re.IGNORECASE,
)
_BREAK = re.compile("[,;:.!?…–—]")
_SPACE_BEFORE = re.compile(r" +(?=[,;:!?…)\]}”»]|\.(?!\w))")
_SPACE_AFTER = re.compile(r"(?<=[(\[{“«„]) +")
_EMPTY_PAIR = re.compile(r"\(\)|\[\]|\{\}|“”|‘’|«»|„“|\"\"")
_REPEATED = re.compile(r"[,;:]+(?=[,;:.!?])")

Span = tuple[int, int]


def removals(template: str) -> list[tuple[Span, str]]:
    """Return, for each word and each phrase, its span and the template without it, words first.

    Some of these templates may be invalid, such as a template without the slot; the reward checks that.
    """
    words = [match.span() for match in _WORD.finditer(template)]
    phrases = [span for span in _phrases(template, words) if span not in words]
    return [(span, _without(template, span)) for span in [*words, *phrases][:MOST_TEMPLATES]]


def tidied(text: str) -> str:
    """Tidy a text from which a word was removed: double spaces, empty brackets, commas at an end or beside a mark.

    >>> tidied(" , a photo  (), of a <CLASS> ,.")
    'a photo, of a <CLASS>.'
    """
    before = None
    while text != before:
        before = text
        text = " ".join(text.split())
        text = _SPACE_AFTER.sub("", _SPACE_BEFORE.sub("", text))
        text = _REPEATED.sub("", _EMPTY_PAIR.sub("", text))
        text = text.lstrip(" ,;:.!?…–—-").rstrip(" ,;:–—-")
    return text


def _phrases(template: str, words: list[Span]) -> list[Span]:
    """Return the phrases: the parts between commas, and the pieces that begin with a preposition.

    The whole sentence is never a phrase.
    """
    parts, pieces = [0], [0]
    for i in range(1, len(words)):
        if _BREAK.search(template[words[i - 1][1] : words[i][0]]):
            parts.append(i)
            pieces.append(i)
        elif _PREPOSITION.fullmatch(template[slice(*words[i])]):
            pieces.append(i)
    spans = {
        (words[first][0], words[following - 1][1])
        for starts in (parts, pieces)
        if len(starts) > 1
        for first, following in zip(starts, [*starts[1:], len(words)], strict=True)
    }
    return sorted(spans)


def _without(template: str, span: Span) -> str:
    left, right = template[: span[0]], template[span[1] :]
    # No space may stay between punctuation and the next word: '("negative image")' becomes '("image")'.
    if not right[:1].isspace():
        left = left.rstrip()
    if left and not left[-1].isspace():
        right = right.lstrip()
    return tidied(left + right)
