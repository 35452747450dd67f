"""The four image sets: one fixed transformation set each, behind an opaque letter."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from ipo_prompts.experiments.embedded.shifts import render, seed_of
from tools.embedded.drawings import Pixels, as_floats

SEED: Final = 11
DOMAINS: Final[dict[str, frozenset[str]]] = {
    "a": frozenset({"negative"}),
    "b": frozenset(),
    "c": frozenset({"gray", "blur"}),
    "d": frozenset({"faded", "sideways"}),
}


def draw(drawings: Iterable[tuple[str, Pixels]], domain: str) -> Pixels:
    """Return the images of one domain, uint8 (n, 48, 48, 3), from names and uint8 (64, 64, 4).

    An image's seed comes from its name: it moves alike in every domain, so that domains
    differ in their transformation only, and alike in every selection of images.
    """
    images = [render(as_floats(rgba), DOMAINS[domain], seed_of(name, SEED), jitter=0.6) for name, rgba in drawings]
    return np.round(np.stack(images) * 255).astype(np.uint8)
