"""What a run without labels called its pictures, for its page: some of each class, and those that changed most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.run.files import Content, read_model
from ipo_prompts.experiments.run.result import Thumbnail
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.pictures import Picture, short_name, thumbnail

SEEN = "seen.json"
MOST_CLASSES, EACH = 12, 4
"""Classes that are shown, those with the most pictures first, and pictures of each."""
MOST_CHANGED, ALIKE = 12, 2
"""Pictures that changed most, and how many of these may go from one name to one other."""


class Called(Content):
    """A class: how many pictures are called so by each of three programs, and some that the run's own calls so."""

    class_name: str
    initial: int
    found: int
    mean_off: int
    thumbnails: tuple[Thumbnail, ...]


class Changed(Content):
    """A picture, and what three programs call it."""

    picture: str
    initial: str
    found: str
    mean_off: str
    thumbnail: Thumbnail


class Seen(Content):
    """The content of `seen.json`.

    Attributes:
        classes: those that the chosen template names most often.
        of_classes: how many classes it names at all.
        changed: pictures whose probabilities moved most, by the template; where the initial one stays, by the mean
            picture taken off.
    """

    classes: tuple[Called, ...]
    of_classes: int
    changed: tuple[Changed, ...]


def look_at(
    pictures: Sequence[Picture], class_names: Sequence[str], labels: npt.NDArray[np.int64], moved: Floats
) -> Seen:
    """Choose what is shown.

    Args:
        pictures: n of them.
        class_names: C names.
        labels: (3, n), what the initial template, the chosen one, and the initial one with the mean picture taken off
            name each.
        moved: (n,), how far the probabilities of each picture moved.

    Raises:
        InputError: a picture cannot be read.
    """
    names = [str(name) for name in class_names]
    counts = np.stack([np.bincount(row, minlength=len(names)) for row in labels])
    most = [int(one) for one in np.argsort(-counts[1], kind="stable")[:MOST_CLASSES] if counts[1][one]]
    classes = tuple(
        Called(
            class_name=names[label],
            initial=int(counts[0][label]),
            found=int(counts[1][label]),
            mean_off=int(counts[2][label]),
            thumbnails=tuple(thumbnail(pictures[i]) for i in _spread(np.flatnonzero(labels[1] == label))),
        )
        for label in most
    )
    changed = tuple(
        Changed(
            picture=short_name(pictures[i].name),
            initial=names[labels[0, i]],
            found=names[labels[1, i]],
            mean_off=names[labels[2, i]],
            thumbnail=thumbnail(pictures[i]),
        )
        for i in _most_changed(labels, moved)
    )
    return Seen(classes=classes, of_classes=int((counts[1] > 0).sum()), changed=changed)


def _spread(found: npt.NDArray[np.int64]) -> list[int]:
    """Take a few, evenly over all: the surest would flatter."""
    few = min(EACH, len(found))
    return [int(found[j * len(found) // few]) for j in range(few)]


def _most_changed(labels: npt.NDArray[np.int64], moved: Floats) -> list[int]:
    """Return pictures that are named otherwise, those that moved most first, few of one kind."""
    other = 2 if np.array_equal(labels[0], labels[1]) else 1
    kinds: Counter[tuple[int, int]] = Counter()
    chosen: list[int] = []
    for i in np.argsort(-moved, kind="stable"):
        kind = int(labels[0, i]), int(labels[other, i])
        if kind[0] != kind[1] and kinds[kind] < ALIKE:
            kinds[kind] += 1
            chosen.append(int(i))
        if len(chosen) == MOST_CHANGED:
            break
    return chosen


def load_seen(folder: Path) -> Seen | None:
    """Read what a run directory has of it; None where it has none.

    Raises:
        InputError: it cannot be read, or is none.
    """
    file = folder / SEEN
    return read_model(Seen, file, fix="remove it, the report does without") if file.exists() else None
