"""Proposes which pictures are near copies of one another: a burst, a photograph saved again, frames of one film.

Undeclared near copies make intervals far too narrow, as each counts as a picture of its own. Three things tell of them:
features of the CLIP, a small grey picture that may be moved and enlarged a little (which light leaves alone), and names
or times that follow one another, after which less likeness is enough. Pictures of one class and part are compared.
`benchmarks/near_copies.py` measures what is found, and what is joined falsely. Nothing is used unless the user says so:
as a column `group` of a `csv:` table (docs/own-pictures.md).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipo_prompts.experiments.data.dataset import Item, in_threads
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture

if TYPE_CHECKING:
    from ipo_prompts.experiments.data.assemble import Gathered
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import Progress

FEATURES, GREY = 0.995, 0.96
"""Likeness from which on two pictures are joined: cosine of the features, correlation of the small grey pictures. Set
on the drawings that ship, with an eye on false joins; photographs may need others."""
FEATURES_NEXT, GREY_NEXT = 0.985, 0.93
"""The same where names or times follow one another."""
SECONDS = 2
"""Pictures taken within so many seconds follow one another."""
MOST = 5000
"""Test pictures up to which a run looks for near copies: each is decoded once more."""
SIDE, MARGIN, ENLARGED = 24, 2, 0.92
"""Of the small grey picture, in pixels; how far it may be moved; the share of a side that is enlarged to the whole."""
_TAKEN = "%Y:%m:%d %H:%M:%S"


@dataclass(frozen=True)
class Look:
    """A picture in small: `views` (V, P) are unit rows, the first as it is, the others moved or enlarged a little.

    `taken` is when the camera says that it was, in seconds, or None.
    """

    views: Floats
    taken: float | None


def near_copies(items: Sequence[Item], features: Floats) -> list[int]:
    """Join pictures of one part.

    Args:
        items: n of them; those that have a group in common are joined already.
        features: unit rows, (n, D).

    Returns:
        The group of each, from 0: a picture that is like another is in its group, and so on.

    Raises:
        InputError: a picture cannot be read.
    """
    looks = in_threads(look, [item.picture for item in items])
    roots = list(range(len(items)))
    first = {item.group: place for place, item in reversed(list(enumerate(items)))}
    for place, item in enumerate(items):
        _join(roots, place, first[item.group])
    by_class: dict[int, list[int]] = {}
    for place, item in enumerate(items):
        by_class.setdefault(item.label, []).append(place)
    for places in by_class.values():
        cosines = features[places] @ features[places].T
        greys = _likeness([looks[place] for place in places])
        alike = (cosines >= FEATURES) | (greys >= GREY)
        following = _following([items[place].picture.name for place in places], [looks[p].taken for p in places])
        for one, other in following:
            alike[one, other] |= cosines[one, other] >= FEATURES_NEXT or greys[one, other] >= GREY_NEXT
        for one, other in np.argwhere(alike).tolist():
            _join(roots, places[one], places[other])
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(roots, place), len(numbers)) for place in range(len(items))]


def grouped_table(source: Gathered, clip: Clip, progress: Progress | None = None) -> tuple[str, str]:
    """Make a `csv:` table of all pictures of a folder or table, in which near copies share a group.

    Pictures of one class are joined, and of one part where the source has parts.

    Returns:
        The table, and what was found in words: "" where nothing was.

    Raises:
        InputError: the pictures are in no files of their own, or one cannot be read.
    """
    from ipo_prompts.metrics.features import FeatureStore

    rows = source.rows
    if not all(Path(row.picture.name).is_file() for row in rows):
        raise InputError(
            f"the pictures of {source.where} are in no files of their own; --groups takes folder: or csv:."
        )
    kinds = {kind: label for label, kind in enumerate(dict.fromkeys((row.part, row.class_name) for row in rows))}
    items = [Item(row.picture, kinds[row.part, row.class_name], row.group or row.key) for row in rows]
    groups = near_copies(items, FeatureStore(clip).encode([row.picture for row in rows], progress))
    first = {group: row.key for row, group in reversed(list(zip(rows, groups, strict=True)))}
    parts = ["split"] if any(row.part for row in rows) else []
    lines = [["image", "label", *parts, "group"]]
    for row, group in zip(rows, groups, strict=True):
        part = [row.part or ""] if parts else []
        lines.append([str(Path(row.picture.name).absolute()), row.class_name, *part, first[group]])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue(), in_words(items, groups)


def in_words(items: Sequence[Item], groups: Sequence[int]) -> str:
    """Say how many pictures were joined with one that is not declared to be of their group: "" where none was."""
    declared: dict[int, set[str]] = {}
    for item, group in zip(items, groups, strict=True):
        declared.setdefault(group, set()).add(item.group)
    joined = sum(len(declared[group]) > 1 for group in groups)
    several = sum(len(names) > 1 for names in declared.values())
    one = f"{several:,} group{'s' * (several != 1)}"
    return f"{joined:,} of {len(items):,} pictures look like near copies, in {one}" if joined else ""


def look(picture: Picture) -> Look:
    """Read one picture.

    Raises:
        InputError: it cannot be read.
    """
    from PIL import Image

    grey = picture.image().convert("L")
    width, height = grey.size
    cut = (1 - ENLARGED) / 2
    middle = (cut * width, cut * height, (1 - cut) * width, (1 - cut) * height)
    inner = grey.resize((SIDE, SIDE), Image.Resampling.BOX, middle)
    whole = grey.resize((SIDE, SIDE), Image.Resampling.BOX)
    views = [*_moved(np.asarray(whole, np.float32)), *_moved(np.asarray(inner, np.float32))]
    rows = np.stack([view.ravel() - view.mean() for view in views]).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return Look(
        (rows / np.where(norms > 1, norms, np.inf)).astype(np.float32), _taken(picture)
    )  # what is of one colour is like nothing


def _moved(grey: Floats) -> Iterator[Floats]:
    """Yield the middle, then what is beside it, at most `MARGIN` pixels away."""
    size = SIDE - 2 * MARGIN
    steps = sorted(range(2 * MARGIN + 1), key=lambda step: abs(step - MARGIN))
    yield from (grey[y : y + size, x : x + size] for y in steps for x in steps)


def _taken(picture: Picture) -> float | None:
    from PIL import Image

    try:
        exif = Image.open(io.BytesIO(picture.bytes())).getexif()
        return datetime.strptime(str(exif.get_ifd(0x8769).get(0x9003)), _TAKEN).timestamp()
    except (OSError, ValueError):
        return None


def _likeness(looks: Sequence[Look]) -> Floats:
    """Return the highest correlation of each pair, one of the two as it is: (n, n)."""
    views = np.stack([one.views for one in looks])
    best = np.full((len(looks), len(looks)), -1, dtype=np.float32)
    for view in range(views.shape[1]):
        np.maximum(best, views[:, view] @ views[:, 0].T, out=best)
    return np.maximum(best, best.T)


def _following(names: Sequence[str], taken: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    """Yield the pairs whose names differ by one in their last number, or that were taken shortly after one another."""
    numbered: dict[tuple[str, str], dict[int, int]] = {}
    for place, name in enumerate(names):
        if match := re.fullmatch(r"(.*?)(\d{1,15})(\D*)", name, flags=re.DOTALL):
            numbered.setdefault((match[1], match[3]), {})[int(match[2])] = place
    for places in numbered.values():
        yield from ((place, places[number + 1]) for number, place in places.items() if number + 1 in places)
    timed = sorted((when, place) for place, when in enumerate(taken) if when is not None)
    yield from ((one, other) for (first, one), (then, other) in pairwise(timed) if then - first <= SECONDS)


def _root(roots: list[int], place: int) -> int:
    while roots[place] != place:
        roots[place] = place = roots[roots[place]]
    return place


def _join(roots: list[int], one: int, other: int) -> None:
    one, other = sorted((_root(roots, one), _root(roots, other)))
    roots[other] = one
