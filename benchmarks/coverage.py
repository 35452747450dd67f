"""How often intervals cover, tests find nothing where nothing is, and promises of power are kept: simulations."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import special

from benchmarks.common import arguments
from benchmarks.lab.bed import shared, suite
from benchmarks.lab.crossed import crossed_interval
from benchmarks.paired_hits import Cell, Model
from ipo_prompts.experiments.compare.tables.runs import MEAN, MEAN_OF_H, H, difference
from ipo_prompts.metrics.evidence import ALPHA, Effect, effect_of
from ipo_prompts.metrics.sampling import Variance
from ipo_prompts.metrics.verdict import judge

COMPARISONS = (1, 3, 8)
MOST = 8_000
"""Values (seeds x pictures) of a run; cells of more have a fifth of the runs."""
HIGHEST = 0.97
"""The accuracy up to which a promise is simulated: what is promised may be more than there is room for."""
CLEAR = (("2 classes x 200, 15 points", 2, 200, 0.15), ("5 classes x 840, 20 points", 5, 840, 0.2))
"""Gains that must not be missed: name, classes, pictures of each, true difference."""


CROSSED = {"16 of the suite": suite("suite-held-out"), "6 taught": suite("claims-taught")}
CROSSED["12 shifted"] = [*CROSSED["6 taught"], *suite("claims-untaught")]
"""Sets whose transformations are crossed."""
CLIPS = 3
"""The number of CLIPs that the last of these designs has together."""
DEVIATIONS = ((0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 0), (0.3, 0.3, 1))
"""Of the first transformation, of the other one, and of what a set has for itself."""
OF_CLIPS = ((0, 0, 0, 0, 1), (0, 0, 0, 1, 0.3), (1, 0, 1, 0, 1), (0, 0, 0.5, 1, 1), (1, 1, 1, 0.5, 0.5))
"""Of both transformations, of a set, of a CLIP, and of a set with a CLIP."""


def cells() -> list[Cell]:
    """Return all cells; their names say what differs from the model's defaults."""
    pictures = {
        **{2: (1, 2, 4, 20, 50, 200), 3: (20, 200), 5: (1, 4, 20, 50, 200), 10: (2, 4, 20, 200), 19: (1, 4, 20, 50)},
        **{34: (1, 4, 20), 51: (2, 4, 20), 68: (1, 2, 4, 20), 100: (1, 2, 4, 20, 50), 1000: (1, 2, 4, 20)},
    }
    found = [_cell(count, size) for count, sizes in pictures.items() for size in sizes]
    found += [_cell(*design, icc=icc) for design, icc in product([(5, 20), (68, 4), (100, 1)], (0.0, 0.6))]
    found += [_cell(*design, own=own) for design, own in product([(20, 5), (68, 4), (100, 20)], (0.02, 0.1))]
    for name, sizes in {
        "sizes 1 to 128": (1, 2, 4, 8, 16, 32, 64, 128),
        "half of 40 classes single": (1, 5) * 20,
        "one of 10 classes single": (1, *[10] * 9),
        "one of 5 classes 20 times the others": (400, *[20] * 4),
    }.items():
        found.append(Cell(f"{name}, icc 0.6", (sizes,), icc=0.6))
    for (count, size), variants in {(5, 20): 4, (68, 4): 4, (2, 60): 3}.items():
        found += [_cell(count, size, variants=variants, seeds=seeds) for seeds in (1, 3)]
    for seeds, lucks in {2: (0.1,), 3: (0.0, 0.05, 0.1, 0.3), 5: (0.0, 0.1, 0.3)}.items():
        found += [_cell(*design, seeds=seeds, luck=luck) for design, luck in product([(10, 50), (68, 4)], lucks)]
    found.append(_cell(68, 4, seeds=10))
    for seeds in (3, 5):
        found += [_cell(100, 1, seeds=seeds), _cell(5, 200, seeds=seeds), _cell(2, 50, seeds=seeds)]
        found += [_cell(68, 4, seeds=seeds, lasting=0.0, luck=0.0, class_luck=0.0)]
        found += [_cell(68, 4, seeds=seeds, rival=True), _cell(20, 5, seeds=seeds, own=0.1)]
    for count, seeds in ((2, 1), (4, 1), (11, 1), (2, 3), (11, 3), (4, 5)):
        found.append(_cells(count, 20, 5, seeds=seeds))
    found += [_cells(count, 20, 5, seeds=seeds, column=MEAN) for count, seeds in ((2, 3), (10, 3), (10, 5))]
    like = {"like_these": True, "apart": 0.15}
    found += [_cells(count, 20, 5, seeds=seeds, **like) for count, seeds in ((3, 1), (5, 1), (11, 1), (11, 3))]
    found += [_cells(11, 20, 5, like_these=True, tilt=0.0), _cells(10, 20, 5, seeds=3, column=MEAN, **like)]
    found += [_cell(count, 20, like_these=True, icc=icc) for count in (5, 10, 68) for icc in (0.2, 0.6)]
    found += [_cell(68, 4, seeds=seeds, like_these=True) for seeds in (3, 5)]
    found += [_cells(2, 34, 4, seeds=seeds, column=H) for seeds in (1, 3, 5)] + [_cells(2, 5, 50, column=H)]
    found += [_cells(6, 20, 5, seeds=seeds, column=MEAN_OF_H) for seeds in (1, 3)]
    return found


