"""A table as one picture: what each method gains over the reference against how many templates it looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ipo_prompts.experiments.compare.methods import SUBJECT
from ipo_prompts.experiments.compare.tables.table import Table
from ipo_prompts.metrics.errors import printable

if TYPE_CHECKING:
    from ipo_prompts.experiments.report.drawing import Theme

LONGEST = 40
"""Characters of a method's name in the picture."""
WIDTH, HEIGHT = 10.0, 6.0


class Point(NamedTuple):
    """A method: templates that it scored besides the initial one, and its gain with interval in points."""

    method: str
    looked_at: float
    gain: float
    low: float
    high: float

    @property
    def place(self) -> float:
        """Where it stands on the axis, which is logarithmic and begins at 0."""
        return math.log10(1 + self.looked_at)


def gain_plot(table: Table) -> str | None:
    """Draw a table as SVG for light and dark pages; None where no method is compared with the reference.

    Of several data sets it shows the means and the intervals for data sets like these; of one, for these classes.
    """
    from ipo_prompts.experiments.report.drawing import DARK, LIGHT, drawn

    scope = (*table.averages, *table.scopes)[0]
    points, covers = [], ""
    for method in table.methods:
        if gain := table.over(scope, method, table.reference):
            verdict, search = gain.for_scope(scope), table.searches[scope.name, method]
            ends = (100 * end for end in (verdict.mean, *verdict.ci95))
            points.append(Point(method, (search["proposals"] or 0) + (search["looked_at"] or 0), *ends))
            covers = verdict.covers if verdict.outcome != "same templates" else covers
    if not points:
        return None
    what = f"mean over {len(scope.data)} data sets" if scope.is_average else scope.name
    title = f"{what}, 95 % intervals for {covers or 'these classes'}"
    words = f"gain over {table.reference} in {table.headline}, points"

    def draw(figure: Any) -> None:
        _draw(figure, LIGHT, points, _name(title, 120), _name(words, 80))

    plain = {"Date": None, "Creator": None}
    svg = drawn(draw, WIDTH, HEIGHT, format="svg", facecolor=_PAPER[0], metadata=plain).decode()
    return _for_both(svg, [(vars(LIGHT)[name], vars(DARK)[name]) for name in vars(LIGHT)])


_PAPER = ("#fefefd", "#14181f")
"""The ground on light and dark pages: it is drawn, since a page may not be what the browser takes it for."""


def _for_both(svg: str, colours: Sequence[tuple[str, str]]) -> str:
    """Let a picture follow the light or dark scheme of its reader."""
    pairs = [*colours, _PAPER]
    for number, (light, _) in enumerate(pairs):
        svg = svg.replace(light, f"var(--c{number})")
    light, dark = (";".join(f"--c{number}:{pair[side]}" for number, pair in enumerate(pairs)) for side in (0, 1))
    rules = f"svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    head, defs, rest = svg.partition(" <defs>\n")
    return f"{head}{defs}  <style>{rules}</style>\n{rest}"


def _draw(figure: Any, theme: Theme, points: Sequence[Point], title: str, words: str) -> None:
    axes = figure.subplots()
    axes.set_facecolor("none")
    axes.axhline(0, color=theme.faint, linestyle="--", linewidth=1.2)
    low, high = min(0.0, *(one.low for one in points)), max(0.0, *(one.high for one in points))
    if max(one.gain for one in points) < high / 3:  # one wide interval would press all others flat
        high = 3 * max(1.0, *(one.gain for one in points))
    low = max(low, -high)
    margin = 0.04 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    for cluster in _clusters(points):
        places = _side_by_side(cluster)
        heights = _apart([one.gain for one in cluster], 0.042 * (high - low), low, high)
        right = max(places) + 0.06
        for one, place, height in zip(cluster, places, heights, strict=True):
            colour = theme.chosen if one.method == SUBJECT else theme.candidate
            axes.plot([place, place], [one.low, one.high], color=colour, linewidth=1.8, clip_on=True)
            axes.scatter([place], [one.gain], s=44, color=colour, zorder=3)
            axes.plot([place, right], [one.gain, height], color=theme.faint, linewidth=0.5, zorder=1)
            text = axes.text(right + 0.02, height, _name(one.method), va="center", fontsize=10, color=theme.text)
            text.set_parse_math(False)  # a name is text: its dollar signs are no formula
    most = max(one.place for one in points)
    axes.set_xlim(-0.15, most + 0.95)
    ticks = [0, *(10**power for power in range(math.ceil(most) + 1) if math.log10(1 + 10**power) < most + 0.5)]
    axes.set_xticks([math.log10(1 + tick) for tick in ticks], [f"{tick:,}" for tick in ticks])
    axes.set_xlabel("templates looked at on the search pictures, a run (logarithmic; 0: none but the initial one)")
    axes.set_ylabel(words).set_parse_math(False)
    axes.set_title(title, fontsize=11, loc="left").set_parse_math(False)


def _clusters(points: Sequence[Point]) -> list[list[Point]]:
    """Gather points whose names would run into each other, from left to right."""
    found: list[list[Point]] = []
    for one in sorted(points, key=lambda point: (point.place, point.gain, point.method)):
        if found and one.place - found[-1][-1].place < 0.6:
            found[-1].append(one)
        else:
            found.append([one])
    return [sorted(cluster, key=lambda point: (point.gain, point.method)) for cluster in found]


def _side_by_side(cluster: Sequence[Point]) -> list[float]:
    """Where a cluster's points are drawn: those of one number beside each other, so that intervals do not cover."""
    shifts: list[float] = []
    for one in cluster:
        near = [other for other in cluster if abs(other.place - one.place) < 0.03]
        shifts.append(one.place + 0.035 * (near.index(one) - (len(near) - 1) / 2))
    return shifts


def _apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move ascending heights apart to at least a gap, as little as that takes, within the axis."""
    moved = list(heights)
    for _ in range(200):
        for place in range(len(moved) - 1):
            missing = gap - (moved[place + 1] - moved[place])
            if missing > 1e-9:
                moved[place] -= missing / 2
                moved[place + 1] += missing / 2
    below, above = max(0.0, low - moved[0]), max(0.0, moved[-1] - high)
    return [height + below - above for height in moved]


def _name(text: str, most: int = LONGEST) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
