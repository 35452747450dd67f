"""What a strategy is: a way to find new templates. The loop of `programs/search.py` does all the rest.

A strategy needs one method: `ask` is given all that may be known, and hands in new templates. A control, such as
shuffled scores, is a function that changes what may be known, and nothing else: what it hides cannot leak.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import blaming, check_members, settings_of
from ipo_prompts.metrics.scale import FRACTION, Scale
from ipo_prompts.metrics.template import read_templates
from ipo_prompts.programs.templates.phrases import VocabularyName
from ipo_prompts.programs.templates.settings import SearchSettings

if TYPE_CHECKING:
    import dspy
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.programs.templates.admission import Desk
    from ipo_prompts.programs.templates.history import PromptHistory


@dataclass(frozen=True, slots=True)
class ScoredOnly:
    """A template that was scored on the search units without being proposed, see `Desk.score_only`.

    Attributes:
        value, loss: what is maximised, on the reward's scale; the mean loss.
        step: the step that looked at it.
        around: the template whose neighbourhood it is from, or "".
    """

    template: str
    value: float
    loss: float
    step: int
    around: str = ""

    @property
    def rank(self) -> tuple[float, float]:
        """See `Score.rank`."""
        return (self.value, -self.loss)


@dataclass(frozen=True)
class Known:
    """All that may be known before a step.

    Attributes:
        task: one sentence on what the pictures are.
        history: every template tried, with its `Score`.
        class_names: what fills the slot.
        descriptions: what a few of the pictures look like.
        labels: int64, the class of each search picture, read-only; None where a reward has no labels.
        step: from 0.
        seed: of this step.
        count: how many templates are wanted.
        scored_only: every template looked at so far, in order.
        scale: the numbers that values are in.
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

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that are others where anything else is known; scores count to six decimals."""
        tried = [(one.template, round(one.value, 6), round(one.loss, 6), one.step, one.source) for one in self.history]
        scored_only = [
            (one.template, round(one.value, 6), round(one.loss, 6), one.step, one.around) for one in self.scored_only
        ]
        labels = None if self.labels is None else self.labels.tolist()
        about = (self.task, [*self.class_names], [*self.descriptions], labels, self.step, self.seed, self.count)
        text = json.dumps((about, tried, scored_only))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Forecast:
    """What a whole search would ask of a language model: its usual number of calls, and the most tokens of them all.

    Attributes:
        longest: the most tokens of one question, as `Expected.count` counts; when it is not given, the mean of
            `tokens_in`.
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    longest: int = 0

    def __post_init__(self) -> None:
        if not self.longest and self.calls:
            object.__setattr__(self, "longest", -(-self.tokens_in // self.calls))


@dataclass(frozen=True)
class Expected:
    """What a forecast is made from.

    Attributes:
        settings, task: of the search.
        description_characters: the length of all descriptions together.
        reply_tokens: the longest reply that a language model is asked for.
        count: the tokens of a text; a token for each byte, which no tokenizer exceeds, where there is no better.
    """

    settings: SearchSettings
    task: str
    description_characters: int = 0
    reply_tokens: int = 1024
    count: Callable[[str], int] = lambda text: len(text.encode("utf-8", "replace"))


@dataclass(frozen=True)
class Models:
    """What a strategy is built with: the language model, and the vocabulary of phrases.

    Attributes:
        lm: for `dspy.context(lm=…)`; None asks the model of the context.
        small: whether it is best asked for one template at a time, under a grammar.
        given: whether there is one at all; without, a strategy that only `asks_lm` does with what it has.
        vocabulary: where phrases are taken from that no language model wrote.
    """

    lm: dspy.LM | None = None
    small: bool = False
    given: bool = True
    vocabulary: VocabularyName = "shipped"


class Strategy(Protocol):
    """A way to find new templates. Any object with `ask` is one; the functions below read the other members.

    Attributes that it may have:
        asks_lm: whether it asks a language model where there is one; False.
        needs_lm: whether it cannot do without; False.
        forecast: `forecast(expected)` estimates what a whole search would ask, without asking or loading a model, and
            raises `InputError` where the search cannot be done with these settings; nothing.
        may_know: `may_know(known)` returns what `ask` is given in place of `known`; all.
        close: called when the search has ended, however it ended.
        vocabulary: the name of the vocabulary whose phrases it puts together, for the report; none.
        passes_over: why it may not propose a template that has more than the best so far, in words for the report.
        Settings, build: with a name in `strategies/__init__.py`: a pydantic model of its own settings, on the command
            line `strategy.KEY=VALUE`; `build(settings, models)` makes it from them, without asking or loading a model.
    """

    def ask(self, known: Known, desk: Desk) -> None:
        """Find up to `desk.count` new templates and hand each to `desk.admit`; return nothing.

        The same `known` must give the same templates: a resumed search asks again, and finds recorded replies by their
        request. Limit work by counts, never by seconds.

        Raises:
            dspy.LMError: the language model could not be reached or refused the request.
            BudgetReached: a limit would be passed.
        """


def asks_lm(strategy: Any) -> bool:
    """Whether a strategy, or one of such a class, asks a language model where there is one."""
    return bool(getattr(strategy, "asks_lm", False))


def needs_lm(strategy: Any) -> bool:
    """Whether a strategy, or one of such a class, cannot do without a language model."""
    return bool(getattr(strategy, "needs_lm", False))


def forecast_of(strategy: Any, expected: Expected) -> Forecast:
    """Return what a strategy expects to ask in a whole search; nothing where it does not say.

    Raises:
        InputError: the search cannot be done with these settings.
    """
    forecast: Callable[[Expected], Forecast] | None = getattr(strategy, "forecast", None)
    return forecast(expected) if forecast else Forecast()


def may_know(strategy: Any, known: Known) -> Known:
    """Return what a strategy may know of all that is known."""
    change: Callable[[Known], Known] | None = getattr(strategy, "may_know", None)
    return change(known) if change else known


def close(strategy: Any) -> None:
    """Tell a strategy that its search has ended."""
    if ended := getattr(strategy, "close", None):
        ended()


class Knowing:
    """Asks as another strategy does, which may know only what a function leaves: a control.

    Args:
        inner: the other strategy.
        change: makes what it may know from what is known.
    """

    asks_lm = True
    needs_lm = True

    def __init__(self, inner: Strategy, change: Callable[[Known], Known]) -> None:
        self.inner = inner
        self.change = change

    def may_know(self, known: Known) -> Known:
        """Change what is known; `inner` may change that again."""
        return may_know(self.inner, self.change(known))

    def ask(self, known: Known, desk: Desk) -> None:
        """Ask as the other strategy, of what `may_know` gave."""
        self.inner.ask(known, desk)

    def forecast(self, expected: Expected) -> Forecast:
        """Estimate as the other strategy."""
        return forecast_of(self.inner, expected)

    def close(self) -> None:
        """Close the other strategy."""
        close(self.inner)


# A plain strategy class, as the registry finds it: one of the user's own, `strategy=module:Class`, or a listed one.


MEMBERS = ("ask",)
"""What a class has to have; without `build` it is made with its settings as keywords."""


class OwnStrategy:
    """A class that is found by a name or by `module:Class`.

    Args:
        made: the class.
        what: asks for it, for messages: `strategy=mine:Waves`.

    Raises:
        InputError: it lacks something.
    """

    def __init__(self, made: type, what: str) -> None:
        check_members(made, MEMBERS, what, "strategies")
        self.Settings = settings_of(made, what)
        self.asks_lm, self.needs_lm = asks_lm(made), needs_lm(made)
        self._made, self._what = made, what

    def build(self, settings: BaseModel, models: Models) -> Strategy:
        """Make the strategy, see `Strategy.build`.

        Raises:
            InputError: it cannot be made; says where in its file.
        """
        with blaming(self._what):
            if hasattr(self._made, "build"):
                return cast("Strategy", self._made.build(settings, models))
            return cast("Strategy", self._made(**dict(settings)))


# A given list of templates instead of a language model: shows what can be gained without writing new ones.


class GivenSettings(BaseModel, extra="forbid", frozen=True):
    """Where the templates come from."""

    file: Path = Field(description="a text file, one template a line")


class GivenTemplates:
    """Proposes the templates of a list in their order, as many a step as are wanted.

    Args:
        templates: taken as they are; those that cannot be scored are refused with a reason.
    """

    Settings: ClassVar[type[BaseModel]] = GivenSettings

    def __init__(self, templates: Sequence[str]) -> None:
        self._templates = (templates,) if isinstance(templates, str) else tuple(templates)

    @classmethod
    def build(cls, settings: GivenSettings, models: Models) -> Strategy:
        """Read the list.

        Raises:
            InputError: the file cannot be read.
        """
        return cls(read_templates(settings.file))

    def ask(self, known: Known, desk: Desk) -> None:
        """Propose the templates that follow the last one of the step before, which was filled."""
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
            InputError: the list is longer than the search: its end would never be tried.
        """
        settings, count = expected.settings, len(self._templates)
        needed = math.ceil(count / settings.candidates_per_step)
        if needed > settings.steps:
            raise InputError(
                f"the list has {count} templates and steps={settings.steps} of {settings.candidates_per_step} try "
                f"{settings.steps * settings.candidates_per_step} of them; write steps={needed}."
            )
        return Forecast()
