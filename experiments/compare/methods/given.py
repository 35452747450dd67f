"""Methods whose templates no language model wrote: templates of people, or the best of a pool of templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ipo_prompts.experiments.compare.methods.base import Absent, Budget, Lesson, Method, Templates
from ipo_prompts.experiments.compare.methods.search import winner
from ipo_prompts.metrics.template import BASELINE, SLOT, imagenet_templates
from ipo_prompts.programs.phrases import Phrase, Vocabulary
from ipo_prompts.programs.search import search
from ipo_prompts.programs.strategies.base import GivenTemplates


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
        return Templates(lesson.clip, tuple(self.templates(lesson)))


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


@dataclass(frozen=True)
class BestOf(Method):
    """The best template of a pool; see `best_of`.

    Attributes:
        label: see `Method`.
        pool: a function that takes a lesson and returns the templates.
    """

    label: str
    pool: Callable[[Lesson], Sequence[str]]

    def fit(self, lesson: Lesson) -> Templates:
        """Score the templates of the pool, and return the winner; see `Method`."""
        pool = self.pool(lesson)
        return best_of(lesson, pool, len(pool))


def best_of(lesson: Lesson, pool: Sequence[str], count: int) -> Templates:
    """Return the best of `count` templates of a pool, from the first on; those that do not fit the encoder are skipped.

    The usual search runs with one step and a given list of templates. So the code of the search checks the templates,
    orders them and chooses the winner. The templates that are tried count as scored only.
    """
    prepared = lesson.prepared
    settings = lesson.config.search.model_copy(update={"steps": 1, "candidates_per_step": count, "patience": None})
    selection = prepared.selection.units if prepared.selection else None
    found = search(settings, prepared.reward, GivenTemplates(pool), prepared.search.units, selection)
    return winner(lesson, found, Budget(scored_only=found.proposed))


def phrases(lesson: Lesson) -> tuple[Phrase, ...]:
    """Return the phrases of the vocabulary that name no class and fit the encoder."""
    return Vocabulary.load().usable(lesson.class_names, lesson.clip)


def single_phrases(lesson: Lesson) -> list[str]:
    """Return one template for each phrase of the vocabulary."""
    return [phrase.template for phrase in phrases(lesson)]


BEST_OF_80 = BestOf("the best of the 80 templates", lambda lesson: imagenet_templates())
VOCABULARY = BestOf("the best phrase of the vocabulary", single_phrases)
