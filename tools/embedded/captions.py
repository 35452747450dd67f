"""Composes captions: many sentence shapes over the vocabulary, drawn by a seeded RNG."""

import random
from collections.abc import Sequence
from typing import Final

from tools.embedded.vocabulary import BACKGROUND_TAILS, FILLERS, GENERIC_NOUNS, LEADS, STYLES, WORDS, Words

UNKNOWN: Final = "\x00"
"""A word of no language, such as a file's number; see ``tokens``."""
SAID: Final = 0.97
"""How often a transformation is named, unless a caller wants another share. Below 1, so that silence proves nothing;
near 1, so that a bare caption mostly means an unchanged image and naming the shift pays off."""
KINDS: Final = 0.08
"""How often a caption names the group of the thing, unless a caller wants another share."""
_STYLE_SAID: Final = 0.35
_SEEN_THROUGH_NEGATIVE: Final = {"white": "black", "black": "white", "gray": "gray"}


def compose(
    rng: random.Random,
    name: str,
    transformations: frozenset[str],
    style: str,
    background: str,
    group: str,
    others: Sequence[str] = (),
    said: float = SAID,
    kinds: float = KINDS,
) -> str:
    """Return a caption in lower case, e.g. ``"a blurry photo of a cat in negative colors."``.

    ``others`` are words that say nothing of the image; now and then a caption holds some, as templates do. ``said``
    is the chance that a transformation is named, ``kinds`` that the ``group`` is.
    """
    before: list[str] = []
    nouns: list[str] = []
    after: list[str] = []

    def say(words: Words, adjective: float, noun: float) -> None:
        """In one of three places; the numbers are the running sums of the chances of the first two."""
        roll = rng.random()
        if roll < adjective:
            before.append(rng.choice(words.adjectives))
        elif roll < noun and not nouns:
            nouns.append(rng.choice(words.nouns))
        else:
            after.append(rng.choice(words.tails))

    for transformation in rng.sample(sorted(transformations), len(transformations)):
        if rng.random() > said:
            continue
        say(WORDS[transformation], 0.38, 0.66)
        if rng.random() < 0.2:  # people repeat themselves, and so do long templates
            after.append(rng.choice(WORDS[transformation].tails))
    if rng.random() < _STYLE_SAID:
        say(STYLES[style], 0.3, 0.8)
    visible = _visible_background(background, transformations)
    if visible and rng.random() < 0.3:
        after.append(rng.choice(BACKGROUND_TAILS).format(visible))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        place = rng.randrange(len(before) + 1)
        before.insert(place, rng.choice(FILLERS) if rng.random() < 0.6 else _other(rng, others))
    if rng.random() < 0.15:
        place = rng.randrange(len(after) + 1)
        after.insert(place, " ".join(_other(rng, others) for _ in range(rng.randint(1, 4))))
    sentence = _sentence(rng, name, before, nouns, after)
    kind = f", a type of {group}" if rng.random() < kinds else ""
    return " ".join(f"{sentence}{kind}".split()) + rng.choice((".", ".", " ", ""))


def article(phrase: str) -> str:
    """Return a phrase with its article: ``"an owl"``, ``"a cat"``."""
    return ("an " if phrase[:1] in "aeiou" else "a ") + phrase


def _other(rng: random.Random, others: Sequence[str]) -> str:
    return rng.choice(others) if others and rng.random() < 0.7 else UNKNOWN


def _visible_background(background: str, transformations: frozenset[str]) -> str | None:
    if transformations & {"edge", "hue", "dark", "sepia"}:
        return None
    if "negative" in transformations:
        return _SEEN_THROUGH_NEGATIVE.get(background)
    return background


def _sentence(rng: random.Random, name: str, before: list[str], nouns: list[str], after: list[str]) -> str:
    noun = nouns[0] if nouns else rng.choice(GENERIC_NOUNS)
    if rng.random() < 0.08:
        noun = UNKNOWN
    tail = "".join(rng.choice((" ", " ", ", ")) + piece for piece in after)
    of = rng.choice(("of a", "of a", "of a", "of the", "of", "of one", "of my", "showing a"))
    adjectives = rng.choice((" ", " ", ", ")).join(before)
    head = f"{adjectives} {noun}".strip()
    shape = rng.random()
    if shape < 0.46:
        text = f"{rng.choice(('', 'a ', 'a ', 'the '))}{head} {of} {name}{tail}"
    elif shape < 0.6:
        text = f"{rng.choice(LEADS)} {article(head)} {of} {name}{tail}"
    elif shape < 0.75:
        # The adjectives move to the name: "a grainy cat in the dark".
        said = f", {nouns[0]}" if nouns else ""
        text = f"{rng.choice(('', 'a ', 'the '))}{adjectives} {name}{tail}{said}"
    elif shape < 0.87:
        text = ", ".join([name, *before, *nouns, *after])
    elif shape < 0.95:
        text = f"{name}{tail} in the style of {article(head)}"
    else:
        text = f"{head}: {name}{tail}"
    return text
