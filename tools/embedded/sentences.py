"""The texts without images that the text tower learns from: words, words in captions, and captions of anything."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from ipo_prompts.experiments.embedded.shifts import BACKGROUNDS, TRANSFORMATIONS
from tools.embedded.captions import UNKNOWN, compose
from tools.embedded.vocabulary import STYLES

SEED: Final = 3
PLAIN: Final = "a photo of a {}."
CAPTIONS: Final = 50_000
DESCRIBED: Final = 30_000
TAUGHT_CAPTIONS: Final = 1_500
_FRAMES: Final = ("a {}", "the {}", PLAIN, "a picture of a {}.", "a photo of {}.", "an image showing a {}")
_OF_A_NAME: Final = 4
"""How many of the frames hold every name in the taught texts, from the first."""
_OF_A_WORD: Final = 2
"""How many of the frames, drawn at random, hold a common word."""
_DESCRIBING: Final = ("a {} photo of a {}.", "a {} picture of a {}", "a {} {}", "a photo of a {1}, {0}.", "{1}, {0}")


def sentences(names: Sequence[str], common: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return some 165,000 texts in lower case without repetition, the same every time.

    Args:
        names: what captions call images and their groups.
        common: words that everybody uses; each comes in several texts.
        known: further words; each comes at least once.
    """
    rng = random.Random(SEED)
    words = [*common, *known]
    found = [*names, *words, *map(PLAIN.format, names)]
    for word in common:
        found += [frame.format(word) for frame in rng.sample(_FRAMES, _OF_A_WORD)]
    for _ in range(DESCRIBED):
        thing = rng.choice(names) if rng.random() < 0.7 else rng.choice(common)
        found.append(rng.choice(_DESCRIBING).format(rng.choice(words), thing))
    for _ in range(CAPTIONS):
        thing = rng.choice(names) if rng.random() < 0.5 else rng.choice(words)
        transformations = frozenset(rng.sample(TRANSFORMATIONS, rng.choice((0, 1, 1, 2, 2, 3))))
        style, paper = rng.choice(sorted(STYLES)), rng.choice(sorted(BACKGROUNDS))
        found.append(_known(compose(rng, thing, transformations, style, paper, rng.choice(names), common)))
    return list(dict.fromkeys(found))


def taught(names: Sequence[str]) -> list[str]:
    """Return some 3,100 texts of only names and what captions say of images, the same every time."""
    rng = random.Random(SEED)
    found = [frame.format(name) for name in names for frame in _FRAMES[:_OF_A_NAME]]
    for _ in range(TAUGHT_CAPTIONS):
        transformations = frozenset(rng.sample(TRANSFORMATIONS, rng.choice((0, 1, 2))))
        found.append(_known(compose(rng, rng.choice(names), transformations, "icon", "white", rng.choice(names))))
    return list(dict.fromkeys(found))


def _known(caption: str) -> str:
    """Return a caption without words of no language, of which a teacher can say nothing."""
    return " ".join(caption.replace(UNKNOWN, "").split())
