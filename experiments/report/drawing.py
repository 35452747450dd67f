"""How a plot is drawn: its colours on light and on dark pages, and its style. The same plot gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Drawing = Callable[[Any, "Theme"], None]


@dataclass(frozen=True)
class Theme:
    """The colours of a plot."""

    text: str
    faint: str
    grid: str
    candidate: str
    best: str
    chosen: str


LIGHT = Theme("#1d2430", "#5b6675", "#d9dee5", "#4477aa", "#b3261e", "#0f7b5f")
DARK = Theme("#e6e9ee", "#a3adba", "#39424e", "#7fb2e5", "#ff8a7a", "#5fd3ae")


def drawn(draw: Drawing, width: float, height: float, theme: Theme, **file: Any) -> bytes:
    """Return a plot as the content of a file; `file` is what matplotlib's savefig takes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "report",
        "font.family": ["sans-serif"],
        "font.size": 11,
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "axes.edgecolor": theme.faint,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "xtick.color": theme.text,
        "ytick.color": theme.text,
        "legend.frameon": False,
    }
    written = io.BytesIO()
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure, theme)
        figure.savefig(written, **file)
    return written.getvalue()
