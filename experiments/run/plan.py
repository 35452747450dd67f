"""The plan of a run: its images and models are found before anything is encoded, loaded or paid for.

`prepared.py` then makes the run ready to search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import dspy

from ipo_prompts.experiments.data import DataSet, Draw, Item, draw, load_data
from ipo_prompts.experiments.data.dataset import left_out
from ipo_prompts.experiments.data.names import names_in_words, refuse_codes
from ipo_prompts.experiments.data.published import absent, assumed
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.result import RewardNames
from ipo_prompts.experiments.run.tested_before import times_before
from ipo_prompts.experiments.tasks import REWARDS, Task
from ipo_prompts.metrics.classification import scores_accuracy
from ipo_prompts.metrics.errors import InputError, several
from ipo_prompts.metrics.images import VIEWS, LazyImage, in_threads
from ipo_prompts.metrics.reward import by_embeddings
from ipo_prompts.metrics.surrogate import texts_for
from ipo_prompts.metrics.template import check_count, every_name
from ipo_prompts.programs.describe import MOST_CHARACTERS, QUESTIONS, given_descriptions
from ipo_prompts.programs.domain import forecast_domain
from ipo_prompts.programs.lm import REPLAY
from ipo_prompts.programs.lm.connect import Backend, find_backend
from ipo_prompts.programs.lm.ledger import TOKENS_PER_IMAGE, total_usd
from ipo_prompts.programs.other_names import forecast_names
from ipo_prompts.programs.running import MOST_VIEWED
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Forecast, Strategy, forecast_of, most_tokens, room_for_words

SPLIT_SEED = 0
"""The seed of the split of data that come without parts.

So runs with different seeds have the same test images.
"""
MOST_CLASSES = 200
"""The most classes for which CLIP's 80 templates are scored beside the answer."""


@dataclass(frozen=True)
class TestSet:
    """Test images and the classes that compete on them.

    Attributes:
        name: the name of the test set.
        items: the images, labelled from 0 within `class_names`.
        class_names: the names of the classes in label order.
        split: see `DataSet.split`.
        clip: the name of the CLIP to test with; None takes the CLIP of the run.
    """

    name: str
    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    split: str
    clip: str | None = None


@dataclass(frozen=True)
class InGrid:
    """What a grid asks of the run in one of its cells.

    Attributes:
        asked: a digest of what the cell asks for.
        folder: the folder of the grid; all its cells count as one test.
        others: the test sets of the grid's protocol besides the test images of the run.
    """

    asked: str
    folder: Path
    others: Sequence[TestSet] = ()


@dataclass(frozen=True)
class Plan:
    """One run before it begins.

    Attributes:
        config: the configuration.
        data: the data set.
        drawn: the images of each part.
        optimizer: the language model that the strategy asks; None if the strategy asks none.
        describer: the language model that describes images; None if no language model does.
        also_fit: names of further classes, of other data sets; templates must be short enough for these names, too.
        in_grid: the cell of a grid that the run is; None if it is no cell.
    """

    config: RunConfig
    data: DataSet
    drawn: Draw
    optimizer: Backend | None
    describer: Backend | None
    also_fit: tuple[str, ...] = ()
    in_grid: InGrid | None = None

    @property
    def task(self) -> Task:
        """The task of the run: it makes the reward, and names the measure and the units."""
        task: Task = REWARDS.build(self.config.reward)
        return task

    @cached_property
    def search(self) -> SearchSettings:
        """The settings of the search. With names=auto, the names of labels are searched if accuracy is the reward."""
        searched = self.config.names == "auto" and self.data.read and _scores_accuracy(self.config)
        return self.config.model_copy(update={"names": "search"} if searched else {})

    @property
    def reward_names(self) -> RewardNames:
        """The names of the reward, its measure and its units."""
        task = self.task
        return RewardNames(name=self.config.reward["name"], measure=task.measure, unit=task.unit)

    @property
    def with_80_templates(self) -> bool:
        """Whether CLIP's 80 templates are scored on the test images, beside the answer."""
        few = len(self.drawn.class_names) <= MOST_CLASSES and self.in_grid is None  # a grid has a row for them
        return self.config.test and few and by_embeddings(self.task.maker()) is not None

    @cached_property
    def strategy(self) -> Strategy:
        """The strategy of the run, which searches once."""
        strategy: Strategy = STRATEGIES.build(self.config.strategy)
        return strategy


