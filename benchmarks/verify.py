"""What a verdict by clicks covers, what it does with raters who slip, guess or lean, and how many labels it saves.

A simulation of `ipo verify`: two templates disagree on some pictures, a rater answers some of these, and what comes of
it goes through the code that makes the verdict. Nothing is timed.

Goals, each but for four standard errors of the worst cell. `cells`: at least 94 % of intervals hold the true gain, and
5.5 % of verdicts at most find something where there is nothing. `slipped`: the same 94 % where one answer in twenty is
a slip, to any other button or to the other side, after 30, 60 and 100 answers, at a median width of 1.25 times that
without an allowance for slips, or less. `pages`: at most 5 % find something in any of five pages of one pair, and in
any of ten pages of a template each against the same initial one.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache, partial
from itertools import product, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator as Rng

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells
from benchmarks.lab.raters import Rater, Values, World, careful, forced, lean, slips, swaps
from ipo_prompts.experiments.clicks.drawing import showing_order
from ipo_prompts.metrics.clicks import FIRST, Clicked, Disagreements, decided_after, slips_of
from ipo_prompts.metrics.evidence import ALPHA, POWER, paired_difference
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.verdict import spends

RUNS = 4000
STOPS = (30, 60, 120, 240)
LEAD = 0.5
"""Where there is a gain: the second is right in so many more of the pictures on which one is, as a share of these."""


class Tally(NamedTuple):
    """Counts over many verdicts: of those that cover the true gain, and of those that find one; sums of what they find
    and of half their widths.
    """

    covered: int
    found: int
    runs: int
    total: float
    widths: float

    @classmethod
    def of(cls, verdicts: Sequence[Clicked], true: float, peeks: Sequence[int] = ()) -> Tally:
        """Count verdicts, each after so many peeks (once if not given)."""
        new = [verdict.new for verdict in verdicts]
        return cls(
            sum(one.low <= true <= one.high for one in new),
            sum(one.mean != 0 and many * one.p <= ALPHA for one, many in zip(new, peeks or repeat(1), strict=False)),
            len(new),
            round(sum(one.mean for one in new), 6),
            round(sum(one.high - one.low for one in new) / 2, 6),
        )

    @property
    def covers(self) -> float:
        """The share of intervals that hold the true gain."""
        return self.covered / self.runs

    @property
    def finds(self) -> float:
        """The share that shows a gain or a loss."""
        return self.found / self.runs


USUAL = World(10_000, 0.4, 0.5)
LIKE_OURS = ((World(400, 0.58, 0.58), 0.66), (World(400, 0.47, 0.69), 0.37))
"""Results of the initial and the best fitting template, on the demo CLIP and on it with the former text tower."""
RATERS: dict[str, Rater] = {
    "careful": careful,
    "one answer in ten is a slip": slips(0.1),
    "guesses instead of “neither”": forced,
    "takes a favourite class, 1 in 4 where neither is right": lean(0.25),
    "takes a favourite class wherever neither is right": lean(1.0),
}


class Simulations(NamedTuple):
    """Cells of simulated worlds, `runs` times each. The numbers of a cell depend on its key and on no other cell."""

    cells: Cells
    runs: int
    seed: int

    @property
    def slack(self) -> float:
        """Four standard errors of a share of 5 %: those of the worst of a hundred cells."""
        return 4 * math.sqrt(0.05 * 0.95 / self.runs)

    def of(self, simulate: Callable[..., Any], world: World, *rest: str | float) -> Any:
        """Return what `simulate(world, *rest, runs, rng)` finds, as JSON holds it."""
        key = (simulate.__name__, *world, *rest, self.runs, self.seed)
        rng = np.random.default_rng(list(json.dumps(key).encode()))
        return self.cells.of(key, lambda: simulate(world, *rest, self.runs, rng))

    def tally(self, simulate: Callable[..., Any], world: World, *rest: str | float) -> Tally:
        """Return the counts that a simulation finds."""
        return Tally(*self.of(simulate, world, *rest))


def covered(world: World, lead: float, runs: int, rng: Rng) -> dict[str, Tally]:
    """Count verdicts by when the rater stops."""
    found: dict[str, list[Clicked]] = {}
    for _ in range(runs):
        values = world.values(rng, lead)
        design = Disagreements.single(world.pictures, len(values))
        verdict = cache(lambda stop, design=design, values=values: design.gain(values[:stop]))
        stops = {str(stop): min(stop, len(values)) for stop in STOPS}
        stops |= {"plan": planned(design, values), "likes": tired(values, rng)}
        for name, stop in stops.items():
            found.setdefault(name, []).append(verdict(stop))
    return {name: Tally.of(verdicts, world.gain(lead)) for name, verdicts in found.items()}


def planned(design: Disagreements, values: Values) -> int:
    """Stop where the page proposes it: for five points, planned anew after ten answers by how many decided."""
    first = values[:FIRST]
    return design.needed(0.05, decided_after(int(np.count_nonzero(first)), len(first)))


def tired(values: Values, rng: Rng) -> int:
    """Stop at will, after 30 to 240 answers: sooner after three pictures in a row with neither."""
    for k in range(STOPS[0], min(len(values), STOPS[-1])):
        if rng.random() < (0.01 if values[k - 3 : k].any() else 0.1):
            return k
    return min(len(values), STOPS[-1])


def rated(world: World, rater: str, lead: float, runs: int, rng: Rng) -> Tally:
    """Count the verdicts of a rater after 120 answers."""
    found = []
    for _ in range(runs):
        values = world.values(rng, lead)
        design = Disagreements.single(world.pictures, len(values))
        found.append(clicked(design, values, STOPS[2], RATERS[rater], rng))
    return Tally.of(found, world.gain(lead))


def clicked(design: Disagreements, values: Values, count: int, rater: Rater, rng: Rng) -> Clicked:
    """Return the verdict after so many pictures, of which some came twice, as on the page."""
    said, twice = rater(values[:count], rng), shown_twice(len(values), min(count, len(values)))
    pairs: Any = np.stack([said[twice], rater(values[twice], rng)], axis=1) if twice else []
    return design.gain(said, slips_of(pairs))


@cache
def shown_twice(disagreements: int, count: int) -> list[int]:
    """Return the numbers of the pictures that a page has shown twice when `count` pictures are answered."""
    shown = showing_order(disagreements)
    shown = shown[: shown.index(count - 1) + 1]
    return sorted(number for number, times in Counter(shown).items() if times == 2)


def peeked(world: World, every: int, corrected: bool, runs: int, rng: Rng) -> Tally:
    """Count the verdicts of a rater who verifies after every so many answers, and stops where something is shown."""
    found, counted = [], []
    for _ in range(runs):
        values = world.values(rng, 0.0)
        design = Disagreements.single(world.pictures, len(values))
        for peek, stop in enumerate(range(every, STOPS[-1] + 1, every), start=1):
            verdict, peeks = design.gain(values[:stop]), 2 * peek - 1 if corrected else 1
            if peeks * verdict.new.p <= ALPHA or stop >= min(STOPS[-1], len(values)):
                found.append(verdict)
                counted.append(peeks)
                break
    return Tally.of(found, 0.0, counted)


SLIPPED = {
    "no answer": careful,
    "one in twenty, to any other button": slips(0.05),
    "one in twenty, to the other side": swaps(0.05),
}
LEADS = (0.0, LEAD, 1.0)
ANSWERS = (30, 60, 100)
PAGES, CANDIDATES, ASKED = 5, 10, World(3000, 0.1, 0.4)


class Slipped(NamedTuple):
    """Of many verdicts in one world: how many cover with and without an allowance for slips; median ratio of widths."""

    covered: int
    before: int
    runs: int
    ratio: float


def slipped_in(world: World, lead: float, wrong: str, count: int, runs: int, rng: Rng) -> Slipped:
    """Count the verdicts after so many answers of a rater who slips."""
    covers, before, ratios = 0, 0, []
    for _ in range(runs):
        values, true = world.values(rng, lead), world.gain(lead)
        design = Disagreements.single(world.pictures, len(values))
        said: list[Values] = []

        def keep(values: Values, rng: Rng, said: list[Values] = said) -> Values:
            said.append(SLIPPED[wrong](values, rng))
            return said[-1]

        new, old = clicked(design, values, count, keep, rng).new, design.gain(said[0]).new
        covers += new.low <= true <= new.high
        before += old.low <= true <= old.high
        ratios.append((new.high - new.low) / (old.high - old.low))
    return Slipped(covers, before, runs, round(float(np.median(ratios)), 6))


def pages_of_one_pair(world: World, runs: int, rng: Rng) -> list[int]:
    """Count runs where any of five pages of one pair finds something that is not there, and where any new sample does.

    As the pair has one page, whoever makes it again answers the same pictures; other answers are another peek.
    """
    found, rater = np.zeros(2, dtype=np.int64), swaps(0.05)
    for _ in range(runs):
        values = world.values(rng, 0.0)
        design = Disagreements.single(world.pictures, len(values))
        same = [clicked(design, values, 60, rater, rng).new.p for _ in range(PAGES)]
        new = [clicked(design, rng.permutation(values), 60, rater, rng).new.p for _ in range(PAGES)]
        found += (
            any(p * (2 * peek + 1) <= ALPHA * spends(1) for peek, p in enumerate(same)),
            any(p <= ALPHA for p in new),
        )
    return [int(one) for one in found]


def pages_of_candidates(world: World, runs: int, rng: Rng) -> list[int]:
    """Count runs where any of ten templates is found to differ from the initial one, and without counting openings.

    The initial one is right in half of the pictures, which all have in common. None is better or worse than it.
    """
    found = np.zeros(2, dtype=np.int64)
    for _ in range(runs):
        initial = rng.random(world.pictures) < 0.5
        p = []
        for _ in range(CANDIDATES):
            apart = rng.permutation(np.flatnonzero(rng.random(world.pictures) < world.share))
            neither = rng.random(len(apart)) < world.neither
            # Where the initial one is right the other is wrong; elsewhere it is right but for those with neither.
            values = np.where(neither, 0, np.where(initial[apart], -1, 1))
            design = Disagreements.single(world.pictures, len(values))
            p.append(clicked(design, values, 60, careful, rng).new.p)
        found += (
            any(one <= ALPHA * spends(opening) for opening, one in enumerate(p, start=1)),
            any(one <= ALPHA for one in p),
        )
    return [int(one) for one in found]


def asked(world: World, lead: float, count: int, runs: int, rng: Rng) -> Tally:
    """Count the verdicts after so many right answers to disagreements."""
    found = []
    for _ in range(runs):
        values = world.values(rng, lead)
        found.append(Disagreements.single(world.pictures, len(values)).gain(values[:count]))
    return Tally.of(found, world.gain(lead))


def all_pictures(world: World, lead: float, count: int, runs: int, rng: Rng) -> int:
    """Count how often so many labelled pictures of any kind show a difference."""
    found = 0
    for _ in range(runs):
        labelled = np.zeros(count)
        values = world._replace(pictures=count).values(rng, lead)
        labelled[: len(values)] = values
        found += bool(paired_difference(np.zeros(count), labelled, Sampling(count)).these.p <= ALPHA)
    return found


def fewest(finds: Callable[[int], float]) -> int:
    """Return how many labels find a gain with the chance POWER, to a few percent."""
    high = 20
    while finds(high) < POWER:
        high *= 2
    low = high // 2
    while high - low > max(1, high // 25):
        middle = (low + high) // 2
        low, high = (low, middle) if finds(middle) >= POWER else (middle, high)
    return high


Lines = Generator[str, None, int]
"""Lines of a table; returns how many goals are missed."""


def cells(worlds: Sequence[World], of: Simulations) -> Lines:
    """Yield how often the true gain is covered, and how often one is found where there is none."""
    yield from head(
        "pictures", "disagree", "neither", "covers after 30, 60, 120, 240; as planned; when one likes", "false finds"
    )
    missed = 0
    for world in worlds:
        none, gain = ([Tally(*one) for one in of.of(covered, world, lead).values()] for lead in (0.0, LEAD))
        worst = [min(one.covers, other.covers) for one, other in zip(none, gain, strict=True)]
        covers, finds = (
            ", ".join(f"{100 * share:.1f}" for share in shares) for shares in (worst, [one.finds for one in none])
        )
        yield f"| {world.pictures:,} | {world.share:.0%} | {world.neither:.0%} | {covers} | {finds} |"
        missed += sum(share < 0.94 - of.slack for share in worst)
        missed += sum(one.finds > 0.055 + of.slack for one in none)
    return missed


def raters(worlds: Sequence[World], of: Simulations) -> Lines:
    """Yield what becomes of a gain under raters who slip, guess or lean."""
    yield from head(
        "rater, 120 answers", "mean gain where 0", "false finds", "mean gain where +10", "covers it", "finds it"
    )
    for rater in RATERS:
        none, gain = (of.tally(rated, USUAL, rater, lead) for lead in (0.0, LEAD))
        means = [f"{100 * one.total / one.runs:+.1f}" for one in (none, gain)]
        yield f"| {rater} | {means[0]} | {none.finds:.1%} | {means[1]} | {gain.covers:.1%} | {gain.finds:.0%} |"
    return 0


def slipped(worlds: Sequence[World], of: Simulations) -> Lines:
    """Yield what is covered where answers are wrong."""
    worlds = [world for world in worlds if world.share == 0.3]
    yield from head("wrong", "answers", "covers at least", "without an allowance", "median width", "widest median")
    missed = 0
    for wrong, count in product(SLIPPED, ANSWERS):
        found = [Slipped(*of.of(slipped_in, world, lead, wrong, count)) for world, lead in product(worlds, LEADS)]
        covers, before = min(one.covered for one in found) / of.runs, min(one.before for one in found) / of.runs
        ratios = [one.ratio for one in found]
        widths = f"{np.median(ratios):.2f} | {max(ratios):.2f}"
        yield f"| {wrong} | {count} | {100 * covers:.1f} | {100 * before:.1f} | {widths} |"
        missed += (covers < 0.94 - of.slack) + (float(np.median(ratios)) > 1.25)
    return missed


def pages(worlds: Sequence[World], of: Simulations) -> Lines:
    """Yield how often any of several pages finds something where there is nothing."""
    yield from head("disagree", "five pages of one pair", "new samples, uncounted", "ten candidates", "uncounted")
    missed = 0
    for share in (0.02, 0.1, 0.4):
        world = ASKED._replace(share=share)
        found = [*of.of(pages_of_one_pair, world), *of.of(pages_of_candidates, world)]
        yield f"| {share:.0%} | {' | '.join(f'{100 * one / of.runs:.1f}%' for one in found)} |"
        missed += sum(found[place] / of.runs > 0.05 + of.slack for place in (0, 2))
    return missed


def peeks(worlds: Sequence[World], of: Simulations) -> Lines:
    """Yield how often repeated peeks find something by chance."""
    yield from head("a peek after every", "finds something by chance", "without a correction for peeks")
    for every in (10, 30, 60, 120):
        with_, without = (of.tally(peeked, USUAL, every, corrected) for corrected in (True, False))
        yield f"| {every} answers | {with_.finds:.1%} | {without.finds:.1%} |"
    return 0


def labels(worlds: Sequence[World], of: Simulations) -> Lines:
    """Yield labels of disagreements and of all pictures that find the same gain four times in five."""
    of = of._replace(runs=of.runs // 4)
    yield from head("disagree", "neither", "gain", "labels of disagreements", "labels of any pictures", "ratio")
    for world in (world for world in worlds if world.pictures == USUAL.pictures):
        some = fewest(partial(asked_finds, of, world))
        every = fewest(partial(all_find, of, world))
        gain = 100 * world.gain(LEAD)
        yield (f"| {world.share:.0%} | {world.neither:.0%} | {gain:.1f} | {some:,} | {every:,} | {some / every:.2f} |")
    return 0


def asked_finds(of: Simulations, world: World, count: int) -> float:
    """Return how often so many labels of disagreements show a gain."""
    return of.tally(asked, world, LEAD, count).finds


def all_find(of: Simulations, world: World, count: int) -> float:
    """Return how often so many labels of any pictures show a gain."""
    return int(of.of(all_pictures, world, LEAD, count)) / of.runs


def widths(worlds: Sequence[World], of: Simulations) -> Lines:
    """Yield half the width of intervals, and how often the gain is found, for pictures like ours."""
    yield from head("400 pictures disagree", "neither", "gain", "after 30 answers", "60", "120")
    for world, lead in LIKE_OURS:
        found = [of.tally(asked, world, lead, stop) for stop in STOPS[:3]]
        shares = " | ".join(f"±{100 * one.widths / one.runs:.1f} ({one.finds:.0%})" for one in found)
        yield f"| {world.share:.0%} | {world.neither:.0%} | {100 * world.gain(lead):.1f} | {shares} |"
    return 0


def head(*names: str) -> Iterator[str]:
    """Yield the head of a table."""
    yield from ("", f"| {' | '.join(names)} |", f"| {' | '.join('---' for _ in names)} |")


PARTS = {one.__name__: one for one in (cells, raters, peeks, labels, widths, slipped, pages)}


def tables(kept: Cells, part: str, runs: int = RUNS, seed: int = 0, *, small: bool = False) -> Lines:
    """Yield the lines of the table of one part."""
    shares, neither = ((0.3,), (0.5,)) if small else ((0.1, 0.3, 0.6), (0.2, 0.5, 0.85))
    worlds = [World(*one) for one in product((400, 10_000), shares, neither)]
    return PARTS[part](worlds, Simulations(kept, runs, seed))


def main() -> int:
    """Simulate what the file of cells lacks, print the tables, and tell whether a goal was missed."""
    options = arguments(
        __doc__,
        what={"nargs": "+", "default": list(PARTS), "choices": PARTS},
        runs={"type": int, "default": RUNS},
        seed={"type": int, "default": 0},
        cells=OPTION,
    )
    runs, missed = 300 if options.small else options.runs, 0
    for part in (part for part in PARTS if part in options.what):
        with Cells(options.cells) as kept:
            missed += shown(tables(kept, part, runs, options.seed, small=options.small))
    print(f"\n{missed} goals are missed", file=sys.stderr)
    return int(missed > 0)


def shown(lines: Lines) -> int:
    """Print lines when they come, and return the missed goals."""
    while True:
        try:
            print(next(lines), flush=True)
        except StopIteration as end:
            return int(end.value)


if __name__ == "__main__":
    sys.exit(main())
