"""The nouns of WordNet 3.0. A set of synonyms has a number (`n02084071`: a dog), words and hypernyms.

`nouns.xz` beside this file is made by `tools/nouns.py`; its licence is in `NOTICE.md`. The file holds five columns,
separated by form feeds. Four columns have one line for each set of synonyms, in the order of the numbers:

1. the number of the set, as the difference from the number on the line before;
2. the words of the set;
3. for each word, its sense and, after a colon, how often texts were tagged with this sense. The sense is left out if
   the word has only one, and the count if it is 0;
4. for each hypernym, the distance in lines from the line of the hypernym to this line.

Each line of the fifth column is an irregular plural and its singulars.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import NamedTuple

_SUFFIXES = (
    ("ies", "y"),
    ("ves", "f"),
    ("ves", "fe"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("men", "man"),
    ("s", ""),
)
"""Pairs of the ending of a plural and the ending of its singular, as in WordNet's own rules."""


class Word(NamedTuple):
    """A word of a set of synonyms.

    Attributes:
        text: the word, with spaces; upper case only in names.
        sense: the number of this meaning among the meanings of the word. The most usual meaning has the number 1.
        tagged: how often the word has this meaning in tagged texts.
    """

    text: str
    sense: int
    tagged: int


class Synset(NamedTuple):
    """A set of synonyms: words with one meaning, the most usual word first, and the numbers of the set's hypernyms."""

    words: tuple[Word, ...]
    hypernyms: tuple[int, ...]


class _Nouns(Mapping[int, Synset]):
    """Map the number of each set of synonyms to the set. A set is parsed when it is looked up, because few sets are."""

    def __init__(self) -> None:
        steps, *self.columns = (column.split("\n") for column in _columns()[:4])
        self.numbers = list(accumulate(map(int, steps)))
        self._place = {number: place for place, number in enumerate(self.numbers)}

    def __getitem__(self, number: int) -> Synset:
        place = self._place[number]
        words, used, _ = (column[place] for column in self.columns)
        return Synset(tuple(map(_word, words.split(","), used.split(","))), self.above(place))

    def above(self, place: int) -> tuple[int, ...]:
        """Return the numbers of the hypernyms of the set on line `place`, counted from 0."""
        return tuple(self.numbers[place - int(one)] for one in self.columns[2][place].split(",") if one)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


@cache
def synsets() -> _Nouns:
    """Return the sets of synonyms of all nouns, by number."""
    return _Nouns()


def meanings(word: str) -> list[tuple[Word, int]]:
    """Return the meanings of a word, which is given in lower case. The most usual meaning comes first.

    Each meaning is a pair: the word as WordNet has it, and the number of its set of synonyms.
    """
    each = ((one, number) for number in _with_word().get(word, ()) for one in synsets()[number].words)
    return sorted((found for found in each if found[0].text.casefold() == word), key=lambda of: (of[0].sense, of[1]))


@cache
def _with_word() -> dict[str, list[int]]:
    """Return word in lower case → the numbers of the sets of synonyms that contain the word."""
    found: dict[str, list[int]] = {}
    lines = _columns()[1].replace("_", " ").casefold().split("\n")
    for number, line in zip(synsets().numbers, lines, strict=True):
        for word in dict.fromkeys(line.split(",")):
            found.setdefault(word, []).append(number)
    return found


def _word(text: str, used: str) -> Word:
    sense, _, tagged = used.partition(":")
    return Word(text.replace("_", " "), int(sense or 1), int(tagged or 0))


@cache
def irregular() -> Mapping[str, tuple[str, ...]]:
    """Return irregular plural → its singulars."""
    rows = (line.split("\t") for line in _columns()[4].split("\n"))
    return {plural.replace("_", " "): tuple(one.replace("_", " ") for one in rest.split()) for plural, rest in rows}


def singulars(name: str) -> list[str]:
    """Return what may be singulars of a name in lower case; WordNet may lack them.

    >>> singulars("wine glasses"), singulars("mice")
    (['wine glass', 'wine glasse'], ['mouse'])
    """
    found = [name[: -len(end)] + begin for end, begin in _SUFFIXES if name.endswith(end) and len(name) > len(end) + 1]
    first, _, last = name.rpartition(" ")
    found += [f"{first} {one}".strip() for one in irregular().get(last, ())]
    return list(dict.fromkeys(found))


@cache
def all_above(number: int) -> tuple[int, ...]:
    """Return the number of a set of synonyms, and after it the numbers of all sets above it, the nearest first."""
    found = [number]
    for one in found:
        found += [higher for higher in synsets()[one].hypernyms if higher not in found]
    return tuple(found)


def all_below(numbers: Iterable[int]) -> set[int]:
    """Return the numbers of some sets of synonyms, and the numbers of all sets below them."""
    found = set(numbers)
    left = list(found)
    while left:
        left += (more := [lower for lower in _hyponyms().get(left.pop(), ()) if lower not in found])
        found.update(more)
    return found


@cache
def _hyponyms() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for place, number in enumerate(synsets().numbers):
        for higher in synsets().above(place):
            found.setdefault(higher, []).append(number)
    return found


@cache
def _columns() -> list[str]:
    return lzma.decompress((files("ipo_prompts.metrics") / "nouns.xz").read_bytes()).decode().split("\f")
