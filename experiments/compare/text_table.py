"""Tables as Markdown that can be read unrendered, and text of others made safe to stand in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from ipo_prompts.metrics.errors import printable


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are as wide as their widest cell; `plain` or `code` makes cells safe.

    >>> print(text_table(["seed", "gain"], [["0", "+1.25"]]))
    | seed | gain  |
    | ---- | ----- |
    | 0    | +1.25 |
    """
    lines = [head, *rows]
    widths = [max(3, *(_width(line[place]) for line in lines)) for place in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell + " " * (wide - _width(cell)) for cell, wide in zip(line, widths, strict=True)] for line in lines)
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


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
