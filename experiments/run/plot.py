"""The picture of a search: the accuracy of every template, step by step."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from ipo.programs.optimizer import Step


def plot_search(steps: Sequence[Step], chosen: str, file: Path) -> None:
    """Draw every scored template, the best so far, and the initial template as a line to beat.

    Args:
        steps: what happened, the initial template first.
        chosen: the template that was selected; it is marked.
        file: where the PNG goes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    initial = steps[0].best
    points = [(step.number + 1, entry) for step in steps for entry in step.scored if step.number >= 0]
    axes.scatter(
        [x for x, _ in points],
        [100 * e.accuracy for _, e in points],
        s=16,
        alpha=0.6,
        color="#4477aa",
        label="a template",
    )
    axes.plot(
        [step.number + 1 for step in steps],
        [100 * step.best.accuracy for step in steps],
        drawstyle="steps-post",
        color="#cc3311",
        label="best so far",
    )
    axes.axhline(100 * initial.accuracy, color="#555555", linestyle="--", linewidth=1, label="initial template")
    for x, entry in points:
        if entry.template == chosen:
            axes.scatter([x], [100 * entry.accuracy], s=110, facecolors="none", edgecolors="black", label="selected")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    axes.set_ylabel(f"accuracy on {initial.n} search pictures, percent")
    title = axes.set_title(f"selected: {chosen if len(chosen) <= 90 else chosen[:89] + '…'}", fontsize=10, loc="left")
    title.set_parse_math(False)  # a template is text: its dollar signs are no formula
    axes.legend(loc="lower right", fontsize=9)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # boxes stand for what the font does not have
        figure.savefig(file, dpi=130)
