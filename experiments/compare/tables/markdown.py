"""A table as Markdown that can be read unrendered: values, gains, costs, verdicts, notes; and its answer on a terminal.

Of several data sets the means come first, with what they say of data sets like these, and then one number of each;
`details` has the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from string import ascii_lowercase
from typing import NamedTuple

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ipo_prompts.experiments.compare.layout import fitted_table, plain, safe_line, text_table
from ipo_prompts.experiments.compare.methods import SUBJECT
from ipo_prompts.experiments.compare.published import data_key
from ipo_prompts.experiments.compare.tables.build import COUNTS
from ipo_prompts.experiments.compare.tables.table import MEAN_OF_H, ColumnScore, MethodGain, Scope, Table
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.metrics.verdict import Verdict, format_p, points

EMPTY = "–"
STYLES = {"gain": "green", "loss": "red"}
Written = str | Verdict | None
"""What stands in a table: a text, or a comparison, None where there is none."""


class Marks(NamedTuple):
    """The marks of a page's footnotes: reasons and sources get theirs when they are first looked up."""

    reasons: dict[str, str]
    sources: dict[str, str]

    @classmethod
    def none(cls) -> Marks:
        """Return those of an empty page."""
        reasons: dict[str, str] = defaultdict(lambda: f"({len(reasons) + 1})")
        sources: dict[str, str] = defaultdict(lambda: f"({ascii_lowercase[len(sources) % 26]})")
        return cls(reasons, sources)


def to_markdown(table: Table) -> str:
    """Return a table with its verdicts and notes."""
    if not table.averages:
        return details(table)
    marks = Marks.none()
    blocks = [f"### {plain(heading(table))}"]
    for scope in table.averages:
        number = f"{len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}{scope.name.removeprefix('average')}"
        means: list[Sequence[Written]] = [*overview(table, scope, marks)]
        means += _published(table, scope, _overviewed(table), marks)
        blocks += [f"Means over {number}; intervals, p and * are for data sets like these:", aligned(means)]
    blocks += _by_data_set(table)
    blocks += ["Search and cost, means per run and data set:", _searches(table, table.averages)]
    return "\n\n".join([*blocks, *_verdicts(table), *_notes(table, marks)]) + "\n"


def details(table: Table) -> str:
    """Return every data set by itself; of a single one this is the whole table."""
    marks = Marks.none()
    blocks = [f"### {plain(heading(table))}", _values(table, marks)]
    if gains := _gains(table):
        blocks += [f"Gain in {table.headline}, points:", aligned(gains)]
    if table.averages:
        blocks += _gains_of_the_subject(table)
    blocks += ["Search and cost, means per run:", _searches(table, table.scopes)]
    return "\n\n".join([*blocks, *([] if table.averages else _verdicts(table)), *_notes(table, marks)]) + "\n"


def on_terminal(table: Table, width: int) -> Iterator[RenderableType]:
    """Yield what a table says for a terminal, top-down: of several data sets the means alone; then the verdicts.

    Args:
        table: any table.
        width: of the terminal, in characters.
    """
    marks = Marks.none()
    yield safe_line(heading(table), "bold")
    for scope in table.averages or table.scopes:
        rest = scope.name.removeprefix("average")
        means = f"means over {len(scope.data)} data sets{rest}; intervals are for data sets like these"
        yield ""
        yield safe_line(means if scope.is_average else scope_name(scope), "bold")
        head, *rows = ([lines[place] for place in _by_importance(table)] for lines in overview(table, scope, marks))
        yield fitted_table([str(name) for name in head], [[_coloured(entry) for entry in row] for row in rows], width)
    for reason, mark in marks.reasons.items():
        yield safe_line(f"{mark} {reason}")
    yield safe_line("[95 % interval]; * a gain or loss that is shown, by p corrected for (so many) comparisons", "dim")
    yield from [""] if table.verdicts else []
    for sentence in table.verdicts:  # set off from the next: its first line is a blank further left than the others
        yield Padding(safe_line(f"- {sentence}"), (0, 0, 0, 1))


def heading(table: Table) -> str:
    """Return what a table is of, in a line."""
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) > 1 else ''}"
    return f"{table.protocol}, {table.measure} over {table.unit}, {seeds}"


def overview(table: Table, scope: Scope, marks: Marks) -> list[list[Written]]:
    """Return the answer for a scope, the head first: a method a line, its values, gains, what it saw and looked at."""
    columns, others = _overviewed(table), _rivals(table)
    over = [f"over {other}" for other in others]
    lines: list[list[Written]] = [["method", *columns, *over, "sets", "labels/class", "proposed", "looked at"]]
    for method in table.methods:
        row, search = table.rows[scope.name, method], table.searches.get((scope.name, method), {})
        mark = f" {marks.reasons[row.absent]}" if row.absent else ""
        values = [_value(row.scores.get(column), scope, column == table.headline) for column in columns]
        has = sum(bool(table.rows[data, method].scores) for data in scope.data)
        lines.append(
            [
                method,
                *(values if row.scores else [f"{value}{mark}" for value in values]),
                *(_compared(table, scope, method, other) for other in others),
                f"{has}{mark}" if row.scores else f"{has} of {len(scope.data)}",
                *map(_count, (row.labelled_per_class, search.get("proposals"), search.get("looked_at"))),
            ]
        )
    return lines


