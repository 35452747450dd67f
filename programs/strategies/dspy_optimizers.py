"""DSPy's own optimizers as strategies: COPRO and GEPA write templates; the loop scores, counts, and chooses.

An optimizer asks and scores as it likes, and the loop asks a strategy step by step. So the optimizer runs in a thread
of its own, which works only while `ask` waits for it. It hands each question and each new template to `ask` and waits
for the answer: what it asks is recorded, limits hold, and errors come up as those of any other strategy. A resumed
search runs it anew, with the recorded replies. What it is given is in `running_optimizers.py`.
"""

from __future__ import annotations

import contextvars
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import key
from ipo_prompts.programs.strategies.base import Expected, Forecast, Known, Models, Strategy

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.metrics.reward import Score
    from ipo_prompts.programs.templates.admission import Desk

IN_VAIN = 10
"""Questions in a row without one new template, after which GEPA has ended: it would repeat itself for ever."""
ROUNDS_IN_VAIN = 3
"""Those of COPRO, which asks for a whole round before it tries the first."""

SMALL_TOKENS = 128
"""Of a reply of a small model, which would go on and on: a template and the names of the fields have half of them."""


class CoproSettings(BaseModel, extra="forbid", frozen=True):
    """How COPRO asks."""

    breadth: int = Field(10, ge=2, description="templates of a round, each asked for in a request of its own")


class GepaSettings(BaseModel, extra="forbid", frozen=True):
    """How GEPA asks."""

    minibatch: int = Field(16, ge=1, description="search pictures whose results a question tells")


class _Ended(BaseException):
    """Ends the thread of an optimizer; no `except Exception` holds it up."""


