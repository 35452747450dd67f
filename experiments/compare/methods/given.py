"""Methods whose templates no language model wrote: templates of people, the best of a pool of templates, or noise.

The method with noise is Waffle (Roth et al., ICCV 2023). It puts noise in place of descriptions, which tests whether
the words of descriptions matter.
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
    """A method with fixed templates of people. No seed changes the templates, and no picture is used to choose them.

    Attributes:
        label: see `Method`.
        templates: a function that takes a lesson and returns the templates, which get equal weights.
        is_opponent: see `Method`.
    """

    label: str
    templates: Callable[[Lesson], Sequence[str]]
    is_opponent: bool = True
    depends_on_seed: bool = False
    uses_labels: bool = False

    def fit(self, lesson: Lesson) -> Templates:
        """Return the templates as a classifier; see `Method`."""
        return Templates(lesson.clip, tuple((template, 1.0) for template in self.templates(lesson)))


def hand_written(lesson: Lesson) -> Sequence[str]:
    """Return the data set's own template (CoOp's lists), which the published CLIP rows use.

    Raises:
        Absent: the data set has no such template. The baseline template is not used instead: it has its own row.
    """
    if lesson.hand_written is None:
        raise Absent("no hand-written template exists for this data set")
    return [lesson.hand_written]


THE_BASELINE = Fixed("the baseline template", lambda lesson: [BASELINE])
CLASS_NAME = Fixed("the bare class name", lambda lesson: [SLOT], is_opponent=False)
GIVEN = Fixed("the given template", lambda lesson: [lesson.config.initial_template], is_opponent=False)
"""The initial template of the settings. It serves to compare wordings, for instance with single words taken out."""
HAND_WRITTEN = Fixed("the hand-written template", hand_written)
ENSEMBLE_80 = Fixed("the ensemble of 80 templates", lambda lesson: imagenet_templates())

MANY = 1_400
"""The number of templates that `random-pairs-many` tries.

It is about the sum of the vocabulary's single phrases (some 300), CLIP's 80 templates, and 1,000 random pairs.
"""
NOUN, BEFORE, AFTER = "a PHRASE of a <CLASS>.", "a PHRASE picture of a <CLASS>.", "a picture of a <CLASS>, PHRASE."
"""The three forms of the vocabulary's phrases: a kind of picture, an adjective, and a phrase after the class name."""


@dataclass(frozen=True)
class BestOf(Method):
    """The best template of a pool.

    The method runs the usual search with one step and a given list of templates. So the code of the search checks the
    templates, orders them and chooses the winner. The templates that the method tries count as scored only.

    Attributes:
        label, shows, remark: see `Method`.
        pool: a function that takes a lesson and returns the templates. Templates that do not fit the encoder are
            skipped.
        count: a function that takes the settings and returns how many templates are tried, from the first on; None
            tries all templates.
    """

    label: str
    pool: Callable[[Lesson], Sequence[str]]
    count: Callable[[RunConfig], int] | None = None
    shows: str = ""
    remark: str = ""

    def fit(self, lesson: Lesson) -> Templates:
        """Score the templates of the pool, and return the winner; see `Method`."""
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
    """Return one template for each phrase of the vocabulary: the template with which the describer tries the phrase."""
    return [phrase.template for phrase in phrases(lesson)]


def random_pairs(lesson: Lesson) -> list[str]:
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
    """Return a readable template of two phrases; None if both are kinds of picture, since a template can have only one.

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
"""The number of pairs of templates, as in the paper: in each pair one has random words, the other random characters."""
CHARACTERS = string.ascii_letters + string.digits + "!#()'-"
VERBS = ("has", "often", "typically", "may", "can")
"""Noise that begins with one of these words follows `which` directly; see `clause`."""


class Waffle(Method):
    """An ensemble of templates `A photo of a <CLASS>, which has NOISE.` All classes share the noise.

    NOISE is random words in one half of the templates and random characters in the other half. Three things follow the
    published code (https://github.com/ExplainableML/WaffleCLIP, mode `waffle`): the length of NOISE, the words between
    class name and NOISE, and the averaging of similarities. `differs` lists the differences from the publication.
    """

    label = "Waffle (random words)"
    uses_labels = False
    unlike = (
        "random words come from CLIP's own vocabulary and random characters are letters, digits and six signs, where "
        "the published code has a word list of its own and takes the characters that GPT-3's descriptions of the data "
        "set are made of"
    )

    def fit(self, lesson: Lesson) -> AveragedSimilarities:
        """Draw the noise with the lesson's seed, and return the ensemble; see `Method`."""
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
        """Return for each class the mean of its unit embeddings: float32 (C, D).

        The mean is not rescaled to length 1, so its product with a picture feature is the mean of the similarities.
        """
        templates = [template for template, _ in self.templates]
        for template in templates:
            check_template(template, class_names, self.clip)
        with self.clip.timed("text"):
            mean: Floats = encode_templates(self.clip.model, self.clip.tokenizer, templates, class_names).mean(axis=0)
        return mean


class Shape(NamedTuple):
    """The size of the noise after a class name: number and length of words, number and length of character chunks."""

    words: int
    word_length: int
    chunks: int
    chunk_length: int


def shape(class_names: Sequence[str]) -> Shape:
    """Return the shape of the noise for given classes, by the rule of the published code.

    The number of words and the number of chunks are the mean number of words of a class name. Words are cut to the mean
    length of the words of class names. The mean length of the longest word of each class name, rounded up, is divided
    among the chunks and rounded down; then each chunk gets one more character. Halves are rounded to the even number.
    For the number of chunks, 1 is subtracted before rounding and added again afterwards.

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
    """Return the clause that joins noise to a class name. As in the published code, the noise's beginning decides.

    >>> clause("azure"), clause("canoe"), clause("river")
    ('which is azure', 'which canoe', 'which has river')
    """
    if noise.startswith(("a", "used")):
        return f"which is {noise}"
    return f"which {noise}" if noise.startswith(VERBS) else f"which has {noise}"


def _vocabulary() -> list[str]:
    """Return the whole words of CLIP's byte-pair vocabulary, in its order: ASCII letters only, at least three."""
    from open_clip.tokenizer import SimpleTokenizer

    ends = (token.removesuffix("</w>") for token in SimpleTokenizer().encoder if token.endswith("</w>"))
    return [word for word in ends if word.isascii() and word.isalpha() and len(word) >= 3]
