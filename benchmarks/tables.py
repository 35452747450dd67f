"""The tables of the evidence pages, as CSV files in `docs/evidence/tables/`.

`python -m benchmarks.tables` writes those that cells make; nothing is run. Simulations have no cells: `python -m
benchmarks.coverage | python -m benchmarks.tables --keep intervals` keeps the Markdown tables that a command prints.
Tables with one header are one file; where a command prints several headers, the files are numbered.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from benchmarks import (
    answer,
    claims,
    domain,
    domain_search,
    promising,
)
from benchmarks.common import arguments
from benchmarks.lab.cells import Cells

FOLDER = Path(__file__).parents[1] / "docs" / "evidence" / "tables"
WORDS = {
    r"claims-untaught|untaught": "unnamed transformations",
    r"claims-taught|taught": "named transformations",
    r"(claims-)?clean(?! images)": "clean images",
    r"(unnamed|named) transformations and (named|unnamed) transformations": "all transformations",
    r"(today's|embedded|our) CLIP": "demo CLIP",
    r"\btoday's\b|\bours\b|^embedded$": "demo CLIP",
    r"plain-(\d+)": r"control CLIP of seed \1",
    r"\bembedded\b": "demo CLIP",
    r"\bplain( CLIP)?\b": "control CLIP",
    r"\blooks\b": "scored",
    r"\bopened\b": "renamed in",
    r"\bpermuted\b": "candidates of other classes",
    r"[`*]": "",
    r"−(?=\d)": "-",
}
"""What a command calls a thing → what the pages call it."""
Table = list[list[str]]


def read(lines: Iterable[str], title: str = "") -> Iterator[tuple[str, Table]]:
    """Yield the Markdown tables among lines, each with the line that stands before it or the title given.

    An accuracy of the baseline template that a heading holds in brackets becomes a row.
    """
    table: Table = []
    before = title
    for line in [*lines, ""]:
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            if not all(re.fullmatch(r"[|\s:-]*", cell) for cell in cells) or not table:
                table.append(cells)
        else:
            if table:
                yield before, [list(map(said, row)) for row in with_baseline(table)]
                table = []
            before = title or line.strip(" :.") or before


def with_baseline(table: Table) -> Table:
    """Move accuracies from the header to a row of their own."""
    head, *rows = table
    found = [re.fullmatch(r"(.*) \(([\d.]+) %\)", cell) for cell in head]
    if not any(found):
        return table
    accuracies = [one[2] if one else "" for one in found]
    accuracies[0] = "accuracy of the baseline template, %"
    return [[one[1] if one else cell for one, cell in zip(found, head, strict=True)], accuracies, *rows]


def said(text: str) -> str:
    """Return a text in the words of the pages."""
    for pattern, word in WORDS.items():
        text = re.sub(pattern, word, text)
    return text


def joined(tables: Iterable[tuple[str, Table]], corner: str = "table") -> list[Table]:
    """Join tables of one header, with their titles as the first column where there is more than one title."""
    found: dict[tuple[str, ...], list[tuple[str, Table]]] = {}
    for title, (head, *rows) in tables:
        found.setdefault(tuple(head), []).append((said(title), rows))
    return [
        [list(head), *parts[0][1]]
        if len(parts) == 1
        else [[corner, *head], *([title, *row] for title, rows in parts for row in rows)]
        for head, parts in found.items()
    ]


def written(table: Table) -> str:
    """Return a table as the text of a CSV file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(table)
    return out.getvalue()


def control_clips() -> Table:
    """Gains by kind of image, of the control CLIPs and the demo CLIP."""
    return _of({group: claims.by_kind(group) for group in claims.GROUPS})


def with_model() -> Table:
    """Gains of rows that ask a language model."""
    return _of({"": claims.with_model()})


def _of(parts: dict[str, list[str]]) -> Table:
    """Join tables whose corner cell names the CLIPs."""
    found = []
    for title, lines in parts.items():
        for _, (head, *rows) in read(lines, title):
            found.append((title, [["row", *head[1:]], *rows]))
    (table,) = joined(found, "CLIPs")
    return table


def of_parts(parts: Iterable[tuple[str, Iterable[str]]]) -> Table:
    """Join the tables of groups of CLIPs, each with its name."""
    (table,) = joined((one for title, lines in parts for one in read(lines, title)), "CLIPs")
    return table


def domain_words() -> Table:
    """What the right word gains when it is given by hand."""
    kept = Cells.kept("domain-words")
    clips = {
        "four ambiguous CLIPs": [f"ambiguous-{seed}" for seed in range(82, 86)],
        "two CLIPs without ambiguous names": ["separate-82", "separate-83"],
        "three control CLIPs": [f"plain-{seed}" for seed in range(81, 84)],
    }
    return of_parts((title, domain.table(domain.gains_of(kept, names))) for title, names in clips.items())


def domain_words_search() -> Table:
    """What domain words add to the default search."""
    kept = Cells.kept("domain-words-search")
    clips = {
        "four ambiguous CLIPs": [f"ambiguous-{seed}" for seed in range(82, 86)],
        "three control CLIPs": [f"plain-{seed}" for seed in range(81, 84)],
    }
    return of_parts((title, domain_search.table(domain_search.lines_of(kept, names))) for title, names in clips.items())


def of_lines(make: Callable[[Cells], Iterable[str]], cells: str) -> Table:
    """The one table that a script makes of its cells."""
    (table,) = joined(read(make(Cells.kept(cells))))
    return table


@lru_cache
def of_answers() -> list[Table]:
    """The accuracies of what runs hand over, step by step, and the goals with what was found."""
    found = [one for name in answer.CLIPS for one in answer.read(name)]
    return joined(read([*answer.situations(found), "", *answer.goals(found)]))


TABLES: dict[str, Callable[[], Table]] = {
    "answer": lambda: of_answers()[0],
    "answer-goals": lambda: of_answers()[1],
    "control-clips": control_clips,
    "control-clips-language-model": with_model,
    "domain-words": domain_words,
    "domain-words-search": domain_words_search,
    "many-classes": lambda: of_lines(lambda cells: promising.table(promising.pairs(cells, "embedded")), "many-classes"),
}
"""File → the table that its cells make."""


def main() -> None:
    """Write the tables."""
    options = arguments(
        __doc__, keep={"default": "", "help": "name of the file for the Markdown tables on standard input"}
    )
    if options.keep:
        tables = joined(read(sys.stdin.read().splitlines()))
        made = {options.keep + (f"-{k}" if len(tables) > 1 else ""): table for k, table in enumerate(tables, 1)}
    else:
        made = {name: make() for name, make in TABLES.items() if not options.small or name == "many-classes"}
    for name, table in made.items():
        if not options.small:
            (FOLDER / f"{name}.csv").write_text(written(table), encoding="utf-8")
        print(f"{name}: {len(table) - 1} rows")


if __name__ == "__main__":
    main()
