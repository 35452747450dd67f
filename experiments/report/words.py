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
from typing import Literal

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.run.sealed import Compared
from ipo_prompts.metrics.evidence import ALPHA, holm, paired_difference
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.metrics.verdict import Ends, Rounded


class WordChange(Content):
    """A word or phrase removed from the chosen template.

    Attributes:
        span: the start and the end of the removed part, in characters (code points) of the chosen template.
        text: the text of the removed part.
        template: the changed template.
        change: the value of the changed template less that of the chosen one, a fraction.
        ci95: the 95 % interval of the change. None if there are too few units, or if changes are only described.
        p: the p-value of the change, corrected for the number of changes; None if changes are only described.
        significant: whether the corrected p-value shows that the change is more than chance.
    """

    span: tuple[int, int]
    text: str
    template: str
    change: Rounded
    ci95: Ends | None = None
    p: Rounded | None = None
    significant: bool = False


class Words(Content):
    """The effect of each word of the chosen template, measured on `n` units of `part`.

    Attributes:
        part: `fresh`: units that were used neither for the search nor for the choice. `selection`: the units that chose
            the template; on them changes are only described.
        n: the number of units.
        template: the chosen template.
        value: the value of the chosen template on these units.
        changes: the changes that were scored.
    """

    part: Literal["fresh", "selection"]
    n: int
    template: str
    value: Rounded
    changes: tuple[WordChange, ...]


def word_effects(reward: Reward, template: str, name: Literal["fresh", "selection"], part: Compared) -> Words:
    """Measure the effect of each word. All changed templates are scored in one call.

    Args:
        reward: the reward of the search.
        template: the chosen template.
        name: the name of the part. `selection` units chose the template; `fresh` units were not used before.
        part: the part with the units to score on. It is never a sealed part.
    """
    proposed = removals(template)
    different = dict.fromkeys(shorter for _, shorter in proposed if shorter != tidied(template))
    usable = [shorter for shorter in different if reward.problem(shorter) is None]
    chosen, *others = reward.score([template, *usable], part.units)
    scores = dict(zip(usable, others, strict=True))
    rows, p_values = [], []
    for span, shorter in proposed:
        if shorter not in scores:
            continue
        effect = paired_difference(chosen.hits, scores[shorter].hits, part.sampling)
        bounded = name == "fresh" and math.isfinite(effect.low) and math.isfinite(effect.high)
        rows.append(
            WordChange(
                span=span,
                text=template[slice(*span)],
                template=shorter,
                change=effect.mean,
                ci95=(effect.low, effect.high) if bounded else None,
            )
        )
        p_values.append(effect.p)
    if name == "fresh":
        tested = [{"p": round(p, 6), "significant": p < ALPHA} for p in holm(p_values)]
        rows = [row.model_copy(update=one) for row, one in zip(rows, tested, strict=True)]
    return Words(part=name, n=chosen.n, template=template, value=chosen.value, changes=tuple(rows))


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
