"""How the winner is chosen: rules compared by simulation; the shipped one is `ipo_prompts.programs.selection` itself.

The model. A template labels a picture rightly with the probability p, averaged over classes and pictures: 0.4 for the
initial template, 0.4 plus its true gain for a candidate. Pictures differ in difficulty, for all templates alike: a
picture is right where z < Phi^-1(p), z = sqrt(0.85) (sqrt(0.3) class + sqrt(0.7) picture) + sqrt(0.15) own, all of them
standard normal. The hits of two templates then correlate by about 0.65; in recorded runs of the demo CLIP the median
was 0.56 to 0.74. The loss, which breaks ties, is max(0, 1 - margin) of the margin Phi^-1(p) - z. The logarithm of the
right class's place is max(0, -margin): what is missing to the first place. True gains are for the classes as drawn.
Candidates do not depend on the search pictures here; in a real search they do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmarks.common import arguments
from ipo_prompts.metrics.reward import Score
from ipo_prompts.programs.selection import HeldBack, choose_winner
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate

INITIAL, SHARED, OF_CLASS = 0.4, 0.85, 0.3
DESIGNS = {"4 + 2 × 68": (68, 4, 2), "16 + 4 × 10": (10, 16, 4), "1 + 1 × 51": (51, 1, 1)} | {
    "1 + 1 × 19": (19, 1, 1),
    "1 + 1 × 5": (5, 1, 1),
}
"""Search + selection pictures a class × classes → number of classes, search and selection pictures."""
CANDIDATES = {"0 ± 3": (0.0, 3.0), "-3 ± 3": (-3.0, 3.0), "-3 ± 1": (-3.0, 1.0), "all equal": (0.0, 0.0)}
"""Mean and standard deviation of the candidates' true gains, in points."""
FINALISTS = 10


@dataclass(frozen=True)
class Units:
    """One part of the pictures."""

    labels: NDArray[np.int64]
    groups: None = None


class Drawn(NamedTuple):
    """One simulated search: row 0 is the initial template, gains are in points."""

    hits: NDArray[np.bool_]
    losses: NDArray[np.float64]
    gains: NDArray[np.float64]
    labels: NDArray[np.int64]
    searched: NDArray[np.bool_]


class Chosen(NamedTuple):
    """The row of the winner, and the gain that the rule reports, in points."""

    row: int
    reported: float


def main() -> None:
    """Simulate and print a Markdown table."""
    options = arguments(__doc__, runs={"type": int, "default": 2000}, seed={"type": int, "default": 0})
    print(f"| pictures | candidates | {' | '.join(RULES)} | reported - true: {' | '.join(RULES)} |")
    print("| --- | --- |" + " --- |" * (2 * len(RULES)))
    for design, kind, count in SMALL if options.small else SETTINGS:
        print(row(design, kind, count, 5 if options.small else options.runs, options.seed), flush=True)


def row(design: str, kind: str, count: int, runs: int, seed: int) -> str:
    """Simulate one setting; return for each rule the mean true gain in points, how often it left the initial template,
    and its bias.
    """
    rng = np.random.default_rng([seed, *DESIGNS[design], count, *map(ord, kind)])
    found: dict[str, list[tuple[float, bool, float]]] = {name: [] for name in RULES}
    for _ in range(runs):
        drawn = draw(rng, *DESIGNS[design], count, *CANDIDATES[kind])
        for name, rule in RULES.items():
            winner, reported = rule(drawn)
            found[name].append((drawn.gains[winner], winner > 0, reported - drawn.gains[winner]))
    means = [np.mean(rows, axis=0) for rows in found.values()]
    cells = [f"{gain + 0:.2f} ({100 * left:.0f} %)" for gain, left, _ in means]
    return f"| {design} | {count}, {kind} | {' | '.join([*cells, *(f'{bias:+.1f}' for *_, bias in means)])} |"


def draw(
    rng: np.random.Generator, classes: int, search: int, selection: int, count: int, mean: float, sd: float
) -> Drawn:
    """Draw pictures, candidates and hits; see the head of this file."""
    labels = np.repeat(np.arange(classes), search + selection)
    chances = np.clip(INITIAL + (mean + sd * rng.standard_normal(count)) / 100, 0.01, 0.99)
    middle = ndtri(np.array([INITIAL, *chances]))[:, None]
    of_class = np.sqrt(SHARED * OF_CLASS) * rng.standard_normal(classes)
    of_picture = np.sqrt(SHARED * (1 - OF_CLASS)) * rng.standard_normal(len(labels))
    own = np.sqrt(1 - SHARED) * rng.standard_normal((count + 1, len(labels)), dtype=np.float32)
    margins = middle - (of_class[labels] + of_picture + own)
    true = ndtr((middle - of_class) / np.sqrt(1 - SHARED * OF_CLASS)).mean(axis=1)
    searched = np.tile(np.arange(search + selection) < search, classes)
    return Drawn(margins > 0, np.maximum(0, 1 - margins), 100 * (true - true[0]), labels, searched)


