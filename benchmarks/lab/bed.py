"""The sets of transformed images that methods are compared on: a suite in two halves, and the sets of claims.

`python -m benchmarks sets suite` prints the specs of the sets of a half, for a grid.

The spec `python:benchmarks.lab.bed:shifted:OP+OP` names a set like `embedded:OP+OP`, but its transformations may be
untaught, too. Before the transformations, `held-back/` chooses other base images, and `food/` the classes of one
domain. After them, `@7` sets a seed. Classes have their right names. At the end, `:right` or `:plurals` makes them
labels, such as names of folders, which are read as captions write names; `:shuffled` also shuffles the labels of all
images but the test images.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.bad_names import KINDS, called
from benchmarks.lab.untaught import UNTAUGHT
from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.data import sources
from ipo_prompts.experiments.data.dataset import PARTS, Gathered, Row
from ipo_prompts.experiments.embedded.shifts import (
    GEOMETRIC,
    PIXELWISE,
    TRANSFORMATIONS,
    rendered,
    seed_of,
    transformations_of,
)
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.images import LazyImage

HELD_BACK: Final = "held-back"
"""The name of other clean images, of drawings that no CLIP of ours was trained on.

It names the folder of the images, and with `.json` the table of the images.
"""
DOMAINS: Final = {
    "animal": ("cat", "dog", "horse", "rabbit", "pig", "mouse", "cow", "fish", "monkey", "turtle", "chicken"),
    "food": (
        *("apple", "pizza", "hamburger", "bread", "carrot", "ice cream", "birthday cake", "cookie", "grapes"),
        "cheese",
    ),
    "vehicle": (
        *("airplane", "bicycle", "sailboat", "bus", "car", "motorcycle", "rocket", "helicopter", "train", "truck"),
        *("ambulance", "ship"),
    ),
}
"""The word for all classes of a domain → these classes. The domains are names of sets of one domain, too."""
PREFIX: Final = "embedded:"
SHIFTED: Final = "python:benchmarks.lab.bed:shifted:"
sources.allow(SHIFTED)  # whoever imports the lab runs its code already
CLEAN: Final = "clean"
"""The name of a set without transformations."""
ALL: Final = (*TRANSFORMATIONS, *UNTAUGHT)
_BASES, _KINDS = "|".join((HELD_BACK, *DOMAINS)), "|".join((*KINDS, "shuffled"))
_SET: Final = re.compile(rf"(?:({_BASES})/)?([^/@:]+)(?:@([0-9]{{1,6}}))?(?::({_KINDS}))?")
SUITE_FILE = Path(__file__).with_name("suite.json")
SUITES: Final = {"suite": "open", "suite-held-out": "held out"}
"""Name of a half of the suite → the half as `suite.json` calls it."""
CLAIMS: Final = ("claims-taught", "claims-untaught", "claims-clean")
"""Names of the sets of claims, by whether their transformations were taught; see `claims`."""


@dataclass(frozen=True)
class ShiftedSet:
    """A set of rendered images.

    Attributes:
        transformations: the transformations that are applied to the clean images, in the order of `ALL`; empty for
            clean images.
        base: the clean images that are transformed: "" for the images that ship with IPO, one of `DOMAINS` for
            those of its classes, or `HELD_BACK`.
        seed: the seed of the random numbers in transformations. A seed above 0 also decides which images belong to
            which part.
        kind: the kind of names of labels, see `bad_names.called`; `shuffled` for right names and shuffled labels.
            Empty if the right names are given.
    """

    transformations: tuple[str, ...]
    base: str = ""
    seed: int = 0
    kind: str = ""

    @property
    def spec(self) -> str:
        """The spec of the set in `data`.

        >>> ShiftedSet(("dark",), "held-back", 3).spec
        'python:benchmarks.lab.bed:shifted:held-back/dark@3'
        """
        base, shift = f"{self.base}/" * bool(self.base), "+".join(self.transformations).replace(" ", "-") or CLEAN
        end = f":{self.kind}" * bool(self.kind)
        return f"{SHIFTED}{base}{shift}" + f"@{self.seed}" * bool(self.seed) + end


def set_of(name: str) -> ShiftedSet:
    """Return the set with a given name, the text after `SHIFTED` in a spec.

    Raises:
        InputError: there is no set with this name.
    """
    if (found := _SET.fullmatch(name)) is None:
        raise InputError(f"there is no set {name!r}; a set is written like {HELD_BACK}/swirl+rings@7.")
    base, shift, seed, kind = found.groups()
    asked = [] if shift == CLEAN else shift.replace("-", " ").split("+")
    if strange := next((one for one in asked if one not in ALL or asked.count(one) > 1), None):
        raise InputError(
            f"{strange!r} in {name!r} is no transformation{did_you_mean(strange, ALL)}, or is there twice."
        )
    return ShiftedSet(tuple(one for one in ALL if one in asked), base or "", int(seed or 0), kind or "")


def shifted(name: str) -> Gathered:
    """Return the images of a set. Each image is rendered when it is read.

    Raises:
        InputError: see `set_of`.
    """
    of = set_of(name)
    held_back = of.base == HELD_BACK
    clean = Path(__file__).with_name(HELD_BACK) if held_back else embedded.IMAGES_DIR / embedded.CLEAN_DOMAIN
    file = clean.with_suffix(".json") if held_back else embedded.SPLIT_FILE
    table = json.loads(file.read_text(encoding="utf-8"))
    if of.seed:
        _draw_parts(table, of.seed)
    classes = DOMAINS.get(of.base, tuple(table["classes"]))
    rows = []
    for part in PARTS:
        for path, _, class_name, base in (row for row in table[part] if row[2] in classes):
            render = partial(_rendered, LazyImage.from_path(clean / path), path, of)
            rows.append(Row(LazyImage(f"{path} of {of.spec}", render), class_name, path, part, base))
    if of.kind == "shuffled":
        learnt = [row for row in rows if row.split != "test"]
        labels = [row.label for row in learnt]
        random.Random(of.seed).shuffle(labels)
        rows = [row for row in rows if row.split == "test"] + [
            replace(row, label=label) for row, label in zip(learnt, labels, strict=True)
        ]
    elif of.kind:
        names = dict(zip(classes, called(of.kind, classes), strict=True))
        rows = [replace(row, label=names[row.label]) for row in rows]
    return Gathered(of.spec, f"the set {name}", rows, None if of.kind else classes)


def _rendered(clean: LazyImage, path: str, of: ShiftedSet) -> bytes:
    return rendered(clean, of.transformations, seed_of(path, of.seed), {**PIXELWISE, **UNTAUGHT})


def _draw_parts(table: dict[str, Any], seed: int) -> None:
    """Reassign the images to the parts of `table` at random. Each part keeps its number of images of each class."""
    by_class: dict[str, list[Any]] = defaultdict(list)
    for row in (row for part in PARTS for row in table[part]):
        by_class[row[2]].append(row)
    for name, rows in by_class.items():
        random.Random(f"{seed}/{name}").shuffle(rows)
    for part in PARTS:
        table[part] = [by_class[row[2]].pop() for row in table[part]]


def suite(half: str) -> list[str]:
    """Return the specs of the sets of one of `SUITES` or `CLAIMS`. `suite.json` says how the suite was made."""
    if half in CLAIMS:
        return [one.spec for one in claims(half)]
    table = json.loads(SUITE_FILE.read_text(encoding="utf-8"))
    return [PREFIX + one["name"] for one in table["sets"] if one["half"] == SUITES[half]]


def claims(kind: str) -> list[ShiftedSet]:
    """Return the six sets of one of `CLAIMS`. Each set has its own seed; every second set has held-back base images.

    A set combines a move (a transformation that moves the image) with a transformation that changes pixels. Taught
    transformations: the four moves are taken in turn. Each move is combined with the first pixel transformation that
    the held-out half of the suite combines it with and that no earlier set has. Untaught transformations: the first
    move is combined with the first pixel transformation, the second with the second, and so on. So these six sets share
    no transformation. Clean sets have no transformations.
    """
    pairs: list[tuple[str, ...]] = [()] * 6
    if kind == "claims-taught":
        held_out = [transformations_of(spec.removeprefix(PREFIX)) for spec in suite("suite-held-out")]
        for i in range(6):
            said = {transformation for pair in pairs for transformation in pair} - {*GEOMETRIC}
            pairs[i] = next(one for one in held_out if one[0] == GEOMETRIC[i % 4] and one[1] not in said)
    elif kind == "claims-untaught":
        names = tuple(UNTAUGHT)
        pairs = list(zip(names[:6], names[6:], strict=True))
    first = 1 + 10 * CLAIMS.index(kind)
    return [ShiftedSet(pair, HELD_BACK if i % 2 else "", first + i) for i, pair in enumerate(pairs)]


def shared(specs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return two lists with an entry for each data set: its first transformation, and its other transformations.

    Data sets with the same entry share transformations. For a set without transformations, the entry is its spec.

    >>> shared([f"{SHIFTED}sideways+blur@6", "embedded:sideways", "folder:pets"])
    (['sideways', 'sideways', 'folder:pets'], ['blur', 'embedded:sideways', 'folder:pets'])
    """
    found: tuple[list[str], list[str]] = ([], [])
    for spec in specs:
        name = spec.removeprefix(SHIFTED).removeprefix(PREFIX)
        try:
            transformations = set_of(name).transformations if name != spec else ()
        except InputError:  # one of the shipped sets
            transformations = ()
        found[0].append(transformations[0] if transformations else spec)
        found[1].append("+".join(transformations[1:]) or spec)
    return found
