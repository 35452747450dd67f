"""Explain why a template won: the effect of each word, the gain of each class, images that are now right or wrong.

The file `analysis.json` holds the explanation; `analysis.py` has its form.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.report.analysis import Analysis, ClassGain, Flip, Flips, Search, WordChange, Words
from ipo_prompts.experiments.run.final_test import Scored
from ipo_prompts.experiments.run.result import TEST_PARTS, AnyPart, TestPart
from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.evidence import paired_difference
from ipo_prompts.metrics.images import short_name, thumbnail
from ipo_prompts.metrics.reward import Reward, Score
from ipo_prompts.metrics.verdict import judge
from ipo_prompts.programs.running import Searched

MOST_FLIPS = 6
"""The most images of each kind of flip: a row of the page."""


@dataclass(frozen=True)
class LabelledPart(Scored):
    """A part whose units are labelled images. Each template predicts one class for each image."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The true label of each image: int64 (n,)."""
        assert self.encoded.labels is not None
        return self.encoded.labels

    def right(self, score: Score) -> npt.NDArray[np.bool_]:
        """Return, for each image, whether its predicted class is right: bool (n,)."""
        return np.asarray(score.predictions == self.labels)


def analyse(parts: Mapping[AnyPart, Scored], searched: Searched) -> Analysis:
    """Return the analysis of the search and of the chosen template.

    The effects of words are measured on fresh units; if there are none, on the validation units. They are never
    measured on test units, because more templates would be fifty more openings. All other content comes from the scores
    before the first and after the last step on the test units.

    Args:
        parts: name → part. The names are `fresh`, `val`, `test` and, with base and new classes, `new`. Parts with
            other names are ignored.
        searched: the search that found the template.

    Raises:
        InputError: an image that needs a thumbnail can no longer be read.
    """
    words = None
    for name in ("fresh", "val"):
        if part := parts.get(name):
            words = word_effects(searched.reward, searched.result.choice.template, name, part)
            break
    held_out = {name: part for name in TEST_PARTS if name in parts and (part := _labelled(parts[name]))}
    return Analysis(
        search=Search.model_validate(searched.result),
        words=words,
        classes=tuple(row for name, part in held_out.items() for row in class_rows(name, part)),
        flips=flips(list(held_out.values())) if held_out else None,
        untested=tuple(
            name
            for part in held_out.values()
            for label, name in enumerate(part.reward.class_names)
            if label not in part.labels
        ),
    )


def _labelled(part: Scored) -> LabelledPart | None:
    """Return a part as labelled images; None if labels, images or predictions are missing."""
    counts = {part.initial.n, len(part.encoded.items), len(part.initial.predictions), len(part.optimised.predictions)}
    return LabelledPart(**vars(part)) if part.encoded.labels is not None and len(counts) == 1 else None


def class_rows(name: TestPart, part: LabelledPart) -> list[ClassGain]:
    """Return, for each class with images, its values with both templates; [] if an image is not right or wrong.

    The mean of other numbers says nothing of one class: a reward may have weighted them by class already.
    """
    if part.initial.hits.dtype != bool:
        return []
    rows = []
    for label in np.unique(part.labels):
        own = part.labels == label
        initial, optimised = (float(score.hits[own].mean()) for score in (part.initial, part.optimised))
        rows.append(
            ClassGain(
                name=part.reward.class_names[label],
                part=name,
                n=int(own.sum()),
                initial=initial,
                optimised=optimised,
                gain=optimised - initial,
            )
        )
    return rows


def flips(parts: Sequence[LabelledPart]) -> Flips:
    """Return images whose label changed from wrong to right (gained) or from right to wrong (lost), and confusions.

    Args:
        parts: the test parts.
    """

    def where(before: bool, after: bool) -> list[tuple[LabelledPart, int]]:
        found = [(p, (p.right(p.initial) == before) & (p.right(p.optimised) == after)) for p in parts]
        return [(p, int(i)) for p, flipped in found for i in np.flatnonzero(flipped)]

    gained, lost = where(False, True), where(True, False)
    return Flips(
        gained=_shown(gained),
        lost=_shown(lost),
        wrong=_confused(parts),
        gained_total=len(gained),
        lost_total=len(lost),
        wrong_total=len(where(False, False)),
    )


