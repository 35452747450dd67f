"""What a strategy is: a way to find new templates. The loop of `programs/search.py` does all the rest.

A strategy has two halves. `look` selects what `ask` may know of the search so far; `ask` finds new templates and knows
nothing else. A control, such as shuffled scores, changes only `look`, so that what it hides cannot leak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel

from ipo_prompts.programs.settings import SearchSettings

if TYPE_CHECKING:
    import dspy
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.metrics.reward import Score
    from ipo_prompts.programs.history import PromptHistory

Refuse = Callable[[str], str | None]
"""Says why a template cannot be used, or None."""
REFUSALS_SHOWN = 10
"""Refused templates that a question repeats, at most."""


@dataclass(frozen=True)
class SearchState:
    """All that is known before a step.

    Attributes:
        task: one sentence on what the pictures are.
        class_names: what fills the slot.
        descriptions: what a few of the pictures look like.
        labels: int64, the class of each search picture; None where a reward has no labels.
        step: from 0.
        seed: of this step.
        count: how many templates are wanted.
        history: every template tried, with its `Score`.
    """

    task: str
    class_names: Sequence[str]
    descriptions: Sequence[str]
    labels: npt.NDArray[np.int64] | None
    step: int
    seed: int
    count: int
    history: PromptHistory


@dataclass(frozen=True)
class ShownTemplate:
    """One row of what is shown: value a fraction in [0, 1], loss ≥ 0; None where they are hidden."""

    template: str
    value: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Shown:
    """What `ask` may know. The journal records its rows before anything is asked.

    Attributes:
        task, class_names, descriptions: as in `SearchState`.
        templates: rows of the history, worst first, best last.
        findings: what the history teaches, a few lines of text.
    """

    task: str
    class_names: Sequence[str] = ()
    descriptions: Sequence[str] = ()
    templates: Sequence[ShownTemplate] = ()
    findings: Sequence[str] = ()


class Desk(Protocol):
    """The loop's side of a step, handed to `ask`; see `programs.admission.Desk`."""

    count: int
    seed: int
    accepted: list[str]

    @property
    def missing(self) -> int:
        """How many templates are still wanted."""
        ...

    @property
    def refusals(self) -> Sequence[str]:
        """The last refused templates of this step, each with the reason in brackets."""
        ...

    def admit(self, text: object, *, extra: Refuse | None = None, as_it_is: bool = False) -> str | None:
        """Accept a template, or return why not."""
        ...

    def refuse(self, text: str, reason: str) -> None:
        """Record an answer that holds no template."""
        ...

    def look_at(self, templates: Sequence[str]) -> list[Score]:
        """Score templates on the search units without proposing them; those invalid or over the limit are left out."""
        ...

    def beside(self, count: int) -> Desk:
        """Return a desk that admits `count` templates for this strategy's own use: they are not proposed."""
        ...

    def finish(self, reason: str) -> None:
        """End the search after this step, and say why."""
        ...


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
    """The language model that a strategy is built with.

    Attributes:
        lm: for `dspy.context(lm=…)`; None asks the model of the context.
        small: whether it is best asked for one template at a time, under a grammar.
        given: whether there is one at all; without, a strategy that only `asks_lm` does with what it has.
    """

    lm: dspy.LM | None = None
    small: bool = False
    given: bool = True


class Strategy(Protocol):
    """A way to find new templates. One file each, one line in `strategies/__init__.py`.

    Attributes:
        asks_lm: whether it asks a language model where there is one.
        needs_lm: whether it cannot do without.
        Settings: its own settings; on the command line `strategy.KEY=VALUE`.
    """

    asks_lm: ClassVar[bool]
    needs_lm: ClassVar[bool]
    Settings: ClassVar[type[BaseModel]]

    @classmethod
    def build(cls, settings: Any, models: Models) -> Strategy:
        """Make it from its own settings; no model is asked or loaded."""
        ...

    def look(self, state: SearchState) -> Shown:
        """Select what `ask` may know of the search so far."""
        ...

    def ask(self, shown: Shown, desk: Desk) -> None:
        """Find up to `desk.count` new templates and hand each to `desk.admit`; return nothing.

        The same `shown` and `desk.seed` must give the same templates: a resumed search asks again, and finds recorded
        replies by their request. Limit work by counts, never by seconds.

        Raises:
            dspy.LMError: the language model could not be reached or refused the request.
            BudgetReached: a limit would be passed.
        """
        ...

    def forecast(self, expected: Expected) -> Forecast:
        """Estimate what a whole search would ask; no model is asked or loaded.

        Raises:
            InputError: the search cannot be done with these settings.
        """
        ...
