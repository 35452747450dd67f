"""How often 95 % intervals cover the truth, and tests find nothing where nothing is: simulated hits of known truth.

A method is right where a sum of normal effects stays below its threshold: the class (hard for both methods, and for the
trained one), the image (hard for both; variants of one image share most of it), noise of the method's own (the same
under all seeds, or new with each), the luck of a search, and what that luck does to each class. The true accuracies
follow from the normal distribution, so that the threshold for a wanted gain can be solved for.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import optimize, special

from benchmarks.common import arguments
from benchmarks.lab.bed import shared, suite
from benchmarks.lab.crossed import crossed_interval
from ipo_prompts.experiments.compare.scores import MEAN, MEAN_OF_H, H, Runs, column_score, difference, value
from ipo_prompts.metrics.evidence import ALPHA
from ipo_prompts.metrics.sampling import Sampling

LEAST, MOST = 0.935, 0.97
"""The goals of coverage: the least; the most where methods differ on `FEW` images, with one seed or with `MANY`."""
FEW, MANY = 20, 5
MOST_FALSE = 0.065
AT_ONCE = 8_000
"""Values (seeds x images) of a run; worlds of more have a fifth of the runs."""
SAME_IMAGE = 0.7
"""The share of an image's own effect that its variants have in common."""
CROSSED = {"16 of the suite": suite("suite-held-out"), "6 taught": suite("claims-taught")}
CROSSED["12 shifted"] = [*CROSSED["6 taught"], *suite("claims-untaught")]
"""Sets whose transformations are crossed."""
CLIPS = 3
"""The number of CLIPs that the last of these designs has together."""
DEVIATIONS = ((0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 0), (0.3, 0.3, 1))
"""Of the first transformation, of the other one, and of what a set has for itself."""
OF_CLIPS = ((0, 0, 0, 0, 1), (0, 0, 0, 1, 0.3), (1, 0, 1, 0, 1), (0, 0, 0.5, 1, 1), (1, 1, 1, 0.5, 0.5))
"""Of both transformations, of a set, of a CLIP, and of a set with a CLIP."""


@dataclass(frozen=True)
class World:
    """What is compared: a trained method with a fixed template or another trained method, on the same images.

    Attributes:
        name: what differs from the defaults.
        sizes: for each side of each data set, the number of images of each class.
        column: the column of the table: one side ("test"), H, a mean of the H of data sets, or a mean over targets of
            one search.
        variants: the number of images that are one draw.
        icc: variance of the difficulty of classes; that of images is 1.
        own: share of an image's difficulty that the methods do not share; if it is small, they seldom differ.
        lasting: share of `own` that is the same under all seeds.
        luck, class_luck: standard deviations of a search's luck, and of its luck in each class; there is none with one
            seed, whose template is given.
        rival: whether the other method is trained, too, with luck of its own.
        base, gain: the true value of the other method, and what the trained one has over it.
    """

    name: str
    sizes: tuple[tuple[int, ...], ...]
    column: str = "test"
    seeds: int = 1
    variants: int = 1
    icc: float = 0.2
    own: float = 0.7
    lasting: float = 0.5
    luck: float = 0.1
    class_luck: float = 0.1
    rival: bool = False
    base: float = 0.5
    gain: float = 0.05


