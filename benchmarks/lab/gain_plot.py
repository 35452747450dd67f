"""Draws a table: the gain of each method, ordered by the number of templates that the methods scored."""

from __future__ import annotations

from pathlib import Path

from ipo_prompts.experiments.compare.documents import table_of
from ipo_prompts.experiments.compare.raw_cells import unpack
from ipo_prompts.experiments.compare.tables.table import Table
from ipo_prompts.experiments.report.drawing import gains
from ipo_prompts.experiments.report.page import picture
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.verdict import Verdict


def plot_of_file(file: Path) -> str:
    """Return the drawing of the table of a file of cells, as SVG; see `gain_plot`.

    Raises:
        InputError: the file cannot be read, or nothing in it is compared with the reference.
    """
    table = table_of(*unpack(file))
    picture = gain_plot(table) if table else None
    if picture is None:
        raise InputError(f"nothing in {file} is compared with the reference, so there is no gain to draw.")
    return picture


def gain_plot(table: Table) -> str | None:
    """Return a drawing of the gains over the reference, as SVG for light and dark pages; None if there are no gains.

    For several data sets, the drawing shows mean gains with intervals for data sets like these. For one data set, the
    intervals are for its classes. The methods are ordered by the number of templates that they scored besides the
    initial template; this number is in brackets.
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
    _, names, found_gains = zip(*sorted(found, key=lambda one: one[0]), strict=True)
    covers = next((gain.covers for gain in found_gains if gain.outcome != "same templates"), "these classes")
    what = f"mean over {len(scope.data)} data sets" if scope.is_average else scope.name
    most = 3 * max(1.0, *(100 * abs(gain.mean) for gain in found_gains))  # one wide interval would shrink all others

    title = _short(f"{what}, 95 % intervals for {covers}", 120)
    axis = _short(f"gain over {table.reference} in {table.headline}, points; (templates scored)", 120)
    return picture(gains(names, found_gains, title, axis, most), title, f"{title}: {axis}")


def _short(text: str, most: int) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
