"""A table as Markdown that can be read unrendered (values, gains, costs, verdicts, notes), and a short form of it.

For several data sets, the Markdown begins with the means and their intervals. Then it has one number for each data
set. `details` has all other numbers. The short form is for a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from string import ascii_lowercase

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ipo_prompts.experiments.compare.layout import Block, Line, fitted_table, page, plain, safe_line
from ipo_prompts.experiments.compare.methods import SUBJECT
from ipo_prompts.experiments.compare.published import data_key
from ipo_prompts.experiments.compare.tables.runs import MEAN_OF_H, ColumnScore
from ipo_prompts.experiments.compare.tables.table import COUNTS, REFERENCES, MethodGain, Scope, Table
from ipo_prompts.experiments.compare.tables.words import notes, verdicts
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.metrics.verdict import Verdict, format_p, points

EMPTY = "–"
STYLES = {"gain": "green", "loss": "red"}
PUBLISHED = "published: "


class Footnotes(dict[str, str]):
    """Text of a footnote → its mark on a page: a letter for a published source, `note` and a number for a reason.

    A text gets its mark when it is first looked up. A number alone in brackets is a number of comparisons.
    """

    def __missing__(self, text: str) -> str:
        """Give the next free mark to a new text, and return the mark."""
        is_source = text.startswith(PUBLISHED)
        place = sum(other.startswith(PUBLISHED) == is_source for other in self)
        self[text] = f"({ascii_lowercase[place % 26]})" if is_source else f"(note {place + 1})"
        return self[text]


def to_markdown(table: Table) -> str:
    """Return a table as Markdown, with its verdicts and notes."""
    if not table.averages:
        return details(table)
    marks = Footnotes()
    blocks: list[Block] = []
    for scope in table.averages:
        means: list[Line] = [*overview(table, scope, marks), *_published(table, scope, _overviewed(table), marks)]
        blocks += [f"Means over {_number_of(scope)}:", means]
    return _page(table, [*blocks, *_by_data_set(table), *_searches(table, table.averages), *_verdicts(table)], marks)


def details(table: Table) -> str:
    """Return the numbers of each data set as Markdown; for a single data set this is the whole table."""
    marks = Footnotes()
    blocks: list[Block] = [_values(table, marks)]
    if gains := _gains(table):
        blocks += [f"Gain in {table.headline}, points:", gains]
    blocks += _gains_of_the_subject(table) if table.averages else []
    blocks += _searches(table, table.scopes)
    return _page(table, [*blocks, *([] if table.averages else _verdicts(table))], marks)


def _page(table: Table, blocks: Sequence[Block], marks: Footnotes) -> str:
    footnotes = [
        f"{mark} {text}" for text, mark in sorted(marks.items(), key=lambda note: note[0].startswith(PUBLISHED))
    ]
    listed = "\n".join(f"- {plain(note)}" for note in [*notes(table), *footnotes])
    return page([f"### {plain(heading(table))}", *blocks, "Notes:", listed])


def on_terminal(table: Table, width: int) -> Iterator[RenderableType]:
    """Yield the short form of a table for a terminal: numbers, then verdicts. Several data sets show only their means.

    Args:
        table: the table to show.
        width: the width of the terminal, in characters.
    """
    marks = Footnotes()
    yield safe_line(heading(table), "bold")
    for scope in table.averages or table.scopes:
        means = f"means over {_number_of(scope)}"
        yield ""
        yield safe_line(means if scope.is_average else scope_name(scope), "bold")
        places = _by_importance(table)
        yield fitted_table([[line[place] for place in places] for line in overview(table, scope, marks)], width)
    for reason, mark in marks.items():
        yield safe_line(f"{mark} {reason}")
    yield safe_line("[95 % interval]; * a gain or loss that is shown, by p corrected for (so many) comparisons", "dim")
    yield ""
    for sentence in verdicts(table):  # indented by a blank
        yield Padding(safe_line(f"- {sentence}"), (0, 0, 0, 1))


def heading(table: Table) -> str:
    """Return a line that says what a table is about."""
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) > 1 else ''}"
    return f"{table.protocol}, {table.measure} over {table.unit}, {seeds}"


def _number_of(scope: Scope) -> str:
    return f"{len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}{scope.name.removeprefix('average')}"


def overview(table: Table, scope: Scope, marks: Footnotes) -> Iterator[Line]:
    """Yield the head of a scope's table, then a line for each method.

    The line has the method's values, gains, number of data sets, labels, and templates proposed and scored only.
    """
    columns, others = _overviewed(table), _compared_with(table)
    over = [f"over {other}" for other in others]
    yield ["method", *columns, *over, "sets", "labels/class", "proposed", "scored only"]
    for method in table.methods:
        row, search = table.rows[scope.name, method], table.searches.get((scope.name, method), {})
        mark = f" {marks[row.absent]}" if row.absent else ""
        values = [_value(row.scores.get(column), column == table.headline) for column in columns]
        has = sum(bool(table.rows[data, method].scores) for data in scope.data)
        yield [
            method,
            *(values if row.scores else [f"{value}{mark}" for value in values]),
            *(_compared(table, scope, method, other) for other in others),
            f"{has}{mark}" if row.scores else f"{has} of {len(scope.data)}",
            *map(_count, (row.labelled_per_class, search.get("proposals"), search.get("scored_only"))),
        ]


def _overviewed(table: Table) -> list[str]:
    return [column for column in table.columns if column != MEAN_OF_H]


def _compared_with(table: Table) -> list[str]:
    """Return the methods that an overview compares each row with: the reference, and IPO if it is in the table."""
    return list(dict.fromkeys([table.reference, *({SUBJECT} & {*table.methods})]))


def _by_importance(table: Table) -> list[int]:
    """Return the places of an overview's columns, ordered by importance; a narrow terminal omits the last columns."""
    columns = _overviewed(table)
    headline, gains = 1 + columns.index(table.headline), 1 + len(columns)
    sets = gains + len(_compared_with(table))
    sides = [place for place in range(1, gains) if place != headline]
    return [0, headline, *range(gains, sets), *sides, sets + 1, sets + 3, sets + 2, sets]


