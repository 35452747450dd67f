"""Several data sets on one page: the means with what they say of data sets like these, then one number a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ipo_prompts.experiments.compare.methods import SUBJECT
from ipo_prompts.experiments.compare.tables.entries import EMPTY, Marks, aligned, label, published_of, star, verdict_of
from ipo_prompts.experiments.compare.tables.quantities import MEAN_OF_H
from ipo_prompts.experiments.compare.tables.table import MethodGain, Row, Scope, Table
from ipo_prompts.metrics.verdict import Verdict


def means_over_data_sets(table: Table, scope: Scope, marks: Marks) -> Iterator[str]:
    """Yield the answer of a table and its heading: a method a line, its mean, its gains, what it saw and looked at."""
    gains = gains_in(table, scope)
    searches = {search.method: search for search in table.searches if search.scope == scope.name}
    columns = [column for column in table.columns if column != MEAN_OF_H]
    others = rivals(table)
    head = ["method", *columns, *(f"over {other}" for other in others)]
    lines = [[*head, "sets", "labels/class", "proposed", "looked at"]]
    for row in (row for row in table.rows if row.scope == scope.name):
        if not row.scores:
            has = sum(bool(one.scores) for one in table.rows if one.method == row.method and one.scope in scope.data)
            gap = [f"{EMPTY} {marks.reasons[row.absent]}"] * len(columns) + [EMPTY] * len(others)
            lines.append([row.method, *gap, f"{has} of {len(scope.data)}", EMPTY, EMPTY, EMPTY])
            continue
        values = [_mean(row, column, column == table.headline) for column in columns]
        over = [verdict_of(compared(gains, row.method, other, like_these=True)) for other in others]
        search = searches[row.method]
        saw = EMPTY if row.labelled_per_class is None else str(row.labelled_per_class)
        counts = [f"{search.proposals:.0f}", f"{search.looked_at:.0f}"]
        sets = str(len(scope.data)) + (f" {marks.reasons[row.absent]}" if row.absent else "")
        lines.append([row.method, *values, *over, sets, saw, *counts])
    for name, cells in published_of(table, scope, columns, marks):
        lines.append([name, *cells, *[""] * (len(lines[0]) - 1 - len(cells))])
    number = f"{len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}{scope.name.removeprefix('average')}"
    yield f"Means over {number}; intervals, p and * are for data sets like these:"
    yield aligned(lines)


def by_data_set(table: Table) -> Iterator[str]:
    """Yield the headline of every data set and method, then the gains over the reference, each with its half width."""
    rows = {(row.scope, row.method): row for row in table.rows}

    def value(scope: str, method: str) -> str:
        score = rows[scope, method].scores.get(table.headline)
        return EMPTY if score is None else f"{100 * score.value:.1f} ±{50 * (score.high - score.low):.1f}"

    yield f"{table.headline} in each data set, percent ± half of its interval, for these classes:"
    yield _grid(table, _methods(table), value)
    found = {(gain.scope, gain.method): gain for gain in table.gains if _is(gain, table, table.reference)}
    if found:
        yield f"Gain over {table.reference} in each data set, points ± half of its interval, for these classes:"
        methods = [method for method in _methods(table) if method != table.reference]
        yield _grid(table, methods, lambda scope, method: _short(found.get((scope, method))))


def gains_of_the_subject(table: Table) -> Iterator[str]:
    """Yield the gains of IPO over every other method in each data set."""
    found = {(gain.scope, gain.other): gain for gain in table.gains if _is(gain, table) and gain.method == SUBJECT}
    others = [method for method in _methods(table) if any(other == method for _, other in found)]
    if others:
        yield f"Gain of {SUBJECT} over each method in {table.headline}, points ± half of its interval:"
        yield _grid(table, others, lambda scope, method: _short(found.get((scope, method))))


def _methods(table: Table) -> list[str]:
    return list(dict.fromkeys(row.method for row in table.rows))


def rivals(table: Table) -> list[str]:
    """What a mean is compared with: the reference, and IPO where it is in the table."""
    return list(dict.fromkeys([table.reference, *({SUBJECT} & {*_methods(table)})]))


def gains_in(table: Table, scope: Scope) -> dict[tuple[str, str], MethodGain]:
    """Return the gains in the headline of a scope, by method and what it is compared with."""
    return {(gain.method, gain.other): gain for gain in table.gains if _is(gain, table) and gain.scope == scope.name}


def _is(gain: MethodGain, table: Table, other: str | None = None) -> bool:
    return gain.column == table.headline and other in (None, gain.other)


def compared(gains: dict[tuple[str, str], MethodGain], method: str, other: str, *, like_these: bool) -> Verdict | None:
    """Return what a method has over another; what IPO gains over a method is, turned round, what that loses to IPO.

    Args:
        gains: see `gains_in`.
        method, other: the two.
        like_these: take the verdict for data sets like these where there is one, not for these.

    Returns:
        The verdict; None where they are not compared.
    """
    gain = gains.get((method, other))
    turned = gains.get((other, method)) if other == SUBJECT else None
    found = turned or gain
    if found is None:
        return None
    verdict = (found.like_these if like_these else None) or found.verdict
    if turned is None:
        return verdict
    low, high = verdict.ci95
    return verdict.model_copy(update={"mean": -verdict.mean, "ci95": (-high, -low)})


def _mean(row: Row, column: str, with_interval: bool) -> str:
    score = row.scores.get(column)
    if score is None:
        return EMPTY
    text = f"{100 * score.value:.2f}"
    if not with_interval or score.low_like_these is None or score.high_like_these is None:
        return text
    return f"{text} [{100 * score.low_like_these:.1f}, {100 * score.high_like_these:.1f}]"


def _short(gain: MethodGain | None) -> str:
    if gain is None:
        return EMPTY
    if gain.verdict.outcome == "same templates":
        return "same"
    low, high = gain.verdict.ci95
    return f"{round(100 * gain.verdict.mean, 1) + 0.0:+.1f}{star(gain.verdict)} ±{50 * (high - low):.1f}"


def _grid(table: Table, methods: Sequence[str], entry: Callable[[str, str], str]) -> str:
    """Data sets down, methods across."""
    scopes = [scope for scope in table.scopes if not scope.is_average]
    return aligned(
        [["data", *methods], *([label(scope), *(entry(scope.name, one) for one in methods)] for scope in scopes)]
    )