def _overviewed(table: Table) -> list[str]:
    return [column for column in table.columns if column != MEAN_OF_H]


def _rivals(table: Table) -> list[str]:
    """What a mean is compared with: the reference, and IPO where it is in the table."""
    return list(dict.fromkeys([table.reference, *({SUBJECT} & {*table.methods})]))


def _by_importance(table: Table) -> list[int]:
    """Order the columns of an overview for a terminal, where those that do not fit are left out from the end."""
    columns = _overviewed(table)
    headline, gains = 1 + columns.index(table.headline), 1 + len(columns)
    sets = gains + len(_rivals(table))
    sides = [place for place in range(1, gains) if place != headline]
    return [0, headline, *range(gains, sets), *sides, sets + 1, sets + 3, sets + 2, sets]


def _compared(table: Table, scope: Scope, method: str, other: str) -> Verdict | None:
    """Return what a method has over another; what IPO gains over a method is, turned round, what that loses to IPO."""
    turned = table.over(scope, other, method) if other == SUBJECT else None
    found = turned or table.over(scope, method, other)
    if found is None:
        return None
    verdict = found.for_scope(scope)
    if turned is None:
        return verdict
    low, high = verdict.ci95
    return verdict.model_copy(update={"mean": -verdict.mean, "ci95": (-high, -low)})


def aligned(lines: Sequence[Sequence[Written]]) -> str:
    """Return lines of others' text and comparisons, the first of which is the head, as a table."""
    head, *rows = ([plain(cell if isinstance(cell, str) else verdict_text(cell)) for cell in line] for line in lines)
    return text_table(head, rows)


def _coloured(entry: Written) -> str | Text:
    if isinstance(entry, str):
        return entry
    return Text(verdict_text(entry), style=STYLES.get(entry.outcome, "") if entry else "")


def verdict_text(verdict: Verdict | None) -> str:
    """Format a comparison: the difference, a star where a gain or loss is shown, the interval, the corrected p.

    In brackets stands for how many comparisons p is corrected.
    """
    if verdict is None:
        return EMPTY
    if verdict.outcome == "same templates":
        return "+0.00 same templates"
    low, high = verdict.ci95
    numbers = f"{points(verdict.mean)}{_star(verdict)} [{points(low)}, {points(high)}]"
    return f"{numbers} {format_p(verdict.p_corrected or 0.0)} ({verdict.comparisons})"


def _star(verdict: Verdict) -> str:
    """Mark a gain or loss that is shown."""
    return "*" if verdict.outcome in STYLES else ""


def scope_name(scope: Scope) -> str:
    """Name a scope; another split than the official one is marked."""
    return scope.name + ("†" if why_different(scope.split) else "")


def _value(score: ColumnScore | None, scope: Scope, with_interval: bool) -> str:
    if score is None:
        return EMPTY
    low, high = (score.low_like_these, score.high_like_these) if scope.is_average else (score.low, score.high)
    interval = "" if low is None or high is None or not with_interval else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * score.value:.2f}{interval}"


def _count(number: float | None) -> str:
    return EMPTY if number is None else f"{number:.0f}"


def _published(table: Table, scope: Scope, columns: Sequence[str], marks: Marks) -> Iterator[list[str]]:
    """Yield the published rows of a scope, as wide as an overview."""
    fixed = {"base", "new", "test", "source", "H", "mean"}
    keys = [column if column in fixed else data_key(column) for column in columns]  # as published rows name them
    for published in table.published:
        if scope.name == ("average" if published.data is None else published.data):
            cells = [f"{published.values[key]:.2f}" if key in published.values else "" for key in keys]
            note = f" {published.note}" if published.note else ""
            mark = marks.sources[f"published: {published.source}.{note}"]
            yield [f"*{published.label}, published* {mark}", *cells, *[""] * (4 + len(_rivals(table)))]


def _by_data_set(table: Table) -> Iterator[str]:
    """Yield the headline of every data set and method, then the gains over the reference, each with its half width."""

    def value(scope: Scope, method: str) -> str:
        score = table.rows[scope.name, method].scores.get(table.headline)
        return EMPTY if score is None else f"{100 * score.value:.1f} ±{50 * (score.high - score.low):.1f}"

    yield f"{table.headline} in each data set, percent ± half of its interval, for these classes:"
    yield _grid(table, table.methods, value)
    if any((other, column) == (table.reference, table.headline) for _, _, other, column in table.gains):
        yield f"Gain over {table.reference} in each data set, points ± half of its interval, for these classes:"
        methods = [method for method in table.methods if method != table.reference]
        yield _grid(table, methods, lambda scope, method: _short(table.over(scope, method, table.reference)))


