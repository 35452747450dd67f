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

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.common import arguments
from ipo_prompts.experiments.clicks.drawing import showing_order
from ipo_prompts.metrics.clicks import FIRST, Clicked, Disagreements, decided_after, slips_of
from ipo_prompts.metrics.evidence import ALPHA, POWER, paired_difference
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.verdict import spends

Values = NDArray[np.int64]
"""For each disagreement: 1 if the second template is right, -1 if the first is, 0 if neither is."""
Rater = Callable[[Values, Generator], Values]
"""What somebody says of pictures, by program, who sees names in shuffled order."""
STOPS = (30, 60, 120, 240)
LEAD = 0.5
"""Where there is a gain: the second is right in so many more of the pictures on which one is, as a share of these."""


class World(NamedTuple):
    """N pictures of an endless supply, the share where two templates disagree, and the share of that with neither."""

    pictures: int
    share: float
    neither: float

    def gain(self, lead: float) -> float:
        """The true gain on new pictures."""
        return self.share * (1 - self.neither) * lead

    def values(self, rng: Generator, lead: float) -> Values:
        """Draw N pictures, and return those with a disagreement in the order asked."""
        count = max(1, rng.binomial(self.pictures, self.share))
        right = np.where(rng.random(count) < (1 + lead) / 2, 1, -1)
        return np.where(rng.random(count) < self.neither, 0, right)


@dataclass
class Tally:
    """Counts over many verdicts: how many cover the true gain, how many find one, and what they find on average."""

    covered: int = 0
    found: int = 0
    runs: int = 0
    total: float = 0.0

    def add(self, verdict: Clicked, true: float, peeks: int = 1) -> None:
        """Count one."""
        self.covered += verdict.new.low <= true <= verdict.new.high
        self.found += verdict.new.mean != 0 and peeks * verdict.new.p <= ALPHA
        self.runs += 1
        self.total += verdict.new.mean

    @property
    def covers(self) -> float:
        """The share of intervals that hold the true gain."""
        return self.covered / self.runs

    @property
    def finds(self) -> float:
        """The share that shows a gain or a loss."""
        return self.found / self.runs


def careful(values: Values, rng: Generator) -> Values:
    """Answer rightly."""
    return values


def slips(share: float) -> Rater:
    """Press another button, any of them, in this share of answers."""

    def rate(values: Values, rng: Generator) -> Values:
        other = (values + rng.integers(1, 3, len(values)) + 1) % 3 - 1
        return np.where(rng.random(len(values)) < share, other, values)

    return rate


def swaps(share: float) -> Rater:
    """Take one name for the other in this share of answers."""
    return lambda values, rng: np.where(rng.random(len(values)) < share, -values, values)


def forced(values: Values, rng: Generator) -> Values:
    """Guess where neither is right."""
    return np.where(values == 0, rng.choice([-1, 1], len(values)), values)


def lean(share: float) -> Rater:
    """Prefer one class: where neither is right and it is offered, in three of ten, take it with this chance.

    Four times in five it is the second template that offers it.
    """

    def rate(values: Values, rng: Generator) -> Values:
        taken = (values == 0) & (rng.random(len(values)) < 0.3 * share)
        return np.where(taken, np.where(rng.random(len(values)) < 0.8, 1, -1), values)

    return rate


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


def covered(world: World, runs: int, rng: Generator) -> dict[str, tuple[Tally, Tally]]:
    """Count verdicts without and with a gain, by when the rater stops."""
    tallies = {name: (Tally(), Tally()) for name in (*map(str, STOPS), "plan", "likes")}
    for _, (gains, lead) in product(range(runs), enumerate((0.0, LEAD))):
        values = world.values(rng, lead)
        design = Disagreements.single(world.pictures, len(values))
        stops = {str(stop): min(stop, len(values)) for stop in STOPS}
        stops |= {"plan": planned(design, values), "likes": tired(values, rng)}
        for name, stop in stops.items():
            tallies[name][gains].add(design.gain(values[:stop]), world.gain(lead))
    return tallies


def planned(design: Disagreements, values: Values) -> int:
    """Stop where the page proposes it: for five points, planned anew after ten answers by how many decided."""
    first = values[:FIRST]
    return design.needed(0.05, decided_after(int(np.count_nonzero(first)), len(first)))


