"""The nouns of WordNet 3.0: what a number means (`n02084071`: a dog), its other words, and what it is a kind of.

`nouns.xz` beside this file is made by `tools/nouns.py`; its licence is in `NOTICE.md`. It holds columns, parted by form
feeds, with a line for each set of synonyms, in the order of their numbers: the number less the one before; the words;
for each word, where it has several senses, which of them this is, and after a colon how often it was tagged in texts;
how many lines above its hypernyms are. The last column has an irregular plural and its singulars.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import NamedTuple

PHYSICAL = 1930
"""The number of what is a thing: all that can be seen in a picture is below it, and much that cannot."""


class Word(NamedTuple):
    """A word of a set of synonyms.

    Attributes:
        text: with spaces, upper case only where it is a name.
        sense: which of the word's senses this is, counted from 1, the most usual first.
        tagged: how often the word has this sense in tagged texts.
    """

    text: str
    sense: int
    tagged: int


class Synset(NamedTuple):
    """Words with one meaning, the usual one first, and the numbers of what it is a kind of."""

    words: tuple[Word, ...]
    hypernyms: tuple[int, ...]


class _Nouns(Mapping[int, Synset]):
    """Number → synonyms; a line is read when it is asked for, as hardly any is."""

    def __init__(self) -> None:
        steps, *self.columns = (column.split("\n") for column in _columns()[:4])
        self.numbers = list(accumulate(map(int, steps)))
        self._place = {number: place for place, number in enumerate(self.numbers)}

    def __getitem__(self, number: int) -> Synset:
        place = self._place[number]
        words, used, _ = (column[place] for column in self.columns)
        return Synset(tuple(map(_word, words.split(","), used.split(","))), self.above(place))

    def above(self, place: int) -> tuple[int, ...]:
        """Return the hypernyms of a line."""
        return tuple(self.numbers[place - int(one)] for one in self.columns[2][place].split(",") if one)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


@cache
def synsets() -> _Nouns:
    """Return number → synonyms, of all nouns."""
    return _Nouns()


def meanings(word: str) -> list[tuple[Word, int]]:
    """Return what a word, in lower case, can mean: itself as WordNet writes it, and a number; the most usual first."""
    each = ((one, number) for number in _with_word().get(word, ()) for one in synsets()[number].words)
    return sorted((found for found in each if found[0].text.casefold() == word), key=lambda of: (of[0].sense, of[1]))


@cache
def _with_word() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    lines = _columns()[1].replace("_", " ").casefold().split("\n")
    for number, line in zip(synsets().numbers, lines, strict=True):
        for word in {*line.split(",")}:
            found.setdefault(word, []).append(number)
    return found


def _word(text: str, used: str) -> Word:
    sense, _, tagged = used.partition(":")
    return Word(text.replace("_", " "), int(sense or 1), int(tagged or 0))


@cache
def irregular() -> Mapping[str, tuple[str, ...]]:
    """Return plural → singulars, of the nouns whose plural is no rule's."""
    rows = (line.split("\t") for line in _columns()[4].split("\n"))
    return {plural.replace("_", " "): tuple(one.replace("_", " ") for one in rest.split()) for plural, rest in rows}


@cache
def common(count: int) -> tuple[str, ...]:
    """Return words for things, those first that texts name most often."""
    nouns, below, tagged = synsets(), dict[int, list[int]](), set[int]()
    for place, number in enumerate(nouns.numbers):
        if ":" in nouns.columns[1][place]:
            tagged.add(number)
        for above in nouns.above(place):
            below.setdefault(above, []).append(number)
    most: dict[str, int] = {}
    things, seen = [PHYSICAL], {PHYSICAL}
    while things:
        number = things.pop()
        things += (more := [one for one in below.get(number, ()) if one not in seen])
        seen.update(more)
        for word in nouns[number].words if number in tagged else ():
            if word.tagged and word.text.islower():
                most[word.text] = max(most.get(word.text, 0), word.tagged)
    return tuple(sorted(most, key=lambda word: (-most[word], word))[:count])


@cache
def _columns() -> list[str]:
    return lzma.decompress((files("ipo_prompts.metrics") / "nouns.xz").read_bytes()).decode().split("\f")
