"""Sets of shifted pictures by name, `embedded:OP+OP`, and the suite of them that methods are compared on.

A set is the clean pictures that ship with IPO, rendered with operations of `operations.py` when they are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import partial
from typing import Any, Final

import numpy as np

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.embedded.operations import OPERATIONS, SIDE, render, seed_of
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.pictures import Picture

SEED: Final = 0
"""Of every set: a picture is as dark or as noisy in all sets that darken it or add noise, so sets differ in their
operations only."""
SUITES: Final = {"suite": "open", "suite-held-out": "held out"}
"""What stands for a half of the suite in the `data` of a grid → that half."""
_PREFIX: Final = "embedded:"


def operations_of(name: str) -> tuple[str, ...]:
    """Return the operations that a set's name holds, in the order of `OPERATIONS`.

    Args:
        name: operations joined by +, in any order; their words may be joined by hyphens.

    Raises:
        InputError: an unknown operation, or one that is there twice.

    >>> operations_of("negative+upside-down") == operations_of("upside down + negative")
    True
    """
    parts = [re.sub(r"[\s_-]+", " ", part).strip() for part in name.split("+")]
    names = [name_of([one]) for one in OPERATIONS]
    strange = next((part for part in parts if part not in OPERATIONS), None)
    if strange is not None:
        # A single word may have been meant for a set of the shipped pictures.
        hint = did_you_mean(strange.replace(" ", "-"), names if len(parts) > 1 else [*embedded.DOMAINS, *names])
        whole = ", ".join(f"{_PREFIX}{domain}" for domain in embedded.DOMAINS)
        what = f"; {strange!r} is no operation" if len(parts) > 1 else ""
        raise InputError(
            f"there are no pictures {_PREFIX}{name}{what}{hint}; there are: {whole}, and operations joined by +, such "
            f"as {_PREFIX}upside-down+negative: {', '.join(names)}."
        )
    twice = next((part for part in parts if parts.count(part) > 1), None)
    if twice is not None:
        raise InputError(f"{_PREFIX}{name} has the operation {twice!r} twice; name it once.")
    return tuple(one for one in OPERATIONS if one in parts)


def name_of(operations: Collection[str]) -> str:
    """Return the one name of a set of operations.

    >>> name_of(["negative", "upside down"])
    'upside-down+negative'
    """
    return "+".join(one.replace(" ", "-") for one in OPERATIONS if one in operations)


def canonical(spec: str) -> str:
    """Return the spec of a data set, a set of operations under its one name; every other spec as it is.

    >>> canonical("embedded:negative + upside down"), canonical("folder:pets")
    ('embedded:upside-down+negative', 'folder:pets')
    """
    kind, colon, rest = spec.strip().partition(":")
    if f"{kind}{colon}" != _PREFIX:
        return spec
    try:
        return _PREFIX + name_of(operations_of(rest))
    except InputError:  # one of the shipped sets, or what the loading of the data set refuses in a sentence
        return spec


def expanded(spec: str) -> list[str]:
    """Return the data sets that a spec in a grid stands for: those of a half of the suite, or the canonical one.

    Raises:
        InputError: the installation lacks the suite.
    """
    half = spec.strip().removeprefix(_PREFIX)
    return suite(half) if spec.strip() == f"{_PREFIX}{half}" and half in SUITES else [canonical(spec)]


def suite(half: str) -> list[str]:
    """Return the specs of one half of the suite, a key of `SUITES`; `suite.json` states the rule that chose them.

    Raises:
        InputError: the installation lacks the file.
    """
    try:
        table: dict[str, Any] = json.loads(embedded.SUITE_FILE.read_text(encoding="utf-8"))
        return [_PREFIX + one["name"] for one in table["sets"] if one["half"] == SUITES[half]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the suite of embedded pictures cannot be read ({error}); reinstall ipo-prompts.") from error


def shifted(clean: Picture, key: str, operations: Collection[str]) -> Picture:
    """Return a picture that is rendered each time it is read, which takes about half a millisecond.

    It has no stamp: what its bytes are depends on the renderer too, so caches read it to know. And it is a PPM: its
    bytes, by which it is known, follow from the pixels alone and not from an encoder's version.

    Args:
        clean: a shipped picture of 48 by 48 pixels, on white.
        key: its path within its set, which decides what is random in the operations.
        operations: out of `OPERATIONS`.
    """
    name = f"{key} of {_PREFIX}{name_of(operations)}"
    return Picture(name, partial(_rendered, clean, operations, seed_of(key, SEED)))


def _rendered(clean: Picture, operations: Collection[str], seed: int) -> bytes:
    rgb = np.asarray(clean.image(), np.float32) / 255
    opaque = np.ones((SIDE, SIDE, 1), np.float32)
    # It was moved when it was made; moved again, it would be blurred, and more off its place than what CLIP has seen.
    image = render(np.concatenate([rgb, opaque], axis=2), operations, seed, jitter=0)
    return b"P6 %d %d 255\n" % (SIDE, SIDE) + np.round(image * 255).astype(np.uint8).tobytes()