def tired(values: Values, rng: Generator) -> int:
    """Stop at will, after 30 to 240 answers: sooner after three pictures in a row with neither."""
    for k in range(STOPS[0], min(len(values), STOPS[-1])):
        if rng.random() < (0.01 if values[k - 3 : k].any() else 0.1):
            return k
    return min(len(values), STOPS[-1])


def rated(world: World, rater: Rater, lead: float, runs: int, rng: Generator) -> Tally:
    """Count the verdicts of a rater after 120 answers."""
    tally = Tally()
    for _ in range(runs):
        values = world.values(rng, lead)
        design = Disagreements.single(world.pictures, len(values))
        tally.add(clicked(design, values, STOPS[2], rater, rng), world.gain(lead))
    return tally


def clicked(design: Disagreements, values: Values, count: int, rater: Rater, rng: Generator) -> Clicked:
    """Return the verdict after so many pictures, of which some came twice, as on the page."""
    said = rater(values[:count], rng)
    shown = showing_order(len(values))
    shown = shown[: shown.index(min(count, len(values)) - 1) + 1]
    twice = sorted(number for number in set(shown) if shown.count(number) == 2)
    pairs: Any = np.stack([said[twice], rater(values[twice], rng)], axis=1) if twice else []
    return design.gain(said, slips_of(pairs))


def peeked(world: World, every: int, corrected: bool, runs: int, rng: Generator) -> Tally:
    """Count the verdicts of a rater who verifies after every so many answers, and stops where something is shown."""
    tally = Tally()
    for _ in range(runs):
        values = world.values(rng, 0.0)
        design = Disagreements.single(world.pictures, len(values))
        for peek, stop in enumerate(range(every, STOPS[-1] + 1, every), start=1):
            verdict, peeks = design.gain(values[:stop]), 2 * peek - 1 if corrected else 1
            if peeks * verdict.new.p <= ALPHA or stop >= min(STOPS[-1], len(values)):
                tally.add(verdict, 0.0, peeks)
                break
    return tally


SLIPPED = {
    "no answer": careful,
    "one in twenty, to any other button": slips(0.05),
    "one in twenty, to the other side": swaps(0.05),
}
LEADS = (0.0, LEAD, 1.0)
ANSWERS = (30, 60, 100)
PAGES, CANDIDATES, ASKED = 5, 10, World(3000, 0.1, 0.4)


class Slipped(NamedTuple):
    """Of many verdicts in one world: those that cover with and without an allowance for slips, and widths by theirs."""

    covers: float
    before: float
    ratio: float


def slipped_in(world: World, lead: float, rater: Rater, count: int, runs: int, rng: Generator) -> Slipped:
    """Count the verdicts after so many answers of a rater who slips."""
    covers, before, ratios = 0, 0, []
    for _ in range(runs):
        values, true = world.values(rng, lead), world.gain(lead)
        design = Disagreements.single(world.pictures, len(values))
        said: list[Values] = []

        def keep(values: Values, rng: Generator, said: list[Values] = said) -> Values:
            said.append(rater(values, rng))
            return said[-1]

        new, old = clicked(design, values, count, keep, rng).new, design.gain(said[0]).new
        covers += new.low <= true <= new.high
        before += old.low <= true <= old.high
        ratios.append((new.high - new.low) / (old.high - old.low))
    return Slipped(covers / runs, before / runs, float(np.median(ratios)))


def pages_of_one_pair(world: World, rater: Rater, runs: int, rng: Generator) -> tuple[float, float]:
    """Return how often any of five pages of one pair finds something where there is nothing, and a new sample each.

    As the pair has one page, whoever makes it again answers the same pictures; other answers are another peek.
    """
    found = np.zeros(2)
    for _ in range(runs):
        values = world.values(rng, 0.0)
        design = Disagreements.single(world.pictures, len(values))
        same = [clicked(design, values, 60, rater, rng).new.p for _ in range(PAGES)]
        new = [clicked(design, rng.permutation(values), 60, rater, rng).new.p for _ in range(PAGES)]
        found += (
            any(p * (2 * peek + 1) <= ALPHA * spends(1) for peek, p in enumerate(same)),
            any(p <= ALPHA for p in new),
        )
    return found[0] / runs, found[1] / runs


