"""The changes to a template that show what each of its words does: removed, replaced by neutral words, moved.

Words are what spaces separate, without the punctuation around them. Phrases are found by two rules: commas and the like
part a sentence, and a preposition begins a new phrase. Readers can apply both by eye, unlike a
parser's trees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ipo_prompts.metrics.template import SLOT

MOST_TEMPLATES = 150
"""Changed templates at most; a sentence of 12 words makes about 50."""
PLACEBOS = 3
"""Neutral wordings that stand in for a word; their mean counts, since no single word is neutral to every CLIP."""
NEUTRAL = ("thing", "some", "such", "any", "one", "that")
"""Words that say nothing about a picture; each is one token of CLIP's vocabulary."""

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
        kind: `remove` (a word or a phrase), `placebo` (neutral words in place of a word) or `move` (of the slot).
        span: what is changed, character offsets in the template.
        text: the characters of the span.
        templates: the changed template; for a placebo one a wording.
        details: what was put there, one entry a template: neutral words, or `first` and `last` place; "" for a removal.
    """

    kind: Literal["remove", "placebo", "move"]
    span: Span
    text: str
    templates: Sequence[str]
    details: Sequence[str]


def changes(template: str, tokens: Callable[[str], int]) -> list[Change]:
    """Make every change that is worth a look: each word and phrase removed, the slot moved, each word neutral.

    Removals come first. Placebos get what `MOST_TEMPLATES` leaves, the same number for every word. Some results may not
    be valid templates (without the slot there is none), which the reward checks.

    Args:
        template: a valid template.
        tokens: how many tokens a word has, so that a placebo keeps the length and the places of all other words.
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


def tidy(text: str) -> str:
    """Repair what a missing word leaves behind: spaces, empty brackets, commas with nothing before or after them.

    >>> tidy(" , a photo  (), of a <CLASS> ,.")
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
    """Return the parts between commas and the pieces that prepositions begin, but never the whole sentence."""
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
    # Punctuation that hugged the word hugs its neighbour now: '("negative image")' becomes '("image")'.
    if not right[:1].isspace():
        left = left.rstrip()
    if left and not left[-1].isspace():
        right = right.lstrip()
    return tidy(left + right)


def _placebo(template: str, span: Span, tokens: Callable[[str], int], wordings: int) -> Change:
    word = template[slice(*span)]
    neutral = [each for each in NEUTRAL if each != word.casefold()]
    length = max(1, tokens(word))
    details = [" ".join(neutral[(k + i) % len(neutral)] for i in range(length)) for k in range(wordings)]
    templates = [template[: span[0]] + detail + template[span[1] :] for detail in details]
    return Change("placebo", span, word, templates, details)


def _moves(template: str, words: list[Span]) -> list[Change]:
    """Move the slot, with the article before it, to both ends; all other words keep their order.

    Where the slot stands in several places there is no one place to change.
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
    # Where it stands there already, a comma beside it must not go either: that would be another change.
    first = f"{slot} {rest}{ending}" if start > words[0][0] else template
    last = f"{rest} {slot}{ending}" if end < words[-1][1] else template
    return [Change("move", (start, end), slot, [tidy(to)], [where]) for to, where in ((first, "first"), (last, "last"))]
