"""The sets of shifted pictures that methods are compared on: a suite in two halves, and the sets of claims.

In the `data` of `label-free` a name such as `embedded:suite` stands for the sets; `python -m benchmarks sets suite`
prints them for a grid.

`python:benchmarks.lab.bed:shifted:OP+OP` names a set as `embedded:OP+OP` does, but its transformations may be untaught,
too. Other base pictures, `held-back/`, may stand before the transformations, and a seed, `@7`, behind them.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.untaught import UNTAUGHT
from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.data.assemble import Gathered, SourceRow
from ipo_prompts.experiments.data.dataset import PARTS
from ipo_prompts.experiments.data.sources import own
from ipo_prompts.experiments.embedded.shifts import (
    GEOMETRIC,
    PIXELWISE,
    TRANSFORMATIONS,
    canonical,
    rendered,
    seed_of,
    transformations_of,
)
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.pictures import Picture

HELD_BACK: Final = "held-back"
"""Other clean pictures, of drawings that no CLIP of ours has met: their folder, and their table with `.json`."""
PREFIX: Final = "embedded:"
SHIFTED: Final = "python:benchmarks.lab.bed:shifted:"
own.allow(SHIFTED)  # whoever imports the lab runs its code already
CLEAN: Final = "clean"
"""The name of a set without transformations."""
ALL: Final = (*TRANSFORMATIONS, *UNTAUGHT)
_SET: Final = re.compile(rf"(?:({HELD_BACK})/)?([^/@]+)(?:@([0-9]{{1,6}}))?")
SUITE_FILE = Path(__file__).with_name("suite.json")
SUITES: Final = {"suite": "open", "suite-held-out": "held out"}
"""Name → half of the suite."""
CLAIMS: Final = ("claims-taught", "claims-untaught", "claims-clean")
"""Names of the sets of claims, by whether their transformations were taught; see `claims`."""


@dataclass(frozen=True)
class ShiftedSet:
    """A set of rendered pictures.

    Attributes:
        transformations: the transformations of the clean pictures, from `ALL`, in that order; none leaves them clean.
        base: the base pictures: "" for those that ship in four domains, or `HELD_BACK`.
        seed: the seed of what is random in the transformations; above 0 it draws the parts, too.
    """

    transformations: tuple[str, ...]
    base: str = ""
    seed: int = 0

    @property
    def spec(self) -> str:
        """The spec of the set in `data`.

        >>> ShiftedSet(("dark",), "held-back", 3).spec
        'python:benchmarks.lab.bed:shifted:held-back/dark@3'
        """
        base, shift = f"{self.base}/" * bool(self.base), "+".join(self.transformations).replace(" ", "-") or CLEAN
        return f"{SHIFTED}{base}{shift}" + f"@{self.seed}" * bool(self.seed)


def set_of(name: str) -> ShiftedSet:
    """Return the set that a name after `SHIFTED` stands for.

    Raises:
        InputError: the name stands for no set.
    """
    if (found := _SET.fullmatch(name)) is None:
        raise InputError(f"there is no set {name!r}; a set is written like {HELD_BACK}/swirl+rings@7.")
    base, shift, seed = found.groups()
    asked = [] if shift == CLEAN else shift.replace("-", " ").split("+")
    if strange := next((one for one in asked if one not in ALL or asked.count(one) > 1), None):
        raise InputError(
            f"{strange!r} in {name!r} is no transformation{did_you_mean(strange, ALL)}, or is there twice."
        )
    return ShiftedSet(tuple(one for one in ALL if one in asked), base or "", int(seed or 0))


def shifted(name: str) -> Gathered:
    """Gather the pictures of a set, to be rendered when they are read.

    Raises:
        InputError: see `set_of`.
    """
    of = set_of(name)
    clean = embedded.PICTURES_DIR / embedded.CLEAN_DOMAIN if not of.base else Path(__file__).with_name(HELD_BACK)
    file = embedded.SPLIT_FILE if not of.base else clean.with_suffix(".json")
    table = json.loads(file.read_text(encoding="utf-8"))
    if of.seed:
        _draw_parts(table, of.seed)
    rows = []
    for part in PARTS:
        for path, _, class_name, base in table[part]:
            render = partial(_rendered, Picture.from_path(clean / path), path, of)
            rows.append(SourceRow(Picture(f"{path} of {of.spec}", render), class_name, path, part, base))
    return Gathered(of.spec, f"the set {name}", rows, tuple(table["classes"]))


def _rendered(clean: Picture, path: str, of: ShiftedSet) -> bytes:
    return rendered(clean, of.transformations, seed_of(path, of.seed), {**PIXELWISE, **UNTAUGHT})


def _draw_parts(table: dict[str, Any], seed: int) -> None:
    """Deal the pictures of each class to the parts anew; each part keeps its number of pictures."""
    by_class: dict[str, list[Any]] = defaultdict(list)
    for row in (row for part in PARTS for row in table[part]):
        by_class[row[2]].append(row)
    for name, rows in by_class.items():
        random.Random(f"{seed}/{name}").shuffle(rows)
    for part in PARTS:
        table[part] = [by_class[row[2]].pop() for row in table[part]]


def expanded(spec: str) -> list[str]:
    """Return the data sets that a spec in a grid stands for: those of a suite, or the canonical one."""
    half = spec.strip().removeprefix(PREFIX)
    is_suite = half in SUITES or half in CLAIMS
    return suite(half) if spec.strip() == f"{PREFIX}{half}" and is_suite else [canonical(spec)]


def suite(half: str) -> list[str]:
    """Return the specs of one of `SUITES`, whose rule is in `suite.json`, or of `CLAIMS`."""
    if half in CLAIMS:
        return [one.spec for one in claims(half)]
    table = json.loads(SUITE_FILE.read_text(encoding="utf-8"))
    return [PREFIX + one["name"] for one in table["sets"] if one["half"] == SUITES[half]]


def claims(kind: str) -> list[ShiftedSet]:
    """Return the six sets of one of `CLAIMS`: each has its own seed, every other one has held-back base pictures.

    The rule: a transformation that moves the picture with one that changes its pixels. For the taught ones the four
    moves are taken in turn, each with the first of the held-out half of the suite that no earlier set has. For the
    untaught ones, the first move is taken with the first of the others, and so on, so that these six sets share no
    transformation.
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
    """Return what data sets share: for each its first transformation, and its other transformations.

    A set without transformations shares none, and is named by its own spec.

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