def _gains_of_the_subject(table: Table) -> Iterator[str]:
    """Yield the gains of IPO over every other method in each data set."""
    others = [other for other in table.methods if any(table.over(scope, SUBJECT, other) for scope in table.scopes)]
    if others:
        yield f"Gain of {SUBJECT} over each method in {table.headline}, points ± half of its interval:"
        yield _grid(table, others, lambda scope, method: _short(table.over(scope, SUBJECT, method)))


def _short(gain: MethodGain | None) -> str:
    if gain is None:
        return EMPTY
    if gain.verdict.outcome == "same templates":
        return "same"
    low, high = gain.verdict.ci95
    return f"{round(100 * gain.verdict.mean, 1) + 0.0:+.1f}{_star(gain.verdict)} ±{50 * (high - low):.1f}"


def _grid(table: Table, methods: Sequence[str], entry: Callable[[Scope, str], str]) -> str:
    """Data sets down, methods across."""
    scopes = [scope for scope in table.scopes if not scope.is_average]
    return aligned(
        [["data", *methods], *([scope_name(scope), *(entry(scope, one) for one in methods)] for scope in scopes)]
    )


def _values(table: Table, marks: Marks) -> str:
    """Format ours and the published values of every scope."""
    lines = [["data", "method", *table.columns, "n", "labels/class", "seeds"]]
    for scope in table.scopes:
        lines += [[scope_name(scope), method, *_row(table, scope, method, marks)] for method in table.methods]
        for name, *cells in _published(table, scope, table.columns, marks):
            lines.append([scope_name(scope), name, *cells[: len(table.columns)], "", "", ""])
    return aligned(lines)


def _row(table: Table, scope: Scope, method: str, marks: Marks) -> list[str]:
    row = table.rows[scope.name, method]
    mark = marks.reasons[row.absent] if row.absent else ""
    if not row.scores:
        return [*[f"{EMPTY} {mark}"] * len(table.columns), EMPTY, EMPTY, EMPTY]
    sides = [row.scores[side] for side in table.columns if side in ("base", "new", "test")]
    units = " + ".join(str(score.n) for score in sides or row.scores.values() if score is not None)
    gaps = {column: f"{EMPTY} {marks.reasons[why]}" for column, why in row.gaps.items()}
    values = [gaps.get(column) or _score(score) for column, score in row.scores.items()]
    return [*values, units, _count(row.labelled_per_class), f"{row.seeds} {mark}".rstrip()]


def _score(score: ColumnScore | None) -> str:
    if score is None:
        return ""
    spread = "" if score.sd is None else f" ± {100 * score.sd:.2f}"
    return f"{100 * score.value:.2f} [{100 * score.low:.1f}, {100 * score.high:.1f}]{spread}"


def _gains(table: Table) -> list[list[Written]]:
    """Return the gains over the references with their head; nothing where there are none."""
    compared = {other for _, _, other, column in table.gains if column == table.headline}
    others = [other for other in table.references if other in compared]
    lines: list[list[Written]] = []
    for scope, method in product(table.scopes, table.methods):
        found = [table.over(scope, method, other) for other in others]
        if any(found):
            lines.append([scope_name(scope), method, *(gain.verdict if gain else None for gain in found)])
        general = [gain.like_these if gain else None for gain in found]
        covers = next((verdict.covers for verdict in general if verdict), None)
        # In a table with averages, what a row of its own says of classes like these is in the JSON alone.
        if covers and (scope.is_average or len(table.scopes) == 1):
            lines.append([f"… {covers}", method, *general])
    return lines and [["data", "method", *(f"over {other}" for other in others)], *lines]


def _searches(table: Table, scopes: Sequence[Scope]) -> str:
    counts = [name.replace("_", " ") for name in COUNTS]
    lines = [["data", "method", "search", "selection", "test", "optimism", *counts, "usd"]]
    for scope, method in product(scopes, table.methods):
        if search := table.searches.get((scope.name, method)):
            values = [search[name] for name in ("search", "selection", "test")]
            percent = [EMPTY if value is None else f"{100 * value:.2f}" for value in values]
            optimism = EMPTY if search["optimism"] is None else points(search["optimism"])
            usd = EMPTY if search["usd"] is None else f"{search['usd']:.4f}"
            lines.append(
                [scope_name(scope), method, *percent, optimism, *(_count(search[name]) for name in COUNTS), usd]
            )
    return aligned(lines)


def _verdicts(table: Table) -> list[str]:
    return ["Verdicts:", "\n".join(f"- {plain(sentence)}" for sentence in table.verdicts)] if table.verdicts else []


def _notes(table: Table, marks: Marks) -> list[str]:
    notes = [*table.notes, *(f"{mark} {text}" for text, mark in [*marks.reasons.items(), *marks.sources.items()])]
    return ["Notes:", "\n".join(f"- {plain(note)}" for note in notes)]
