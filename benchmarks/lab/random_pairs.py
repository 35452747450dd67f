"""The best of pairs of phrases joined at random, for `methods=benchmarks.lab.random_pairs:RandomPairs`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

from ipo_prompts.experiments.compare.methods import Method, Templates
from ipo_prompts.experiments.compare.text_methods import best_of, phrases
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.programs.phrases import Phrase

MANY = 1_400
"""The number of templates that `RandomPairsMany` tries.

It is about the sum of the vocabulary's single phrases (some 300), CLIP's 80 templates, and 1,000 random pairs.
"""
NOUN, BEFORE, AFTER = "a PHRASE of a <CLASS>.", "a PHRASE picture of a <CLASS>.", "a picture of a <CLASS>, PHRASE."
"""The three forms of the vocabulary's phrases: a kind of image, an adjective, and a phrase after the class name."""


class RandomPairs(Method):
    """The best of as many templates of two phrases as a language model is asked for."""

    label = "the best of as many random pairs of phrases"
    shows = "the search is better than as few phrases joined at random"
    remark = "two phrases of the vocabulary a template, as many templates as the language model is asked for"

    def fit(self, lesson: Prepared) -> Templates:
        """Score the first pairs, and return the winner; see `Method`."""
        config = lesson.config
        return best_of(lesson, random_pairs(lesson), config.steps * config.candidates_per_step)


class RandomPairsMany(Method):
    """The best of a fixed number of templates of two phrases."""

    label = f"the best of {MANY:,} random pairs of phrases"
    remark = "two phrases of the vocabulary a template, a fixed number of templates whatever others may try"

    def fit(self, lesson: Prepared) -> Templates:
        """Score the first pairs, and return the winner; see `Method`."""
        return best_of(lesson, random_pairs(lesson), MANY)


def random_pairs(lesson: Prepared) -> list[str]:
    """Return all templates of two phrases of the vocabulary, in a random order that depends on the lesson's seed.

    Two phrases of one group (bright, dark) are not paired, because they mostly exclude each other.
    """
    return pairs_of(phrases(lesson), lesson.config.seed)


def pairs_of(phrases: Sequence[Phrase], seed: int) -> list[str]:
    """Return the templates of all pairs of phrases from different groups, in a random order that depends on `seed`."""
    pairs = [pair for pair in combinations(phrases, 2) if pair[0].group != pair[1].group]
    random.Random(f"random pairs {seed}").shuffle(pairs)
    return [template for pair in pairs if (template := one_template(*pair)) is not None]


def one_template(first: Phrase, second: Phrase) -> str | None:
    """Return a readable template of two phrases; None if both are kinds of image, since a template can have only one.

    >>> one_template(Phrase("x-ray image", "imaging", NOUN), Phrase("blurry", "focus", BEFORE))
    'a blurry x-ray image of a <CLASS>.'
    >>> one_template(Phrase("in fog", "weather", AFTER), Phrase("overexposed", "tone", BEFORE))
    'an overexposed picture of a <CLASS>, in fog.'
    """
    nouns, adjectives, tails = ([one.text for one in (first, second) if one.form == f] for f in (NOUN, BEFORE, AFTER))
    if len(nouns) > 1:
        return None
    image = " ".join(filter(None, [", ".join(adjectives), *(nouns or ["image"])]))
    return Phrase(image, "", f"a PHRASE of a <CLASS>{''.join(f', {tail}' for tail in tails)}.").template
