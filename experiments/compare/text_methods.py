"""Methods that give templates: those of people, the best of a pool, and searches (IPO, and controls that share it)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.compare.methods import Absent, Facts, Method, Templates
from ipo_prompts.experiments.run.config import RunConfig, differences
from ipo_prompts.experiments.run.files import build
from ipo_prompts.experiments.run.plan import held_back_shots
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.template import BASELINE, SLOT, imagenet_templates
from ipo_prompts.programs.phrases import Phrase, Vocabulary
from ipo_prompts.programs.search import search
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import GivenTemplates


@dataclass(frozen=True)
class Fixed(Method):
    """A method with fixed templates of people. No seed changes the templates, and no image is used to choose them.

    Attributes:
        label: see `Method`.
        templates: a function that takes a lesson and returns the templates, which get equal weights.
        is_opponent: see `Method`.
    """

    label: str
    templates: Callable[[Prepared], Sequence[str]]
    is_opponent: bool = True
    depends_on_seed: bool = False
    uses_labels: bool = False

    def fit(self, lesson: Prepared) -> Templates:
        """Return the templates as a classifier; see `Method`."""
        return Templates(lesson.clip, tuple(self.templates(lesson)))


def hand_written(lesson: Prepared) -> Sequence[str]:
    """Return the data set's own template (CoOp's lists), which the published CLIP rows use.

    Raises:
        Absent: the data set has no such template. The baseline template is not used instead: it has its own row.
    """
    if lesson.plan.data.hand_written is None:
        raise Absent("no hand-written template exists for this data set")
    return [lesson.plan.data.hand_written]


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
    pool: Callable[[Prepared], Sequence[str]]

    def fit(self, lesson: Prepared) -> Templates:
        """Score the templates of the pool, and return the winner; see `Method`."""
        pool = self.pool(lesson)
        return best_of(lesson, pool, len(pool))


def best_of(lesson: Prepared, pool: Sequence[str], count: int) -> Templates:
    """Return the best of `count` templates of a pool, from the first on; those that do not fit the encoder are skipped.

    The usual search runs with one step and a given list of templates. So the code of the search checks the templates,
    orders them and chooses the winner. The templates that are tried count as scored only.
    """
    settings = lesson.config.model_copy(update={"steps": 1, "candidates_per_step": count, "patience": None})
    selection = lesson.val.units if lesson.val else None
    found = search(settings, lesson.reward, GivenTemplates(pool), lesson.train.units, selection)
    return Templates(lesson.clip, (found.choice.template,), found.choice.gain, found.proposed)


def phrases(lesson: Prepared) -> tuple[Phrase, ...]:
    """Return the phrases of the vocabulary that name no class and fit the encoder."""
    return Vocabulary.load().usable(lesson.reward.class_names, lesson.clip)


def single_phrases(lesson: Prepared) -> list[str]:
    """Return one template for each phrase of the vocabulary."""
    return [phrase.template for phrase in phrases(lesson)]


BEST_OF_80 = BestOf("the best of the 80 templates", lambda lesson: imagenet_templates())
VOCABULARY = BestOf("the best phrase of the vocabulary", single_phrases)


OTHERWISE = {
    "paper": "language models are asked in our words but for the describer's question",
    "code": "language models are asked in our words, replies may be longer than 40 tokens, and a template is scored on "
    "all images as they are, where the code crops and flips them at random and leaves out the last partial batch",
}
"""Preset → how a method with this preset differs from its publication under any settings."""


@dataclass(frozen=True)
class Search:
    """A row that is a run, as by `ipo optimize`: a list of settings. A run has a folder of its own.

    Attributes:
        label, shows, is_opponent: see `Method`.
        settings: the settings of the run besides those of the grid. A `strategy` keeps the settings of the grid that it
            knows. With classifier "auto", labelled images decide, too, if they help.
    """

    label: str
    settings: Mapping[str, Any]
    shows: str = ""
    is_opponent: bool = True

    def run_config(self, shared: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
        """Return the complete configuration of the run, with the budget that all methods share.

        Args:
            shared: the settings that all methods of the row share.
            settings: the settings that the grid sets; the search chooses all other settings.

        Raises:
            InputError: a setting is wrong.
        """
        # Do not take steps and candidates from the preset: the search would have another budget than other methods.
        same = ("data", "classes", "seed", "names", "steps", "candidates_per_step")
        own = {**settings, **{key: getattr(shared, key) for key in same}, "patience": None, "classifier": "text"}
        own |= self.settings
        if chosen := self.settings.get("strategy"):
            known = STRATEGIES.find(chosen["name"]).Settings.model_fields
            kept = {key: value for key, value in settings.get("strategy", {}).items() if key in known}
            own["strategy"] = {**kept, **chosen}
        return build(own, where="the settings of the grid")

    def facts(self, config: RunConfig) -> Facts:
        """Return what a table needs to know about the run with these settings; see `Method`.

        It names the settings that differ from the published settings, and differences that no setting removes.
        """
        differs = OTHERWISE.get(config.preset, "")
        if differs and (found := differences(config)):
            differs = f"{', '.join(found)}, with the published value in brackets; {differs}"
        labelled = config.shots + held_back_shots(config)
        about = {"label": self.label, "shows": self.shows, "is_opponent": self.is_opponent}
        return Facts(**about, labelled=labelled, differs=differs, shots=config.shots)


PHRASES = Search(
    "compositions of the vocabulary's phrases",
    {"strategy": {"name": "compose"}, "lm": "none"},
    "the language model's words help",
)
NO_HISTORY = Search(
    "proposals without history",
    {"strategy": {"name": "no-history"}},
    "trying parts together beats asking alone",
)
HISTORY = Search(
    "proposals from a history of scores",
    {"strategy": {"name": "history"}},
    "trying parts together beats a history of scores",
)
IPO_PAPER = Search("IPO with the paper's settings", {"preset": "paper"}, is_opponent=False)
IPO_CODE = Search("IPO with the settings of the paper's code", {"preset": "code"}, is_opponent=False)
IPO_DEFAULT = Search("IPO", {}, is_opponent=False)
TEXT = Search("IPO's names and template", {"names": "auto"})
IPO = Search("IPO's answer", {"names": "auto", "classifier": "auto"}, is_opponent=False)
