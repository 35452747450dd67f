"""Rows of text as a table: Markdown that can be read unrendered, or as many of its columns as fit a terminal.

Both make text of others safe to stand in them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import accumulate

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ipo_prompts.metrics.errors import printable

BETWEEN = 2
"""Blanks between two columns of a terminal."""
LEAST = 2
"""So many columns are shown on the narrowest terminal; long cells are folded there."""


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are as wide as their widest cell; `plain` or `code` makes cells safe.

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


def plain(text: str) -> str:
    """Return one line that cannot break out of its cell, load a picture, or move a terminal's cursor.

    Names come from users and file names, reasons from servers' errors.
    """
    line = printable(" ".join(text.split()))
    return line.replace("|", "\\|").replace("](", "]\\(").replace("<", "&lt;").replace("&lt; ", "< ")


def code(text: str) -> str:
    """Return one line that is shown letter by letter, such as a template with its slot."""
    return f"`{printable(' '.join(text.split())).replace('|', chr(92) + '|')}`"


def terminal() -> Console | None:
    """Return the terminal that stdout is; None where it is a file or a pipe, whatever FORCE_COLOR says."""
    return Console(highlight=False) if sys.stdout.isatty() else None


def safe_line(text: str, style: str = "") -> Text:
    """Return others' text as one that neither markup nor control characters mean anything in."""
    return Text(printable(" ".join(text.split())), style=style)


def fitted_table(head: Sequence[str], rows: Iterable[Sequence[str | Text]], width: int) -> Group:
    """Return a table of at most `width` characters, whose columns are given by importance, the most important first."""
    cells = [[safe_line(one) if isinstance(one, str) else one for one in row] for row in rows]
    needs = [max(map(cell_len, [name, *(row[at].plain for row in cells)])) for at, name in enumerate(head)]
    ends = [end - BETWEEN for end in accumulate(need + BETWEEN for need in needs)]
    shown = max(LEAST, sum(end <= width for end in ends))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
    for name in head[:shown]:
        table.add_column(safe_line(name), overflow="fold")
    for row in cells:
        table.add_row(*row[:shown])
    left = [safe_line(f"without {', '.join(head[shown:])}: the terminal is too narrow", "dim")] if head[shown:] else []
    return Group(table, *left)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted on a terminal, else as Markdown; cells are made safe as for `text_table`."""
    if console := terminal():
        console.print(fitted_table(head, rows, console.width))
    else:
        print(text_table(head, rows))