def _compared(table: Table, scope: Scope, method: str, other: str) -> str | Text:
    """Return the gain of a method over another method, as text.

    A gain over IPO is the table's gain of IPO over the method, with its sign reversed.
    """
    if other == SUBJECT and (turned := table.over(scope, SUBJECT, method)):
        verdict = turned.verdict
        low, high = verdict.ci95
        return verdict_text(verdict.model_copy(update={"mean": -verdict.mean, "ci95": (-high, -low)}))
    found = table.over(scope, method, other)
    return verdict_text(found.verdict if found else None)


def verdict_text(verdict: Verdict | None) -> str | Text:
    """Format a comparison: the difference, a star where a gain or loss is shown, the interval, the corrected p.

    The number in brackets is the number of comparisons that p is corrected for. The verdict decides the colour.
    """
    if verdict is None:
        return EMPTY
    if verdict.outcome == "same templates":
        return "+0.00 same templates"
    low, high = verdict.ci95
    numbers = f"{points(verdict.mean)}{_star(verdict)} [{points(low)}, {points(high)}]"
    told = f"{numbers} {format_p(verdict.p_corrected or 0.0)} ({verdict.comparisons})"
    return Text(told, style=STYLES.get(verdict.outcome, ""))


def _star(verdict: Verdict) -> str:
    """Return a star if the verdict is a gain or loss that is shown, else an empty text."""
    return "*" if verdict.outcome in STYLES else ""


def scope_name(scope: Scope) -> str:
    """Return the name of a scope, followed by † if its split differs from the official split."""
    return scope.name + ("†" if why_different(scope.split) else "")


def _value(score: ColumnScore | None, with_interval: bool) -> str:
    if score is None:
        return EMPTY
    interval = f" [{100 * score.low:.1f}, {100 * score.high:.1f}]" if with_interval else ""
    return f"{100 * score.value:.2f}{interval}"


def _count(number: float | None) -> str:
    return EMPTY if number is None else f"{number:.0f}"


def _published(table: Table, scope: Scope, columns: Sequence[str], marks: Footnotes) -> Iterator[list[str]]:
    """Yield the published rows of a scope. Each row has as many cells as a line of `overview`."""
    fixed = {"base", "new", "test", "source", "H", "mean"}
    keys = [column if column in fixed else data_key(column) for column in columns]  # as published rows name columns
    for published in table.published:
        if scope.name == (published.data or "average"):
            cells = [f"{published.values[key]:.2f}" if key in published.values else "" for key in keys]
            note = f" {published.note}" if published.note else ""
            mark = marks[f"{PUBLISHED}{published.source}.{note}"]
            yield [f"*{published.label}, published* {mark}", *cells, *[""] * (4 + len(_compared_with(table)))]


def _by_data_set(table: Table) -> list[Block]:
    """Return two tables by data set and method: the headline values, and the gains over the reference.

    Each number has half the width of its interval beside it.
    """

    def value(scope: Scope, method: str) -> str:
        score = table.rows[scope.name, method].scores.get(table.headline)
        return EMPTY if score is None else f"{100 * score.value:.1f} ±{50 * (score.high - score.low):.1f}"

    def gain(scope: Scope, method: str) -> str:
        return _short(table.over(scope, method, table.reference))

    half = "± half of its interval, for these classes:"
    compared = any((other, column) == (table.reference, table.headline) for _, _, other, column in table.gains)
    others = [method for method in table.methods if method != table.reference and compared]
    return [
        *_grid(table, f"{table.headline} in each data set, percent {half}", table.methods, value),
        *_grid(table, f"Gain over {table.reference} in each data set, points {half}", others, gain),
    ]