@dataclass(frozen=True)
class Found:
    """What a cell showed; shares but for `discordant`, a number of pictures, and `ratio`.

    `coverage` at no difference and at the cell's gain; `false` finds; `promise`, `ratio` to the oracle's and `power`
    for each number of comparisons, nan where no difference is promised or there is no room for it.
    """

    cell: Cell
    runs: int
    discordant: float
    coverage: tuple[float, float]
    false: float
    promise: tuple[float, ...]
    ratio: tuple[float, ...]
    power: tuple[float, ...]

    def misses(self, allowed: float) -> Iterator[str]:
        """Say which goals are missed by more than `allowed` standard errors of the simulation."""
        for at, covered in zip(("no gain", f"{100 * self.cell.gain:.0f} points"), self.coverage, strict=True):
            slack = allowed * math.sqrt(0.05 * 0.95 / self.runs)
            if covered < 0.93 - slack:
                yield f"covers {covered:.1%} at {at}"
            if covered > 0.97 + slack and self.discordant >= 20 and (self.cell.seeds == 1 or self.cell.seeds >= 5):
                yield f"covers as much as {covered:.1%} at {at}"
        if self.false > 0.057 + allowed * math.sqrt(0.05 * 0.95 / self.runs):
            yield f"finds {self.false:.1%} where nothing is"
        for count, power, ratio in zip(COMPARISONS, self.power, self.ratio, strict=True):
            slack = allowed * 0.4 / math.sqrt(_fewer(self.runs))
            if power < 0.75 - slack or power > 0.88 + slack:
                yield f"keeps its promise in {power:.0%} with {count} comparisons"
            if ratio > 1.15 + allowed * 0.05:
                yield f"promises {ratio:.2f} times the oracle's with {count} comparisons"


