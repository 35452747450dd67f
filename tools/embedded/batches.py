"""Draws training batches: which images, which transformations, which captions.

In a mixed batch the words for style and shift already distinguish most images, so
the CLIP learns those words but little about classes. In a batch that shares one
domain only the class is left, seen through that domain. So a template that names the
shift pays off. In a crossed batch each concept comes four times: unchanged, with one
transformation, with another, and with both. So a template that names both pays off more
than one that names either.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipo_prompts.experiments.embedded.shifts import BACKGROUNDS, GEOMETRIC, TRANSFORMATIONS, Image, render
from tools.embedded.captions import SAID, compose
from tools.embedded.drawings import Drawing, Pixels, as_floats, by_concept, group_name

BATCH: Final = 128
BARE: Final = ("{}", "a photo of a {}.", "a {}", "a picture of a {}.")
_CLASS_WEIGHT: Final = 2.5
_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class Mix:
    """The composition of batches.

    Attributes:
        crossed, mixed, clean: shares of batches that are crossed, whose images have transformations of their own, or
            none; the other batches share one random set.
        counts: chances of 0, 1, 2 and 3 transformations; all transformations are equally likely.
        easy: the share of training in which batches turn from unchanged images with bare names to these.
        said: how often a caption names a transformation.
    """

    crossed: float
    mixed: float
    clean: float
    counts: tuple[float, ...]
    easy: float
    said: float = SAID


IMAGES: Final = Mix(crossed=0.0, mixed=0.40, clean=0.30, counts=(0.22, 0.40, 0.26, 0.12), easy=0.3)
"""For both towers. With three times as many negatives (18 % of the images, not 6 %) the image tower learnt to see
through them, and naming the shift gained nothing (validation at step 600: 0.29 with and without the words)."""
WORDS: Final = Mix(crossed=0.25, mixed=0.15, clean=0.15, counts=(0.12, 0.30, 0.48, 0.10), easy=0.02)
"""For the text tower, which learns what two words say together beside an image tower that stays as it is."""


PLAIN: Final = Mix(crossed=0.0, mixed=1.0, clean=0.0, counts=(0.50, 0.33, 0.12, 0.05), easy=0.3, said=0.35)
"""For both towers of a control CLIP, as the web might teach them: every image has transformations of its own or none,
and a caption seldom names one. No batch shares a shift, so a template gains nothing by naming one but what it says."""
RECIPES: Final = {"shipped": IMAGES, "plain": PLAIN}


@dataclass(frozen=True)
class Batch:
    """``images``: float32 (128, 48, 48, 3) in [0, 1], or fewer with fewer concepts; matched row by row to ``texts``.

    ``things``: the concept of each; in a crossed batch those of several rows are equal.
    """

    images: Image
    texts: list[str]
    things: list[str]


class BatchMaker:
    """Endless seeded batches over the images that CLIP may see.

    ``others`` are words that captions hold now and then, at random; they say nothing about an image.
    """

    def __init__(
        self,
        drawings: list[Drawing],
        pixels: Pixels,
        rows: tuple[int, ...],
        seed: int,
        mix: Mix = IMAGES,
        others: Sequence[str] = (),
    ) -> None:
        self._mix, self._others = mix, others
        self._rng = random.Random(seed)
        self._looks = np.random.default_rng(seed)
        self._drawings = drawings
        self._pixels = pixels
        self._by_concept = by_concept(drawings, rows)
        self._concepts = sorted(self._by_concept)
        heavy = {p.concept for p in drawings if p.is_class}
        self._weights = [_CLASS_WEIGHT if c in heavy else 1.0 for c in self._concepts]

    def next(self, progress: float) -> Batch:
        """Return a batch; ``progress`` in [0, 1] is the share of training that is done.

        Early batches are mostly unchanged images with bare names: the image tower needs
        to see shapes before it can see them through noise, and names are learnt from
        short captions several times faster than from long ones.
        """
        rng = self._rng
        rows = [rng.choice(self._by_concept[c]) for c in weighted_draw(rng, self._concepts, self._weights)]
        transformations, backgrounds = [_NOTHING] * len(rows), ["white"] * len(rows)
        if rng.random() > progress / self._mix.easy:
            images = self._images(rows, transformations, backgrounds)
            names = [self._name(self._drawings[row]) for row in rows]
            plain = [rng.choice(BARE).replace("{}", name) for name in names]
            return Batch(images, plain, [self._drawings[row].concept for row in rows])
        roll = rng.random()
        mix = self._mix
        if roll < mix.crossed:
            sets = self._crossed_transformations()
            rows = [row for row in rows[: len(rows) // len(sets)] for _ in sets]
            transformations, backgrounds = sets * (len(rows) // len(sets)), ["white"] * len(rows)
        elif roll < mix.crossed + mix.mixed:
            transformations = [self._random_transformations() for _ in rows]
            backgrounds = [self._random_background() for _ in rows]
        elif roll >= mix.crossed + mix.mixed + mix.clean:
            transformations = [self._random_transformations()] * len(rows)
            if rng.random() >= 0.7:
                backgrounds = [self._random_background()] * len(rows)
        images = self._images(rows, transformations, backgrounds)
        texts = [
            compose(rng, self._name(p), ops, p.kind, paper, group_name(p), self._others, mix.said)
            for p, ops, paper in zip((self._drawings[row] for row in rows), transformations, backgrounds, strict=True)
        ]
        return Batch(images, texts, [self._drawings[row].concept for row in rows])

    def _random_transformations(self) -> frozenset[str]:
        counts = self._mix.counts
        count = self._rng.choices(range(len(counts)), counts)[0]
        return frozenset(self._rng.sample(TRANSFORMATIONS, count))

    def _crossed_transformations(self) -> list[frozenset[str]]:
        """None, one, another, and both: mostly one that moves the image and one that changes its pixels."""
        moves, pixels = GEOMETRIC, TRANSFORMATIONS[len(GEOMETRIC) :]
        alike = self._rng.random() < 0.25
        one, other = (
            self._rng.sample(TRANSFORMATIONS, 2) if alike else (self._rng.choice(moves), self._rng.choice(pixels))
        )
        return [_NOTHING, frozenset({one}), frozenset({other}), frozenset({one, other})]

    def _random_background(self) -> str:
        return "white" if self._rng.random() < 0.5 else self._rng.choice(sorted(BACKGROUNDS))

    def _name(self, drawing: Drawing) -> str:
        return drawing.label if self._rng.random() < 0.1 else drawing.concept

    def _images(self, rows: list[int], transformations: Sequence[frozenset[str]], backgrounds: Sequence[str]) -> Image:
        images = []
        for row, wanted, background in zip(rows, transformations, backgrounds, strict=True):
            rgba = as_floats(self._pixels[row])
            if self._drawings[row].kind == "glyph":  # tinted ones vary in colour, as real drawings of a thing do
                rgba[..., :3] = np.clip(rgba[..., :3] * self._looks.uniform(0.7, 1.3, 3), 0, 1)
            images.append(render(rgba, wanted, int(self._looks.integers(2**63)), background))
        return np.stack(images)


def weighted_draw(rng: random.Random, concepts: Sequence[str], weights: Sequence[float]) -> list[str]:
    """Draw the concepts of a batch by their weights, without replacement (exponential keys)."""
    keys = [rng.expovariate(1.0) / weight for weight in weights]
    return [concepts[i] for i in sorted(range(len(keys)), key=keys.__getitem__)[:BATCH]]
