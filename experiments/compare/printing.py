"""Prints a table as Markdown that can be read unrendered.

For several data sets, the Markdown begins with the means and their intervals. Then it has one number for each data
set. `details` has all other numbers. The short form is for a terminal. Texts of other people are made safe to print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from string import ascii_lowercase
from typing import Any

from rich.cells import cell_len

from ipo_prompts.experiments.compare.published import contradictions, data_key
from ipo_prompts.experiments.compare.scores import MEAN_OF_H
from ipo_prompts.experiments.compare.table import COUNTS, PUBLISHED, REFERENCES, Scope, Table
from ipo_prompts.experiments.compare.words import notes, verdicts
from ipo_prompts.experiments.data.dataset import why_different
from ipo_prompts.metrics.errors import printable
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.metrics.verdict import format_p, points

EMPTY = "–"
SOURCE = "published: "
"""How the footnote of a published number begins."""


Line = Sequence[str]
"""The cells of one line of a table."""
Record = dict[str, str]
"""One line of a table: heading → cell. A heading that is missing is an empty cell."""
Block = str | list[Line]
"""A paragraph, or the lines of a table with the head first."""


class Footnotes(dict[str, str]):
    """Text of a footnote → its mark on a page: a letter for a published source, `note` and a number for a reason.

    A text gets its mark when it is first looked up. A number alone in brackets is a number of comparisons.
    """

    def __missing__(self, text: str) -> str:
        """Give the next free mark to a new text, and return the mark."""
        is_source = text.startswith(SOURCE)
        place = sum(other.startswith(SOURCE) == is_source for other in self)
        self[text] = f"({ascii_lowercase[place % 26]})" if is_source else f"(note {place + 1})"
        return self[text]


def to_markdown(table: Table) -> str:
    """Return a table as Markdown, with its verdicts and notes."""
    if not table.averages:
        return details(table)
    marks = Footnotes()
    blocks: list[Block] = []
    for scope in table.averages:
        means = [*overview(table, scope, marks), *_published(table, scope, _overviewed(table), marks)]
        blocks += [f"Means over {_number_of(scope)}:", _lines(means)]
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
    footnotes = [f"{mark} {text}" for text, mark in sorted(marks.items(), key=lambda note: note[0].startswith(SOURCE))]
    listed = "\n".join(f"- {plain(note)}" for note in [*notes(table), *footnotes])
    return page([f"### {plain(heading(table))}", *blocks, "Notes:", listed])


def in_short(table: Table) -> str:
    """Return the short form of a table, for a terminal: means or values, and verdicts, as Markdown."""
    marks = Footnotes()
    blocks: list[Block] = []
    for scope in table.averages or table.scopes:
        means = f"means over {_number_of(scope)}"
        left_out = {"proposed", "scored only", f"over {table.subject}", "sets" * (not scope.is_average)}
        left_out.discard(f"over {table.reference}")
        rows = [
            {head: cell.partition(" p ")[0] for head, cell in row.items() if head not in left_out}
            for row in overview(table, scope, marks)
        ]
        blocks += [means if scope.is_average else scope_name(scope), _lines(rows)]
    reasons = [f"{mark} {plain(reason)}" for reason, mark in marks.items()]
    legend = "[95 % interval]; * a gain or loss that is shown, by p corrected for its comparisons"
    return page([f"### {plain(heading(table))}", *blocks, *reasons, legend, *_verdicts(table)])


def heading(table: Table) -> str:
    """Return a line that says what a table is about."""
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) > 1 else ''}"
    return f"{table.protocol}, {table.measure} over {table.unit}, {seeds}"


def _number_of(scope: Scope) -> str:
    return f"{len(scope.data)} data set{'s' if len(scope.data) > 1 else ''}{scope.name.removeprefix('average')}"


def _lines(records: Sequence[Record]) -> list[Line]:
    """Return the lines of a table, with the headings of the first record; empty if there are no records."""
    heads = [head for record in records[:1] for head in record]
    return [heads, *([record.get(head, "") for head in heads] for record in records)] if records else []


def overview(table: Table, scope: Scope, marks: Footnotes) -> Iterator[Record]:
    """Yield a line of a scope's table for each method.

    The line has the method's values, gains, number of data sets, labels, and templates proposed and scored only.
    """
    for method in table.methods:
        row = table.first(scope.name, method)
        mark = f" {marks[row.remark]}" if row.remark else ""
        line: Record = {"method": method}
        for column in _overviewed(table):
            value = _value(table.line(scope.name, method, column), column == table.headline)
            line[column] = value if row.seeds else f"{value}{mark}"
        for other in _compared_with(table):
            line[f"over {other}"] = _compared(table, scope, method, other)
        has = sum(table.first(data, method).seeds > 0 for data in scope.data)
        line["sets"] = f"{has}{mark}" if row.seeds else f"{has} of {len(scope.data)}"
        line["labels/class"] = _count(row.labelled_per_class)
        line["proposed"] = _count(row.proposals)
        line["scored only"] = _count(row.scored_only)
        yield line


def _overviewed(table: Table) -> list[str]:
    return [column for column in table.columns if column != MEAN_OF_H]


def _compared_with(table: Table) -> list[str]:
    """Return the methods that an overview compares each row with: the reference, and IPO if it is in the table."""
    return list(dict.fromkeys(filter(None, [table.reference, table.subject])))


def _compared(table: Table, scope: Scope, method: str, other: str) -> str:
    """Return the gain of a method over another method, as text.

    A gain over IPO is the table's gain of IPO over the method, with its sign reversed.
    """
    turned = table.line(scope.name, other, over=method) if other == table.subject else None
    if turned:
        return verdict_text(turned._replace(value=-turned.value, low=-turned.high, high=-turned.low))
    return verdict_text(table.line(scope.name, method, over=other))


def verdict_text(gain: Any) -> str:
    """Format a line of a gain: the difference, a star where a gain or loss is shown, the interval, the corrected p.

    The number in brackets is the number of comparisons that p is corrected for.
    """
    if gain is None:
        return EMPTY
    if gain.outcome == "same templates":
        return "+0.00 same templates"
    numbers = f"{points(gain.value)}{_star(gain)} [{points(gain.low)}, {points(gain.high)}]"
    return f"{numbers} {format_p(gain.p_corrected)} ({gain.comparisons})"


def _star(gain: Any) -> str:
    """Return a star if the line is a gain or loss that is shown, else an empty text."""
    return "*" if gain.outcome in ("gain", "loss") else ""


def scope_name(scope: Scope) -> str:
    """Return the name of a scope, followed by † if its split differs from the official split."""
    return scope.name + ("†" if why_different(scope.split) else "")


def _value(line: Any, with_interval: bool) -> str:
    if line is None or line.value is None:
        return EMPTY
    interval = f" [{100 * line.low:.1f}, {100 * line.high:.1f}]" if with_interval else ""
    return f"{100 * line.value:.2f}{interval}"


def _count(number: float | None) -> str:
    return EMPTY if number is None else f"{number:.0f}"


def _published(table: Table, scope: Scope, columns: Sequence[str], marks: Footnotes) -> Iterator[Record]:
    """Yield the published rows of a scope."""
    fixed = {"base", "new", "test", "source", "H", "mean"}
    keys = {column: column if column in fixed else data_key(column) for column in columns}  # as published rows name it
    frame = table.frame
    for method, lines in frame[(frame.origin == PUBLISHED) & (frame["data"] == scope.name)].groupby(
        "method", sort=False
    ):
        values = dict(zip(lines["column"], lines.value, strict=True))
        mark = marks[SOURCE + lines.remark.iloc[0]]
        cells = {column: f"{100 * values[key]:.2f}" for column, key in keys.items() if key in values}
        yield {"method": f"*{method}, published* {mark}", **cells}


def _by_data_set(table: Table) -> list[Block]:
    """Return two tables by data set and method: the headline values, and the gains over the reference.

    Each number has half the width of its interval beside it.
    """

    def value(scope: Scope, method: str) -> str:
        line = table.line(scope.name, method)
        missing = line is None or line.value is None
        return EMPTY if missing else f"{100 * line.value:.1f} ±{50 * (line.high - line.low):.1f}"

    def gain(scope: Scope, method: str) -> str:
        return _short(table.line(scope.name, method, over=table.reference))

    half = "± half of its interval, for these classes:"
    compared = table.reference in _references(table)
    others = [method for method in table.methods if method != table.reference and compared]
    return [
        *_grid(table, f"{table.headline} in each data set, percent {half}", table.methods, value),
        *_grid(table, f"Gain over {table.reference} in each data set, points {half}", others, gain),
    ]


def _gains_of_the_subject(table: Table) -> list[Block]:
    """Return the gains of IPO over every other method in each data set."""
    subject = table.subject
    others = [one for one in table.methods if any(table.line(scope.name, subject, over=one) for scope in table.scopes)]
    title = f"Gain of {subject} over each method in {table.headline}, points ± half of its interval:"
    return _grid(table, title, others, lambda scope, method: _short(table.line(scope.name, subject, over=method)))


def _short(gain: Any) -> str:
    if gain is None:
        return EMPTY
    if gain.outcome == "same templates":
        return "same"
    return f"{points(gain.value, 1)}{_star(gain)} ±{50 * (gain.high - gain.low):.1f}"


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
    records: list[Record] = []
    for scope in table.scopes:
        ours = [_record(table, scope, method, marks) for method in table.methods]
        for record in (*ours, *_published(table, scope, table.columns, marks)):
            records.append({"data": scope_name(scope), **record})
    return _lines(records)


def _record(table: Table, scope: Scope, method: str, marks: Footnotes) -> Record:
    first = table.first(scope.name, method)
    mark = f" {marks[first.remark]}" if first.remark else ""
    if not first.seeds:
        counts = dict.fromkeys(("n", "labels/class", "seeds"), EMPTY)
        return {"method": method, **dict.fromkeys(table.columns, f"{EMPTY}{mark}"), **counts}
    record: Record = {"method": method}
    scores = []
    for column in table.columns:
        line = table.line(scope.name, method, column)
        record[column] = "" if line is None else f"{EMPTY} {marks[line.gap]}" if line.gap else _score(line)
        scores += [line] if line and line.gap is None else []
    sides = [line for line in scores if line.column in ("base", "new", "test")]
    record["n"] = " + ".join(str(line.n) for line in sides or scores)
    record["labels/class"] = _count(first.labelled_per_class)
    record["seeds"] = f"{first.seeds}{mark}"
    return record


def _score(line: Any) -> str:
    spread = "" if line.sd is None else f" ± {100 * line.sd:.2f}"
    return f"{_value(line, True)}{spread}"


def _references(table: Table) -> list[str]:
    """Return the references over which the table has gains in its headline."""
    compared = set(table.frame.over[table.frame["column"] == table.headline])
    return [other for other in dict.fromkeys([table.reference, *REFERENCES]) if other in compared]


def _gains(table: Table) -> list[Line]:
    """Return the table of gains over the references, head first; empty if there are no gains."""
    records: list[Record] = []
    for scope, method in product(table.scopes, table.methods):
        found = {f"over {other}": table.line(scope.name, method, over=other) for other in _references(table)}
        if any(found.values()):
            texts = {head: verdict_text(gain) for head, gain in found.items()}
            records.append({"data": scope_name(scope), "method": method, **texts})
    return _lines(records)


def _searches(table: Table, scopes: Sequence[Scope]) -> list[Block]:
    records: list[Record] = []
    for scope, method in product(scopes, table.methods):
        line = table.first(scope.name, method)
        if line.seeds:
            record: Record = {"data": scope_name(scope), "method": method}
            for part in ("train", "val", "test"):
                value = getattr(line, part)
                record[part] = EMPTY if value is None else f"{100 * value:.2f}"
            record["optimism"] = EMPTY if line.optimism is None else points(line.optimism)
            record |= {name.replace("_", " "): _count(getattr(line, name)) for name in COUNTS}
            record["usd"] = EMPTY if line.usd is None else f"{line.usd:.4f}"
            records.append(record)
    title = f"Search and cost, means per run{' and data set' if scopes == table.averages else ''}:"
    return [title, _lines(records)]


def _verdicts(table: Table) -> list[Block]:
    listed = "\n".join(f"- {plain(sentence)}" for sentence in verdicts(table))
    return ["Verdicts:", listed] if listed else []


def section(ablation: Mapping[str, Any]) -> str:
    """Return a published ablation as Markdown: its values, where they were measured, and the source."""
    values, factor = ablation["values"], ablation["factor"]
    columns = list(dict.fromkeys(column for row in values.values() for column in row))
    shown = {name: code(name) if SLOT in name else name for name in values}
    rows = [
        [shown[name], *(f"{row[one]:.2f}" if one in row else "" for one in columns)] for name, row in values.items()
    ]
    found = [
        f"{shown[name]}: {one}"
        for name, follows in ablation["follows"].items()
        for one in contradictions(values[name], follows)
    ]
    notes = "".join(f" {note}" for note in (ablation["note"], *found) if note)
    source = f"Percent, {ablation['where']}. Source: {ablation['source']}.{notes}"
    return f"\n### Published: {factor}\n\n{text_table([factor, *columns], rows)}\n\n{source}\n"


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are as wide as their widest cell.

    Cells must be safe to print: make them with `plain` or `code`.

    >>> print(text_table(["seed", "gain"], [["0", "+1.25"]]))
    | seed | gain  |
    | ---- | ----- |
    | 0    | +1.25 |
    """
    lines = [head, *rows]
    widths = [max(3, *(cell_len(line[place]) for line in lines)) for place in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell + " " * (wide - cell_len(cell)) for cell, wide in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def page(blocks: Iterable[Block]) -> str:
    """Return a Markdown page of paragraphs and tables. Paragraphs are Markdown; cells of tables may be any text."""
    return "\n\n".join(block if isinstance(block, str) else _aligned(block) for block in blocks) + "\n"


def _aligned(lines: Sequence[Line]) -> str:
    head, *rows = ([plain(str(cell)) for cell in line] for line in lines)
    return text_table(head, rows)


def plain(text: str) -> str:
    """Return the text as one line that cannot break out of its cell, load an image, or move a terminal's cursor.

    The text may be unsafe: names come from users and files, and reasons come from errors of servers.
    """
    line = printable(" ".join(text.split()))
    return line.replace("|", "\\|").replace("](", "]\\(").replace("<", "&lt;").replace("&lt; ", "< ")


def code(text: str) -> str:
    """Return the text as one line of Markdown code, which shows every character, such as the slot of a template."""
    return f"`{printable(' '.join(text.split())).replace('|', chr(92) + '|')}`"