def highest(drawn: Drawn, units: NDArray[np.bool_], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order rows by their score on some pictures, best first."""
    hits, losses = drawn.hits[rows][:, units].mean(axis=1), drawn.losses[rows][:, units].mean(axis=1)
    ordered: NDArray[np.int64] = rows[np.lexsort((losses, -hits))]
    return ordered


def gain(drawn: Drawn, row: int, units: NDArray[np.bool_]) -> float:
    """Return the gain of a row on some pictures."""
    return 100 * float(drawn.hits[row, units].mean() - drawn.hits[0, units].mean())


def highest_on_search(drawn: Drawn) -> Chosen:
    """Choose by the paper's rule."""
    row = int(highest(drawn, drawn.searched, np.arange(len(drawn.hits)))[0])
    return Chosen(row, gain(drawn, row, drawn.searched))


def highest_on_both(drawn: Drawn) -> Chosen:
    """Choose the highest score on all pictures."""
    every = np.ones_like(drawn.searched)
    row = int(highest(drawn, every, np.arange(len(drawn.hits)))[0])
    return Chosen(row, gain(drawn, row, every))


def ten_finalists(drawn: Drawn) -> Chosen:
    """Take the ten best of the search; choose the best of them on selection if it gains over one standard error."""
    finalists = highest(drawn, drawn.searched, np.arange(1, len(drawn.hits)))[:FINALISTS]
    row = int(highest(drawn, ~drawn.searched, finalists)[0])
    units = ~drawn.searched
    difference = drawn.hits[row, units].astype(float) - drawn.hits[0, units]
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    reported = gain(drawn, row, units)
    return Chosen(row if difference.mean() > max(error, 0) else 0, reported)


def shipped(drawn: Drawn) -> Chosen:
    """Choose as a search does."""
    return chosen(scores(drawn, drawn.searched), scores(drawn, ~drawn.searched), drawn)


def by_hits(drawn: Drawn) -> Chosen:
    """Choose as a search does if only hits are known, as for a user's own measure."""
    search, selection = (
        [replace(score, places=None) for score in scores(drawn, units)] for units in (drawn.searched, ~drawn.searched)
    )
    return chosen(search, selection, drawn)


def chosen(on_search: list[Score], on_selection: list[Score], drawn: Drawn) -> Chosen:
    """Choose as a search does."""
    history = PromptHistory(ScoredTemplate(on_search[0], -1, "initial"))
    for score in on_search[1:]:
        history.add(ScoredTemplate(score, 0, "simulated"))
    held_back = HeldBack(
        Units(drawn.labels[~drawn.searched]), lambda templates: [on_selection[number(name)] for name in templates]
    )
    choice = choose_winner("held-back", history, Units(drawn.labels[drawn.searched]), held_back)
    assert choice.gain is not None
    return Chosen(number(choice.template), 100 * choice.gain)


def scores(drawn: Drawn, units: NDArray[np.bool_]) -> list[Score]:
    """Return the scores of all templates on some pictures."""
    hits, losses = drawn.hits[:, units], drawn.losses[:, units]
    places = np.exp(np.maximum(0, losses - 1))
    rows: Any = enumerate(zip(hits, losses, places, strict=True))
    return [
        Score(f"number {i} <CLASS>", float(h.mean()), float(x.mean()), h, x, places=place) for i, (h, x, place) in rows
    ]


def number(template: str) -> int:
    """Return the row of a template."""
    return int(template.split()[1])


RULES = {
    "highest on search": highest_on_search,
    "ten finalists": ten_finalists,
    "highest on both": highest_on_both,
    "by hits": by_hits,
    "shipped": shipped,
}
SMALL = [(design, kind, 10) for design in DESIGNS for kind in CANDIDATES]
SETTINGS = [(design, kind, 60) for design in DESIGNS for kind in CANDIDATES] + [
    ("4 + 2 × 68", kind, count) for count in (10, 400) for kind in ("0 ± 3", "-3 ± 1")
]

if __name__ == "__main__":
    main()
