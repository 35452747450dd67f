"""Prints rows of text as a table: as Markdown that can be read unrendered, or as the columns that fit a terminal.

Texts of other people are made safe to print.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import accumulate

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from ipo_prompts.metrics.errors import printable

BETWEEN = 2
"""Blanks between two columns on a terminal."""
Line = Sequence[str | Text]
"""The cells of one line of a table; a `Text` has a colour on a terminal."""
Block = str | list[Line]
"""A paragraph, or the lines of a table with the head first."""
LEAST = 2
"""The number of columns that are shown on the narrowest terminal; their long cells are folded."""


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
    """Return the text as one line that cannot break out of its cell, load a picture, or move a terminal's cursor.

    The text may be unsafe: names come from users and files, and reasons come from errors of servers.
    """
    line = printable(" ".join(text.split()))
    return line.replace("|", "\\|").replace("](", "]\\(").replace("<", "&lt;").replace("&lt; ", "< ")


def code(text: str) -> str:
    """Return the text as one line of Markdown code, which shows every character, such as the slot of a template."""
    return f"`{printable(' '.join(text.split())).replace('|', chr(92) + '|')}`"


def terminal() -> Console | None:
    """Return a console if stdout is a terminal; None if stdout is a file or a pipe, whatever FORCE_COLOR says."""
    return Console(highlight=False) if sys.stdout.isatty() else None


def safe_line(text: str, style: str = "") -> Text:
    """Return other people's text as one line in which neither markup nor control characters have an effect."""
    return Text(printable(" ".join(text.split())), style=style)


def fitted_table(lines: Sequence[Line], width: int) -> Group:
    """Return a table of at most `width` characters. Columns come in order of importance; the last may be left out."""
    head, *rows = [[one if isinstance(one, Text) else safe_line(one) for one in line] for line in lines]
    needs = [max(cell.cell_len for cell in column) for column in zip(head, *rows, strict=True)]
    ends = [end - BETWEEN for end in accumulate(need + BETWEEN for need in needs)]
    shown = max(LEAST, sum(end <= width for end in ends))
    columns = [Column(name, overflow="fold") for name in head[:shown]]
    table = Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
    for row in rows:
        table.add_row(*row[:shown])
    left = f"without {', '.join(map(str, head[shown:]))}: the terminal is too narrow"
    return Group(table, *([safe_line(left, "dim")] if head[shown:] else []))
