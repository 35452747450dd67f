"""Measure the effect of each word of the chosen template on value and loss.

The template is scored again after each of three kinds of change: a word or phrase is removed, a word is replaced by
neutral words, or the slot is moved.

Words are separated by spaces. Punctuation around a word is not part of the word. Phrases are found by two rules: commas
and similar marks end a phrase, and a preposition begins a phrase. Readers can check both rules by eye. They could not
check the trees of a parser.

A readable template is not an explanation: a fluent sentence may win by its length or by the place of the class name.
Removing a word shortens the sentence and shifts the words after it. A placebo replaces the word by neutral words with
as many tokens, so it does neither. A word matters if both changes hurt. (Removal of single words is from the table of
word effects in Du, Sun & Snoek 2024; placebos are new in IPO.)

Changes are tested on fresh pictures, which were used neither for the search nor for the choice. On the pictures that
chose the template, the value of the template is too high, so every change looks harmful. If there are no fresh
pictures, changes are measured on those pictures, but the numbers are called a description. Cross-fitting would not
help. Other pictures would choose another template with other words. To keep only the folds that choose the same
template would again be a choice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ipo_prompts.experiments.report.analysis import Shift, Skipped, WordChange, Words
from ipo_prompts.experiments.run.comparison import Compared
from ipo_prompts.experiments.run.scores import CLASSIFICATION, RewardNames
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.evidence import ALPHA, holm, paired_difference
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.metrics.sampling import Sampling, mean_interval
from ipo_prompts.metrics.template import SLOT


def word_effects(
    reward: Reward,
    name: Literal["fresh", "selection"],
    part: Compared,
    tokens: Callable[[str], int],
    names: RewardNames = CLASSIFICATION,
) -> Words:
    """Measure the effect of each word. All changed templates, about 50, are scored in one call.

    Args:
        reward: the reward of the search.
        name: the name of the part. `selection` units chose the template; `fresh` units were not used before.
        part: the part with the units to score on. It is never a sealed part.
        tokens: a function that returns the number of tokens of a word; see `token_counter`.
        names: the names of the measure and the units.
    """
    chosen = part.optimised
    proposed = changes(chosen.template, tokens)
    problems: dict[str, str | None] = {}
    for template in (template for change in proposed for template in change.templates):
        if template not in problems:
            same = template == tidied(chosen.template)
            problems[template] = "it is the template itself" if same else reward.problem(template)
    usable = [template for template, reason in problems.items() if reason is None]
    scores = dict(zip(usable, reward.score(usable, part.units), strict=True))

    found = [row for change in proposed if (row := _row(change, chosen, scores, part.sampling))]
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
        skipped=tuple(Skipped(template=template, reason=reason) for template, reason in problems.items() if reason),
        note=_note(rows, name, part, len(reward.class_names), names),
    )


def token_counter(clip: Clip) -> Callable[[str], int]:
    """Return a function that counts the tokens of a word. It does not count the tokens that begin and end a text."""
    empty = clip.count("")
    return lambda word: clip.count(word) - empty


def _row(
    change: Change, chosen: Score, scores: dict[str, Score], sampling: Sampling
) -> tuple[WordChange, float] | None:
    """Compare one change with the chosen template.

    Returns:
        The row of the change, and the uncorrected p-value of the change of the value; None if no wording was scored.
    """
    pairs: list[tuple[Score, str]] = []
    for template, detail in zip(change.templates, change.details, strict=True):
        score = scores.get(template)
        # A CLIP with a small vocabulary may read several wordings alike. Such wordings are one measurement.
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
    return Shift(change=change, ci95=(low, high) if bounded else None)


def _described(row: WordChange) -> WordChange:
    """Return the row without its intervals, because the pictures that chose the template allow no inference."""
    bare = {name: shift.model_copy(update={"ci95": None}) for name, shift in (("value", row.value), ("loss", row.loss))}
    return row.model_copy(update=bare)


def _note(rows: Sequence[WordChange], name: str, part: Compared, classes: int, names: RewardNames) -> str:
    wordings = max((len(row.wordings) for row in rows), default=0)
    placebos = (
        "A placebo replaces a word by as many neutral words as the word has tokens, so the length and all places stay"
        + (f"; its numbers are the mean over up to {wordings} wordings." if wordings > 1 else ".")
        if wordings
        else "There are no placebos: the template has no words to replace, or too many."
    )
    count = f"{len(rows)} change{'' if len(rows) == 1 else 's'}"
    number = f"{count} scored on {part.optimised.n} {name} {names.unit}"
    if name == "selection":
        return (
            f"{number}, which chose the template: no other training pictures could be used. This only describes why it "
            f"won on them. They chose it for its {names.measure}, so changes look worse here than they are, the loss "
            f"less so. No change is tested. With more training pictures, or fewer shots, changes "
            f"are tested on {names.unit} that chose nothing. {placebos}"
        )
    there = classes if part.sampling.classes is None else int(part.sampling.classes.max()) + 1
    of = "" if there == classes else f" of {there} of the {classes} classes"
    return (
        f"{number}{of}, training or validation pictures that neither searched for the template nor chose it. Told from "
        f"chance means p < {ALPHA} after Holm's correction over all changes in {names.measure}. The intervals are not "
        f"corrected. {placebos}"
    )


MOST_TEMPLATES = 150
"""The most changed templates that are scored. A sentence of 12 words gives about 50."""
PLACEBOS = 3
"""The number of neutral wordings for a word. Their mean counts, because no single word is neutral to every CLIP."""
NEUTRAL = ("thing", "some", "such", "any", "one", "that")
"""Words that say nothing about a picture. Each word is one token in the vocabulary of CLIP."""

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


@dataclass(frozen=True)
class Change:
    """One change to a template.

    Attributes:
        kind: `remove`: a word or a phrase is removed. `placebo`: neutral words replace a word. `move`: the slot is
            moved.
        span: the start and the end of the changed part, as character offsets in the template.
        text: the text of the changed part.
        templates: the changed template. A placebo has one changed template for each wording.
        details: one text for each changed template: the neutral words of a placebo, the new place of the slot (`first`
            or `last`), or "" for a removal.
    """

    kind: Literal["remove", "placebo", "move"]
    span: Span
    text: str
    templates: Sequence[str]
    details: Sequence[str]


def changes(template: str, tokens: Callable[[str], int]) -> list[Change]:
    """Return all changes to score: removals of words and phrases, placebos for words, and moves of the slot.

    Removals and moves are counted first. Placebos share the rest of `MOST_TEMPLATES`: every word gets the same number
    of wordings. Some changed templates may be invalid, such as a template without the slot; the reward checks that.

    Args:
        template: a valid template.
        tokens: a function that returns the number of tokens of a word, so that a placebo keeps the length of the
            template and the places of all other words.
    """
    words = [match.span() for match in _WORD.finditer(template)]
    phrases = [span for span in _phrases(template, words) if span not in words]
    moves = _moves(template, words)
    removals = [*words, *phrases][: MOST_TEMPLATES - len(moves)]
    found = [Change("remove", span, template[slice(*span)], [_without(template, span)], [""]) for span in removals]
    replaceable = [span for span in words if SLOT not in template[slice(*span)]]
    wordings = min(PLACEBOS, (MOST_TEMPLATES - len(found) - len(moves)) // max(1, len(replaceable)))
    if wordings:
        found += [_placebo(template, span, tokens, wordings) for span in replaceable]
    return found + moves


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


def _placebo(template: str, span: Span, tokens: Callable[[str], int], wordings: int) -> Change:
    word = template[slice(*span)]
    neutral = [each for each in NEUTRAL if each != word.casefold()]
    length = max(1, tokens(word))
    details = [" ".join(neutral[(k + i) % len(neutral)] for i in range(length)) for k in range(wordings)]
    templates = [template[: span[0]] + detail + template[span[1] :] for detail in details]
    return Change("placebo", span, word, templates, details)


def _moves(template: str, words: list[Span]) -> list[Change]:
    """Return the moves of the slot to the beginning and to the end of the template.

    An article before the slot moves with it. All other words keep their order. A template with several slots has no
    moves.
    """
    if template.count(SLOT) != 1:
        return []
    place = next(i for i, span in enumerate(words) if SLOT in template[slice(*span)])
    start, end = words[place]
    if place and template[slice(*words[place - 1])].casefold() in ("a", "an", "the"):
        start = words[place - 1][0]
    slot = template[start:end]
    body = template.rstrip(" .!?…")
    rest, ending = _without(body, (start, end)), template[len(body) :]
    # If the slot is at that end already, the template stays unchanged: to lose a comma there would be another change.
    first = f"{slot} {rest}{ending}" if start > words[0][0] else template
    last = f"{rest} {slot}{ending}" if end < words[-1][1] else template
    return [
        Change("move", (start, end), slot, [tidied(to)], [where]) for to, where in ((first, "first"), (last, "last"))
    ]