def main() -> int:
    """Simulate, print, and tell whether a goal was missed."""
    options = arguments(
        __doc__,
        runs={"type": int, "default": 10_000, "help": "of each cell; a fifth for the largest, and for power"},
        cells={"default": "", "help": "a regular expression: only cells whose name it is found in"},
        seed={"type": int, "default": 0},
    )
    if options.small:
        options.runs, options.cells = 300, options.cells or r"^(5 x 20|68 x 4, 3 seeds, luck 0.1|2 x 34 x 4, H)$"
    chosen = [cell for cell in cells() if re.search(options.cells, cell.name)]
    found = []
    for cell in chosen:
        found.append(simulate(cell, options.runs, options.seed))
        print(f"{len(found)}/{len(chosen)} {_row(found[-1])}", file=sys.stderr, flush=True)
    clear = {name: _found_clear(name, options) for name, *_ in CLEAR}
    print(_worst(found))
    print(_table(found))
    covered = list(crossed(options.runs, options.seed)) if not options.cells or options.small else []
    print("\n".join(f"{name}: intervals of crossed sets cover {share:.1%}" for name, share in covered))
    print("\n".join(f"{name}: found in {share:.1%} of {options.runs // 10} runs" for name, share in clear.items()))
    missed = [f"{one.cell.name} {miss}" for one in found for miss in one.misses(4.0 if options.small else 0.0)]
    missed += [f"{name} is found in {share:.1%} only" for name, share in clear.items() if share < 0.99]
    slack = (4.0 if options.small else 0.0) * math.sqrt(0.05 * 0.95 / options.runs)
    missed += [f"crossed {name} cover {share:.1%}" for name, share in covered if share < 0.935 - slack]
    print(f"\nGoals missed: {len(missed)}" + "".join(f"\n- {miss}" for miss in missed))
    return 1 if missed else 0


