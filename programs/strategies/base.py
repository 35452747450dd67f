"""The definition of a strategy. A strategy finds new templates; `programs/search.py` does everything else.

A strategy needs one method, `ask`. The method receives all that the strategy may know, and hands in new templates.
A control, such as `no-history`, only changes the knowledge of a strategy. So the strategy cannot learn anything that
the control hides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import check_members
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.metrics.template import read_templates
from ipo_prompts.programs.templates.domain_words import DomainWord
from ipo_prompts.programs.templates.settings import SearchSettings

if TYPE_CHECKING:
    import dspy
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.programs.templates.admission import Desk
    from ipo_prompts.programs.templates.history import PromptHistory


@dataclass(frozen=True, slots=True)
class ScoredOnly:
    """A template that was scored on the search units but not proposed, see `Desk.score_only`.

    Attributes:
        template: the template.
        value: the value of the template on the search units, on the reward's scale. A template that was tried and not
            scored, because others were more promising, has the value minus infinity.
        loss: the mean loss; infinity for a template that was not scored.
        step: the number of the step that scored the template.
        around: the template that this template was made from, or "".
    """

    template: str
    value: float
    loss: float
    step: int
    around: str = ""

    @property
    def is_scored(self) -> bool:
        """Whether the template was scored."""
        return self.value > -math.inf

    @property
    def rank(self) -> tuple[float, float]:
        """The rank of the score; see `Score.rank`."""
        return (self.value, -self.loss)


@dataclass(frozen=True)
class Known:
    """Everything that a strategy may know before a step.

    Attributes:
        task: one sentence that says what the pictures are.
        history: the initial template and every proposed template, each with its `Score`.
        class_names: the class names that fill the slot.
        descriptions: descriptions of a few pictures.
        labels: int64, the label of each search picture, read-only; None if the reward has no labels.
        step: the number of the step, from 0.
        seed: the seed of this step.
        count: the number of templates that are wanted in this step.
        scored_only: every template that was scored only, in the order of scoring.
        scale: the scale of the reward's values.
        domain: the domain words, the most promising first.
    """

    task: str
    history: PromptHistory
    class_names: Sequence[str] = ()
    descriptions: Sequence[str] = ()
    labels: npt.NDArray[np.int64] | None = None
    step: int = 0
    seed: int = 0
    count: int = 1
    scored_only: Sequence[ScoredOnly] = ()
    scale: Scale = FRACTION
    domain: Sequence[DomainWord] = ()


@dataclass(frozen=True)
class Forecast:
    """An estimate of the calls and tokens with which a whole search asks a language model.

    Attributes:
        calls: the usual number of calls.
        tokens_in, tokens_out: the most tokens of all questions together, and of all replies together.
        scored_only: the most templates that are scored without being proposed.
        promising_only: whether only the promising ones of these are scored.
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    scored_only: int = 0
    promising_only: bool = False


@dataclass(frozen=True)
class Expected:
    """The data from which a forecast is made.

    Attributes:
        settings, task: the settings and the task of the search.
        description_characters: the number of characters of all descriptions together.
        reply_tokens: the most tokens of a reply.
        classes: the number of classes; 0 if it is not known.
    """

    settings: SearchSettings
    task: str
    description_characters: int = 0
    reply_tokens: int = 1024
    classes: int = 0


@dataclass(frozen=True)
class Models:
    """The language model that a strategy is built with.

    Attributes:
        lm: the language model, for `dspy.context(lm=…)`; None uses the model of the context.
        small: whether the model is a small local one, which is asked for plain lines under a grammar.
        given: whether there is a language model. If not, a strategy that has `asks_lm` but not `needs_lm` uses only the
            vocabulary.
    """

    lm: dspy.LM | None = None
    small: bool = False
    given: bool = True


