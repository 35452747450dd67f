"""Templates that no language model wrote: templates of people, the best of a pool of templates, or noise.

The noise is Waffle's (Roth et al., ICCV 2023). Noise in place of descriptions tests whether words carry meaning.
"""

from __future__ import annotations

import math
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from ipo_prompts.experiments.compare.methods.base import Absent, Budget, Lesson, Method, SearchEnd, Templates
from ipo_prompts.experiments.compare.methods.search import winner
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.template import BASELINE, SLOT, check_template, imagenet_templates
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.search import search
from ipo_prompts.programs.strategies.base import GivenTemplates
from ipo_prompts.programs.templates.phrases import Phrase, Vocabulary


@dataclass(frozen=True)
class Fixed(Method):
    """Templates of people. No seed changes them, and they are chosen without pictures.

    Attributes:
        label: see `Method`.
        templates: the templates for a lesson, with equal weights.
        is_opponent: see `Method`.
    """

    label: str
    templates: Callable[[Lesson], Sequence[str]]
    is_opponent: bool = True
    depends_on_seed: bool = False
    uses_labels: bool = False

    def fit(self, lesson: Lesson) -> Templates:
        """Return the templates; see `Method`."""
        return Templates(lesson.clip, tuple((template, 1.0) for template in self.templates(lesson)))


def hand_written(lesson: Lesson) -> Sequence[str]:
    """Return the data set's own template (CoOp's lists), which the published CLIP rows use.

    Raises:
        Absent: there is none. The baseline template does not replace it: the baseline template has a row already.
    """
    if lesson.hand_written is None:
        raise Absent("no hand-written template exists for this data set")
    return [lesson.hand_written]


THE_BASELINE = Fixed("the baseline template", lambda lesson: [BASELINE])
CLASS_NAME = Fixed("the bare class name", lambda lesson: [SLOT], is_opponent=False)
GIVEN = Fixed("the given template", lambda lesson: [lesson.config.initial_template], is_opponent=False)
"""For comparing wordings, as when words are taken out one by one."""
HAND_WRITTEN = Fixed("the hand-written template", hand_written)
ENSEMBLE_80 = Fixed("the ensemble of 80 templates", lambda lesson: imagenet_templates())

MANY = 1_400
"""About the number of single phrases in the vocabulary (some 300), CLIP's 80 templates and 1,000 random pairs."""
NOUN, BEFORE, AFTER = "a PHRASE of a <CLASS>.", "a PHRASE picture of a <CLASS>.", "a picture of a <CLASS>, PHRASE."
"""The forms of the vocabulary's phrases: a kind of picture, an adjective, and a phrase that follows the class."""


@dataclass(frozen=True)
class BestOf(Method):
    """The best template of a pool.

    The method is the search itself with one step and a given list: the same code checks validity, decides the order and
    chooses the winner. The templates that it tries count as scored only.

    Attributes:
        label, shows, remark: see `Method`.
        pool: the templates for a lesson; templates that do not fit the encoder are skipped.
        count: how many templates are tried, from the first; None tries all.
    """

    label: str
    pool: Callable[[Lesson], Sequence[str]]
    count: Callable[[RunConfig], int] | None = None
    shows: str = ""
    remark: str = ""

    def fit(self, lesson: Lesson) -> Templates:
        """Search the pool."""
        prepared, pool = lesson.prepared, self.pool(lesson)
        count = self.count(lesson.config) if self.count else len(pool)
        settings = lesson.config.search.model_copy(update={"steps": 1, "candidates_per_step": count, "patience": None})
        selection = prepared.selection.units if prepared.selection else None
        found = search(settings, prepared.reward, GivenTemplates(pool), prepared.search.units, selection)
        return winner(lesson, SearchEnd(prepared, found), Budget(scored_only=found.proposed))


def phrases(lesson: Lesson) -> tuple[Phrase, ...]:
    """Return the phrases of the vocabulary that name no class and fit the encoder.

    Raises:
        Absent: there is no vocabulary.
    """
    if lesson.config.vocabulary == "none":
        raise Absent("vocabulary=none has no phrases")
    return Vocabulary.load(lesson.config.vocabulary).usable(lesson.class_names, lesson.clip)


def single_phrases(lesson: Lesson) -> list[str]:
    """Return a template for each phrase of the vocabulary, in the form in which the describer tries the phrase."""
    return [phrase.template for phrase in phrases(lesson)]


def random_pairs(lesson: Lesson) -> list[str]:
    """Return all templates of two phrases each, in an order that the lesson's seed draws.

    Phrases of one group (bright, dark) make no pair: they mostly exclude each other.
    """
    return pairs_of(phrases(lesson), lesson.config.seed)


