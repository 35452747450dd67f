"""`analysis.json`: why a template won: what each word does, which classes gain, what is confused, what flipped."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipo.experiments.data import Item
from ipo.experiments.explain.word_effects import rounded, word_effects
from ipo.metrics.pictures import Picture
from ipo.metrics.reward import ClipReward, EncodedPictures, Score

SCHEMA = 1
MOST_CONFUSIONS = 12
MOST_FLIPS = 12
"""Pictures shown of each kind; with two dozen thumbnails the file stays well below 400 kB."""
THUMBNAIL = 96
"""Longest side in pixels."""
_SEALED = ("test", "new")


@dataclass(frozen=True)
class Compared:
    """The initial and the chosen template on one part of the pictures.

    Attributes:
        items: the n pictures.
        pictures: the same, encoded.
        class_names: the classes that competed, in label order.
        groups: length n, what is not independent of each other.
        initial: the initial template's score.
        optimised: the chosen template's score.
    """

    items: Sequence[Item]
    pictures: EncodedPictures
    class_names: Sequence[str]
    groups: Sequence[str] | None
    initial: Score
    optimised: Score


def analyse(parts: Mapping[str, Compared], reward: ClipReward) -> dict[str, Any]:
    """Return the content of `analysis.json`.

    What words do is measured on selection pictures only: looking at some fifty more templates on the sealed ones would
    open them fifty times. Everything else retells the two scores that the sealed pictures already have.

    Args:
        parts: by name: `selection`, `test` and, with base and new classes, `new`; others are not looked at.
        reward: with the classes of the selection pictures.

    Raises:
        InputError: a picture whose thumbnail is wanted can no longer be read.
    """
    selection = parts.get("selection")
    sealed = {name: parts[name] for name in _SEALED if name in parts}
    found: dict[str, Any] = {"schema": SCHEMA, "words": None}
    if selection:
        found["words"] = word_effects(reward, selection.pictures, selection.optimised, selection.groups)
    else:
        found["words_missing"] = (
            "The run kept no selection pictures, and what words do is not measured on the pictures that were searched "
            "on or on the sealed ones. Run with selection=held-back and selection_shots of at least 1 to see it."
        )
    found["classes"] = [row for name, part in sealed.items() for row in class_rows(name, part)]
    found["confusions"] = confusions(list(sealed.values()))
    found["flips"] = flips(list(sealed.values()))
    return found


def class_rows(name: str, part: Compared) -> list[dict[str, Any]]:
    """Return the accuracy of each class that has pictures before and after, and how its mean loss changed (nats)."""
    rows = []
    for label, class_name in enumerate(part.class_names):
        own = part.pictures.labels == label
        if not own.any():
            continue
        initial, optimised = (float(score.hits[own].mean()) for score in (part.initial, part.optimised))
        row = {"name": class_name, "part": name, "n": int(own.sum())}
        row |= {"initial": rounded(initial), "optimised": rounded(optimised), "gain": rounded(optimised - initial)}
        rows.append(row | {"loss_change": rounded((part.optimised.losses - part.initial.losses)[own].mean())})
    return rows


def confusions(parts: Sequence[Compared]) -> dict[str, list[dict[str, Any]]]:
    """Return the pairs (true class, predicted class) whose count fell or rose most, largest change first."""
    before: Counter[tuple[str, str]] = Counter()
    after: Counter[tuple[str, str]] = Counter()
    for part in parts:
        for counts, score in ((before, part.initial), (after, part.optimised)):
            wrong = np.flatnonzero(~score.hits)
            pairs = zip(part.pictures.labels[wrong], score.predictions[wrong], strict=True)
            counts.update((part.class_names[true], part.class_names[predicted]) for true, predicted in pairs)

    def largest(sign: int) -> list[dict[str, Any]]:
        changed = [pair for pair in before | after if sign * (after[pair] - before[pair]) > 0]
        changed.sort(key=lambda pair: (-abs(after[pair] - before[pair]), pair))
        return [
            {
                "true": true,
                "predicted": predicted,
                "initial": before[true, predicted],
                "optimised": after[true, predicted],
            }
            for true, predicted in changed[:MOST_CONFUSIONS]
        ]

    return {"vanished": largest(-1), "appeared": largest(1)}


def flips(parts: Sequence[Compared]) -> dict[str, Any]:
    """Return pictures that were wrong and are right now (gained), and the other way round (lost)."""

    def rows(gained: bool) -> tuple[list[dict[str, str]], int]:
        flipped = [
            (part, int(i))
            for part in parts
            for i in np.flatnonzero(
                part.optimised.hits & ~part.initial.hits if gained else part.initial.hits & ~part.optimised.hits
            )
        ]
        return [_flip(part, i) for part, i in _spread(flipped)], len(flipped)

    (gained, gained_total), (lost, lost_total) = rows(True), rows(False)
    return {"gained": gained, "lost": lost, "gained_total": gained_total, "lost_total": lost_total}


def _spread(flipped: Sequence[tuple[Compared, int]]) -> list[tuple[Compared, int]]:
    """Choose few of many: one a class as far as that goes, and then evenly over the classes."""
    seen: Counter[str] = Counter()
    turns: dict[int, list[tuple[Compared, int]]] = {}
    for part, i in flipped:
        name = part.class_names[part.items[i].label]
        turns.setdefault(seen[name], []).append((part, i))
        seen[name] += 1
    chosen: list[tuple[Compared, int]] = []
    for turn in sorted(turns):
        candidates = turns[turn]
        room = min(MOST_FLIPS - len(chosen), len(candidates))
        chosen += [candidates[j * len(candidates) // room] for j in range(room)]
    return chosen


def _flip(part: Compared, i: int) -> dict[str, str]:
    item, names = part.items[i], part.class_names
    return {
        "picture": short_name(item.picture.name),
        "class": names[item.label],
        "before": names[part.initial.predictions[i]],
        "after": names[part.optimised.predictions[i]],
        "thumbnail": thumbnail(item.picture),
    }


def short_name(name: str) -> str:
    """Name a picture without the folders of the machine.

    >>> short_name("/home/me/pets/cat/1.jpg"), short_name("row 12 of /data/pets.parquet")
    ('1.jpg', 'row 12 of pets.parquet')
    """
    row = re.match(r"row \d+ of ", name)
    return (row.group() if row else "") + re.split(r"[/\\]", name[row.end() if row else 0 :])[-1]


def thumbnail(picture: Picture) -> str:
    """Return a small JPEG as a data URL, without the metadata of the original (place, camera, comment).

    Raises:
        InputError: the picture cannot be read.
    """
    image = picture.image()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.info.clear()  # Pillow would write the original's comment again
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