def simulate(cell: Cell, runs: int, seed: int) -> Found:
    """Run one cell: at no difference, at its gain, and at each difference that it promises."""
    model = Model(cell, seed)
    runs = max(1, runs // 5) if cell.n * cell.seeds > MOST else runs
    null, gain = (list(_effects(model, size, runs)) for size in (0.0, cell.gain))
    coverage = [
        float(np.mean([one.low <= true <= one.high for one, _ in found]))
        for found, true in ((null, 0.0), (gain, cell.gain))
    ]
    effects = [one for one, _ in null]
    oracle = _oracle(model, effects)
    promises, ratios, powers = [], [], []
    for count in COMPARISONS:
        promise = float(np.median([one.detectable(count) for one in effects[:1000]]))
        promises.append(promise)
        known = oracle.detectable(count)
        ratios.append(promise / known if math.isfinite(promise) and math.isfinite(known) else math.nan)
        powers.append(_power(model, promise, count, _fewer(runs)))
    discordant = float(np.mean([number for _, number in null]))
    false = float(np.mean([one.p <= ALPHA for one in effects]))
    return Found(cell, runs, discordant, (coverage[0], coverage[1]), false, *map(tuple, (promises, ratios, powers)))


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


def _fewer(runs: int) -> int:
    """Runs where a share near four fifths is wanted to two points instead of one near a twentieth."""
    return max(min(runs, 2_000), runs // 5)


def _effects(model: Model, gain: float, runs: int) -> Iterator[tuple[Effect, float]]:
    """Run the code of the tables on simulated hits; yield each run's effect, and its discordant pictures per seed."""
    thresholds, at_once = model.thresholds(gain), max(1, 200_000 // (model.cell.n * model.cell.seeds))
    for start in range(0, runs, at_once):
        for ours, theirs in zip(*model.draw(thresholds, min(at_once, runs - start)), strict=True):
            found = difference(model.cell.column, model.runs(ours), model.runs(theirs))
            assert found is not None
            effect = found[0].like_these if model.cell.like_these else found[0].these
            assert effect is not None
            yield effect, float((ours != theirs).sum() / len(ours))


def _oracle(model: Model, effects: Sequence[Effect]) -> Effect:
    """Return the same test for one who knows the variances: of the means over runs, the share of luck from the model.

    Variance that luck does not explain belongs to the units. Degrees of freedom are the median over runs, and what is
    taken out of the variance of seeds is the mean. The test itself still estimates the variances, as it must.
    """
    total = float(np.var([one.mean for one in effects], ddof=1))
    degrees = [
        float(np.median([one.variances[i].degrees for one in effects])) for i in range(len(effects[0].variances))
    ]
    luck = min(total, model.variance_of_seeds()) if len(degrees) > 1 else 0.0
    joint = float(np.mean([one.joint for one in effects]))
    known = [_known(max(total - luck, 1e-12), degrees[0], 0.0 if degrees[1:] else joint)]
    return effect_of(0.0, known + [_known(luck, more, joint) for more in degrees[1:]], joint=joint)


def _known(true: float, degrees: float, taken: float) -> Variance:
    """The estimate that `detectable` raises to the true variance."""
    return Variance(max(0.0, (true + taken) * float(special.chdtri(degrees, 0.5)) / degrees - taken), degrees)


def _power(model: Model, gain: float, comparisons: int, runs: int) -> float:
    """Return how often a gain is shown beside comparisons without one."""
    if not 0 < gain < HIGHEST - model.cell.base:
        return math.nan
    nothing = effect_of(0.0, [Variance(0.0, 1.0)])  # p = 1
    others = dict.fromkeys(range(1, comparisons), nothing)
    shown = [judge({0: one, **others}, "a family")[0].outcome == "gain" for one, _ in _effects(model, gain, runs)]
    return float(np.mean(shown))


def _found_clear(name: str, options: Any) -> float:
    count, size, gain = next((count, size, gain) for known, count, size, gain in CLEAR if known == name)
    found = [one for one, _ in _effects(Model(_cell(count, size), options.seed), gain, max(30, options.runs // 10))]
    return float(np.mean([one.p <= ALPHA and one.mean > 0 for one in found]))


def _worst(found: Sequence[Found]) -> str:
    """Return one line: the worst cell for each figure."""
    coverage = min(found, key=lambda one: min(one.coverage))
    false = max(found, key=lambda one: one.false)
    powers = [(power, one.cell.name) for one in found for power in one.power if not math.isnan(power)]
    ratios = [(ratio, one.cell.name) for one in found for ratio in one.ratio if not math.isnan(ratio)]
    line = (
        f"worst coverage {min(coverage.coverage):.1%} in {coverage.cell.name}; most false finds {false.false:.1%} in "
    )
    line += false.cell.name
    if powers:
        low, high, ratio = min(powers), max(powers), max(ratios)
        line += f"; promises kept from {low[0]:.0%} in {low[1]} to {high[0]:.0%} in {high[1]}"
        line += f"; largest promise {ratio[0]:.2f} times the oracle's in {ratio[1]}"
    return line + "\n"


def _table(found: Sequence[Found]) -> str:
    rows = [
        "| cell | runs | discordant | covers at no gain | at a gain | false finds | promise, points | ÷ oracle's "
        "| kept, 1 / 3 / 8 comparisons |",
        "| --- " * 9 + "|",
    ]
    return "\n".join([*rows, *map(_row, found)]) + "\n"


def _row(one: Found) -> str:
    cells = [one.cell.name, f"{one.runs:,}", f"{one.discordant:.0f}", *(f"{x:.1%}" for x in one.coverage)]
    cells += [f"{one.false:.1%}", _number(100 * one.promise[0], ".1f")]
    cells += [" / ".join(_number(x, ".2f") for x in several) for several in (one.ratio, one.power)]
    return "| " + " | ".join(cells) + " |"


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else "–"


def _cell(classes: int, pictures: int, **more: Any) -> Cell:
    return Cell(f"{classes} x {pictures}{_words(more)}", ((pictures,) * classes,), **more)


def _cells(parts: int, classes: int, pictures: int, **more: Any) -> Cell:
    return Cell(f"{parts} x {classes} x {pictures}{_words(more)}", ((pictures,) * classes,) * parts, **more)


def _words(more: dict[str, Any]) -> str:
    """Name what differs from the defaults."""
    named = {"seeds": "{} seeds", "variants": "{} variants", "like_these": "like these", "rival": "rival trained"}
    named["column"] = "{}"
    return "".join(
        ", " + named.get(key, key.replace("_", " ") + " {}").format(value)
        for key, value in more.items()
        if (key, value) != ("seeds", 1)
    )


if __name__ == "__main__":
    sys.exit(main())
