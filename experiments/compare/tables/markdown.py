"""A table as Markdown that can be read unrendered: values, gains, costs, verdicts, notes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from string import ascii_lowercase

from ipo.experiments.compare.published import data_key
from ipo.experiments.compare.tables.quantities import ColumnScore
from ipo.experiments.compare.tables.table import Row, Scope, Table
from ipo.experiments.compare.text_table import plain, text_table
from ipo.metrics.verdict import Verdict, format_p, points

EMPTY = "–"


def to_markdown(table: Table) -> str:
    """Return a table with its verdicts and notes."""
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) > 1 else ''}"
    reasons: dict[str, str] = defaultdict(lambda: f"({len(reasons) + 1})")
    sources: dict[str, str] = defaultdict(lambda: f"({ascii_lowercase[len(sources) % 26]})")
    heading = f"### {table.protocol}, {table.measure} over {table.unit}, {seeds}"
    blocks = [plain(heading), _values(table, reasons, sources)]
    gains = _gains(table)
    if gains:
        blocks += [f"Gain in {table.headline}, points:", gains]
    blocks += ["Search and cost, means per run:", _searches(table)]
    if table.verdicts:
        blocks += ["Verdicts:", "\n".join(f"- {plain(sentence)}" for sentence in table.verdicts)]
    notes = [*table.notes, *(f"{mark} {text}" for text, mark in [*reasons.items(), *sources.items()])]
    blocks += ["Notes:", "\n".join(f"- {plain(note)}" for note in notes)]
    return "\n\n".join(blocks) + "\n"


def _values(table: Table, reasons: dict[str, str], sources: dict[str, str]) -> str:
    """Format ours and the published values; `reasons` and `sources` give each text the mark of its footnote."""
    lines = [["data", "method", *table.columns, "n", "labels/class", "seeds"]]
    fixed = {"base", "new", "test", "source", "H", "mean"}
    keys = [column if column in fixed else data_key(column) for column in table.columns]  # as published rows name them
    for scope in table.scopes:
        lines += [_row(table, scope, row, reasons) for row in table.rows if row.scope == scope.name]
        for published in table.published:
            if scope.name == ("average" if published.data is None else published.data):
                cells = [f"{published.values[key]:.2f}" if key in published.values else "" for key in keys]
                note = f" {published.note}" if published.note else ""
                mark = sources[f"published: {published.source}.{note}"]
                lines.append([_label(scope), f"*{published.label}, published* {mark}", *cells, "", "", ""])
    return _aligned(lines)


def _row(table: Table, scope: Scope, row: Row, reasons: dict[str, str]) -> list[str]:
    if not row.scores:
        mark = f"{EMPTY} {reasons[row.absent]}"
        return [_label(scope), row.method, *[mark for _ in table.columns], EMPTY, EMPTY, EMPTY]
    scores = [row.scores.get(column) for column in table.columns]
    sides = [row.scores.get(side) for side in table.columns if side in ("base", "new", "test")]
    units = " + ".join(str(score.n) for score in sides or scores if score is not None)
    seeds = str(row.seeds) + (f" {reasons[row.absent]}" if row.absent else "")
    labels = EMPTY if row.labelled_per_class is None else str(row.labelled_per_class)
    gaps = {column: f"{EMPTY} {reasons[why]}" for column, why in row.gaps.items()}
    values = [gaps.get(column) or _score(score) for column, score in zip(table.columns, scores, strict=True)]
    return [_label(scope), row.method, *values, units, labels, seeds]


def _score(score: ColumnScore | None) -> str:
    if score is None:
        return ""
    spread = "" if score.sd is None else f" ± {100 * score.sd:.2f}"
    return f"{100 * score.value:.2f} [{100 * score.low:.1f}, {100 * score.high:.1f}]{spread}"


def _label(scope: Scope) -> str:
    return scope.name + ("†" if scope.split.startswith("different") else "")


def _gains(table: Table) -> str:
    gains = {(gain.scope, gain.method, gain.other): gain for gain in table.gains if gain.column == table.headline}
    others = [other for other in table.references if any(key[2] == other for key in gains)]
    lines = [["data", "method", *(f"over {other}" for other in others)]]
    for scope in table.scopes:
        for row in (row for row in table.rows if row.scope == scope.name and row.scores):
            found = [gains.get((scope.name, row.method, other)) for other in others]
            if not any(found):
                continue
            lines.append([_label(scope), row.method, *[_verdict(gain.verdict if gain else None) for gain in found]])
            # In a table with averages, what a row of its own says of classes like these is in the JSON alone.
            if (scope.is_average or len(table.scopes) == 1) and any(gain.like_these for gain in found if gain):
                general = [gain.like_these if gain else None for gain in found]
                covers = next(verdict.covers for verdict in general if verdict)
                lines.append([f"… {covers}", row.method, *[_verdict(verdict) for verdict in general]])
    return _aligned(lines) if len(lines) > 1 else ""


def _verdict(verdict: Verdict | None) -> str:
    """Format the numbers of a verdict; a gain or loss that is shown has a star."""
    if verdict is None:
        return EMPTY
    if verdict.outcome == "same templates":
        return "+0.00 same templates"
    low, high = verdict.ci95
    shown = "*" if verdict.outcome in ("gain", "loss") else ""
    p = format_p(verdict.p_corrected or 0.0)
    return f"{points(verdict.mean)}{shown} [{points(low)}, {points(high)}] {p} ({verdict.comparisons})"


def _searches(table: Table) -> str:
    counts = ["proposals", "looked_at", "calls", "tokens_in", "tokens_out"]
    named = [name.replace("_", " ") for name in counts]
    lines = [["data", "method", "search", "selection", "test", "optimism", *named, "usd"]]
    labels = {scope.name: _label(scope) for scope in table.scopes}
    for search in table.searches:
        values = (search.search, search.selection, search.test)
        percent = [EMPTY if value is None else f"{100 * value:.2f}" for value in values]
        optimism = EMPTY if search.optimism is None else points(search.optimism)
        numbers = [f"{getattr(search, name):.0f}" for name in counts]
        usd = EMPTY if search.usd is None else f"{search.usd:.4f}"
        lines.append([labels[search.scope], search.method, *percent, optimism, *numbers, usd])
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = ([plain(cell) for cell in line] for line in lines)
    return text_table(head, rows)
