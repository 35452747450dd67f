"""Draw the plot of a search, as SVG. It shows numbers only, but for the template that was chosen.

A page draws it as a part of itself, so that a pointer on a dot shows the template, and the style sheet of the page
colours it. `search_picture` in `page.py` makes a file that holds its own colours. The same search always gives the same
text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ipo_prompts.experiments.report.gather import Candidate, Run, SearchRecord

STYLE = (Path(__file__).parent / "plots.css").read_text("utf-8")
"""The style sheet of plots, for light and for dark pages."""


def search_alt(run: Run) -> str:
    """Describe the drawing of the search in words."""
    search, reward = run.search, run.result.reward
    best = search.steps[-1].best if search.steps else search.initial
    return (
        f"{capital(reward.measure)} of {sum(len(step.candidates) for step in search.steps)} templates on "
        f"{search.n} search {reward.unit} over {len(search.steps)} steps. "
        f"The initial template has {100 * search.initial.value:.1f} percent, the best one "
        f"{100 * best.value:.1f} percent. The file templates.csv has every value."
    )


def capital(text: str) -> str:
    """Return the text with a capital first letter. A text that has a capital already, such as mIoU, stays unchanged."""
    return text[:1].upper() + text[1:] if text.islower() else text


FRAME = {"width": 760, "height": 270, "left": 62, "right": 14, "top": 12, "bottom": 70}
"""The size and margins of the curve, in units of its SVG. The margins have room for the larger numbers on a phone."""
MOST_TICKS = 10


@dataclass(frozen=True)
class Curve:
    """The drawing of a search: one dot for each template, by step and value. Positions are in units of the SVG.

    Attributes:
        dots: for each template: its x position, its y position, its step (0 is before the first step), the template.
        best: the SVG path that shows the value of the best template so far.
        initial: the y position of the initial template.
        band: the y positions of the ends of its 95 % interval, the upper end first.
        steps: the x position of each number on the axis of steps, with the number.
        values: the y position of each number on the axis of values, with the number in percent.
    """

    dots: tuple[tuple[float, float, int, Candidate], ...]
    best: str
    initial: float
    band: tuple[float, float]
    steps: tuple[tuple[float, int], ...]
    values: tuple[tuple[float, int], ...]


def curve(search: SearchRecord, ends: tuple[float, float]) -> Curve:
    """Return the curve of a search. If two dots are in one place, the dot of the better template is drawn on top.

    Args:
        search: the search.
        ends: the ends of the interval of the initial template, which are always in view: so differences that may be
            luck look small.
    """
    found = search.scored
    percents = [100 * value for value in (*ends, search.initial.value, *(one.value for _, one in found))]
    size = _size(max(percents) - min(percents))
    low = size * math.floor(min(percents) / size)
    high = size * math.ceil(max(percents) / size)  # equal to `low` if all values are equal
    if low == high:
        low, high = (max(0, low - size), min(100, high + size)) if 0 <= low <= 100 else (low - size, high + size)
    last, left, floor = max(1, len(search.steps)), FRAME["left"], FRAME["height"] - FRAME["bottom"]

    def across(step: int) -> float:
        return round(left + 8 + (FRAME["width"] - left - FRAME["right"] - 16) * step / last, 1)

    def up(value: float) -> float:
        return round(floor - (floor - FRAME["top"]) * (100 * value - low) / (high - low), 1)

    dots = [(across(step), up(one.value), step, one) for step, one in found]
    path = f"M{across(0)} {up(search.initial.value)}"
    for step in search.steps:
        path += f"H{across(step.number)}V{up(step.best.value)}"
    every = max(1, math.ceil(last / MOST_TICKS))
    return Curve(
        dots=tuple(sorted(dots, key=lambda dot: (dot[3].chosen, dot[3].value))),
        best=path,
        initial=up(search.initial.value),
        band=(up(ends[1]), up(ends[0])),
        steps=tuple((across(step), step) for step in range(0, last + 1, every)),
        values=tuple((up(number / 100), number) for number in range(low, high + 1, size)),
    )


def _size(span: float) -> int:
    """Return the distance between two numbers on the axis of values, in percent: large enough for few numbers."""
    return next((size for size in (1, 2, 5, 10, 20, 50) if span <= 5 * size), math.ceil(span / 5))
