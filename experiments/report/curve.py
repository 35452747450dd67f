"""The search as a drawing of the page itself: each dot is a template, which a pointer that rests on it shows.

Positions are in the units of the drawing's own view, colours in the page's style sheet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ipo_prompts.experiments.report.search import Candidate, SearchRecord

WIDTH, HEIGHT = 760, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 70
"""Room for the numbers of the axes, which are larger on a phone."""
MOST_TICKS = 10


@dataclass(frozen=True)
class Dot:
    """A template at its place; `step` 0 is before the first one."""

    x: float
    y: float
    step: int
    candidate: Candidate


@dataclass(frozen=True)
class Tick:
    """A number beside an axis."""

    at: float
    number: int


@dataclass(frozen=True)
class Curve:
    """All templates by step and value; `best` is the path of the best so far, `initial` how high the initial one is."""

    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT
    left: ClassVar[int] = LEFT
    right: ClassVar[int] = RIGHT
    bottom: ClassVar[int] = BOTTOM
    dots: tuple[Dot, ...]
    best: str
    initial: float
    steps: tuple[Tick, ...]
    values: tuple[Tick, ...]


def curve(search: SearchRecord) -> Curve:
    """Place every template of a search; the better of two that stand on one another lies above."""
    found = [(0, candidate) for candidate in search.taken_over]
    found += [(step.number, candidate) for step in search.steps for candidate in step.candidates]
    percents = [100 * candidate.value for candidate in (search.initial, *(one for _, one in found))]
    size = _size(max(percents) - min(percents))
    low = max(0, size * math.floor(min(percents) / size))
    high = min(100, size * math.ceil(max(percents) / size))  # around equal values there is room for none but these
    if low == high:
        low, high = max(0, low - size), min(100, high + size)
    last = max(1, len(search.steps))

    def across(step: int) -> float:
        return round(LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * step / last, 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (100 * value - low) / (high - low), 1)

    dots = [Dot(across(step), up(one.value), step, one) for step, one in found]
    path = f"M{across(0)} {up(search.start.value)}"
    for step in search.steps:
        path += f"H{across(step.number)}V{up(step.best.value)}"
    every = max(1, math.ceil(last / MOST_TICKS))
    return Curve(
        dots=tuple(sorted(dots, key=lambda dot: (dot.candidate.chosen, dot.candidate.value))),
        best=path,
        initial=up(search.initial.value),
        steps=tuple(Tick(across(step), step) for step in range(0, last + 1, every)),
        values=tuple(Tick(up(number / 100), number) for number in range(low, high + 1, size)),
    )


def _size(span: float) -> int:
    """Choose the distance of the numbers of an axis, in percent, so that there are few."""
    return next(size for size in (1, 2, 5, 10, 20, 50) if span <= 5 * size)
