"""Draws training batches: which pictures, which operations, which captions.

In a mixed batch the words for style and shift already distinguish most pictures, so
the CLIP learns those words but little about classes. In a batch that shares one
domain only the class is left, seen through that domain. So a template that names the
shift pays off.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipo.experiments.embedded.operations import BACKGROUNDS, OPERATIONS, Image, render
from tools.embedded.captions import compose
from tools.embedded.drawings import Picture, Pixels, as_floats, by_concept

BATCH: Final = 128
_EASY: Final = 0.3
_PLAIN: Final = ("{}", "a photo of a {}.", "a {}", "a picture of a {}.")
_CLASS_WEIGHT: Final = 2.5
_MIXED: Final = 0.40
_CLEAN: Final = 0.30
"""Shares of batches whose pictures have operations of their own, or none; the rest share one random set."""
_COUNTS: Final = (0.22, 0.40, 0.26, 0.12)
"""Chances of 0, 1, 2 and 3 operations. All operations are equally likely: with three times as many negatives (18 % of
the pictures, not 6 %) the image tower learnt to see through them, and naming the shift gained nothing (validation at
step 600: 0.29 with and without the words)."""
_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class Batch:
    """``images``: float32 (128, 48, 48, 3) in [0, 1], or fewer with fewer concepts; matched row by row to ``texts``."""

    images: Image
    texts: list[str]


class BatchMaker:
    """Endless seeded batches over the pictures that CLIP may see."""

    def __init__(self, pictures: list[Picture], pixels: Pixels, rows: tuple[int, ...], seed: int) -> None:
        self._rng = random.Random(seed)
        self._looks = np.random.default_rng(seed)
        self._pictures = pictures
        self._pixels = pixels
        self._by_concept = by_concept(pictures, rows)
        self._concepts = sorted(self._by_concept)
        heavy = {p.concept for p in pictures if p.is_class}
        self._weights = [_CLASS_WEIGHT if c in heavy else 1.0 for c in self._concepts]

    def next(self, progress: float) -> Batch:
        """One batch; ``progress`` in [0, 1] is the share of training that is done.

        Early batches are mostly plain pictures with plain names: the image tower needs
        to see shapes before it can see them through noise, and names are learnt from
        short captions several times faster than from long ones.
        """
        rng = self._rng
        rows = [rng.choice(self._by_concept[c]) for c in self._distinct_concepts()]
        operations, backgrounds = [_NOTHING] * len(rows), ["white"] * len(rows)
        if rng.random() > progress / _EASY:
            images = self._images(rows, operations, backgrounds)
            names = [self._name(self._pictures[row]) for row in rows]
            return Batch(images, [rng.choice(_PLAIN).replace("{}", name) for name in names])
        roll = rng.random()
        if roll < _MIXED:
            operations = [self._random_operations() for _ in rows]
            backgrounds = [self._random_background() for _ in rows]
        elif roll >= _MIXED + _CLEAN:
            operations = [self._random_operations()] * len(rows)
            if rng.random() >= 0.7:
                backgrounds = [self._random_background()] * len(rows)
        images = self._images(rows, operations, backgrounds)
        texts = [
            compose(rng, self._name(p), ops, p.kind, paper, p.group.split("-")[0])
            for p, ops, paper in zip((self._pictures[row] for row in rows), operations, backgrounds, strict=True)
        ]
        return Batch(images, texts)

    def _distinct_concepts(self) -> list[str]:
        """Weighted draw without replacement (exponential keys)."""
        keys = [self._rng.expovariate(1.0) / w for w in self._weights]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return [self._concepts[i] for i in order[:BATCH]]

    def _random_operations(self) -> frozenset[str]:
        count = self._rng.choices(range(len(_COUNTS)), _COUNTS)[0]
        return frozenset(self._rng.sample(OPERATIONS, count))

    def _random_background(self) -> str:
        return "white" if self._rng.random() < 0.5 else self._rng.choice(sorted(BACKGROUNDS))

    def _name(self, picture: Picture) -> str:
        return picture.label if self._rng.random() < 0.1 else picture.concept

    def _images(self, rows: list[int], operations: Sequence[frozenset[str]], backgrounds: Sequence[str]) -> Image:
        images = []
        for row, wanted, background in zip(rows, operations, backgrounds, strict=True):
            rgba = as_floats(self._pixels[row])
            if self._pictures[row].kind == "glyph":  # tinted ones vary in colour, as real drawings of a thing do
                rgba[..., :3] = np.clip(rgba[..., :3] * self._looks.uniform(0.7, 1.3, 3), 0, 1)
            images.append(render(rgba, wanted, int(self._looks.integers(2**63)), background))
        return np.stack(images)
