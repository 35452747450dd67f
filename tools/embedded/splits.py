"""Splits every class's drawings into CLIP training and the data set's parts.

The unit is the *base* image: all drawings that share a shape go together, and
a base image of the data set is never shown to the CLIP while it trains.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from tools.embedded.drawings import Drawing

SEED: Final = 5
PER_CLASS: Final[dict[str, int]] = {"train": 4, "val": 2, "test": 4}
# The number of base images of a class that the CLIP keeps: enough to learn the class from.
MIN_FOR_CLIP: Final = 5


@dataclass(frozen=True)
class Split:
    """Indices into the image list: ``parts`` hold one drawing a base image."""

    clip: tuple[int, ...]
    parts: dict[str, tuple[int, ...]]
    classes: tuple[str, ...]


def split(drawings: list[Drawing]) -> Split:
    """Draws the parts by seed; classes with too few base images only train the CLIP."""
    by_class: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    clip = []
    for index, drawing in enumerate(drawings):
        if drawing.is_class:
            by_class[drawing.concept][drawing.base].append(index)
        else:
            clip.append(index)
    need = sum(PER_CLASS.values()) + MIN_FOR_CLIP
    parts: dict[str, list[int]] = {part: [] for part in PER_CLASS}
    classes = []
    for name, bases in by_class.items():
        # One generator a class, so that a change to one leaves the others alone.
        rng = random.Random(f"{SEED}/{name}")
        order = sorted(bases)
        rng.shuffle(order)
        if len(order) >= need:
            classes.append(name)
            for part, count in PER_CLASS.items():
                for base in order[:count]:
                    parts[part].append(rng.choice(bases[base]))
                order = order[count:]
        clip += [index for base in order for index in bases[base]]
    if len(classes) % 2:
        # An odd class would leave base and new of unequal size; it joins neither.
        dropped = classes.pop()
        parts = {part: [i for i in rows if drawings[i].concept != dropped] for part, rows in parts.items()}
    frozen = {part: tuple(rows) for part, rows in parts.items()}
    return Split(tuple(sorted(clip)), frozen, tuple(classes))
