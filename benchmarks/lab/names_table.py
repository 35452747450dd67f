"""The tables of `benchmarks/names.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.sampling import Sampling, t_quantile

WAYS = ("right", "synonyms", "plurals", "hyponyms")
ROWS = ("names", "right names", "permuted")


@dataclass(frozen=True)
class Cell:
    """The results of one draw of one set. `gains` has for each row the gain on each test picture."""

    place: str
    labels: tuple[int, ...]
    pictures: tuple[str, ...]
    gains: dict[str, Doubles]
    given: float
    opened: Sequence[bool]
    """Whether the gate opened: with the class's candidates, others' (`permuted`), and shuffled labels."""


def gains(cells: dict[str, list[Cell]]) -> Iterator[str]:
    """Yield the lines of the table of gains, for all kinds of names."""
    yield "| called by | as given | " + " | ".join(ROWS[:2]) + " | back, of right names' gain | lowest of names |"
    yield "| --- " * 6 + "|"
    for way, own in cells.items():
        over = " | ".join(_bounded(own, row) for row in ROWS[:2])
        share = "–" if way == "right" else _share(own)
        yield f"| {way} | {np.mean([one.given for one in own]):.1f} | {over} | {share} | {_lowest(own):+.1f} |"


def controls(cells: dict[str, list[Cell]]) -> Iterator[str]:
    """Yield the lines of the table of controls."""
    yield "| called by | opened | permuted: opened | gain | shuffled: opened |"
    yield "| --- " * 5 + "|"
    for way, own in cells.items():
        met, of_others, shuffled = (f"{n} of {len(own)}" for n in np.sum([one.opened for one in own], axis=0))
        yield f"| {way} | {met} | {of_others} | {_bounded(own, 'permuted')} | {shuffled} |"


def _mean(cells: Sequence[Cell], row: str) -> float:
    return float(np.mean([one.gains[row].mean() for one in cells]))


def _lowest(cells: Sequence[Cell]) -> float:
    return min(float(one.gains["names"].mean()) for one in cells)


def _bounded(cells: Sequence[Cell], row: str) -> str:
    mean, half = _mean(cells, row), _half(cells, [one.gains[row] for one in cells])
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"


def _share(cells: Sequence[Cell]) -> str:
    """Return the ratio of the mean gain of `names` to that of `right names`, with an interval.

    The interval comes from a linear approximation of the ratio (Taylor's first term).
    """
    whole = _mean(cells, "right names")
    share = _mean(cells, "names") / whole
    half = _half(cells, [(one.gains["names"] - share * one.gains["right names"]) / whole for one in cells])
    return f"{share:.0%} [{share - half:.0%}, {share + half:.0%}]"


def _half(cells: Sequence[Cell], values: Sequence[Doubles]) -> float:
    """Return half the width of a 95 % interval of the mean: the wider of an interval by drawings and one by sets."""
    every = np.concatenate(values)
    labels = [label for one in cells for label in one.labels]
    drawings = [name for one in cells for name in one.pictures]
    found = Sampling.of(len(every), labels, drawings).these(every)
    sets: dict[str, list[float]] = {}
    for one, own in zip(cells, values, strict=True):
        sets.setdefault(one.place, []).append(float(own.mean()))
    means = [np.mean(own) for own in sets.values()]
    by_set = t_quantile(len(means) - 1, 0.95) * float(np.std(means, ddof=1)) / np.sqrt(len(means))
    return float(max(t_quantile(found.degrees, 0.95) * np.sqrt(found.value), by_set))
