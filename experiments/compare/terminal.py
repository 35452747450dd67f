"""Tables on a terminal: the first columns that fit its width, and a line that names those left out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import accumulate

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ipo_prompts.experiments.compare.text_table import text_table
from ipo_prompts.metrics.errors import printable

BETWEEN = 2
"""Blanks between two columns."""
LEAST = 2
"""So many columns are shown on the narrowest terminal; long cells are folded there."""


def terminal() -> Console | None:
    """Return the terminal that stdout is; None where it is a file or a pipe, whatever FORCE_COLOR says."""
    return Console(highlight=False) if sys.stdout.isatty() else None


def line(text: str, style: str = "") -> Text:
    """Return others' text as one that neither markup nor control characters mean anything in."""
    return Text(printable(" ".join(text.split())), style=style)


def fitted(head: Sequence[str], rows: Iterable[Sequence[str | Text]], width: int) -> Group:
    """Return a table of at most `width` characters, whose columns are given by importance, the most important first."""
    cells = [[line(one) if isinstance(one, str) else one for one in row] for row in rows]
    needs = [max(map(cell_len, [name, *(row[at].plain for row in cells)])) for at, name in enumerate(head)]
    ends = [end - BETWEEN for end in accumulate(need + BETWEEN for need in needs)]
    shown = max(LEAST, sum(end <= width for end in ends))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
    for name in head[:shown]:
        table.add_column(line(name), overflow="fold")
    for row in cells:
        table.add_row(*row[:shown])
    left = [line(f"without {', '.join(head[shown:])}: the terminal is too narrow", "dim")] if head[shown:] else []
    return Group(table, *left)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted on a terminal, else as Markdown; cells are made safe as for `text_table`."""
    console = terminal()
    if console is None:
        print(text_table(head, rows))
    else:
        console.print(fitted(head, rows, console.width))
