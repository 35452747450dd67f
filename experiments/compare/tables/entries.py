"""What the Markdown tables have in common: how an entry is written, published rows, and the marks of footnotes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import NamedTuple

from ipo_prompts.experiments.compare.published import data_key
from ipo_prompts.experiments.compare.tables.table import Scope, Table
from ipo_prompts.experiments.compare.text_table import plain, text_table
from ipo_prompts.metrics.verdict import Verdict, format_p, points

EMPTY = "–"


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


def label(scope: Scope) -> str:
    """Name a scope; another split than the official one is marked."""
    return scope.name + ("†" if scope.split.startswith("different") else "")


def verdict_of(verdict: Verdict | None) -> str:
    """Format the numbers of a verdict; a gain or loss that is shown has a star."""
    untested = verdict is None or verdict.outcome == "same templates"
    return gain_of(verdict) if untested else f"{gain_of(verdict)} {p_of(verdict)}"


def gain_of(verdict: Verdict | None) -> str:
    """Format the difference of a verdict with its interval."""
    if verdict is None:
        return EMPTY
    if verdict.outcome == "same templates":
        return "+0.00 same templates"
    low, high = verdict.ci95
    return f"{points(verdict.mean)}{star(verdict)} [{points(low)}, {points(high)}]"


def p_of(verdict: Verdict | None) -> str:
    """Format the corrected p of a verdict and, in brackets, for how many comparisons it is corrected."""
    if verdict is None or verdict.outcome == "same templates":
        return EMPTY
    return f"{format_p(verdict.p_corrected or 0.0)} ({verdict.comparisons})"


def star(verdict: Verdict) -> str:
    """Mark a gain or loss that is shown."""
    return "*" if verdict.outcome in ("gain", "loss") else ""


def published_of(table: Table, scope: Scope, columns: Sequence[str], marks: Marks) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the values of each published row of a scope."""
    fixed = {"base", "new", "test", "source", "H", "mean"}
    keys = [column if column in fixed else data_key(column) for column in columns]  # as published rows name them
    for published in table.published:
        if scope.name == ("average" if published.data is None else published.data):
            cells = [f"{published.values[key]:.2f}" if key in published.values else "" for key in keys]
            note = f" {published.note}" if published.note else ""
            mark = marks.sources[f"published: {published.source}.{note}"]
            yield f"*{published.label}, published* {mark}", cells


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of others' text, the first of which is the head, as a table."""
    head, *rows = ([plain(cell) for cell in line] for line in lines)
    return text_table(head, rows)
