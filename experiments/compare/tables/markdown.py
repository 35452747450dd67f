"""A table as Markdown that can be read unrendered: values, gains, costs, verdicts, notes.

Of several data sets the means come first and one number of each; `details` has the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipo_prompts.experiments.compare.tables.entries import EMPTY, Marks, aligned, label, published_of, verdict_of
from ipo_prompts.experiments.compare.tables.over_data_sets import (
    by_data_set,
    gains_of_the_subject,
    means_over_data_sets,
)
from ipo_prompts.experiments.compare.tables.quantities import ColumnScore
from ipo_prompts.experiments.compare.tables.table import Row, Scope, Table
from ipo_prompts.experiments.compare.text_table import plain
from ipo_prompts.metrics.verdict import points


def to_markdown(table: Table) -> str:
    """Return a table with its verdicts and notes."""
    if not table.averages:
        return details(table)
    marks = Marks.none()
    means = [block for scope in table.averages for block in means_over_data_sets(table, scope, marks)]
    blocks = [f"### {plain(heading(table))}", *means, *by_data_set(table)]
    blocks += ["Search and cost, means per run and data set:", _searches(table, table.averages)]
    blocks += [*_verdicts(table), *_notes(table, marks)]
    return "\n\n".join(blocks) + "\n"


def details(table: Table) -> str:
    """Return every data set by itself; of a single one this is the whole table."""
    marks = Marks.none()
    blocks = [f"### {plain(heading(table))}", _values(table, marks)]
    gains = _gains(table)
    if gains:
        blocks += [f"Gain in {table.headline}, points:", gains]
    if table.averages:
        blocks += gains_of_the_subject(table)
    blocks += ["Search and cost, means per run:", _searches(table, table.scopes)]
    if not table.averages:
        blocks += _verdicts(table)
    return "\n\n".join([*blocks, *_notes(table, marks)]) + "\n"


def heading(table: Table) -> str:
    """Return what a table is of, in a line."""
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) > 1 else ''}"
    return f"{table.protocol}, {table.measure} over {table.unit}, {seeds}"


def _verdicts(table: Table) -> list[str]:
    return ["Verdicts:", "\n".join(f"- {plain(sentence)}" for sentence in table.verdicts)] if table.verdicts else []


def _notes(table: Table, marks: Marks) -> list[str]:
    notes = [*table.notes, *(f"{mark} {text}" for text, mark in [*marks.reasons.items(), *marks.sources.items()])]
    return ["Notes:", "\n".join(f"- {plain(note)}" for note in notes)]


def _values(table: Table, marks: Marks) -> str:
    """Format ours and the published values."""
    lines = [["data", "method", *table.columns, "n", "labels/class", "seeds"]]
    for scope in table.scopes:
        lines += [_row(table, scope, row, marks.reasons) for row in table.rows if row.scope == scope.name]
        for name, cells in published_of(table, scope, table.columns, marks):
            lines.append([label(scope), name, *cells, "", "", ""])
    return aligned(lines)


def _row(table: Table, scope: Scope, row: Row, reasons: dict[str, str]) -> list[str]:
    if not row.scores:
        mark = f"{EMPTY} {reasons[row.absent]}"
        return [label(scope), row.method, *[mark for _ in table.columns], EMPTY, EMPTY, EMPTY]
    scores = [row.scores.get(column) for column in table.columns]
    sides = [row.scores.get(side) for side in table.columns if side in ("base", "new", "test")]
    units = " + ".join(str(score.n) for score in sides or scores if score is not None)
    seeds = str(row.seeds) + (f" {reasons[row.absent]}" if row.absent else "")
    labels = EMPTY if row.labelled_per_class is None else str(row.labelled_per_class)
    gaps = {column: f"{EMPTY} {reasons[why]}" for column, why in row.gaps.items()}
    values = [gaps.get(column) or _score(score) for column, score in zip(table.columns, scores, strict=True)]
    return [label(scope), row.method, *values, units, labels, seeds]


def _score(score: ColumnScore | None) -> str:
    if score is None:
        return ""
    spread = "" if score.sd is None else f" ± {100 * score.sd:.2f}"
    return f"{100 * score.value:.2f} [{100 * score.low:.1f}, {100 * score.high:.1f}]{spread}"


def _gains(table: Table) -> str:
    gains = {(gain.scope, gain.method, gain.other): gain for gain in table.gains if gain.column == table.headline}
    others = [other for other in table.references if any(key[2] == other for key in gains)]
    lines = [["data", "method", *(f"over {other}" for other in others)]]
    for scope in table.scopes:
        for row in (row for row in table.rows if row.scope == scope.name and row.scores):
            found = [gains.get((scope.name, row.method, other)) for other in others]
            if not any(found):
                continue
            lines.append([label(scope), row.method, *[verdict_of(gain.verdict if gain else None) for gain in found]])
            # In a table with averages, what a row of its own says of classes like these is in the JSON alone.
            if (scope.is_average or len(table.scopes) == 1) and any(gain.like_these for gain in found if gain):
                general = [gain.like_these if gain else None for gain in found]
                covers = next(verdict.covers for verdict in general if verdict)
                lines.append([f"… {covers}", row.method, *[verdict_of(verdict) for verdict in general]])
    return aligned(lines) if len(lines) > 1 else ""


def _searches(table: Table, scopes: Sequence[Scope]) -> str:
    counts = ["proposals", "looked_at", "calls", "tokens_in", "tokens_out"]
    named = [name.replace("_", " ") for name in counts]
    lines = [["data", "method", "search", "selection", "test", "optimism", *named, "usd"]]
    labels = {scope.name: label(scope) for scope in scopes}
    for search in (one for one in table.searches if one.scope in labels):
        values = (search.search, search.selection, search.test)
        percent = [EMPTY if value is None else f"{100 * value:.2f}" for value in values]
        optimism = EMPTY if search.optimism is None else points(search.optimism)
        numbers = [f"{getattr(search, name):.0f}" for name in counts]
        usd = EMPTY if search.usd is None else f"{search.usd:.4f}"
        lines.append([labels[search.scope], search.method, *percent, optimism, *numbers, usd])
    return aligned(lines)
