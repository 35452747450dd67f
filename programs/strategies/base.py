"""The definition of a strategy. A strategy finds new templates; `programs/search.py` does everything else.

A strategy needs one method, `ask`. It tries and proposes templates on the bench that it is given (`programs/bench.py`).
A strategy is made anew for each search, and may keep what it likes from step to step.
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
from ipo_prompts.metrics.template import read_templates
from ipo_prompts.programs.search_settings import SearchSettings

if TYPE_CHECKING:
    from ipo_prompts.programs.bench import Bench


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


def most_tokens(signature: Any, inputs: dict[str, Any]) -> int:
    """Return an upper bound of the tokens of a question: each byte of UTF-8 makes at most one token."""
    import dspy

    messages = dspy.ChatAdapter().format(signature, [], inputs)
    return sum(len(str(message["content"]).encode()) for message in messages)


@dataclass(frozen=True)
class Expected:
    """The data from which a forecast is made.

    Attributes:
        settings, task: the settings and the task of the search.
        description_characters: the number of characters of all descriptions together.
        reply_tokens: the most tokens of a reply.
        classes: the number of classes; 0 if it is not known.
        lm: whether there is a language model.
    """

    settings: SearchSettings
    task: str
    description_characters: int = 0
    reply_tokens: int = 1024
    classes: int = 0
    lm: bool = True


class Strategy(Protocol):
    """A way to find new templates. Any object with `ask` is a strategy; the functions below read the other members.

    Optional attributes:
        asks_lm: whether the strategy asks a language model if there is one. Default: False.
        needs_lm: whether the strategy cannot work without a language model. Default: False.
        knows_history: whether the strategy sees the scores of templates that were proposed or tried in earlier steps.
            A control sets it to False; then `bench.history` holds the initial template only. Default: True.
        forecast: `forecast(expected)` returns a `Forecast` of a whole search, without asking or loading a model. It
            raises `InputError` if the search cannot be done with these settings. Default: the strategy asks nothing.
        close: a method that is called when the search has ended, also after an error.
        room_for_words: how many domain words the strategy tries. None is looked for if this is 0. Default: 0.
        passes_over: a text for the report. It says why the strategy may not propose a template although its value is
            higher than the best so far.
        Settings: a pydantic model; each field is a setting, on the command line `strategy.KEY=VALUE`, and a keyword
            argument of the class.
    """

    def ask(self, bench: Bench) -> str | None:
        """Do one step: try templates, and propose up to `bench.count`. Return why the search ends, or None.

        A language model is asked in `dspy.context(lm=…)`, in which the search runs. A resumed search repeats all steps
        with the recorded replies. So take random numbers from `bench.seed`, and limit work by counts, never by seconds.

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


def knows_history(strategy: Any) -> bool:
    """Return whether a strategy sees the scores of earlier steps."""
    return bool(getattr(strategy, "knows_history", True))


def forecast_of(strategy: Any, expected: Expected) -> Forecast:
    """Return the forecast of a strategy for a whole search; zeros if the strategy has no `forecast`.

    Raises:
        InputError: the search cannot be done with these settings.
    """
    forecast: Callable[[Expected], Forecast] | None = getattr(strategy, "forecast", None)
    return forecast(expected) if forecast else Forecast()


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
    """Proposes the templates of a list in their order, unchanged: in each step as many as are wanted.

    Args:
        templates: the templates. A template that cannot be scored is refused with a reason.
        file: the file to read them from, see `GivenSettings`.

    Raises:
        InputError: the file cannot be read.
    """

    Settings: ClassVar[type[BaseModel]] = GivenSettings

    def __init__(self, templates: Sequence[str] = (), file: Path | None = None) -> None:
        self._left = list(read_templates(file) if file else templates)

    def ask(self, bench: Bench) -> str | None:
        """Propose the next templates."""
        while bench.missing > 0 and self._left:
            bench.propose([self._left.pop(0)])
        return None if self._left else "the list of templates is used up"

    def forecast(self, expected: Expected) -> Forecast:
        """Return zeros: no language model is asked.

        Raises:
            InputError: the list has more templates than the search tries.
        """
        settings, count = expected.settings, len(self._left)
        needed = math.ceil(count / settings.candidates_per_step)
        if needed > settings.steps:
            raise InputError(
                f"the list has {count} templates and steps={settings.steps} of {settings.candidates_per_step} try "
                f"{settings.steps * settings.candidates_per_step} of them; write steps={needed}."
            )
        return Forecast()
