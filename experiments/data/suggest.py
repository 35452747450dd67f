"""The nearest known name, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" for the closest known name, or nothing.

    >>> nearest("foldr", ["folder", "csv"])
    ' (did you mean folder?)'
    """
    folded = {word.casefold(): word for word in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1)
    return f" (did you mean {folded[close[0]]}?)" if close else ""
