"""None of these: which score tells strangers from pictures of the classes, and whether the promise of a line is kept.

Prints Markdown tables for the shipped pictures under pairs of transformations:

- scores: half of the classes are known, the others strangers, six times. The template is the best of the
  baseline template and the vocabulary by hits on six pictures of each known class; the other pictures test. Beside the
  shipped margin stand variants of its words, and controls: random vectors, and the words turned by a random rotation.
- estimates: the share of strangers below a line, as a run estimates it from its own classes, and as it is.
- names that are too narrow: the classes are called by a kind of them, such as "hound" for a dog.
- lines: all classes are known; the line is drawn through a few pictures of each class, for the initial template and for
  the template that they chose. The others test: the share rejected, and how often it, or chance, is above the bound.
- single classes: how many have more than twice the share below a line, and the worst.
- lines after a search: a third of the classes; `compose` searches on four pictures of each and two more choose, as in a
  run. One line is drawn through all of these, one through the two; also for the initial template, on the same draws.
- moved: the line and the template of one set on the pictures of another set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells, short, show
from benchmarks.lab.kinds import narrower
from benchmarks.lab.strangers import (
    CHOOSE,
    SCORES,
    SEARCHED,
    SHARE,
    Beds,
    Outcome,
    class_names,
    moved_to,
    one_estimate,
    one_line,
    one_of_classes,
    one_search,
    one_split,
)
from ipo_prompts.metrics.arrays import Doubles

SETS = ("upside-down+sepia", "sideways+gray", "zoom+sepia", "small+hue", "zoom+pixel", "upside-down+bright")
"""Transformations of `embedded:`. Lines are drawn for the first four."""
SPLITS, DRAWS, SEARCHES, STEPS = 6, 20, 25, 4
MEASURED: dict[str, Callable[..., Any]] = {
    "scores": lambda beds, name, split: one_split(beds.of(name), split),
    "estimates": lambda beds, name, split: one_estimate(beds.of(name), split),
    "narrow": lambda beds, name, split: one_split(beds.narrow(name), split),
    "lines": lambda beds, name, *rest: one_line(beds.of(name), *rest),
    "classes": lambda beds, name, draw: one_of_classes(beds.of(name), draw),
    "moved": lambda beds, name, other: moved_to(beds.of(other), beds.of(name)),
    "search": lambda beds, name, *rest: one_search(beds.third(name), *rest),
}
"""Part → what a cell of it measures of a set."""


def main() -> None:
    """Measure what the file of cells lacks, and print the tables."""
    options = arguments(
        __doc__,
        what={"nargs": "+", "default": list(PARTS), "choices": PARTS},
        clips={"default": "embedded", "help": "as in ipo optimize, with commas between"},
        searches={"type": int, "default": SEARCHES, "help": "by compose, of each set"},
        cells=OPTION,
    )
    for clip in options.clips.split(","):
        sets = Sets(Cells(options.cells), clip, options.searches, small=options.small)
        for part in (part for part in PARTS if part in options.what):
            with sets.cells:
                show(PARTS[part](sets))


def tables(cells: Cells, clip: str, part: str) -> Iterator[str]:
    """Yield the lines of the table of one part."""
    return PARTS[part](Sets(cells, clip))


class Sets:
    """Cells of the sets of one CLIP, which is loaded when a cell is missing."""

    def __init__(self, cells: Cells, clip: str, searches: int = SEARCHES, *, small: bool = False) -> None:
        self.cells, self.clip, self._beds = cells, short(clip), Beds(clip, 12 if small else None)
        self.names = SETS[:2] if small else SETS
        self.splits, self.draws, self.searches, self.steps = (1, 1, 1, 1) if small else (SPLITS, DRAWS, searches, STEPS)

    def of(self, part: str, name: str, *rest: str | int) -> Any:
        """Return a cell of a set as JSON holds it."""
        return self.cells.of((self.clip, part, name, *rest), lambda: MEASURED[part](self._beds, name, *rest))

    def head(self, title: str, *columns: str) -> Iterator[str]:
        """Yield a title that names the CLIP, and the head of a table."""
        yield from ("", f"{self.clip}: {title}", "")
        yield from (f"| {' | '.join(columns)} |", f"| {' | '.join(['---'] * len(columns))} |")


def scores(sets: Sets) -> Iterator[str]:
    """Yield the AUROC of all scores, and how many strangers pass where 95 % of known pictures do."""
    passing = "passing: " + " / ".join(list(SCORES.values())[:3])
    yield from sets.head(
        "AUROC; for three scores also the strangers in % that pass where 95 % of the known pictures do.",
        *("set", "accuracy", *SCORES.values(), passing),
    )
    rows = [np.mean([sets.of("scores", name, split) for split in range(sets.splits)], axis=0) for name in sets.names]
    for name, row in (*zip(sets.names, rows, strict=True), ("mean", np.mean(rows, axis=0))):
        shares = " / ".join(f"{100 * share:.0f}" for share in row[1 + len(SCORES) :])
        yield f"| {name} | {areas(row[: 1 + len(SCORES)])} | {shares} |"
    found = np.array(rows)[:, 1 : 1 + len(SCORES)]
    for other in (0, 1):
        gain = found[:, 2] - found[:, other]
        yield from (
            "",
            f"Margin less {list(SCORES.values())[other]}: {gain.mean():+.3f}, least of a set {gain.min():+.3f}.",
        )


def areas(row: Doubles) -> str:
    """Return cells: an accuracy, and areas."""
    return " | ".join([f"{100 * row[0]:.1f}", *(f"{area:.3f}" for area in row[1:])])


def estimates(sets: Sets) -> Iterator[str]:
    """Yield which share of strangers lies below a line, and what leaving classes out says of it."""
    yield from sets.head(
        f"Strangers in % below the line for {SHARE:.0%}: as estimated with halves of the known left out, and found.",
        *("set", "estimated", "found", "estimated, of a split", "found, of a split"),
    )
    for name in sets.names:
        pairs = 100 * np.array([sets.of("estimates", name, split) for split in range(sets.splits)])
        ends = " | ".join(
            f"{low:.0f} to {high:.0f}" for low, high in zip(pairs.min(axis=0), pairs.max(axis=0), strict=True)
        )
        yield f"| {name} | {pairs[:, 0].mean():.1f} | {pairs[:, 1].mean():.1f} | {ends} |"


def narrow(sets: Sets) -> Iterator[str]:
    """Yield what hypernyms do where classes are called by a kind of them."""
    names, chosen = narrower(class_names()), ("cosine", "margin", "in")
    changed = sum(name not in class_names() for name in names)
    yield from sets.head(
        f"The same with names that are too narrow for {changed} of {len(names)} classes ({', '.join(names[:5])} …).",
        *("set", "accuracy", *(SCORES[name] for name in chosen)),
    )
    places = [0, *(1 + list(SCORES).index(name) for name in chosen)]
    rows = [np.mean([sets.of("narrow", name, split) for split in range(sets.splits)], axis=0) for name in sets.names]
    for name, row in (*zip(sets.names, rows, strict=True), ("mean", np.mean(rows, axis=0))):
        yield f"| {name} | {areas(row[places])} |"


def lines(sets: Sets) -> Iterator[str]:
    """Yield what lines reject of known pictures, over draws and sets."""
    names = sets.names[:4]
    yield from sets.head(
        f"Lines for {SHARE:.0%}, {sets.draws} draws of each of {len(names)} sets.",
        *("template", "pictures", "promised, k/(n+1)", "rejected, mean", "most", "above the bound", "by chance"),
    )
    for a_class in (1, 2, SEARCHED):
        for how in ("initial", "best of the vocabulary"):
            found = [
                Outcome(*sets.of("lines", name, a_class, how, draw)) for name in names for draw in range(sets.draws)
            ]
            yield f"| {how} | {rejections(found, 0)} |"


def rejections(found: Sequence[Outcome], digits: int) -> str:
    """Return cells: what lines reject, and how often, or by chance, that is above the bound."""
    rejected, above, chance = np.array([one[2:] for one in found]).T * 100
    return (
        f"{found[0].pictures} | {100 * found[0].promised:.1f} | {rejected.mean():.1f} | {rejected.max():.1f} | "
        f"{above.mean():.{digits}f} % | {chance.mean():.{digits}f} %"
    )


def single_classes(sets: Sets) -> Iterator[str]:
    """Yield what lines of the initial template do to single classes, and would do if all were alike."""
    yield from sets.head(
        f"Single classes: lines for {SHARE:.0%} through {CHOOSE} pictures of each of {len(class_names())} classes, "
        f"the others test; means of {sets.draws} draws, in %. Alike: the same with the classes of the tested shuffled.",
        *("set", "rejected", "classes above twice the share", "worst class"),
        *("alike: above twice", "alike: worst class"),
    )
    for name in sets.names[:4]:
        rows = []
        for draw in range(sets.draws):
            tested, *below = np.array(sets.of("classes", name, draw))
            rows.append([below[0].sum() / tested.sum()])
            for shares in below / tested:
                rows[-1] += [(shares > 2 * SHARE).mean(), shares.max()]
        yield f"| {name} | " + " | ".join(f"{100 * value:.0f}" for value in np.mean(rows, axis=0)) + " |"


def moved(sets: Sets) -> Iterator[str]:
    """Yield what lines reject on other sets than their own."""
    names = sets.names[:4]
    yield from sets.head(
        "Lines of one set on the pictures of another, rejected in %: each other set's, then the mean.",
        *("line of", "score", *names, "mean of the others"),
    )
    for name in names:
        found = 100 * np.array([sets.of("moved", other, name) for other in names])
        for score, shares in zip(("margin", "max cosine"), found.T, strict=True):
            others = [share for share, other in zip(shares, names, strict=True) if other != name]
            cells = " | ".join(f"{share:.1f}" for share in shares)
            yield f"| {name} | {score} | {cells} | {np.mean(others):.1f} |"


def lines_after_a_search(sets: Sets) -> Iterator[str]:
    """Yield what lines reject where `compose` chose, and on the same draws where nothing was chosen."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for draw in range(sets.searches):
        for name in sets.names[:4]:
            for how, through, *outcome in sets.of("search", name, draw, sets.steps):
                found.setdefault((how, through), []).append(Outcome(*outcome))
    yield from sets.head(
        f"Lines for {SHARE:.0%} where a search chose, {sets.searches} draws of each of {len(sets.names[:4])} sets with "
        f"{len(class_names()[::3])} classes; {sets.steps} steps.",
        *("template", "line through", "pictures", "promised", "rejected, mean", "most", "above the bound", "by chance"),
    )
    for (how, through), rows in found.items():
        yield f"| {how} | {through} | {rejections(rows, 1)} |"


PARTS = {one.__name__: one for one in (scores, estimates, narrow, lines, single_classes, moved, lines_after_a_search)}


if __name__ == "__main__":
    main()
