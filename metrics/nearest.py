"""The nearest known name, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return up to `n` known names that begin with `name`, hold it as a word, or are like it, the closest first.

    Case does not matter.

    Args:
        name: as a person wrote it.
        known: what it could have been.
        n: how many at most.
        cutoff: how alike they must be, from 0 (anything) to 1 (the same).

    >>> nearest("Foldr", ["folder", "csv"])
    ['folder']
    >>> nearest("hist", ["list", "history"])
    ['history']
    >>> nearest("template", ["temperature", "initial_template"])
    ['initial_template']
    """
    folded, written = {word.casefold(): word for word in known}, name.casefold()
    begun = [word for word in folded if len(written) > 2 and word.startswith(written)]
    within = [word for word in folded if len(written) > 2 and written in word.split("_")]
    close = difflib.get_close_matches(written, list(folded), n=n, cutoff=cutoff)
    return [folded[word] for word in dict.fromkeys([*sorted(begun, key=len), *within, *close])][:n]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" for the closest known name, or nothing.

    >>> did_you_mean("foldr", ["folder", "csv"])
    ' (did you mean folder?)'
    """
    close = nearest(name, known)
    return f" (did you mean {close[0]}?)" if close else ""