def worlds() -> list[World]:
    """Return all worlds."""
    images = {
        **{2: (1, 2, 4, 20, 50, 200), 3: (20, 200), 5: (1, 4, 20, 50, 200), 10: (2, 4, 20, 200), 19: (1, 4, 20, 50)},
        **{34: (1, 4, 20), 51: (2, 4, 20), 68: (1, 2, 4, 20), 100: (1, 2, 4, 20, 50), 1000: (1, 2, 4, 20)},
    }
    found = [_world(count, size) for count, sizes in images.items() for size in sizes]
    found += [_world(*design, icc=icc) for design, icc in product([(5, 20), (68, 4), (100, 1)], (0.0, 0.6))]
    found += [_world(*design, own=own) for design, own in product([(20, 5), (68, 4), (100, 20)], (0.02, 0.1))]
    for name, sizes in {
        "sizes 1 to 128": (1, 2, 4, 8, 16, 32, 64, 128),
        "half of 40 classes single": (1, 5) * 20,
        "one of 10 classes single": (1, *[10] * 9),
        "one of 5 classes 20 times the others": (400, *[20] * 4),
    }.items():
        found.append(World(f"{name}, icc 0.6", (sizes,), icc=0.6))
    for (count, size), variants in {(5, 20): 4, (68, 4): 4, (2, 60): 3}.items():
        found += [_world(count, size, variants=variants, seeds=seeds) for seeds in (1, 3)]
    for seeds, lucks in {2: (0.1,), 3: (0.0, 0.05, 0.1, 0.3), 5: (0.0, 0.1, 0.3)}.items():
        found += [_world(*design, seeds=seeds, luck=luck) for design, luck in product([(10, 50), (68, 4)], lucks)]
    found.append(_world(68, 4, seeds=10))
    for seeds in (3, 5):
        found += [_world(100, 1, seeds=seeds), _world(5, 200, seeds=seeds), _world(2, 50, seeds=seeds)]
        found += [_world(68, 4, seeds=seeds, lasting=0.0, luck=0.0, class_luck=0.0)]
        found += [_world(68, 4, seeds=seeds, rival=True), _world(20, 5, seeds=seeds, own=0.1)]
    for count, seeds in ((2, 1), (4, 1), (11, 1), (2, 3), (11, 3), (4, 5)):
        found.append(_world(20, 5, count, seeds=seeds))
    found += [_world(20, 5, count, seeds=seeds, column=MEAN) for count, seeds in ((2, 3), (10, 3), (10, 5))]
    found += [_world(34, 4, 2, seeds=seeds, column=H) for seeds in (1, 3, 5)] + [_world(5, 50, 2, column=H)]
    found += [_world(20, 5, 2, column=H, base=0.3, gain=0.4)]
    found += [_world(20, 5, 6, seeds=seeds, column=MEAN_OF_H) for seeds in (1, 3)]
    return found


def _world(classes: int, images: int, parts: int = 1, **more: Any) -> World:
    named = {"seeds": "{} seeds", "variants": "{} variants", "rival": "rival trained", "column": "{}"}
    words = [
        named.get(key, key.replace("_", " ") + " {}").format(of)
        for key, of in more.items()
        if (key, of) != ("seeds", 1)
    ]
    size = f"{parts} x {classes} x {images}" if parts > 1 else f"{classes} x {images}"
    return World(", ".join([size, *words]), ((images,) * classes,) * parts, **more)


@dataclass(frozen=True)
class Found:
    """What a world showed.

    Attributes:
        world: the world.
        differing: the mean number of images on which the methods differ, under one seed.
        at_none, at_gain: the share of intervals of the difference that cover it, without a gain and with the world's.
        value: the share of intervals of the trained method's value that cover it.
        false: the share of p of at most `ALPHA` without a gain.
    """

    world: World
    differing: float
    at_none: float
    at_gain: float
    value: float
    false: float

    def misses(self, runs: int, allowed: float) -> Iterator[str]:
        """Say which goals are missed by more than `allowed` standard errors of the simulation."""
        slack = allowed * math.sqrt(0.05 * 0.95 / runs)
        tight = self.differing >= FEW and (self.world.seeds == 1 or self.world.seeds >= MANY)
        for of, covered in (("no gain", self.at_none), ("a gain", self.at_gain), ("the value", self.value)):
            if covered < LEAST - slack:
                yield f"covers {of} in {covered:.1%}"
            if covered > MOST + slack and tight and of != "the value":
                yield f"covers {of} in as much as {covered:.1%}"
        if self.false > MOST_FALSE + slack:
            yield f"finds {self.false:.1%} where nothing is"