def _confused(parts: Sequence[LabelledPart]) -> tuple[Flip, ...]:
    """Return one image of each of the most frequent confusions of the chosen template, the most frequent first."""
    pairs: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        for i in np.flatnonzero(~part.right(part.optimised)).tolist():
            pairs[place, int(part.labels[i]), int(part.optimised.predictions[i])].append(i)
    found = []
    for (place, _, taken), images in sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_FLIPS]:
        example = next((item for item in parts[place].encoded.items if item.label == taken), None)
        beside = {"confused": len(images), "taken_for": thumbnail(example.image) if example else None}
        found.append(_flip(parts[place], images[0]).model_copy(update=beside))
    return tuple(found)


def _shown(flipped: Sequence[tuple[LabelledPart, int]]) -> tuple[Flip, ...]:
    """Choose a few images, evenly over the classes: first one of each class, then a second one of each, and so on.

    To take the surest images would flatter the template.
    """
    seen: Counter[str] = Counter()
    turns: defaultdict[int, list[tuple[LabelledPart, int]]] = defaultdict(list)
    for part, i in flipped:
        name = part.reward.class_names[part.encoded.items[i].label]
        turns[seen[name]].append((part, i))
        seen[name] += 1
    chosen: list[tuple[LabelledPart, int]] = []
    for candidates in turns.values():
        chosen += [candidates[j] for j in spread(len(candidates), MOST_FLIPS - len(chosen))]
    return tuple(_flip(part, i) for part, i in chosen)


def _flip(part: LabelledPart, i: int) -> Flip:
    item, names = part.encoded.items[i], part.reward.class_names
    return Flip(
        image=short_name(item.image.name),
        class_name=names[item.label],
        before=names[part.initial.predictions[i]],
        after=names[part.optimised.predictions[i]],
        thumbnail=thumbnail(item.image),
    )


# The effect of each word of the chosen template on its value.
#
# The template is scored again without each word and without each phrase. Words are separated by spaces. Punctuation
# around a word is not part of the word. Phrases are found by two rules: commas and similar marks end a phrase, and a
# preposition begins a phrase. Readers can check both rules by eye. They could not check the trees of a parser. (Removal
# of single words is from the table of word effects in Du, Sun & Snoek 2024.)
#
# A readable template is not an explanation: a fluent sentence may win by its length or by the place of the class name,
# and removing a word shortens the sentence and shifts the words after it.
#
# Changes are tested on fresh images, which were used neither for the search nor for the choice. On the images that
# chose the template, the value of the template is too high, so every change looks harmful. If there are no fresh
# images, changes are measured on those images, but the numbers are called a description. Cross-fitting would not
# help. Other images would choose another template with other words. To keep only the folds that choose the same
# template would again be a choice.


def word_effects(reward: Reward, template: str, name: Literal["fresh", "val"], part: Scored) -> Words:
    """Measure the effect of each word. All changed templates are scored in one call.

    Args:
        reward: the reward of the search.
        template: the chosen template.
        name: the name of the part. `val` units chose the template; `fresh` units were not used before.
        part: the part with the units to score on. It is never a test part.
    """
    proposed = removals(template)
    different = dict.fromkeys(shorter for _, shorter in proposed if shorter != tidied(template))
    usable = [shorter for shorter in different if reward.problem(shorter) is None]
    chosen, *others = reward.score([template, *usable], part.encoded.units)
    scores = dict(zip(usable, others, strict=True))
    effects = {
        (span, shorter): paired_difference(chosen.hits, scores[shorter].hits, part.sampling)
        for span, shorter in proposed
        if shorter in scores
    }
    rows = []
    for (span, shorter), verdict in judge(effects, "changes of the template").items():
        row = WordChange(span=span, text=template[slice(*span)], template=shorter, change=verdict.mean)
        if name == "fresh":
            shown = verdict.outcome in ("gain", "loss")
            row = row.model_copy(update={"ci95": verdict.ci95, "p": verdict.p_corrected, "significant": shown})
        rows.append(row)
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