def _gains_of_the_subject(table: Table) -> list[Block]:
    """Return the gains of IPO over every other method in each data set."""
    others = [other for other in table.methods if any(table.over(scope, SUBJECT, other) for scope in table.scopes)]
    title = f"Gain of {SUBJECT} over each method in {table.headline}, points ± half of its interval:"
    return _grid(table, title, others, lambda scope, method: _short(table.over(scope, SUBJECT, method)))


def _short(gain: MethodGain | None) -> str:
    if gain is None:
        return EMPTY
    if gain.verdict.outcome == "same templates":
        return "same"
    low, high = gain.verdict.ci95
    return f"{round(100 * gain.verdict.mean, 1) + 0.0:+.1f}{_star(gain.verdict)} ±{50 * (high - low):.1f}"


def _grid(table: Table, title: str, methods: Sequence[str], entry: Callable[[Scope, str], str]) -> list[Block]:
    """Return a title and a table with a line for each data set and a column for each method.

    The result is empty if there are no methods. `entry` returns the text for a data set and a method.
    """
    lines: list[Line] = [
        [scope_name(scope), *(entry(scope, method) for method in methods)] for scope in table.data_sets
    ]
    return [title, [["data", *methods], *lines]] if methods else []


def _values(table: Table, marks: Footnotes) -> list[Line]:
    """Return the table of our values and the published values in every scope, head first."""
    lines: list[Line] = [["data", "method", *table.columns, "n", "labels/class", "seeds"]]
    for scope in table.scopes:
        lines += [[scope_name(scope), method, *_row(table, scope, method, marks)] for method in table.methods]
        for name, *cells in _published(table, scope, table.columns, marks):
            lines.append([scope_name(scope), name, *cells[: len(table.columns)], "", "", ""])
    return lines


def _row(table: Table, scope: Scope, method: str, marks: Footnotes) -> list[str]:
    row = table.rows[scope.name, method]
    mark = marks[row.absent] if row.absent else ""
    if not row.scores:
        return [*[f"{EMPTY} {mark}"] * len(table.columns), EMPTY, EMPTY, EMPTY]
    sides = [row.scores[side] for side in table.columns if side in ("base", "new", "test")]
    units = " + ".join(str(score.n) for score in sides or row.scores.values() if score is not None)
    gaps = {column: f"{EMPTY} {marks[why]}" for column, why in row.gaps.items()}
    values = [gaps.get(column) or _score(score) for column, score in row.scores.items()]
    return [*values, units, _count(row.labelled_per_class), f"{row.seeds} {mark}".rstrip()]


def _score(score: ColumnScore | None) -> str:
    if score is None:
        return ""
    spread = "" if score.sd is None else f" ± {100 * score.sd:.2f}"
    return f"{100 * score.value:.2f} [{100 * score.low:.1f}, {100 * score.high:.1f}]{spread}"


def _gains(table: Table) -> list[Line]:
    """Return the table of gains over the references, head first; empty if there are no gains."""
    compared = {other for _, _, other, column in table.gains if column == table.headline}
    others = [other for other in dict.fromkeys([table.reference, *REFERENCES]) if other in compared]
    lines: list[Line] = []
    for scope, method in product(table.scopes, table.methods):
        found = [table.over(scope, method, other) for other in others]
        if any(found):
            lines.append([scope_name(scope), method, *(verdict_text(gain.verdict if gain else None) for gain in found)])
    return lines and [["data", "method", *(f"over {other}" for other in others)], *lines]


def _searches(table: Table, scopes: Sequence[Scope]) -> list[Block]:
    counts = [name.replace("_", " ") for name in COUNTS]
    lines: list[Line] = [["data", "method", "search", "selection", "test", "optimism", *counts, "usd"]]
    for scope, method in product(scopes, table.methods):
        if search := table.searches.get((scope.name, method)):
            values = [search[name] for name in ("search", "selection", "test")]
            percent = [EMPTY if value is None else f"{100 * value:.2f}" for value in values]
            optimism = EMPTY if search["optimism"] is None else points(search["optimism"])
            usd = EMPTY if search["usd"] is None else f"{search['usd']:.4f}"
            lines.append(
                [scope_name(scope), method, *percent, optimism, *(_count(search[name]) for name in COUNTS), usd]
            )
    return [f"Search and cost, means per run{' and data set' if scopes == table.averages else ''}:", lines]


def _verdicts(table: Table) -> list[Block]:
    listed = "\n".join(f"- {plain(sentence)}" for sentence in verdicts(table))
    return ["Verdicts:", listed] if listed else []
