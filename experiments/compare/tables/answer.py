"""What a table says, for a terminal: each method's value and gain, then the verdicts. The rest is in the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ipo_prompts.experiments.compare.tables.entries import EMPTY, Marks, gain_of, label, p_of
from ipo_prompts.experiments.compare.tables.markdown import heading
from ipo_prompts.experiments.compare.tables.over_data_sets import compared, gains_in, rivals
from ipo_prompts.experiments.compare.tables.quantities import ColumnScore
from ipo_prompts.experiments.compare.tables.table import Row, Scope, Table
from ipo_prompts.experiments.compare.terminal import fitted, line
from ipo_prompts.metrics.verdict import Verdict

STYLES = {"gain": "green", "loss": "red"}


def answer(table: Table, width: int) -> Iterator[RenderableType]:
    """Yield the parts, top-down: of several data sets the means alone.

    Args:
        table: any table.
        width: of the terminal, in characters.
    """
    marks = Marks.none()
    yield line(heading(table), "bold")
    for scope in table.averages or table.scopes:
        yield ""
        yield line(_about(scope), "bold")
        yield fitted(_head(table), list(_rows(table, scope, marks)), width)
    for reason, mark in marks.reasons.items():
        yield line(f"{mark} {reason}")
    yield line("[95 % interval]; * a gain or loss that is shown, by p corrected for (so many) comparisons", "dim")
    if table.verdicts:
        yield ""
    for sentence in table.verdicts:
        yield _hanging(sentence)


def _about(scope: Scope) -> str:
    if not scope.is_average:
        return label(scope)
    rest = scope.name.removeprefix("average")
    return f"means over {len(scope.data)} data sets{rest}; intervals are for data sets like these"


def _head(table: Table) -> list[str]:
    """Order the columns by importance: those that do not fit are left out from the end."""
    first, *others = rivals(table)
    sides = [column for column in table.columns if column != table.headline]
    counts = ["labels/class", "looked at", "proposals"]
    return ["method", table.headline, f"over {first}", "p", *(f"over {other}" for other in others), *sides, *counts]


def _rows(table: Table, scope: Scope, marks: Marks) -> Iterator[Sequence[str | Text]]:
    gains = gains_in(table, scope)
    searches = {search.method: search for search in table.searches if search.scope == scope.name}
    sides = [column for column in table.columns if column != table.headline]
    first, *others = rivals(table)
    for row in (row for row in table.rows if row.scope == scope.name):
        mark = f" {marks.reasons[row.absent]}" if row.absent else ""
        verdicts = [compared(gains, row.method, other, like_these=scope.is_average) for other in (first, *others)]
        search = searches.get(row.method)
        yield [
            row.method + mark,
            _value(row, table.headline, scope),
            _gain(verdicts[0]),
            p_of(verdicts[0]),
            *map(_gain, verdicts[1:]),
            *(_value(row, side, scope) for side in sides),
            EMPTY if row.labelled_per_class is None else str(row.labelled_per_class),
            *([f"{search.looked_at:.0f}", f"{search.proposals:.0f}"] if search else [EMPTY, EMPTY]),
        ]


def _value(row: Row, column: str, scope: Scope) -> str:
    score: ColumnScore | None = row.scores.get(column)
    if score is None:
        return EMPTY
    low, high = (score.low_like_these, score.high_like_these) if scope.is_average else (score.low, score.high)
    interval = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * score.value:.2f}{interval}"


def _gain(verdict: Verdict | None) -> Text:
    return Text(gain_of(verdict), style=STYLES.get(verdict.outcome, "") if verdict else "")


def _hanging(sentence: str) -> RenderableType:
    """Set a sentence off from the next: its first line is a blank further left than the others."""
    return Padding(line(f"- {sentence}"), (0, 0, 0, 1))