def plan(
    config: RunConfig,
    *,
    ready: bool = True,
    say: Callable[[str], None] | None = None,
    lm: Any = None,
) -> Plan:
    """Find the images and the language models of a run.

    Args:
        config: the configuration.
        ready: whether the run can begin: language models have their keys and weights, and the images are here. If
            False, the names of models and of registered data sets are enough, for a forecast.
        say: called with lines about the data, such as classes with fewer images than asked for.
        lm: the `dspy.LM` with the name `config.lm`, if one was made in Python; else it is found by its name.

    Raises:
        InputError: something is wrong with the configuration, the data or the names of the models.
    """
    _check_reward(config)
    REWARDS.settings(config.reward)  # imports a reward class of the user, and checks its settings
    optimizer, describer = backends(config, ready=ready, lm=lm)
    gone = None if ready else absent(config.data)
    data = (
        assumed(gone, config.task)
        if gone
        else load_data(
            config.data,
            seed=SPLIT_SEED,
            task=config.task,
            **config.about_data,
        )
    )
    check_count(len(every_name(data.class_names)))
    refuse_codes(data)
    drawn = draw_for(data, config)
    notes = [names_in_words(data), left_out(data)]
    if drawn.untested:
        notes.append(f"{several(drawn.untested)}: used in the search, but untested, for want of a second image")
    for note in filter(None, notes):
        if say:
            say(note)
    planned = Plan(config, data, drawn, optimizer, describer)
    forecast_of(planned.strategy, Expected(config, data.task))  # refuses settings that the strategy cannot use
    return planned


def names_of_others(tests: Sequence[TestSet]) -> tuple[str, ...]:
    """Return the class names of test sets with classes of their own, which the templates must fit, too."""
    return tuple(name for test in tests if test.clip is None for name in test.class_names)


def held_back_shots(config: RunConfig) -> int:
    """Return the most base images of a class that are held back as validation images."""
    return 0 if config.selection == "train" else config.val_shots


def backends(config: RunConfig, *, ready: bool = True, lm: Any = None) -> tuple[Backend | None, Backend | None]:
    """Return the language models of the strategy and of the describer, each None if there is none; see `plan`."""
    config.check_lm()

    def find(name: str, role: str, api_base: str | None) -> Backend:
        return find_backend(name, role=role, api_base=api_base, ready=ready)

    optimizer = describer = None
    if config.asks_lm:
        optimizer = Backend.of(lm) if isinstance(lm, dspy.BaseLM) else find(config.lm, "optimizer", config.lm_api_base)
    if config.describer != "none" and not given_descriptions(config.describer):
        replayed = config.lm.startswith(REPLAY)  # then nothing is asked, whatever the role
        name = config.lm if replayed else config.describer
        describer = find(name, "describer", config.describer_api_base)
    for backend in (optimizer, describer):
        if backend:
            backend.check_price(config.budget_usd)
    return optimizer, describer


def draw_for(data: DataSet, config: RunConfig) -> Draw:
    """Draw the images of a run from the data; see `draw`.

    Raises:
        InputError: too few classes or images.
    """
    classes: Literal["base", "all"] = "base" if config.classes == "base-to-new" else "all"
    return draw(data, config.shots, held_back_shots(config), config.seed, classes, config.train_images)


def _scores_accuracy(config: RunConfig) -> bool:
    return scores_accuracy(REWARDS.find(config.reward["name"]).maker())


def _check_reward(config: RunConfig) -> None:
    """Refuse names=search, verdict=balanced or classifier=text+images if the reward does not allow it.

    Raises:
        InputError: a setting is not allowed; the message says what to set.
    """
    if _scores_accuracy(config):
        return
    for key, value in (("names", "search"), ("verdict", "balanced"), ("classifier", "text+images")):
        if getattr(config, key) == value:
            name = config.reward["name"]
            raise InputError(f"{key}={value} is for the accuracy of labelled images, not for reward={name}.")


# Before money is spent: what a run would cost (`--dry-run`).


LOCAL_SECONDS = 1.5
"""The seconds of one call of the default local model, measured on two free cores."""
REMOTE_SECONDS = 3.0
"""The seconds of one call of a server that answers in a few lines; assumed, not measured."""


