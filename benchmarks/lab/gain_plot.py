"""The picture of a table: what methods gain, by how many templates they scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.experiments.compare.documents import table_of
from ipo_prompts.experiments.compare.raw_cells import unpack
from ipo_prompts.experiments.compare.tables.table import Table
from ipo_prompts.experiments.report.drawing import DARK, LIGHT, draw_gains, drawn
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.verdict import Verdict


def plot_of_file(file: Path) -> str:
    """Draw the table of a file of cells; see `gain_plot`.

    Raises:
        InputError: the file cannot be read, or nothing in it is compared with the reference.
    """
    table = table_of(*unpack(file))
    picture = gain_plot(table) if table else None
    if picture is None:
        raise InputError(f"nothing in {file} is compared with the reference, so there is no gain to draw.")
    return picture


_PAPER = ("#fefefd", "#14181f")
"""The ground on light and dark pages. It is drawn, since a browser may take a page for the other kind."""


def gain_plot(table: Table) -> str | None:
    """Draw what methods gain over the reference, as SVG for light and dark pages; None where nothing is compared.

    For several data sets it shows the means and the intervals for data sets like these; for one, for these classes. The
    methods are ordered by how many templates they scored besides the initial one; the number is in brackets.
    """
    scope = (*table.averages, *table.scopes)[0]
    found: list[tuple[float, str, Verdict]] = []
    for method in table.methods:
        if gain := table.over(scope, method, table.reference):
            search = table.searches[scope.name, method]
            looked = (search["proposals"] or 0) + (search["scored_only"] or 0)
            found.append((looked, f"{_short(method, 40)} ({looked:,.0f})", gain.for_scope(scope)))
    if not found:
        return None
    _, names, gains = zip(*sorted(found, key=lambda one: one[0]), strict=True)
    covers = next((gain.covers for gain in gains if gain.outcome != "same templates"), "these classes")
    what = f"mean over {len(scope.data)} data sets" if scope.is_average else scope.name
    most = 3 * max(1.0, *(100 * abs(gain.mean) for gain in gains))  # one wide interval would press all others flat

    def draw(figure: Any) -> None:
        axes = draw_gains(figure, names, gains)
        axes.set_facecolor("none")
        axes.set_title(_short(f"{what}, 95 % intervals for {covers}", 120), fontsize=11, loc="left")
        axes.set_xlabel(_short(f"gain over {table.reference} in {table.headline}, points; (templates scored)", 120))
        axes.set_xlim(*np.clip(axes.get_xlim(), -most, most))
        for text in figure.findobj(match=lambda one: hasattr(one, "set_parse_math")):
            text.set_parse_math(False)  # a name is text: its dollar signs are no formula

    svg = drawn(draw, 10.0, 1 + 0.34 * len(found), facecolor=_PAPER[0]).decode()
    pairs = [*((LIGHT[name], DARK[name]) for name in LIGHT), _PAPER]
    for number, (light, _) in enumerate(pairs):
        svg = svg.replace(light, f"var(--c{number})")
    light, dark = (";".join(f"--c{number}:{pair[side]}" for number, pair in enumerate(pairs)) for side in (0, 1))
    rules = f"svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    head, defs, rest = svg.partition(" <defs>\n")
    return f"{head}{defs}  <style>{rules}</style>\n{rest}"


def _short(text: str, most: int) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
