"""The sets of shifted pictures that methods are compared on: a suite in two halves, and those that claims are made on.

In the `data` of `label-free` a name such as `embedded:suite` stands for them; `python -m benchmarks sets suite` prints
them for a grid.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.embedded.shifts import GEOMETRIC, ShiftedSet, canonical, operations_of, set_of
from ipo_prompts.experiments.embedded.untaught import UNTAUGHT
from ipo_prompts.metrics.errors import InputError

PREFIX: Final = "embedded:"
SUITE_FILE = Path(__file__).with_name("suite.json")
SUITES: Final = {"suite": "open", "suite-held-out": "held out"}
"""What a half of the suite is called → that half."""
CLAIMS: Final = ("claims-taught", "claims-untaught", "claims-clean")
"""What the sets that claims are made on are called, by whether their operations were taught; see `claims`."""


def expanded(spec: str) -> list[str]:
    """Return the data sets that a spec in a grid stands for: those of a suite, or the canonical one."""
    half = spec.strip().removeprefix(PREFIX)
    is_suite = half in SUITES or half in CLAIMS
    return suite(half) if spec.strip() == f"{PREFIX}{half}" and is_suite else [canonical(spec)]


def suite(half: str) -> list[str]:
    """Return the specs of one of `SUITES`, whose rule stands in `suite.json`, or of `CLAIMS`."""
    if half in CLAIMS:
        return [PREFIX + one.name for one in claims(half)]
    table = json.loads(SUITE_FILE.read_text(encoding="utf-8"))
    return [PREFIX + one["name"] for one in table["sets"] if one["half"] == SUITES[half]]


def claims(kind: str) -> list[ShiftedSet]:
    """Return the six sets of one of `CLAIMS`: each of its own seed, every other one of held-back base pictures.

    The rule: an operation that moves the picture with one that changes its pixels. Of the taught ones the four moves
    are taken in turn, each with the first of the held-out half of the suite that no earlier set has; of the untaught
    ones, the first move with the first of the others, and so on, so that these six sets share no operation.
    """
    pairs: list[tuple[str, ...]] = [()] * 6
    if kind == "claims-taught":
        held_out = [operations_of(spec.removeprefix(PREFIX)) for spec in suite("suite-held-out")]
        for i in range(6):
            said = {operation for pair in pairs for operation in pair} - {*GEOMETRIC}
            pairs[i] = next(one for one in held_out if one[0] == GEOMETRIC[i % 4] and one[1] not in said)
    elif kind == "claims-untaught":
        names = tuple(UNTAUGHT)
        pairs = list(zip(names[:6], names[6:], strict=True))
    first = 1 + 10 * CLAIMS.index(kind)
    return [ShiftedSet(pair, embedded.HELD_BACK if i % 2 else "", first + i) for i, pair in enumerate(pairs)]


def shared(specs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what data sets share with others of them: for each its first operation, and the others that it has.

    What has none shares none, and is named by its own spec.

    >>> shared(["embedded:sideways+blur@6", "embedded:sideways", "folder:pets"])
    (['sideways', 'sideways', 'folder:pets'], ['blur', 'embedded:sideways', 'folder:pets'])
    """
    found: tuple[list[str], list[str]] = ([], [])
    for spec in specs:
        try:
            operations = set_of(spec.removeprefix(PREFIX)).operations if spec.startswith(PREFIX) else ()
        except InputError:  # one of the shipped sets
            operations = ()
        found[0].append(operations[0] if operations else spec)
        found[1].append("+".join(operations[1:]) or spec)
    return found
