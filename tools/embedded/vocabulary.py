"""The words that the CLIP is taught: natural synonyms for every transformation and style, read from ``words.yaml``.

A template search only works if ordinary words mean something to the CLIP, so each
entry lists what a person or an LLM would write, not one code word.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

import yaml


@dataclass(frozen=True)
class Words:
    """The words for one transformation or style; each entry is lower case."""

    adjectives: list[str]
    nouns: list[str]
    tails: list[str]


_FILE: Final[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text("utf-8"))
WORDS: Final = {name: Words(**words) for name, words in _FILE["transformations"].items()}
STYLES: Final = {name: Words(**words) for name, words in _FILE["styles"].items()}
UNTAUGHT: Final[dict[str, list[str]]] = _FILE["untaught"]
"""Transformation → a template with a word that no caption says of an image, and its taught twin."""
GENERIC_NOUNS: Final[list[str]] = _FILE["generic nouns"]
FILLERS: Final[list[str]] = _FILE["fillers"]
LEADS: Final[list[str]] = _FILE["leads"]
BACKGROUND_TAILS: Final[list[str]] = _FILE["background tails"]


def phrases() -> Iterator[str]:
    """Yield everything that captions can say besides names and glue."""
    for words in (*WORDS.values(), *STYLES.values()):
        for phrases in astuple(words):
            yield from phrases
    for phrases in (GENERIC_NOUNS, FILLERS, LEADS, BACKGROUND_TAILS):
        yield from phrases
