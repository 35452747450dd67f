"""Waffle (Roth et al., ICCV 2023): noise in the place of descriptions, the test of whether words carry meaning."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from ipo_prompts.experiments.compare.methods.base import Lesson, Method, Templates
from ipo_prompts.metrics.template import check_template

if TYPE_CHECKING:
    from ipo_prompts.metrics.arrays import Floats

PAIRS = 15
"""Pairs of random words and random characters, as in the paper: 30 templates."""
CHARACTERS = string.ascii_letters + string.digits + "!#()'-"
VERBS = ("has", "often", "typically", "may", "can")
"""What begins so is taken for the rest of a sentence."""


class Waffle(Method):
    """An ensemble of `A photo of a <CLASS>, which has NOISE.` with noise that all classes share.

    NOISE is random words in one half of the templates and random characters in the other. How much of it, how it is
    joined to the class name, and that similarities are averaged is as in the published code
    (https://github.com/ExplainableML/WaffleCLIP, its mode `waffle`); `differs` says what is not.
    """

    label = "Waffle (random words)"
    uses_labels = False
    unlike = (
        "random words come from CLIP's own vocabulary and random characters are letters, digits and six signs, where "
        "the published code has a word list of its own and takes the characters that GPT-3's descriptions of the data "
        "set are made of"
    )

    def fit(self, lesson: Lesson) -> AveragedSimilarities:
        """Draw the noise with the lesson's seed."""
        rng = random.Random(f"waffle {lesson.config.seed}")
        noise = shape(lesson.class_names)
        vocabulary = _vocabulary()
        noises = []
        for _ in range(PAIRS):
            noises.append(" ".join(rng.choice(vocabulary)[: noise.word_length] for _ in range(noise.words)))
            chunks = ("".join(rng.choices(CHARACTERS, k=noise.chunk_length)) for _ in range(noise.chunks))
            noises.append(", ".join(chunks))
        return AveragedSimilarities(
            lesson.clip, tuple((f"A photo of a <CLASS>, {clause(one)}.", 1.0) for one in noises)
        )


@dataclass(frozen=True)
class AveragedSimilarities(Templates):
    """An ensemble whose templates vote with their similarities, where others average their embeddings."""

    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Return the mean of unit embeddings as it is, shorter than 1: a product with it is the mean similarity."""
        from ipo_prompts.metrics.text_tower import encode_templates

        templates = [template for template, _ in self.templates]
        for template in templates:
            check_template(template, class_names, self.clip)
        with self.clip.timed("text"):
            mean: Floats = encode_templates(self.clip.model, self.clip.tokenizer, templates, class_names).mean(axis=0)
        return mean


class Shape(NamedTuple):
    """How much noise stands beside a class name, in words and in chunks of characters."""

    words: int
    word_length: int
    chunks: int
    chunk_length: int


def shape(class_names: Sequence[str]) -> Shape:
    """Return the shape of the noise for given classes, as the published code has it.

    There are as many words, and as many chunks, as a class name has words on average. A word is cut to the mean length
    of a class name's words. The chunks share the mean length of a class name's longest word, rounded up, and have one
    character more. Means are rounded to even numbers at a half, those of chunks after 1 was taken off.

    >>> shape(["grizzly_bears", "polar bear"])
    Shape(words=2, word_length=5, chunks=2, chunk_length=4)
    >>> shape(["cat", "polar bear"])
    Shape(words=2, word_length=4, chunks=1, chunk_length=5)
    """
    names = [name.replace("_", " ").split() for name in class_names]
    words = fmean(map(len, names))
    chunks = round(words - 1) + 1
    longest = math.ceil(fmean(max(map(len, name)) for name in names))
    return Shape(
        words=max(1, round(words)),
        word_length=max(1, round(fmean(fmean(map(len, name)) for name in names))),
        chunks=chunks,
        chunk_length=longest // chunks + 1,
    )


def clause(noise: str) -> str:
    """Join noise to a class name as the published code joins descriptions, by how they begin.

    >>> clause("azure"), clause("canoe"), clause("river")
    ('which is azure', 'which canoe', 'which has river')
    """
    if noise.startswith(("a", "used")):
        return f"which is {noise}"
    return f"which {noise}" if noise.startswith(VERBS) else f"which has {noise}"


def _vocabulary() -> list[str]:
    """Return the whole words of CLIP's byte-pair vocabulary, in its order."""
    from open_clip.tokenizer import SimpleTokenizer

    ends = (token.removesuffix("</w>") for token in SimpleTokenizer().encoder if token.endswith("</w>"))
    return [word for word in ends if word.isascii() and word.isalpha() and len(word) >= 3]