class _Thread:
    """A thread that works only while another one waits for what it says.

    Args:
        work: what it does; given `say`.
    """

    def __init__(self, work: Callable[[_Thread], None]) -> None:
        self._said: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._over = False
        run = contextvars.copy_context().run  # the language model of the context
        self._thread = threading.Thread(target=run, args=(self._work, work), daemon=True, name="optimizer")

    def hear(self, answer: Any = None) -> tuple[str, Any]:
        """Answer what it said last, wait, and return what it says: what that is, and its content."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._answers.put(answer)
        return self._said.get()

    def say(self, what: str, content: Any) -> Any:
        """Say something, by the thread itself; return the answer."""
        if not self._over:
            self._said.put((what, content))
            answer = self._answers.get()
        if self._over:
            raise _Ended
        return answer

    def end(self) -> None:
        """End it, wherever it is, and wait for that."""
        self._over = True
        self._answers.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self, work: Callable[[_Thread], None]) -> None:
        try:
            work(self)
            self._said.put(("ended", None))
        except _Ended:
            pass
        except BaseException as error:
            self._said.put(("failed", error))


class _Optimizer(ABC):
    """What both have in common.

    Args:
        lm: the model to ask; the one of `dspy.context` when None.
        settings: how it asks; or its fields as keywords.
        small: whether the model answers the same request with the same reply, so that each needs a seed of its own.
    """

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]]
    name: ClassVar[str]

    def __init__(self, lm: dspy.LM | None = None, settings: Any = None, small: bool = False, **fields: Any) -> None:
        self.lm = lm
        self.settings: Any = settings or self.Settings(**fields)
        self.small = small
        self._thread: _Thread | None = None
        self._answer: Any = None
        self._asked = 0

    @classmethod
    def build(cls, settings: BaseModel, models: Models) -> Strategy:
        """See `Strategy`."""
        return cls(models.lm, settings, models.small)

    @abstractmethod
    def optimize(self, known: Known, worth: Callable[[str], Score | str]) -> None:
        """Run the optimizer in its thread; `worth` gives the score of what it wrote, or why it cannot be used."""

    def in_vain(self) -> int:
        """Return how many questions in a row may bring no new template."""
        return IN_VAIN

    def ask(self, known: Known, desk: Desk) -> None:
        """Let the optimizer go on until it has handed in as many new templates as are wanted.

        Raises:
            InputError: the reward does not say what the optimizer learns from.
        """
        if self._thread is None or known.step == 0:
            self.close()
            self._begin(known)
        assert self._thread is not None
        answer = self._answer
        while desk.missing > 0:
            what, content = self._thread.hear(answer)
            if what == "question":
                self._asked += 1
                if self._asked > self.in_vain():
                    desk.finish(f"{self.name} wrote no new template in {self.in_vain()} questions")
                    return
                answer = self._reply(content)
            elif what == "template":
                answer = desk.score(content)
                self._asked = self._asked if isinstance(answer, str) else 0
            elif what == "failed":
                raise content
            else:
                desk.finish(f"{self.name} has ended")
                return
        self._answer = answer  # heard in the next step, so that the thread rests until then

    def close(self) -> None:
        """End the optimizer."""
        if self._thread:
            self._thread.end()
        self._thread = None

    def _begin(self, known: Known) -> None:
        import dspy

        from ipo_prompts.programs.strategies.running_optimizers import handing_on

        model = self.lm or dspy.settings.lm
        scores: dict[str, Score | str] = {key(entry.template): entry.score for entry in known.history}
        self._model, self._seeds = model, random.Random(known.seed)
        self._asked, self._answer = 0, None

        def work(thread: _Thread) -> None:
            def worth(template: str) -> Score | str:
                if (name := key(template)) not in scores:
                    scores[name] = thread.say("template", template)
                return scores[name]

            with dspy.context(lm=handing_on(model, lambda request: thread.say("question", request))):
                self.optimize(known, worth)

        self._thread = _Thread(work)

    def _reply(self, request: Any) -> Any:
        from ipo_prompts.programs.lm.ledger import explain

        if self.small:
            seed = self._seeds.getrandbits(31)
            request = replace(request, config=replace(request.config, seed=seed, max_tokens=SMALL_TOKENS))
        try:
            return self._model(request, cache=False)
        except Exception as error:
            if (shown := explain(error)) is error:
                raise
            raise shown from error


class Copro(_Optimizer):
    """COPRO: a round of templates at once, each round with the best of those before it and their values."""

    Settings: ClassVar[type[BaseModel]] = CoproSettings
    name: ClassVar[str] = "COPRO"

    def in_vain(self) -> int:
        """See `_Optimizer`."""
        return ROUNDS_IN_VAIN * int(self.settings.breadth)

    def optimize(self, known: Known, worth: Callable[[str], Score | str]) -> None:
        """See `_Optimizer`."""
        from ipo_prompts.programs.strategies.running_optimizers import run_copro

        run_copro(known, worth, self.settings.breadth)

    def forecast(self, expected: Expected) -> Forecast:
        """Count one call a template in whole rounds, the first of which has one less; tokens are bounded.

        Questions again, because templates repeat others or cannot be used, are not forecast.
        """
        from ipo_prompts.programs.strategies.running_optimizers import copro_question

        breadth, wanted = self.settings.breadth, expected.settings.steps * expected.settings.candidates_per_step
        later = max(0, -(-(wanted - breadth + 1) // breadth))
        return _forecast(breadth - 1 + later * breadth, copro_question(breadth), expected)


class Gepa(_Optimizer):
    """GEPA: one template at a time, from what another one took a few pictures for; one that is better there is kept."""

    Settings: ClassVar[type[BaseModel]] = GepaSettings
    name: ClassVar[str] = "GEPA"

    def optimize(self, known: Known, worth: Callable[[str], Score | str]) -> None:
        """See `_Optimizer`."""
        from ipo_prompts.programs.strategies.running_optimizers import run_gepa

        run_gepa(known, worth, self.settings.minibatch)

    def ask(self, known: Known, desk: Desk) -> None:
        """See `_Optimizer`; refuse a reward that does not say which picture was taken for what."""
        initial = known.history.initial.score
        if known.labels is None or not len(known.labels) == len(initial.predictions) == initial.n:
            raise InputError(
                "strategy=gepa learns from which picture was taken for which class, and this reward does not say it; "
                "choose strategy=copro, which learns from the values alone, or another strategy."
            )
        super().ask(known, desk)

    def forecast(self, expected: Expected) -> Forecast:
        """Count one call a template; tokens are bounded for classes with names of up to 60 characters.

        Questions again, because templates repeat others or cannot be used, are not forecast.
        """
        from ipo_prompts.programs.strategies.running_optimizers import gepa_question

        calls = expected.settings.steps * expected.settings.candidates_per_step
        return _forecast(calls, gepa_question(self.settings.minibatch), expected)


def _forecast(calls: int, question: list[str], expected: Expected) -> Forecast:
    tokens = sum(map(expected.count, question))
    return Forecast(calls, calls * tokens, calls * expected.reply_tokens, tokens)
