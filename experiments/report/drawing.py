"""Draw the plots of a run. The plots of the report show numbers only, and no text that a language model wrote.

The report draws the search as a part of the page, so that a pointer on a dot shows the template. The other plots are
embedded as pictures: SVG data URLs, one for light pages and one for dark pages. SVG plots have many style attributes.
The security policy of the page forbids these in the page, but not inside a picture. `search.png` is the plot of the
search with the chosen template above it. The same plot always gives the same bytes.
"""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.report.gather import Candidate, Run, SearchRecord
from ipo_prompts.experiments.run.files import write_bytes
from ipo_prompts.experiments.run.scores import CLASSIFICATION, RewardNames
from ipo_prompts.metrics.verdict import Verdict, between, points

TITLES = {"search": "search", "selection": "selection", "test": "sealed test", "new": "new classes"}
"""The titles of the sets of pictures, in the order in which they are opened."""


@dataclass(frozen=True)
class Plot:
    """One plot for the report.

    Attributes:
        light, dark: the plot for light and for dark pages, as data URLs.
        width, height: the size in CSS pixels.
        alt: a description of the plot in words.
    """

    light: str
    dark: str
    width: int
    height: int
    alt: str


def search_plot(run: Run) -> Plot:
    """Draw value and loss by step: of each template, of the best template so far, and of the initial template."""
    search, reward = run.search, run.result.reward
    ends = run.result.scores["search"].initial.ci95
    return _plot(lambda figure: _search(figure, search, reward, ends), 8.0, 5.4, search_alt(run))


def search_alt(run: Run) -> str:
    """Describe the drawing of the search in words."""
    search, reward = run.search, run.result.reward
    best = search.steps[-1].best if search.steps else search.start
    return (
        f"{capital(reward.measure)} and loss of {sum(len(step.candidates) for step in search.steps)} templates on "
        f"{search.n} search {reward.unit} over {len(search.steps)} steps. "
        f"The initial template has {100 * search.initial.value:.1f} percent, the best one "
        f"{100 * best.value:.1f} percent. The file templates.csv has every value."
    )


def capital(text: str) -> str:
    """Return the text with a capital first letter. A text that has a capital already, such as mIoU, stays unchanged."""
    return text[:1].upper() + text[1:] if text.islower() else text


def save_search_png(search: SearchRecord, file: Path, reward: RewardNames = CLASSIFICATION) -> None:
    """Write the plot of a search as a PNG file, with the chosen template above the plot.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """

    def draw(figure: Any) -> None:
        _search(figure, search, reward)
        shown = search.chosen if len(search.chosen) <= 90 else search.chosen[:89] + "…"
        title = figure.axes[0].set_title(f"chosen: {shown}", fontsize=10, loc="left")
        title.set_parse_math(False)  # a template is text: its dollar signs are no formula
        figure.axes[1].set_xlabel(f"step, on {search.n} search {reward.unit}")

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box replaces a missing character
        write_bytes(file, drawn(draw, 9.0, 6.0, format="png", dpi=130))


def _search(figure: Any, search: SearchRecord, reward: RewardNames, ends: tuple[float, float] | None = None) -> None:
    """Draw a search on a figure. With the `ends` of the interval of the initial template, draw that as a band.

    The band is always in view, so that differences that may be luck look small; see `curve`.
    """
    from matplotlib.ticker import MaxNLocator

    found = search.scored
    bests = [search.start, *(step.best for step in search.steps)]
    chosen = [(step, candidate) for step, candidate in found if candidate.chosen]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for axes, value, factor in ((above, "value", 100), (below, "loss", 1)):
        axes.scatter(
            [step for step, _ in found],
            [factor * getattr(candidate, value) for _, candidate in found],
            s=18,
            alpha=0.75,
            linewidths=0,
            color=LIGHT["candidate"],
            label="a template",
        )
        axes.plot(
            range(len(bests)),
            [factor * getattr(best, value) for best in bests],
            drawstyle="steps-post",
            color=LIGHT["best"],
            linewidth=1.6,
            label=f"the best so far, by {reward.measure}",
        )
        axes.axhline(
            factor * getattr(search.initial, value),
            color=LIGHT["faint"],
            linestyle="--",
            linewidth=1.2,
            label="the initial template",
        )
        axes.scatter(
            [step for step, _ in chosen],
            [factor * getattr(candidate, value) for _, candidate in chosen],
            s=120,
            facecolors="none",
            linewidths=1.8,
            edgecolors=LIGHT["chosen"],
            label="chosen" if chosen else None,
        )
    if ends:
        above.axhspan(100 * ends[0], 100 * ends[1], color=LIGHT["grid"], zorder=0, label="its 95 % interval")
    low, high = above.get_ylim()
    above.set_ylim(max(low, -0.9), min(high, 100.9))  # no impossible percentages where all values are equal
    above.set_ylabel(f"{reward.measure}, percent")
    below.set_ylabel("loss, nats")
    below.set_xlabel("step")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper left", ncols=2)


