"""Explain why a template won: the effect of each word, the gain of each class, confusions, pictures that flipped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.data import Item
from ipo_prompts.experiments.report.analysis import (
    Analysis,
    ClassGain,
    Confusion,
    Confusions,
    Flip,
    Flips,
    Matrix,
    Shown,
)
from ipo_prompts.experiments.report.words import word_effects
from ipo_prompts.experiments.run.result import CLASSIFICATION, AnyPart, RewardNames, SealedPart
from ipo_prompts.experiments.run.sealed import SEALED_PARTS, Compared
from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.classification import scores_accuracy
from ipo_prompts.metrics.pictures import short_name, thumbnail
from ipo_prompts.metrics.reward import Reward, Score

T = TypeVar("T")

MOST_CONFUSIONS = 12
MOST_FLIPS = 12
"""The most pictures of each kind of flip. With some fifty thumbnails the file stays well below 400 kB."""
MOST_SAMPLES = 12
MOST_IN_MATRIX = 14
"""The most classes in a matrix. With more classes, their names could not be read."""
_UNSELECTED = (
    "What each word does was not measured: no training pictures were left, the run held back no selection {unit}, and "
    "search and sealed {unit} are not used for it. To see it, run with more training pictures, fewer shots, or "
    "selection=held-back and selection_shots of at least 1."
)
_UNLABELLED = "The {name} reward does not say which class it predicted for each of the {unit}: no classes are compared."


@dataclass(frozen=True)
class LabelledPart(Compared):
    """A part whose units are labelled pictures. Each template predicts one class for each picture."""

    labels: npt.NDArray[np.int64]

    def right(self, score: Score) -> npt.NDArray[np.bool_]:
        """Return, for each picture, whether its predicted class is right: bool (n,)."""
        return np.asarray(score.predictions == self.labels)


def analyse(
    parts: Mapping[AnyPart, Compared],
    reward: Reward,
    template: str,
    names: RewardNames = CLASSIFICATION,
) -> Analysis:
    """Return the analysis of the chosen template.

    The effects of words are measured on fresh units; if there are none, on the selection units. They are never measured
    on sealed units, because more templates would be fifty more openings. Sample pictures come from the
    search part. All other content comes from the scores before the first and after the last step on the sealed units.

    Args:
        parts: name → part. The names are `fresh`, `selection`, `search`, `test` and, with base and new classes, `new`.
            Parts with other names are ignored.
        reward: the reward, with the classes that were searched on.
        template: the chosen template.
        names: the names of the reward, its measure and its units.

    Raises:
        InputError: a picture that needs a thumbnail can no longer be read.
    """
    words, words_missing = None, None
    for name in ("fresh", "selection"):
        if part := parts.get(name):
            words = word_effects(reward, template, name, part, names)
            break
    else:
        words_missing = _UNSELECTED.format(unit=names.unit)
    sealed = {name: part for name in SEALED_PARTS if name in parts and (part := _labelled(parts[name]))}
    return Analysis(
        words=words,
        words_missing=words_missing,
        classes=tuple(row for name, part in sealed.items() for row in class_rows(name, part)),
        confusions=confusions(list(sealed.values())),
        flips=flips(list(sealed.values()), scores_accuracy(reward)) if sealed else None,
        matrix=matrix(sealed["test"]) if "test" in sealed else None,
        sample=sample(parts["search"]) if "search" in parts else (),
        classes_missing=None if sealed else _UNLABELLED.format(name=names.name, unit=names.unit),
    )


def _labelled(part: Compared) -> LabelledPart | None:
    """Return a part as labelled pictures; None if labels, pictures or predictions are missing."""
    counts = {part.initial.n, len(part.items), len(part.initial.predictions), len(part.optimised.predictions)}
    return LabelledPart(**vars(part)) if part.labels is not None and len(counts) == 1 else None


def class_rows(name: SealedPart, part: LabelledPart) -> list[ClassGain]:
    """Return, for each class with pictures, its values with both templates and the change of its mean loss."""
    rows = []
    for label in np.unique(part.labels):
        own = part.labels == label
        initial, optimised = (float(score.hits[own].mean()) for score in (part.initial, part.optimised))
        rows.append(
            ClassGain(
                name=part.class_names[label],
                part=name,
                n=int(own.sum()),
                initial=initial,
                optimised=optimised,
                gain=optimised - initial,
                loss_change=(part.optimised.losses - part.initial.losses)[own].mean(),
            )
        )
    return rows


def confusions(parts: Sequence[LabelledPart]) -> Confusions:
    """Return the confusions whose counts fell most and rose most, the largest change first.

    A confusion is a pair of the true class and another, predicted class. Counts are over all parts.
    """
    before: Counter[tuple[str, str]] = Counter()
    after: Counter[tuple[str, str]] = Counter()
    for part in parts:
        for counts, score in ((before, part.initial), (after, part.optimised)):
            wrong = np.flatnonzero(~part.right(score))
            pairs = zip(part.labels[wrong], score.predictions[wrong], strict=True)
            counts.update((part.class_names[true], part.class_names[predicted]) for true, predicted in pairs)

    def largest(sign: int) -> tuple[Confusion, ...]:
        changed = [pair for pair in before | after if sign * (after[pair] - before[pair]) > 0]
        changed.sort(key=lambda pair: (-abs(after[pair] - before[pair]), pair))
        return tuple(
            Confusion(true=pair[0], predicted=pair[1], initial=before[pair], optimised=after[pair])
            for pair in changed[:MOST_CONFUSIONS]
        )

    return Confusions(vanished=largest(-1), appeared=largest(1))


def matrix(part: LabelledPart) -> Matrix:
    """Count how often pictures of each class are taken for each class, with both templates.

    If there are more than `MOST_IN_MATRIX` classes, only the classes that the chosen template confuses most are used.
    """
    total = len(part.class_names)
    counts = []
    for score in (part.initial, part.optimised):
        counted = np.zeros((total, total), dtype=np.int64)
        np.add.at(counted, (part.labels, score.predictions), 1)
        counts.append(counted)
    chosen = list(range(total))
    if total > MOST_IN_MATRIX:
        both = np.triu(counts[1] + counts[1].T, k=1)
        order = np.argsort(-both, axis=None, kind="stable").tolist()
        pairs = (divmod(place, total) for place in order)
        chosen = list(dict.fromkeys(label for pair in pairs for label in pair))[:MOST_IN_MATRIX]

    def rows(counted: npt.NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
        among = counted[np.ix_(chosen, chosen)]
        others = counted[chosen].sum(axis=1) - among.sum(axis=1)
        return tuple(map(tuple, np.column_stack([among, others]).tolist()))

    names = tuple(part.class_names[label] for label in chosen)
    return Matrix(names=names, of_classes=total, initial=rows(counts[0]), optimised=rows(counts[1]))


def sample(part: Compared) -> tuple[Shown, ...]:
    """Return one picture that shows each of a few classes, which are spread evenly over all classes.

    Return no pictures if units are not single pictures.
    """
    first: dict[int, Item] = {}
    for item in part.items:
        first.setdefault(item.label, item)
    labels = sorted(first)
    chosen = [labels[i] for i in spread(len(labels), MOST_SAMPLES)]
    return tuple(Shown(class_name=part.class_names[i], thumbnail=thumbnail(first[i].picture)) for i in chosen)


def flips(parts: Sequence[LabelledPart], known: bool = True) -> Flips:
    """Return pictures whose label changed from wrong to right (gained) or from right to wrong (lost), and confusions.

    Args:
        parts: the sealed parts.
        known: whether the losses are cross-entropies. Only these give the probability of the true class.
    """

    def where(before: bool, after: bool) -> list[tuple[LabelledPart, int]]:
        found = [(p, (p.right(p.initial) == before) & (p.right(p.optimised) == after)) for p in parts]
        return [(p, int(i)) for p, flipped in found for i in np.flatnonzero(flipped)]

    gained, lost = where(False, True), where(True, False)
    return Flips(
        gained=_shown(gained, known),
        lost=_shown(lost, known),
        wrong=_confused(parts, known),
        gained_total=len(gained),
        lost_total=len(lost),
        wrong_total=len(where(False, False)),
    )


def _confused(parts: Sequence[LabelledPart], known: bool) -> tuple[Flip, ...]:
    """Return one picture of each of the most frequent confusions of the chosen template, the most frequent first."""
    pairs: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        for i in np.flatnonzero(~part.right(part.optimised)).tolist():
            pairs[place, int(part.labels[i]), int(part.optimised.predictions[i])].append(i)
    found = []
    for (place, _, taken), pictures in sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_FLIPS]:
        example = next((item for item in parts[place].items if item.label == taken), None)
        beside = {"confused": len(pictures), "taken_for": thumbnail(example.picture) if example else None}
        found.append(_flip(parts[place], pictures[0], known).model_copy(update=beside))
    return tuple(found)


def _shown(flipped: Sequence[tuple[LabelledPart, int]], known: bool) -> tuple[Flip, ...]:
    """Choose a few pictures, evenly over the classes: first one of each class, then a second one of each, and so on."""
    seen: Counter[str] = Counter()
    turns: defaultdict[int, list[tuple[LabelledPart, int]]] = defaultdict(list)
    for part, i in flipped:
        name = part.class_names[part.items[i].label]
        turns[seen[name]].append((part, i))
        seen[name] += 1
    chosen: list[tuple[LabelledPart, int]] = []
    for candidates in turns.values():  # first the first flip of each class, then the second flips, …
        chosen += _few(candidates, MOST_FLIPS - len(chosen))
    return tuple(_flip(part, i, known) for part, i in chosen)


def _few(found: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items, spread evenly over `found`. To take the surest items would flatter the template."""
    few = min(most, len(found))
    return [found[j * len(found) // few] for j in range(few)]


def _flip(part: LabelledPart, i: int, known: bool) -> Flip:
    item, names = part.items[i], part.class_names
    return Flip(
        picture=short_name(item.picture.name),
        class_name=names[item.label],
        before=names[part.initial.predictions[i]],
        after=names[part.optimised.predictions[i]],
        thumbnail=thumbnail(item.picture),
        true_before=np.exp(-part.initial.losses[i]) if known else None,
        true_after=np.exp(-part.optimised.losses[i]) if known else None,
    )