class Strategy(Protocol):
    """A way to find new templates. Any object with `ask` is a strategy; the functions below read the other members.

    Optional attributes:
        asks_lm: whether the strategy asks a language model if there is one. Default: False.
        needs_lm: whether the strategy cannot work without a language model. Default: False.
        forecast: `forecast(expected)` returns a `Forecast` of a whole search, without asking or loading a model. It
            raises `InputError` if the search cannot be done with these settings. Default: the strategy asks nothing.
        may_know: `may_know(known)` returns the `Known` that `ask` receives in place of `known`. Default: `known`.
        close: a method that is called when the search has ended, also after an error.
        room_for_words: how many domain words the strategy tries. None is looked for if this is 0. Default: 0.
        passes_over: a text for the report. It says why the strategy may not propose a template although its value is
            higher than the best so far.
        Settings, build: for a strategy with a name in `strategies/__init__.py`. `Settings` is a pydantic model of the
            strategy's settings, on the command line `strategy.KEY=VALUE`. `build(settings, models)` makes the strategy
            from them, without asking or loading a model.
    """

    def ask(self, known: Known, desk: Desk) -> None:
        """Find up to `desk.count` new templates and hand each to `desk.admit`; return nothing.

        The same `known` must give the same templates: a resumed search asks again, and finds each recorded reply by
        its request. Limit work by counts, never by seconds.

        Raises:
            dspy.LMError: the language model could not be reached or refused the request.
            BudgetReached: a limit would be passed.
        """


def asks_lm(strategy: Any) -> bool:
    """Return whether a strategy, or an object of a strategy class, asks a language model if there is one."""
    return bool(getattr(strategy, "asks_lm", False))


def needs_lm(strategy: Any) -> bool:
    """Return whether a strategy, or an object of a strategy class, cannot work without a language model."""
    return bool(getattr(strategy, "needs_lm", False))


def forecast_of(strategy: Any, expected: Expected) -> Forecast:
    """Return the forecast of a strategy for a whole search; zeros if the strategy has no `forecast`.

    Raises:
        InputError: the search cannot be done with these settings.
    """
    forecast: Callable[[Expected], Forecast] | None = getattr(strategy, "forecast", None)
    return forecast(expected) if forecast else Forecast()


def may_know(strategy: Any, known: Known) -> Known:
    """Return the part of `known` that a strategy may know."""
    change: Callable[[Known], Known] | None = getattr(strategy, "may_know", None)
    return change(known) if change else known


def close(strategy: Any) -> None:
    """Tell a strategy that its search has ended."""
    if ended := getattr(strategy, "close", None):
        ended()


def room_for_words(strategy: Any) -> int:
    """Return how many domain words a strategy tries; 0 if it has no `room_for_words`."""
    return int(getattr(strategy, "room_for_words", 0))


def own_strategy(made: type, what: str) -> type:
    """Return a strategy class, of a name or of `module:Class`, after a check.

    Raises:
        InputError: the class has no `ask`. `what` names the class.
    """
    check_members(made, ["ask"], what, "strategies")
    return made


# A list of templates in place of a language model. It shows how much a search gains without new templates.


class GivenSettings(BaseModel, extra="forbid", frozen=True):
    """The settings of the strategy `list`."""

    file: Path = Field(description="a text file, one template a line; or a run, whose proposed templates are taken")


class GivenTemplates:
    """Proposes the templates of a list in their order: in each step as many as are wanted.

    Args:
        templates: the templates, which are not changed. A template that cannot be scored is refused with a reason.
    """

    Settings: ClassVar[type[BaseModel]] = GivenSettings

    def __init__(self, templates: Sequence[str]) -> None:
        self._templates = (templates,) if isinstance(templates, str) else tuple(templates)

    @classmethod
    def build(cls, settings: GivenSettings, models: Models) -> Strategy:
        """Return the strategy with the templates of the file.

        Raises:
            InputError: the file cannot be read.
        """
        return cls(read_templates(settings.file))

    def ask(self, known: Known, desk: Desk) -> None:
        """Propose the templates that follow the last template of the previous step."""
        before = [entry.template for entry in known.history if entry.step == known.step - 1 >= 0]
        position = self._templates.index(before[-1]) + 1 if before else 0
        while desk.missing > 0 and position < len(self._templates):
            desk.admit(self._templates[position], as_it_is=True)
            position += 1
        if position == len(self._templates):
            desk.finish("the list of templates is used up")

    def forecast(self, expected: Expected) -> Forecast:
        """Return zeros: no language model is asked.

        Raises:
            InputError: the list has more templates than the search tries.
        """
        settings, count = expected.settings, len(self._templates)
        needed = math.ceil(count / settings.candidates_per_step)
        if needed > settings.steps:
            raise InputError(
                f"the list has {count} templates and steps={settings.steps} of {settings.candidates_per_step} try "
                f"{settings.steps * settings.candidates_per_step} of them; write steps={needed}."
            )
        return Forecast()