def pairs_of(phrases: Sequence[Phrase], seed: int) -> list[str]:
    """Return the templates of all pairs of phrases from different groups, in an order that a seed draws."""
    pairs = [pair for pair in combinations(phrases, 2) if pair[0].group != pair[1].group]
    random.Random(f"random pairs {seed}").shuffle(pairs)
    return [template for pair in pairs if (template := one_template(*pair)) is not None]


def one_template(first: Phrase, second: Phrase) -> str | None:
    """Join two phrases to a readable template; return None for two kinds of picture, of which a template can have one.

    >>> from ipo_prompts.programs.templates.phrases import Phrase
    >>> one_template(Phrase("x-ray image", "imaging", NOUN), Phrase("blurry", "focus", BEFORE))
    'a blurry x-ray image of a <CLASS>.'
    >>> one_template(Phrase("in fog", "weather", AFTER), Phrase("overexposed", "tone", BEFORE))
    'an overexposed picture of a <CLASS>, in fog.'
    """
    nouns, adjectives, tails = ([one.text for one in (first, second) if one.form == f] for f in (NOUN, BEFORE, AFTER))
    if len(nouns) > 1:
        return None
    picture = " ".join(filter(None, [", ".join(adjectives), *(nouns or ["picture"])]))
    return Phrase(picture, "", f"a PHRASE of a <CLASS>{''.join(f', {tail}' for tail in tails)}.").template


BEST_OF_80 = BestOf("the best of the 80 templates", lambda lesson: imagenet_templates())
VOCABULARY = BestOf("the best phrase of the describer's vocabulary", single_phrases)
RANDOM_PAIRS = BestOf(
    "the best of as many random pairs of phrases",
    random_pairs,
    count=lambda config: config.steps * config.candidates_per_step,
    shows="the search is better than as few phrases joined at random",
    remark="two phrases of the describer's vocabulary a template, as many templates as the language model is asked for",
)
RANDOM_PAIRS_MANY = BestOf(
    f"the best of {MANY:,} random pairs of phrases",
    random_pairs,
    count=lambda config: MANY,
    remark="two phrases of the describer's vocabulary a template, a fixed number of templates whatever others may try",
)

PAIRS = 15
"""Pairs of random words and random characters, as in the paper: 30 templates."""
CHARACTERS = string.ascii_letters + string.digits + "!#()'-"
VERBS = ("has", "often", "typically", "may", "can")
"""Noise that begins so is taken for the rest of a sentence."""


class Waffle(Method):
    """An ensemble of `A photo of a <CLASS>, which has NOISE.`, whose noise all classes share.

    NOISE is random words in one half of the templates and random characters in the other half. The published code
    (https://github.com/ExplainableML/WaffleCLIP, mode `waffle`) decides how long NOISE is, how it is joined to the
    class name, and that similarities are averaged. `differs` says what is not as published.
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
    """An ensemble whose templates average their similarities; other ensembles average embeddings."""

    def class_embeddings(self, class_names: Sequence[str]) -> Floats:
        """Return the mean of unit embeddings, not rescaled to length 1: a product with it is the mean similarity."""
        templates = [template for template, _ in self.templates]
        for template in templates:
            check_template(template, class_names, self.clip)
        with self.clip.timed("text"):
            mean: Floats = encode_templates(self.clip.model, self.clip.tokenizer, templates, class_names).mean(axis=0)
        return mean


class Shape(NamedTuple):
    """How much noise is put beside a class name, in words and in chunks of characters."""

    words: int
    word_length: int
    chunks: int
    chunk_length: int


def shape(class_names: Sequence[str]) -> Shape:
    """Return the shape of the noise for given classes, by the rule of the published code.

    There are as many words, and as many chunks, as a class name has words on average. A word is cut to the mean length
    of the words of class names. The length of all chunks together is the mean length of the longest word of a class
    name, rounded up; each chunk then gets one character more. Means are rounded to even numbers at a half; the means of
    chunks are rounded after 1 was subtracted.

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
    """Join noise to a class name as the published code joins descriptions: the way depends on how the noise begins.

    >>> clause("azure"), clause("canoe"), clause("river")
    ('which is azure', 'which canoe', 'which has river')
    """
    if noise.startswith(("a", "used")):
        return f"which is {noise}"
    return f"which {noise}" if noise.startswith(VERBS) else f"which has {noise}"


def _vocabulary() -> list[str]:
    """Return the whole words of CLIP's byte-pair vocabulary, in the order of that vocabulary."""
    from open_clip.tokenizer import SimpleTokenizer

    ends = (token.removesuffix("</w>") for token in SimpleTokenizer().encoder if token.endswith("</w>"))
    return [word for word in ends if word.isascii() and word.isalpha() and len(word) >= 3]
