"""How often repeated openings of the same sealed pictures claim by luck, and what the correction costs the first one.

A simulation: templates are compared with the initial one on the same pictures, opening by opening, until one claims.
The code that makes the verdict makes each p, and the code of a run says whether an opening gives one. Nothing is timed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from benchmarks.common import arguments
from ipo_prompts.experiments.run.openings import Openings, opened_after
from ipo_prompts.metrics.evidence import ALPHA, paired_difference
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.verdict import spends

Floats = NDArray[np.float64]
OPENINGS = 20
LATER = (2, 5, 20)
GAINS = (0.02, 0.03, 0.05, 0.08, 0.12)
MOST, KEPT, LEAST = 0.055, 0.9, 0.2
"""Goals: claims at most; the power that the first opening keeps, wherever there is so much without a correction."""


@dataclass(frozen=True)
class Cell:
    """Sealed pictures and the templates that are tried on them.

    Attributes:
        classes, pictures: the number of classes, and of pictures of each.
        own: share of a picture's difficulty that templates do not have in common; if it is small, they seldom differ.
        alike: share of `own` that all templates but the initial one have in common.
        follows: whether each template is a change of the best template on the test so far, which the test chooses.
    """

    classes: int
    pictures: int
    own: float = 0.3
    alike: float = 0.0
    follows: bool = False

    def p_values(self, gains: Sequence[float], rng: np.random.Generator) -> list[float]:
        """Draw pictures, compare a template of each true gain with the initial one, of accuracy 50 %, and return p."""
        n = self.classes * self.pictures
        how = Sampling.of(n, np.repeat(np.arange(self.classes), self.pictures))
        common = math.sqrt(1 - self.own) * rng.standard_normal(n)
        initial = common + math.sqrt(self.own) * rng.standard_normal(n) < 0
        kept, best, highest = rng.standard_normal(n), rng.standard_normal(n), -math.inf
        found = []
        for gain in gains:
            like, share = (best, 0.9) if self.follows else (kept, self.alike)
            words = math.sqrt(share) * like + math.sqrt(1 - share) * rng.standard_normal(n)
            hits = common + math.sqrt(self.own) * words < special.ndtri(0.5 + gain)
            if hits.mean() > highest:
                best, highest = words, float(hits.mean())
            found.append(paired_difference(initial, hits, how).these.p)
        return found


CELLS = [
    *(Cell(10, 20, alike=alike) for alike in (0.0, 0.9)),
    *(Cell(68, 4, alike=alike) for alike in (0.0, 0.9)),
    *(Cell(20, 50, own=own) for own in (0.03, 0.9)),
    Cell(5, 10),
]
SPENT = np.array([spends(opening) for opening in range(1, OPENINGS + 1)]) * ALPHA


def claims(cells: Sequence[Cell], runs: int, rng: np.random.Generator) -> int:
    """Print how often any of twenty openings claims though no template is better; count missed goals."""
    head("classes × pictures", "own", "alike", "any of 20 claims", "the first", "any of 20, without a correction")
    slack = 4 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    missed = 0
    for cell in cells:
        p = np.array([cell.p_values([0.0] * OPENINGS, rng) for _ in range(runs)])
        shares = [(p <= SPENT).any(axis=1).mean(), (p[:, 0] <= SPENT[0]).mean(), (p <= ALPHA).any(axis=1).mean()]
        alike = "changes of the best on the test" if cell.follows else f"{cell.alike:.0%}"
        row(f"{cell.classes} × {cell.pictures}", f"{cell.own:.0%}", alike, *(f"{share:.1%}" for share in shares))
        missed += not cell.follows and shares[0] > MOST + slack
    return missed


def power(cells: Sequence[Cell], runs: int, rng: np.random.Generator) -> int:
    """Print how often a gain is shown without a correction, at the first and at later openings; count missed goals."""
    later = (f"at opening {opening}" for opening in LATER)
    head("classes × pictures", "own", "gain", "without a correction", "at the first opening", "of that", *later)
    missed = 0
    for cell in cells:
        for gain in GAINS:
            p = np.array([cell.p_values([gain], rng)[0] for _ in range(runs)])
            today = float((p <= ALPHA).mean())
            shown = [float((p <= spends(opening) * ALPHA).mean()) for opening in (1, *LATER)]
            kept = shown[0] / today if today else 1.0
            percent = [f"{share:.1%}" for share in (today, shown[0], kept, *shown[1:])]
            row(f"{cell.classes} × {cell.pictures}", f"{cell.own:.0%}", f"{100 * gain:.0f}", *percent)
            missed += today >= LEAST and kept < KEPT - 4 * math.sqrt(KEPT * (1 - KEPT) / (runs * today))
    return missed


Analyst = Literal["renames them", "drops them", "takes found names if better", "keeps all names"]
"""What is done after each opening; "them" are the classes in which the found template lost to the initial one."""
SIZES = [(68, 4), (200, 4), (20, 50)]
OWN = 0.3
RENAMED = 0.2
"""Share of the classes for which a search finds another name."""
ENOUGH = 500
"""Runs from which a goal is compared without what chance allows."""
Hits = NDArray[np.bool_]
"""(classes, pictures), or that of the initial template and of the found one."""


def changed_classes(
    analyst: Analyst,
    classes: int,
    pictures: int,
    rng: np.random.Generator,
    gain: float = 0.0,
    openings: int = OPENINGS,
) -> tuple[list[float], list[bool]]:
    """Open the same pictures again and again, with classes that are changed in between.

    A new name draws the hits of both templates anew in its class, and in no other. With names kept, each opening has
    another template, of the true `gain`.

    Returns:
        p at each opening (1 where no gain can be claimed), and whether the opening gives one.
    """
    common = math.sqrt(1 - OWN) * rng.standard_normal((classes, pictures))

    def draw(gain: float = 0.0) -> Hits:
        words = math.sqrt(OWN) * rng.standard_normal((classes, pictures))
        return np.asarray(common + words < special.ndtri(0.5 + gain))

    def renamed(both: Hits, which: NDArray[np.bool_]) -> Hits:
        return np.where(which[None, :, None], [draw(), draw()], both)

    both, left, given, best = np.array([draw(), draw(gain)]), np.ones(classes, dtype=bool), "at first", -math.inf
    p, before = [], list[Openings]()
    for opening in range(openings):
        tried, found = both, given
        if analyst == "takes found names if better":
            tried, found = renamed(both, rng.random(classes) < RENAMED), f"found {opening}"
        initial, template = tried[:, left]
        seen = float(template.mean() - initial.mean())
        p.append(_p_of_gain(initial, template, SPENT[opening]))
        sealed = {str(label) for label in np.flatnonzero(left)}  # one picture stands for those of its class
        before.append(opened_after(before, str(opening), sealed, (given, found)))
        lost = left & (tried[1].sum(axis=1) < tried[0].sum(axis=1))
        if analyst == "keeps all names":
            both = np.array([both[0], draw(gain)])
        elif analyst == "takes found names if better" and seen > best:
            both, given, best = tried, found, seen
        elif analyst == "renames them" and lost.any():
            both, given = renamed(both, lost), f"changed {opening}"
        elif analyst == "drops them" and lost.any() and (left & ~lost).sum() > 1:
            left, given = left & ~lost, f"changed {opening}"
    return p, [one.tests for one in before]


def _p_of_gain(initial: Hits, template: Hits, level: float) -> float:
    """Return p of a gain, (classes, pictures) each; 1 where even a normal quantile and too small an error say none."""
    values = template.astype(float) - initial
    error = math.sqrt(((values - values.mean(axis=1, keepdims=True)) ** 2).sum()) / values.size
    if values.mean() <= -special.ndtri(level / 2) * error:
        return 1.0
    how = Sampling.of(values.size, np.repeat(np.arange(len(values)), values.shape[1]))
    return float(paired_difference(initial.ravel(), template.ravel(), how).these.p)


def changes(sizes: Sequence[tuple[int, int]], runs: int, seed: int) -> int:
    """Print how often a gain is claimed in twenty openings, none being there; count missed goals."""
    head("classes × pictures", "after each opening", "openings with a p", "false gains if all had one", "false gains")
    slack = 4 * math.sqrt(ALPHA * (1 - ALPHA) / runs) if runs < ENOUGH else 0.0
    missed = 0
    for classes, pictures in sizes:
        for number, analyst in enumerate(get_args(Analyst)):
            rng = np.random.default_rng([seed, 2, classes, number])
            drawn = [changed_classes(analyst, classes, pictures, rng) for _ in range(runs)]
            shown, tests = np.array([p for p, _ in drawn]) <= SPENT, np.array([tests for _, tests in drawn])
            shares = [shown.any(axis=1).mean(), (shown & tests).any(axis=1).mean()]
            given = f"{tests.sum(axis=1).mean():.1f}"
            row(f"{classes} × {pictures}", analyst, given, *(f"{share:.1%}" for share in shares))
            missed += shares[1] > ALPHA + slack
    return missed


def unchanged(sizes: Sequence[tuple[int, int]], runs: int, seed: int) -> int:
    """Print how often a gain of 5 points is shown at each of three openings under the same names; count lost p."""
    head("classes × pictures", "at opening 1", "at opening 2", "at opening 3", "openings without a p")
    gone = 0
    for classes, pictures in sizes:
        rng = np.random.default_rng([seed, 3, classes])
        drawn = [changed_classes("keeps all names", classes, pictures, rng, 0.05, 3) for _ in range(runs)]
        shares = (np.array([p for p, _ in drawn]) <= SPENT[:3]).mean(axis=0)
        without = sum(not one for _, tests in drawn for one in tests)
        row(f"{classes} × {pictures}", *(f"{share:.1%}" for share in shares), f"{without}")
        gone += without
    return gone


def head(*names: str) -> None:
    """Print the head of a table."""
    print()
    row(*names)
    row(*["---"] * len(names))


def row(*texts: str) -> None:
    """Print a row of the table."""
    print(f"| {' | '.join(texts)} |", flush=True)


def main() -> int:
    """Simulate, print the tables, and tell whether a goal was missed."""
    options = arguments(__doc__, runs={"type": int, "default": 2000}, seed={"type": int, "default": 0})
    runs = 100 if options.small else options.runs
    tried = CELLS[-1:] if options.small else [*CELLS, Cell(20, 50, follows=True)]
    missed = claims(tried, runs, np.random.default_rng([options.seed, 0]))
    once = [cell for cell in tried if not cell.alike and not cell.follows]
    missed += power(once, runs, np.random.default_rng([options.seed, 1]))
    sizes = [(5, 10)] if options.small else SIZES
    missed += changes(sizes, runs // 4, options.seed)
    missed += unchanged(sizes, runs, options.seed)
    print(f"\n{missed} goals are missed", file=sys.stderr)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
