"""What a picture may show that is none of the classes: common nouns for things, without the classes' own words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipo_prompts.metrics.nouns import common, irregular, meanings, synsets
from ipo_prompts.metrics.template import as_read, every_name

COUNT = 4000
SENSES = 4
"""Of a class's name, whose words are its own too."""


def strangers(class_names: Sequence[str], none: Iterable[str] = (), *, hypernyms: bool = True) -> tuple[str, ...]:
    """Return the words that compete with classes, the most common first.

    Args:
        class_names: their names are left out, and what WordNet has for synonyms of these.
        none: words for what is known to be strange; they come first, whatever they are.
        hypernyms: leave out what the classes are a kind of, too: where a folder of dogs is called "beagle", "dog" is no
            stranger.
    """
    own = own_words(class_names, hypernyms=hypernyms)
    told = list(none)
    return (*told, *(word for word in common(COUNT) if as_read(word) not in own and word not in told))


def own_words(class_names: Sequence[str], *, hypernyms: bool = True) -> set[str]:
    """Return the words of classes, as they are read: names and singulars, with synonyms and what they are a kind of."""
    names = {form for name in every_name(class_names) for form in _forms(as_read(name))}
    left = [number for name in names for _, number in meanings(name)[:SENSES]]
    words, seen = set(names), set(left)
    while left:
        synset = synsets()[left.pop()]
        words.update(as_read(word.text) for word in synset.words)
        if hypernyms:
            left += (above := [number for number in synset.hypernyms if number not in seen])
            seen.update(above)
    return words


def _forms(name: str) -> set[str]:
    """Return a name with what it may be the plural of."""
    ends = (("ies", "y"), ("es", ""), ("s", ""))
    singular = {name.removesuffix(end) + instead for end, instead in ends if name.endswith(end)}
    return {name, *singular, *irregular().get(name, ())}