def optimism_plot(run: Run) -> Plot:
    """Draw the gain and its interval on each set of pictures, in the order in which the sets are opened."""
    parts = [(name, run.result.scores[name]) for name in TITLES if name in run.result.scores]
    labels = [f"{TITLES[name]}\n(n = {score.optimised.n:,})" for name, score in parts]
    gains = [score.difference for _, score in parts]
    alt = "Gain in percentage points with 95 percent intervals. " + " ".join(
        f"{TITLES[name]}: {points(gain.mean)} {between(gain)}." for (name, _), gain in zip(parts, gains, strict=True)
    )
    return _plot(lambda figure: draw_gains(figure, labels, gains), 8.0, 0.7 + 0.62 * len(parts), alt)


def comparison_plot(runs: Sequence[Run]) -> Plot:
    """Draw, for each of several runs, its gain on the sealed test. The runs have the same numbers as in the table."""
    gains = [run.result.scores["test"].difference for run in runs]
    labels = [str(i) for i in range(1, len(runs) + 1)]
    alt = f"Gain on the sealed test with 95 percent intervals for {len(runs)} runs; the table has every value."
    return _plot(lambda figure: draw_gains(figure, labels, gains), 8.0, 0.8 + 0.34 * len(runs), alt)


def draw_gains(figure: Any, labels: Sequence[str], gains: Sequence[Verdict]) -> Any:
    """Draw gains with their intervals, one below the other and the first on top. Return the axes of the plot."""
    axes = figure.subplots()
    for i, gain in enumerate(gains):
        ends = [100 * end for end in gain.ci95]
        axes.plot(ends, [i, i], color=LIGHT["candidate"], linewidth=2.4, solid_capstyle="butt")
        axes.scatter([100 * gain.mean], [i], s=44, color=LIGHT["chosen"], zorder=3)
    axes.axvline(0, color=LIGHT["faint"], linestyle="--", linewidth=1.2)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel("gain, percentage points, with 95 % interval")
    return axes


def _plot(draw: Drawing, width: float, height: float, alt: str) -> Plot:
    light = dark = drawn(draw, width, height, transparent=True)
    # The dark plot is made by replacing colours: to draw it would take a hundred times as long.
    for name, colour in LIGHT.items():
        dark = dark.replace(colour.encode(), DARK[name].encode())
    in_light, in_dark = (f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}" for svg in (light, dark))
    return Plot(in_light, in_dark, round(96 * width), round(96 * height), alt)


Drawing = Callable[[Any], None]


LIGHT, DARK = (
    {"text": "#1d2430", "faint": "#5b6675", "grid": "#d9dee5"}
    | {"candidate": "#4477aa", "best": "#b3261e", "chosen": "#0f7b5f"},
    {"text": "#e6e9ee", "faint": "#a3adba", "grid": "#39424e"}
    | {"candidate": "#7fb2e5", "best": "#ff8a7a", "chosen": "#5fd3ae"},
)
"""The colours of a plot on a light and on a dark page."""


def drawn(draw: Drawing, width: float, height: float, **file: Any) -> bytes:
    """Return the content of the file of a plot.

    Args:
        draw: the function that draws the plot on a figure.
        width: the width of the figure in inches.
        height: the height of the figure in inches.
        **file: further arguments of matplotlib's `savefig`. By default the file is an SVG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "report",
        "font.family": ["sans-serif"],
        "font.size": 11,
        "text.color": LIGHT["text"],
        "axes.labelcolor": LIGHT["text"],
        "axes.edgecolor": LIGHT["faint"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LIGHT["grid"],
        "xtick.color": LIGHT["text"],
        "ytick.color": LIGHT["text"],
        "legend.frameon": False,
    }
    written = io.BytesIO()
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        figure.savefig(written, **{"format": "svg", "metadata": {"Date": None, "Creator": None}, **file})
    return written.getvalue()


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
    path = f"M{across(0)} {up(search.start.value)}"
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
