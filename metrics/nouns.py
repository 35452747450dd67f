"""The nouns of WordNet 3.0: what a number means (`n02084071`: a dog), its other words, and what it is a kind of.

`nouns.xz` beside this file is made by `tools/nouns.py`; its licence is in `NOTICE.md`. It holds columns, parted by form
feeds, with a line for each set of synonyms, in the order of their numbers: the number less the one before; the words;
for each word, where it has several senses, which of them this is, and after a colon how often it was tagged in texts;
how many lines above its hypernyms are. The last column has an irregular plural and its singulars.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
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


@cache
def synsets() -> Mapping[int, Synset]:
    """Return number → synonyms, of all nouns; it is read once, in about a second."""
    steps, *columns = (column.split("\n") for column in _columns()[:4])
    numbers: list[int] = []
    for step in steps:
        numbers.append(int(step) + (numbers[-1] if numbers else 0))
    found = {}
    for place, (number, words, used, above) in enumerate(zip(numbers, *columns, strict=True)):
        up = tuple(numbers[place - int(one)] for one in above.split(",") if one)
        own = tuple(map(_word, words.split(","), used.split(",")))
        found[number] = Synset(own, up)
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
    below: dict[int, list[int]] = {}
    for number, synset in synsets().items():
        for above in synset.hypernyms:
            below.setdefault(above, []).append(number)
    most: dict[str, int] = {}
    things, seen = [PHYSICAL], {PHYSICAL}
    while things:
        number = things.pop()
        things += (more := [one for one in below.get(number, ()) if one not in seen])
        seen.update(more)
        for word in synsets()[number].words:
            if word.tagged and word.text.islower():
                most[word.text] = max(most.get(word.text, 0), word.tagged)
    return tuple(sorted(most, key=lambda word: (-most[word], word))[:count])


@cache
def _columns() -> list[str]:
    return lzma.decompress((files("ipo_prompts.metrics") / "nouns.xz").read_bytes()).decode().split("\f")