def main() -> int:
    """Simulate, print, and tell whether a goal was missed."""
    options = arguments(
        __doc__,
        runs={"type": int, "default": 2_000, "help": "of each world; a fifth for the largest"},
        worlds={"default": "", "help": "a regular expression: only worlds whose name it is found in"},
        seed={"type": int, "default": 0},
    )
    if options.small:
        options.runs, options.worlds = 300, options.worlds or r"^(5 x 20|68 x 4, 3 seeds, luck 0.1|2 x 34 x 4, H)$"
    allowed, missed = 4.0 if options.small else 0.0, []
    print("| world | differing | covers no gain | covers a gain | covers the value | false finds |")
    print("| --- " * 6 + "|")
    for world in (one for one in worlds() if re.search(options.worlds, one.name)):
        model, runs = Model(world, options.seed), options.runs
        if model.n * world.seeds > AT_ONCE:
            runs = max(1, runs // 5)
        found = simulate(model, runs)
        shares = (found.at_none, found.at_gain, found.value, found.false)
        print(f"| {world.name} | {found.differing:.0f} | {' | '.join(f'{one:.1%}' for one in shares)} |", flush=True)
        missed += [f"{world.name} {miss}" for miss in found.misses(runs, allowed)]
    if not options.worlds or options.small:
        for name, share in crossed(options.runs, options.seed):
            print(f"| sets that share transformations: {name} | – | – | {share:.1%} | – | – |", flush=True)
            if share < LEAST - allowed * math.sqrt(0.05 * 0.95 / options.runs):
                missed.append(f"{name} covers {share:.1%}")
    print(f"\nGoals missed: {len(missed)}" + "".join(f"\n- {miss}" for miss in missed))
    return 1 if missed else 0


def simulate(model: Model, runs: int) -> Found:
    """Run the code of the tables on simulated hits: without a gain, and with the world's gain."""
    column, gain, truth = model.world.column, model.world.gain, model.world.base + model.world.gain
    null = [difference(column, *pair) for pair in model.pairs(0.0, runs)]
    pairs = list(model.pairs(gain, runs))
    gained = [difference(column, *pair) for pair in pairs]
    scores = [column_score(column, ours) for ours, _ in pairs]
    effects, others = ([one[0] for one in found if one] for found in (null, gained))
    return Found(
        model.world,
        model.differing,
        float(np.mean([one.low <= 0 <= one.high for one in effects])),
        float(np.mean([one.low <= gain <= one.high for one in others])),
        float(np.mean([one.low <= truth <= one.high for one in scores])),
        float(np.mean([one.p <= ALPHA for one in effects])),
    )


class Model:
    """A world's classes, thresholds and draws."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = np.random.default_rng((seed, zlib.crc32(world.name.encode())))
        self.per_class = np.concatenate([np.array(sizes) for sizes in world.sizes])
        self.n, self.differing = int(self.per_class.sum()), 0.0
        self.part = np.repeat(np.arange(len(world.sizes)), [len(sizes) for sizes in world.sizes])
        self.classes = np.repeat(np.arange(len(self.per_class)), self.per_class)
        within = np.concatenate([np.arange(size) // world.variants for size in self.per_class])
        self.draws = np.unique(np.stack([self.classes, within]), axis=1, return_inverse=True)[1].ravel()
        ends = np.cumsum([0, *map(sum, world.sizes)])
        self.slices = [slice(*two) for two in itertools.pairwise(ends)]
        self.samplings = [
            Sampling.of(len(self.classes[one]), self.classes[one], self.draws[one]) for one in self.slices
        ]
        self.trained = world.seeds > 1
        self.luck = world.luck if self.trained else 0.0
        self.class_luck = world.class_luck if self.trained else 0.0
        given = np.random.default_rng(zlib.crc32(world.name.encode()))
        self.hard = math.sqrt(world.icc) * given.standard_normal(len(self.part), dtype=np.float32)
        self.tilt = 0.5 * math.sqrt(world.icc) * given.standard_normal(len(self.part), dtype=np.float32)

    def pairs(self, gain: float, runs: int) -> Iterator[tuple[list[Runs], list[Runs]]]:
        """Yield the runs of both methods, with a true difference of `gain`."""
        theirs = optimize.brentq(lambda t: self._true(t, False) - self.world.base, -9, 9)
        ours = optimize.brentq(lambda t: self._true(t, True) - self.world.base - gain, -9, 9)
        at_once = max(1, 200_000 // (self.n * self.world.seeds))
        for start in range(0, runs, at_once):
            for a, b in zip(*self._draw(ours, theirs, min(at_once, runs - start)), strict=True):
                self.differing += 0.0 if gain else float((a != b).sum() / len(a) / runs)
                yield self._runs([a[:, one] for one in self.slices]), self._runs([b[:, one] for one in self.slices])

    def _true(self, threshold: float, first: bool) -> float:
        """Return the true value of the column."""
        noise = 1 + (self.luck**2 + self.class_luck**2 if first or self.world.rival else 0.0)
        right = special.ndtr((threshold - self.hard - (self.tilt if first else 0.0)) / math.sqrt(noise))
        accuracies = [
            float((right * self.per_class)[self.part == part].sum()) / sum(sizes)
            for part, sizes in enumerate(self.world.sizes)
        ]
        if self.world.column in ("test", MEAN):
            return float(np.mean(accuracies))
        return value(self.world.column, self._runs([np.array([[one]]) for one in accuracies]))

    def _draw(self, ours: float, theirs: float, count: int) -> Iterator[np.ndarray]:
        """Yield the hits of both methods, bool (count, seeds, images); an untrained one is the same under all."""
        both = math.sqrt(1 - self.world.own) * self._images(count, 1) + self.hard[self.classes]
        shape = (count, self.world.seeds, self.n)
        yield np.broadcast_to(both + self._noise(count, self.trained) < ours - self.tilt[self.classes], shape)
        yield np.broadcast_to(both + self._noise(count, self.trained and self.world.rival) < theirs, shape)

    def _noise(self, count: int, trained: bool) -> np.ndarray:
        """Return the noise of a method's own, (count, seeds or 1, images)."""
        if not trained:
            return math.sqrt(self.world.own) * self._images(count, 1)
        seeds, lasting = self.world.seeds, self.world.lasting
        of_class = self.class_luck * self.rng.standard_normal((count, seeds, len(self.part)), dtype=np.float32)
        shifts = self.luck * self._of_searches(count) + of_class
        found = math.sqrt(self.world.own * (1 - lasting)) * self._images(count, seeds) + shifts[..., self.classes]
        return np.asarray(found + math.sqrt(self.world.own * lasting) * self._images(count, 1))

    def _of_searches(self, count: int) -> np.ndarray:
        """Return the luck of each search for each class, (count, seeds, classes); a data set has searches of its own.

        H has two sides from one search, and a mean over targets has all from one.
        """
        sides = {H: 2, MEAN_OF_H: 2, MEAN: len(self.slices)}.get(self.world.column, 1)
        data_set = self.part // sides
        drawn = self.rng.standard_normal((count, self.world.seeds, int(data_set.max()) + 1), dtype=np.float32)
        return np.asarray(drawn[..., data_set])

    def _images(self, count: int, seeds: int) -> np.ndarray:
        """Return a standard normal for each image, (count, seeds, images)."""
        found = self.rng.standard_normal((count, seeds, self.n), dtype=np.float32)
        if self.world.variants > 1:
            alike = self.rng.standard_normal((count, seeds, self.draws.max() + 1), dtype=np.float32)
            found = math.sqrt(SAME_IMAGE) * alike[..., self.draws] + math.sqrt(1 - SAME_IMAGE) * found
        return found

    def _runs(self, parts: list[np.ndarray]) -> list[Runs]:
        """Return parts, (seeds, images) each, in their data sets and sides, as the tables have them."""
        column, seeds = self.world.column, tuple(range(len(parts[0])))
        sides = {"test": ["test"], MEAN: [f"target {i}" for i in range(len(parts))]}.get(column, ["base", "new"])
        made = []
        for start in range(0, len(parts), len(sides)):
            values = {side: parts[start + i].astype(np.float64) for i, side in enumerate(sides)}
            samplings = dict(zip(sides, self.samplings[start:], strict=False))
            cell: Any = SimpleNamespace(
                sides={side: SimpleNamespace(answer="") for side in sides},
                gaps={},
                done=SimpleNamespace(templates=None),
            )
            made.append(Runs(seeds, values, samplings, (cell,) * len(seeds)))
        return made


def crossed(runs: int, seed: int) -> Iterator[tuple[str, float]]:
    """Simulate means over sets that share transformations; yield what is simulated and how often intervals cover it."""
    rng = np.random.default_rng(seed)
    designs: list[Any] = [
        (name, [*shared(sets), sets], sds) for (name, sets), sds in product(CROSSED.items(), DEVIATIONS)
    ]
    sets, clips = CROSSED["12 shifted"] * CLIPS, [str(i) for i in range(CLIPS) for _ in CROSSED["12 shifted"]]
    each = [f"{clip} {one}" for clip, one in zip(clips, sets, strict=True)]
    designs += [(f"12 shifted, {CLIPS} CLIPs", [*shared(sets), sets, clips, each], sds) for sds in OF_CLIPS]
    for name, factors, deviations in designs:
        numbers = [np.unique(levels, return_inverse=True)[1] for levels in factors]
        covered = 0
        for _ in range(runs):
            parts = [sd * rng.normal(size=len(of))[of] for sd, of in zip(deviations, numbers, strict=True)]
            found = crossed_interval(np.sum(parts, axis=0), factors[:-1])
            covered += found.low <= 0 <= found.high
        yield f"{name}, deviations {' / '.join(map(str, deviations))}", covered / runs


if __name__ == "__main__":
    sys.exit(main())
