"""Which words are English: a small language model joins and breaks words ("onitsceiling"), which nobody can read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spellchecker import SpellChecker


def unknown_words(text: str, given: Iterable[str] = ()) -> list[str]:
    """Return the words of a text that are neither in an English word list nor in the texts `given`, such as the task.

    Words with letters beyond a to z are not judged.

    >>> unknown_words("a grainy view onitsceiling of a Borzoi", ["pictures of dogs, such as Borzoi"])
    ['onitsceiling']
    """
    known = set(_words(" ".join(given)))
    return [word for word in _words(text) if word.isascii() and word not in known and word not in _english()]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower().replace("_", " "))


@cache
def _english() -> SpellChecker:
    from spellchecker import SpellChecker

    return SpellChecker(language="en")
