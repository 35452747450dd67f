"""Methods that give templates: those of people, the best of a pool, and searches (IPO, and controls that share it)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.compare.methods import (
    Absent,
    Fitted,
    Lesson,
    Method,
    Templates,
)
from ipo_prompts.experiments.run.config import RunConfig, differences
from ipo_prompts.experiments.run.files import build
from ipo_prompts.metrics.template import BASELINE, SLOT, imagenet_templates
from ipo_prompts.programs.phrases import Phrase, Vocabulary
from ipo_prompts.programs.search import search
from ipo_prompts.programs.strategies import STRATEGIES
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
    settings = lesson.config.model_copy(update={"steps": 1, "candidates_per_step": count, "patience": None})
    selection = prepared.selection.units if prepared.selection else None
    found = search(settings, prepared.reward, GivenTemplates(pool), prepared.search.units, selection)
    return Templates(lesson.clip, (found.choice.template,), found.choice.gain, found.proposed)


def phrases(lesson: Lesson) -> tuple[Phrase, ...]:
    """Return the phrases of the vocabulary that name no class and fit the encoder."""
    return Vocabulary.load().usable(lesson.class_names, lesson.clip)


def single_phrases(lesson: Lesson) -> list[str]:
    """Return one template for each phrase of the vocabulary."""
    return [phrase.template for phrase in phrases(lesson)]


BEST_OF_80 = BestOf("the best of the 80 templates", lambda lesson: imagenet_templates())
VOCABULARY = BestOf("the best phrase of the vocabulary", single_phrases)


OTHERWISE = {
    "paper": "language models are asked in our words but for the describer's question",
    "code": "language models are asked in our words, replies may be longer than 40 tokens, and a template is scored on "
    "all pictures as they are, where the code crops and flips them at random and leaves out the last partial batch",
}
"""Preset → how a method with this preset differs from its publication under any settings."""


@dataclass(frozen=True)
class LanguageModelSearch(Method):
    """A search with a language model, in a folder of its own.

    Attributes:
        label, shows, is_opponent: see `Method`.
        published: the preset of the search: `default`, `paper` or `code`.
        strategy: the strategy of the search; None takes the strategy of the grid or of the preset.
        lm: "none" for a search that asks no language model; None takes the language model of the grid.
        names: the setting `names` of the search; None takes that of the grid.
        head: the setting `head` of the search; with "auto", labelled pictures decide, too, if they help.
    """

    label: str
    shows: str = ""
    published: str = "default"
    strategy: str | None = None
    lm: str | None = None
    is_opponent: bool = True
    names: str | None = None
    head: str = "words"

    def run_config(self, shared: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
        """Return the complete configuration of the search, with the budget that all methods share; see `Method`.

        Raises:
            InputError: a setting is wrong.
        """
        cell = {key: getattr(shared, key) for key in ("data", "classes", "seed")}
        answer = {"names": self.names or shared.names, "head": self.head}
        # Do not take steps and candidates from the preset: the search would have another budget than other methods.
        budget = {"steps": shared.steps, "candidates_per_step": shared.candidates_per_step, "patience": None}
        own = {**settings, **cell, **answer, **budget, "preset": self.published}
        if self.strategy is not None:
            known = STRATEGIES.find(self.strategy).Settings.model_fields
            kept = {key: value for key, value in settings.get("strategy", {}).items() if key in known}
            own["strategy"] = {**kept, "name": self.strategy}
        if self.lm is not None:
            own["lm"] = self.lm
        return build(own, where="the settings of the grid")

    def differs(self, config: RunConfig) -> str:
        """Return the settings that differ from the published settings, and differences that no setting removes."""
        if self.published not in OTHERWISE:
            return ""
        found = differences(config)
        values = f"{', '.join(found)}, with the published value in brackets; " if found else ""
        return values + OTHERWISE[self.published]

    def fit(self, lesson: Lesson) -> Fitted:
        """A search is a run; see `run_config`."""
        raise NotImplementedError


PHRASES = LanguageModelSearch(
    "compositions of the vocabulary's phrases", "the language model's words help", strategy="compose", lm="none"
)
NO_HISTORY = LanguageModelSearch(
    "proposals without history", "trying parts together beats asking alone", strategy="no-history"
)
HISTORY = LanguageModelSearch(
    "proposals from a history of scores", "trying parts together beats a history of scores", strategy="history"
)
IPO_PAPER = LanguageModelSearch("IPO with the paper's settings", published="paper", is_opponent=False)
IPO_CODE = LanguageModelSearch("IPO with the settings of the paper's code", published="code", is_opponent=False)
IPO_DEFAULT = LanguageModelSearch("IPO", is_opponent=False)
WORDS = LanguageModelSearch("IPO's names and template", names="auto")
IPO = LanguageModelSearch("IPO's answer", names="auto", head="auto", is_opponent=False)
