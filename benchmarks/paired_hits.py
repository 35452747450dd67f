"""Paired hits with a known truth: the model that `coverage.py` draws from. Nothing runs here.

A method is right where a sum of normal effects stays below its threshold: the class (hard for both methods, and for the
trained one), the picture (hard for both; variants of one picture share most of it), noise of the method's own (the same
under all seeds, or new with each), the luck of a search, and what that luck does to each class. The true accuracies
follow from the normal distribution, so that thresholds for a wanted gain can be solved for.
"""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from ipo_prompts.experiments.compare.tables.runs import MEAN, MEAN_OF_H, H, Runs, value
from ipo_prompts.metrics.sampling import Sampling

SAME_PICTURE = 0.7
"""Share of a picture's own effect that its variants have in common."""


@dataclass(frozen=True)
class Cell:
    """What a user compares: a trained method with a fixed template or another trained method, on the same pictures.

    Attributes:
        sizes: for each side of each data set, the number of pictures of each class.
        column: the column of the table: one side ("test"), H, a mean of the H of data sets, or a mean over targets of
            one search.
        like_these: whether classes (of several data sets: data sets), and their effects, are drawn anew in each run.
        variants: the number of pictures that are one draw.
        icc: variance of the difficulty of classes; that of pictures is 1.
        tilt: standard deviation of a class's effect on the trained method alone; None: half that of its difficulty.
        own: share of a picture's difficulty that the methods do not share; if it is small, they seldom differ.
        lasting: share of `own` that is the same under all seeds.
        luck, class_luck: standard deviations of a search's luck, and of its luck in each class; there is none with one
            seed, whose template is given.
        apart: standard deviation of a data set's effect on the trained method alone.
        rival: whether the other method is trained, too, with luck of its own.
    """

    name: str
    sizes: tuple[tuple[int, ...], ...]
    column: str = "test"
    seeds: int = 1
    like_these: bool = False
    variants: int = 1
    icc: float = 0.2
    tilt: float | None = None
    own: float = 0.7
    lasting: float = 0.5
    luck: float = 0.1
    class_luck: float = 0.1
    apart: float = 0.0
    rival: bool = False
    base: float = 0.5
    gain: float = 0.05

    @property
    def n(self) -> int:
        """All pictures."""
        return sum(map(sum, self.sizes))