def pages_of_candidates(world: World, rater: Rater, runs: int, rng: Generator) -> tuple[float, float]:
    """Return how often any of ten templates is found to differ from the initial one, and without counting openings.

    The initial one is right in half of the pictures, which all have in common. None is better or worse than it.
    """
    found = np.zeros(2)
    for _ in range(runs):
        initial = rng.random(world.pictures) < 0.5
        p = []
        for _ in range(CANDIDATES):
            apart = rng.permutation(np.flatnonzero(rng.random(world.pictures) < world.share))
            neither = rng.random(len(apart)) < world.neither
            # Where the initial one is right the other is wrong; elsewhere it is right but for those with neither.
            values = np.where(neither, 0, np.where(initial[apart], -1, 1))
            design = Disagreements.single(world.pictures, len(values))
            p.append(clicked(design, values, 60, rater, rng).new.p)
        found += (
            any(one <= ALPHA * spends(opening) for opening, one in enumerate(p, start=1)),
            any(one <= ALPHA for one in p),
        )
    return found[0] / runs, found[1] / runs


def half_widths(world: World, lead: float, runs: int, rng: Generator) -> str:
    """Return a row: half the width of the interval, and how often the gain is found, after 30, 60 and 120 answers."""
    cells = []
    for stop in STOPS[:3]:
        tally, widths = Tally(), []
        for _ in range(runs):
            values = world.values(rng, lead)
            found = Disagreements.single(world.pictures, len(values)).gain(values[:stop])
            tally.add(found, world.gain(lead))
            widths.append((found.new.high - found.new.low) / 2)
        cells.append(f"±{100 * np.mean(widths):.1f} ({tally.finds:.0%})")
    return f"| {world.share:.0%} | {world.neither:.0%} | {100 * world.gain(lead):.1f} | {' | '.join(cells)} |"


def labels_needed(world: World, runs: int, rng: Generator) -> str:
    """Return a row: labels of disagreements and of all pictures that find the same gain four times in five."""
    gain = world.gain(LEAD)

    def clicks(count: int) -> float:
        tally = Tally()
        for _ in range(runs):
            values = world.values(rng, LEAD)
            tally.add(Disagreements.single(world.pictures, len(values)).gain(values[:count]), gain)
        return tally.finds

    def all_pictures(count: int) -> float:
        found = 0
        for _ in range(runs):
            labelled = np.zeros(count)
            values = world._replace(pictures=count).values(rng, LEAD)
            labelled[: len(values)] = values
            found += paired_difference(np.zeros(count), labelled, Sampling(count)).these.p <= ALPHA
        return found / runs

    some, every = fewest(clicks), fewest(all_pictures)
    return f"| {world.share:.0%} | {world.neither:.0%} | {100 * gain:.1f} | {some:,} | {every:,} | {some / every:.2f} |"


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


def cells(worlds: Sequence[World], runs: int, rng: Generator) -> int:
    """Print how often the true gain is covered, and how often one is found where there is none; count missed goals."""
    slack = 4 * math.sqrt(0.05 * 0.95 / runs)  # of the worst of a hundred cells
    head("pictures", "disagree", "neither", "covers after 30, 60, 120, 240; as planned; when one likes", "false finds")
    missed = 0
    for world in worlds:
        tallies = covered(world, runs, rng).values()
        covers = ", ".join(f"{100 * min(one.covers for one in pair):.1f}" for pair in tallies)
        finds = ", ".join(f"{100 * none.finds:.1f}" for none, _ in tallies)
        print(f"| {world.pictures:,} | {world.share:.0%} | {world.neither:.0%} | {covers} | {finds} |", flush=True)
        missed += sum(min(one.covers for one in pair) < 0.94 - slack for pair in tallies)
        missed += sum(none.finds > 0.055 + slack for none, _ in tallies)
    return missed


def raters(worlds: Sequence[World], runs: int, rng: Generator) -> int:
    """Print what becomes of a gain under raters who slip, guess or lean."""
    head("rater, 120 answers", "mean gain where 0", "false finds", "mean gain where +10", "covers it", "finds it")
    for name, rater in RATERS.items():
        none, gain = (rated(USUAL, rater, lead, runs, rng) for lead in (0.0, LEAD))
        means = [f"{100 * one.total / one.runs:+.1f}" for one in (none, gain)]
        print(f"| {name} | {means[0]} | {none.finds:.1%} | {means[1]} | {gain.covers:.1%} | {gain.finds:.0%} |")
    return 0


