"""Reads the `key=value` words of the lab's commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipo_prompts.experiments.run.files import read_words
from ipo_prompts.metrics.errors import InputError, did_you_mean


def read_known(words: Sequence[str], known: Sequence[str], what: str) -> dict[str, Any]:
    """Return key → value for `key=value` words. `what` is the command's name in messages.

    Raises:
        InputError: a key is not in `known`; see also `read_words`.
    """
    given = read_words(words)
    if strange := next((key for key in given if key not in known), None):
        raise InputError(f"unknown key {strange!r}{did_you_mean(strange, known)}; {what} takes {', '.join(known)}.")
    return given


def listed(value: Any, what: str) -> list[str]:
    """Return the names in a list or in a text `NAME,NAME`, each once. `what` is the command's name in messages.

    Raises:
        InputError: a name is empty.
    """
    names = value if isinstance(value, list) else str("" if value is None else value).split(",")
    names = list(dict.fromkeys(str(one).strip() for one in names))
    if not all(names):
        raise InputError(f"a name is missing in the words of {what}; write data=NAME,NAME.")
    return names
