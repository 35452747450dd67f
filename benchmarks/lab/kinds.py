"""Class names that are too narrow, such as the name of a kind of the thing, from WordNet."""

from __future__ import annotations

from collections.abc import Sequence

from ipo_prompts.metrics.nouns import synsets


def narrower(names: Sequence[str]) -> tuple[str, ...]:
    """Return for each class the word that is most common in texts among WordNet's words for kinds of the class.

    If WordNet has no such word, the class keeps its name.
    """
    below: dict[int, list[int]] = {}
    meaning: dict[str, int] = {}
    for number, synset in synsets().items():
        for above in synset.hypernyms:
            below.setdefault(above, []).append(number)
        meaning |= {word.text: number for word in synset.words if word.sense == 1}
    found = []
    for name in names:
        words = [word for number in below.get(meaning.get(name, -1), ()) for word in synsets()[number].words]
        usual = sorted((-word.tagged, word.text) for word in words if word.text.islower() and word.text not in names)
        found.append(next((text for _, text in usual if text not in found), name))
    return tuple(found)