def slipped(worlds: Sequence[World], runs: int, rng: Generator) -> int:
    """Print what is covered where answers are wrong; count missed goals."""
    worlds = [world for world in worlds if world.share == 0.3]
    slack = 4 * math.sqrt(0.05 * 0.95 / runs)
    head("wrong", "answers", "covers at least", "without an allowance", "median width", "widest median")
    missed = 0
    for (name, rater), count in product(SLIPPED.items(), ANSWERS):
        found = [slipped_in(world, lead, rater, count, runs, rng) for world, lead in product(worlds, LEADS)]
        covers, before = (100 * min(getattr(one, of) for one in found) for of in ("covers", "before"))
        ratios = [one.ratio for one in found]
        print(
            f"| {name} | {count} | {covers:.1f} | {before:.1f} | {np.median(ratios):.2f} | {max(ratios):.2f} |",
            flush=True,
        )
        missed += covers / 100 < 0.94 - slack
        missed += float(np.median(ratios)) > 1.25
    return missed


def pages(worlds: Sequence[World], runs: int, rng: Generator) -> int:
    """Print how often any of several pages finds something where there is nothing; count missed goals."""
    slack = 4 * math.sqrt(0.05 * 0.95 / runs)
    head("disagree", "five pages of one pair", "new samples, uncounted", "ten candidates", "uncounted")
    missed = 0
    for share in (0.02, 0.1, 0.4):
        world = ASKED._replace(share=share)
        found = [*pages_of_one_pair(world, swaps(0.05), runs, rng), *pages_of_candidates(world, careful, runs, rng)]
        print(f"| {share:.0%} | {' | '.join(f'{100 * one:.1f}%' for one in found)} |", flush=True)
        missed += sum(found[place] > 0.05 + slack for place in (0, 2))
    return missed


def peeks(worlds: Sequence[World], runs: int, rng: Generator) -> int:
    """Print how often repeated peeks find something by chance."""
    head("a peek after every", "finds something by chance", "without a correction for peeks")
    for every in (10, 30, 60, 120):
        with_, without = (peeked(USUAL, every, corrected, runs, rng) for corrected in (True, False))
        print(f"| {every} answers | {with_.finds:.1%} | {without.finds:.1%} |")
    return 0


def labels(worlds: Sequence[World], runs: int, rng: Generator) -> int:
    """Print how many labels find the same gain."""
    head("disagree", "neither", "gain", "labels of disagreements", "labels of any pictures", "ratio")
    for world in worlds:
        if world.pictures == USUAL.pictures:
            print(labels_needed(world, runs // 4, rng), flush=True)
    return 0


def widths(worlds: Sequence[World], runs: int, rng: Generator) -> int:
    """Print half widths for pictures like ours."""
    head("400 pictures disagree", "neither", "gain", "after 30 answers", "60", "120")
    for like, lead in LIKE_OURS:
        print(half_widths(like, lead, runs, rng))
    return 0


def head(*names: str) -> None:
    """Print the head of a table."""
    print(f"\n| {' | '.join(names)} |\n| {' | '.join('---' for _ in names)} |")


PARTS = {one.__name__: one for one in (cells, raters, peeks, labels, widths, slipped, pages)}


def main() -> int:
    """Simulate, print the tables, and tell whether a goal was missed."""
    options = arguments(
        __doc__,
        what={"nargs": "+", "default": list(PARTS), "choices": PARTS},
        runs={"type": int, "default": 4000},
        seed={"type": int, "default": 0},
    )
    runs = 300 if options.small else options.runs
    shares, neither = ((0.3,), (0.5,)) if options.small else ((0.1, 0.3, 0.6), (0.2, 0.5, 0.85))
    worlds = [World(*one) for one in product((400, 10_000), shares, neither)]
    missed = 0
    for number, (name, part) in enumerate(PARTS.items()):
        if name in options.what:
            missed += part(worlds, runs, np.random.default_rng([options.seed, number] if number else options.seed))
    print(f"\n{missed} goals are missed", file=sys.stderr)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