class Model:
    """A cell's classes, thresholds and draws.

    Attributes:
        cell: the cell that is simulated.
        rng: draws the runs; classes that are given have a generator of their own, seeded by the cell's name.
    """

    def __init__(self, cell: Cell, seed: int) -> None:
        self.cell = cell
        self.rng = np.random.default_rng((seed, zlib.crc32(cell.name.encode())))
        self.per_class = np.concatenate([np.array(sizes) for sizes in cell.sizes])
        self.part = np.repeat(np.arange(len(cell.sizes)), [len(sizes) for sizes in cell.sizes])
        self.classes = np.repeat(np.arange(len(self.per_class)), self.per_class)
        self.draws = np.concatenate([np.arange(size) // cell.variants for size in self.per_class])
        self.draws = np.unique(np.stack([self.classes, self.draws]), axis=1, return_inverse=True)[1].ravel()
        ends = np.cumsum([0, *map(sum, cell.sizes)])
        self.slices = [slice(*two) for two in itertools.pairwise(ends)]
        variants = self.draws if cell.variants > 1 else np.arange(cell.n)
        self.samplings = (
            [Sampling.of(cell.n, self.classes, variants)]
            if len(self.slices) == 1
            else [Sampling.of(len(self.classes[one]), self.classes[one], variants[one]) for one in self.slices]
        )
        self.trained = cell.seeds > 1
        self.luck = cell.luck if self.trained else 0.0
        self.class_luck = cell.class_luck if self.trained else 0.0
        self.tilt = 0.5 * math.sqrt(cell.icc) if cell.tilt is None else cell.tilt
        self.given = self._effects(1, np.random.default_rng(zlib.crc32(cell.name.encode())))

    def _effects(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the effects on both methods, and on the trained one alone: (count, classes) each."""
        hard = math.sqrt(self.cell.icc) * rng.standard_normal((count, len(self.part)), dtype=np.float32)
        tilt = self.tilt * rng.standard_normal((count, len(self.part)), dtype=np.float32)
        apart = self.cell.apart * rng.standard_normal((count, len(self.slices)), dtype=np.float32)
        return hard, tilt + apart[:, self.part]

    def difference(self, ours: float, theirs: float) -> float:
        """Return the true difference at two thresholds: for the classes as given, or on average for such classes."""
        return self._true(ours, True) - self._true(theirs, False)

    def thresholds(self, gain: float) -> tuple[float, float]:
        """Return the thresholds of the two methods for a true difference."""
        theirs = optimize.brentq(lambda t: self._true(t, False) - self.cell.base, -9, 9)
        return float(optimize.brentq(lambda t: self.difference(t, theirs) - gain, -9, 9)), float(theirs)

    def _true(self, threshold: float, first: bool) -> float:
        noise = 1 + (self.luck**2 + self.class_luck**2 if first or self.cell.rival else 0.0)
        return float(self._column(threshold, first, noise, np.zeros((1, len(self.part))))[0])

    def _column(self, threshold: float, first: bool, noise: float, luck: np.ndarray) -> np.ndarray:
        """Return the true value of the column for each row of shifts of the classes."""
        hard, tilt = self.given
        where = luck + hard + (tilt if first else 0.0)
        if self.cell.like_these:
            noise += self.cell.icc + (self.tilt**2 + self.cell.apart**2 if first else 0.0)
            where = luck
        right = special.ndtr((threshold - where) / math.sqrt(noise))
        sums = np.stack([(right * self.per_class)[:, self.part == p].sum(1) for p in range(len(self.slices))], axis=1)
        accuracies = sums / [sum(sizes) for sizes in self.cell.sizes]
        if self.cell.column in ("test", MEAN):
            return np.asarray(accuracies.mean(axis=1))
        return np.array([value(self.cell.column, self._runs(row)) for row in accuracies])

    def variance_of_seeds(self) -> float:
        """Return the variance of the mean over the cell's seeds that is due to luck alone."""
        if not self.luck and not self.class_luck:
            return 0.0
        given_class = 0.0 if self.cell.like_these else self.class_luck
        noise = 1 + self.class_luck**2 - given_class**2
        total = 0.0
        for first, threshold in zip((True, False), self.thresholds(0.0), strict=True):
            if first or self.cell.rival:
                shifts = self._of_searches(2000, 1)[:, 0, self.part]
                shifts = shifts + given_class * self.rng.standard_normal(shifts.shape)
                total += float(self._column(threshold, first, noise, shifts).var(ddof=1))
        return total / self.cell.seeds

    def _of_searches(self, count: int, seeds: int) -> np.ndarray:
        """Return the luck of each seed in each part, (count, seeds, parts): one search for all targets or one a set."""
        data_set = np.zeros(len(self.slices), dtype=int)
        if self.cell.column in ("test", MEAN_OF_H):
            data_set = np.arange(len(self.slices)) // (2 if self.cell.column == MEAN_OF_H else 1)
        drawn = self.rng.standard_normal((count, seeds, data_set.max() + 1), dtype=np.float32)
        return self.luck * drawn[..., data_set]

    def draw(self, thresholds: tuple[float, float], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return hits of both methods, bool (count, seeds, pictures); a method without seeds is the same under all."""
        hard, tilt = self._effects(count, self.rng) if self.cell.like_these else self.given
        both = math.sqrt(1 - self.cell.own) * self._pictures(count, 1) + hard[:, None, self.classes]
        ours, theirs = (
            both + self._noise(count, trained) < threshold - shift
            for trained, threshold, shift in (
                (self.trained, thresholds[0], tilt[:, None, self.classes]),
                (self.trained and self.cell.rival, thresholds[1], 0.0),
            )
        )
        return ours, np.broadcast_to(theirs, ours.shape)

    def _noise(self, count: int, trained: bool) -> np.ndarray:
        """Return the noise of a method's own, (count, seeds or 1, pictures)."""
        if not trained:
            return math.sqrt(self.cell.own) * self._pictures(count, 1)
        seeds, lasting = self.cell.seeds, self.cell.lasting
        shifts = self._of_searches(count, seeds)[..., self.part]
        shifts = shifts + self.class_luck * self.rng.standard_normal(shifts.shape, dtype=np.float32)
        found = math.sqrt(self.cell.own * (1 - lasting)) * self._pictures(count, seeds) + shifts[..., self.classes]
        return np.asarray(found + math.sqrt(self.cell.own * lasting) * self._pictures(count, 1))

    def _pictures(self, count: int, seeds: int) -> np.ndarray:
        """Return a standard normal for each picture, (count, seeds, pictures)."""
        found = self.rng.standard_normal((count, seeds, self.cell.n), dtype=np.float32)
        if self.cell.variants > 1:
            shared = self.rng.standard_normal((count, seeds, self.draws.max() + 1), dtype=np.float32)
            found = math.sqrt(SAME_PICTURE) * shared[..., self.draws] + math.sqrt(1 - SAME_PICTURE) * found
        return found

    def runs(self, hits: np.ndarray) -> list[Runs]:
        """Return hits (seeds, pictures) in the form of a table's runs."""
        values = hits.astype(np.float64)
        return self._runs([values[:, one] for one in self.slices], self.samplings)

    def _runs(self, parts: Any, samplings: Any = None) -> list[Runs]:
        """Return parts in their data sets and sides: a mean over targets is one data set, H has two sides."""
        values = [np.atleast_2d(part) for part in parts]
        samplings = samplings or [Sampling(1)] * len(values)
        sides = {H: 2, MEAN_OF_H: 2, MEAN: len(values)}.get(self.cell.column, 1)
        names = ["base", "new"] if sides == 2 and self.cell.column != MEAN else [f"target {i}" for i in range(sides)]
        if self.cell.column == "test":
            names = ["test"]
        seeds = tuple(range(1, self.cell.seeds + 1))
        return [
            Runs(
                seeds,
                dict(zip(names, values[start : start + sides], strict=True)),
                dict(zip(names, samplings[start : start + sides], strict=True)),
                ({},) * len(seeds),
            )
            for start in range(0, len(values), sides)
        ]
