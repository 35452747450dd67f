"""Make text of others, such as file names and servers' errors, safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape characters that would move a terminal's cursor or turn a line's direction.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
