"""Templates that no language model wrote: of people as they are, or the best of a pool of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from ipo_prompts.experiments.compare.methods.base import Absent, Budget, Lesson, Method, Templates
from ipo_prompts.experiments.compare.methods.search import winner

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.programs.wording import Phrase


@dataclass(frozen=True)
class Fixed(Method):
    """Templates of people: no seed changes them, and no picture is looked at.

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
        Absent: there is none. The anchor does not stand in for it: that row exists already.
    """
    if lesson.hand_written is None:
        raise Absent("no hand-written template exists for this data set")
    return [lesson.hand_written]


MANY = 1_400
"""About as many as the bank's single phrases (some 300), CLIP's 80 templates and 1,000 random pairs are together."""
NOUN, BEFORE, AFTER = "a PHRASE of a <CLASS>.", "a PHRASE picture of a <CLASS>.", "a picture of a <CLASS>, PHRASE."
"""The forms of the bank's phrases: a kind of picture, an adjective, and what follows the class."""


@dataclass(frozen=True)
class BestOf(Method):
    """The best template of a pool.

    It is the search itself with one step and a given list: validity, order and the choice of the winner are the same
    code. What it tries counts as looked at.

    Attributes:
        label, shows, remark: see `Method`.
        pool: the templates for a lesson; those that do not fit the encoder are passed over.
        count: how many of them are tried, the first ones; None for all.
    """

    label: str
    pool: Callable[[Lesson], Sequence[str]]
    count: Callable[[RunConfig], int] | None = None
    shows: str = ""
    remark: str = ""

    def fit(self, lesson: Lesson) -> Templates:
        """Search the pool."""
        from ipo_prompts.experiments.compare.prefixes import Looks, Prefixes
        from ipo_prompts.programs.search import search
        from ipo_prompts.programs.strategies.base import GivenTemplates

        prepared, pool = lesson.prepared, self.pool(lesson)
        count = self.count(lesson.config) if self.count else len(pool)
        settings = lesson.config.search.model_copy(update={"steps": 1, "candidates_per_step": count, "patience": None})
        selection = prepared.selection.units if prepared.selection else None
        found = search(settings, prepared.reward, GivenTemplates(pool), prepared.search.units, selection)
        looks = Looks.of_list(entry.template for entry in found.history if entry is not found.history.initial)
        prefixes = Prefixes(prepared, settings, looks, found.proposed)
        return winner(lesson, found, Budget(looked_at=found.proposed), prefixes)


def phrases(lesson: Lesson) -> tuple[Phrase, ...]:
    """Return the phrases of the bank that name no class and fit the encoder.

    Raises:
        Absent: there is no bank.
    """
    from ipo_prompts.programs.wording import PhraseBank

    if lesson.config.bank == "none":
        raise Absent("bank=none has no phrases")
    return PhraseBank.load(lesson.config.bank).usable(lesson.class_names, lesson.clip)


def single_phrases(lesson: Lesson) -> list[str]:
    """Return a template for each phrase of the bank, as the describer tries it."""
    return [phrase.template for phrase in phrases(lesson)]


def random_pairs(lesson: Lesson) -> list[str]:
    """Return all templates of two phrases each, in an order that the lesson's seed draws.

    Phrases of one group (bright, dark) are no pair: they mostly exclude each other.
    """
    return pairs_of(phrases(lesson), lesson.config.seed)


def pairs_of(phrases: Sequence[Phrase], seed: int) -> list[str]:
    """Return the templates of all pairs of phrases that are about two things, in an order that a seed draws."""
    pairs = [pair for pair in combinations(phrases, 2) if pair[0].group != pair[1].group]
    random.Random(f"random pairs {seed}").shuffle(pairs)
    return [template for pair in pairs if (template := one_template(*pair)) is not None]


def one_template(first: Phrase, second: Phrase) -> str | None:
    """Join two phrases to a template that can be read; None for two kinds of picture, of which only one can be.

    >>> from ipo_prompts.programs.wording import Phrase
    >>> one_template(Phrase("x-ray image", "imaging", NOUN), Phrase("blurry", "focus", BEFORE))
    'a blurry x-ray image of a <CLASS>.'
    >>> one_template(Phrase("in fog", "weather", AFTER), Phrase("overexposed", "tone", BEFORE))
    'an overexposed picture of a <CLASS>, in fog.'
    """
    from ipo_prompts.programs.wording import Phrase

    nouns, adjectives, tails = ([one.text for one in (first, second) if one.form == f] for f in (NOUN, BEFORE, AFTER))
    if len(nouns) > 1:
        return None
    picture = " ".join(filter(None, [", ".join(adjectives), *(nouns or ["picture"])]))
    return Phrase(picture, "", f"a PHRASE of a <CLASS>{''.join(f', {tail}' for tail in tails)}.").template