def estimate(planned: Plan) -> dict[str, Any]:
    """Forecast the calls of the language models in a run, and the most that they can cost.

    Calls that are repeated after unusable answers are not forecast: only a budget limits their number.

    Args:
        planned: the plan of the run.

    Returns:
        A dictionary with these keys:

        `optimizer`, `describer`: `name, calls, tokens_in, tokens_out, usd, seconds` of each model; None for a model
        that the run does not use. `usd` is the highest price; None: not known.
        `tokens`, `usd`, `seconds`: the most tokens, the price and the waiting time of both models together.
        `images`: the number of images of the run, the test ones included.
        `views`: the most further views of labelled images; they are encoded only if images may be added.
        `texts`: the most texts that are encoded: a template with a class name each.
    """
    drawn = planned.drawn
    searching = forecast_of(planned.strategy, _expected(planned))
    roles = {
        "optimizer": _optimizer(planned, planned.optimizer, searching) if planned.optimizer else None,
        "describer": _describer(planned, planned.describer) if planned.describer else None,
    }
    asked = [role for role in roles.values() if role]
    return {
        **roles,
        "tokens": sum(role["tokens_in"] + role["tokens_out"] for role in asked),
        "usd": total_usd(role["usd"] for role in asked),
        "seconds": sum(role["seconds"] for role in asked),
        "images": sum(map(len, (drawn.train, drawn.val, drawn.test, drawn.new_test))),
        "views": _views(planned),
        "texts": _texts(planned, searching),
    }


def tested_before(planned: Plan) -> int:
    """Return how many tests had at least half of the test images of a run; no CLIP is loaded for this.

    Return 0 if the images cannot be read yet: they are still to be fetched, or the run will refuse them.
    """
    held_out = [item.image for item in (*planned.drawn.test, *planned.drawn.new_test)]
    try:
        return times_before(lambda: in_threads(LazyImage.content, held_out))
    except InputError:
        return 0


def _views(planned: Plan) -> int:
    blends = planned.config.classifier != "text" and _scores_accuracy(planned.config)
    labelled = len(planned.drawn.train) + len(planned.drawn.val)
    return len(VIEWS) * labelled if blends and labelled <= MOST_VIEWED else 0


def _texts(planned: Plan, forecast: Forecast) -> int:
    search, classes = planned.config, len(planned.drawn.class_names)
    tried = min(forecast.scored_only, search.scored_templates)
    scored_only = texts_for(tried, classes, forecast.promising_only)
    controls = 80 if planned.with_80_templates else 0
    return classes * (1 + search.steps * search.candidates_per_step + controls) + scored_only


def _optimizer(planned: Plan, backend: Backend, asked: Forecast) -> dict[str, Any]:
    about = planned.drawn.class_names, planned.data.task, planned.config.max_tokens
    further = [forecast_domain(*about)] if room_for_words(planned.strategy) else []
    if planned.search.names == "search" and not backend.small:
        further.append(forecast_names(*about))
    for more in further:
        tokens = asked.tokens_in + more.tokens_in, asked.tokens_out + more.tokens_out
        asked = Forecast(asked.calls + more.calls, *tokens)
    return _forecast(backend, asked)


def _expected(planned: Plan) -> Expected:
    config, drawn = planned.config, planned.drawn
    described = 0 if config.describer == "none" else MOST_CHARACTERS
    return Expected(config, planned.data.task, described, config.max_tokens, len(drawn.class_names), config.asks_lm)


def _describer(planned: Plan, backend: Backend) -> dict[str, Any]:
    asked = QUESTIONS[planned.config.describer_question]
    calls = min(planned.config.described_images, len(planned.drawn.train))
    inputs = {"task": planned.data.task, "image": dspy.Image("data:image/png;base64,")}
    told = {name: value for name, value in inputs.items() if name in asked.signature.input_fields}
    question = most_tokens(asked.signature, told) + TOKENS_PER_IMAGE
    return _forecast(backend, Forecast(calls, calls * question, calls * asked.max_tokens))


def _forecast(backend: Backend, expected: Forecast) -> dict[str, Any]:
    return {
        "name": backend.model,
        "calls": expected.calls,
        "tokens_in": expected.tokens_in,
        "tokens_out": expected.tokens_out,
        "usd": backend.price(expected.tokens_in, expected.tokens_out),
        "seconds": round(expected.calls * (LOCAL_SECONDS if backend.small else REMOTE_SECONDS)),
    }
