"""The best of templates that no language model wrote: what is left of a gain when none is asked."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from ipo_prompts.experiments.compare.methods.base import Budget, Job, Method, Templates, labels_of_a_search
from ipo_prompts.experiments.compare.methods.search import winner

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.programs.phrases import Phrase

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
        pool: the templates for a job; those that do not fit the encoder are passed over.
        count: how many of them are tried, the first ones; None for all.
    """

    label: str
    pool: Callable[[Job], Sequence[str]]
    count: Callable[[RunConfig], int] | None = None
    shows: str = ""
    remark: str = ""

    def labelled_per_class(self, config: RunConfig) -> int:
        """Return those of a search."""
        return labels_of_a_search(config)

    def fit(self, job: Job) -> Templates:
        """Search the pool."""
        from ipo_prompts.programs.search import search
        from ipo_prompts.programs.strategies.given import GivenTemplates

        prepared, pool = job.prepared, self.pool(job)
        count = self.count(job.config) if self.count else len(pool)
        settings = job.config.search.model_copy(update={"steps": 1, "candidates_per_step": count, "patience": None})
        selection = prepared.selection.units if prepared.selection else None
        found = search(settings, prepared.reward, GivenTemplates(pool), prepared.search.units, selection)
        return winner(job, found, Budget(looked_at=found.proposed))


def phrases(job: Job) -> tuple[Phrase, ...]:
    """Return the phrases of the describer's bank that name no class and fit the encoder."""
    from ipo_prompts.programs.phrases import PhraseBank

    return PhraseBank.load().usable(job.class_names, job.clip)


def single_phrases(job: Job) -> list[str]:
    """Return a template for each phrase of the bank, as the describer tries it."""
    return [phrase.template for phrase in phrases(job)]


def random_pairs(job: Job) -> list[str]:
    """Return all templates of two phrases each, in an order that the job's seed draws.

    Phrases of one group (bright, dark) are no pair: they mostly exclude each other.
    """
    pairs = [pair for pair in combinations(phrases(job), 2) if pair[0].group != pair[1].group]
    random.Random(f"random pairs {job.config.seed}").shuffle(pairs)
    return [template for pair in pairs if (template := joined(*pair)) is not None]


def joined(first: Phrase, second: Phrase) -> str | None:
    """Join two phrases to a template that can be read; None for two kinds of picture, of which only one can be.

    >>> from ipo_prompts.programs.phrases import Phrase
    >>> joined(Phrase("x-ray image", "imaging", NOUN), Phrase("blurry", "focus", BEFORE))
    'a blurry x-ray image of a <CLASS>.'
    >>> joined(Phrase("in fog", "weather", AFTER), Phrase("overexposed", "tone", BEFORE))
    'an overexposed picture of a <CLASS>, in fog.'
    """
    from ipo_prompts.programs.phrases import Phrase

    nouns, adjectives, tails = ([one.text for one in (first, second) if one.form == f] for f in (NOUN, BEFORE, AFTER))
    if len(nouns) > 1:
        return None
    picture = " ".join(filter(None, [", ".join(adjectives), *(nouns or ["picture"])]))
    return Phrase(picture, "", f"a PHRASE of a <CLASS>{''.join(f', {tail}' for tail in tails)}.").template
