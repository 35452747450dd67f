"""DSPy's optimizers as strategies: COPRO and GEPA write templates; the search scores, counts and chooses.

    ipo optimize strategy=examples.dspy_optimizers:Gepa

An optimizer asks the language model and scores templates at any time, but the search calls a strategy step by step. So
the optimizer runs in its own thread, which works only while `ask` waits for it. The thread hands each question and each
new template to `ask`, and waits for the answer. In this way, questions are recorded, limits are kept and errors are
raised as for any other strategy. A resumed search runs the optimizer again, with the recorded replies.

Neither images nor their paths are sent to the language model. To the optimizer, an image is a number, whose
predicted class is in the scores.
"""

from __future__ import annotations

import contextvars
import logging
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, ClassVar

import dspy
from dspy.lm15 import Request, Response
from dspy.teleprompt import copro_optimizer
from dspy.teleprompt.gepa import InstructionProposer
from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch
from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError, silent
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.template import key
from ipo_prompts.programs.bench import Bench
from ipo_prompts.programs.for_dspy import (
    BETTER,
    NOTE,
    AboutTemplates,
    signature_of,
    template_in,
    with_feedback,
)
from ipo_prompts.programs.lm import is_local
from ipo_prompts.programs.lm.connect import options_of
from ipo_prompts.programs.lm.ledger import explain
from ipo_prompts.programs.strategies.base import Expected, Forecast

logger = logging.getLogger(__name__)

Worth = Callable[[str], Score | str]
"""A function that returns the score of a template, or a text that says why the template cannot be used."""
IN_VAIN = 10
"""GEPA is ended after more than this many questions in a row without a new template: it would repeat itself."""
ROUNDS_IN_VAIN = 3
"""The same limit for COPRO, in rounds: COPRO asks all questions of a round before it scores the first template."""

SMALL_TOKENS = 128
"""Most tokens in a reply of a small model, which might not stop. A template and the field names need half."""
MANY = 1_000_000
"""Rounds of COPRO: more than any search needs, so that the search ends COPRO."""
IDLE = 100
"""GEPA is ended after more than this many rounds in a row without a question: it has no wrong prediction to learn
from."""
PART = "template"
"""GEPA's name for the text that it improves."""
LONGEST_FIELD = 600
"""Most characters that are read from each field of an answer, at its end. A template has at most half as many."""
LONG_FIELD, LONG_NAME = " ox" * (LONGEST_FIELD // 3), " ox" * 20
"""LONG_FIELD: the longest field, for forecasts. LONG_NAME: the longest class name, for forecasts; no class of the
paper's data sets has a longer name. Each word is one token."""


class CoproSettings(BaseModel, extra="forbid", frozen=True):
    """Settings of COPRO."""

    breadth: int = Field(10, ge=2, description="templates of a round, each asked for in a request of its own")


class GepaSettings(BaseModel, extra="forbid", frozen=True):
    """Settings of GEPA."""

    minibatch: int = Field(16, ge=1, description="train images whose results a question tells")


class _Ended(BaseException):
    """Raised to end the thread of an optimizer. An `except Exception` does not catch it."""


class _Thread:
    """A thread that sends messages to another thread, and works only while the other thread waits for a message.

    Args:
        work: the function that the thread runs. Its argument is this object, on which it calls `say`.
    """

    def __init__(self, work: Callable[[_Thread], None]) -> None:
        self._said: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._over = False
        run = contextvars.copy_context().run  # with this context's language model
        self._thread = threading.Thread(target=run, args=(self._work, work), daemon=True, name="optimizer")

    def hear(self, answer: Any = None) -> tuple[str, Any]:
        """Answer the last message of the thread, wait for the next message, and return its kind and content."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._answers.put(answer)
        return self._said.get()

    def say(self, what: str, content: Any) -> Any:
        """Send a message and return the answer. Only the thread itself calls this."""
        if not self._over:
            self._said.put((what, content))
            answer = self._answers.get()
        if self._over:
            raise _Ended
        return answer

    def end(self) -> None:
        """Tell the thread to end, and wait until it has ended."""
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
    """The base class of the strategies COPRO and GEPA; `fields` are the settings of the optimizer."""

    asks_lm: ClassVar[bool] = True
    needs_lm: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]]
    name: ClassVar[str]

    def __init__(self, **fields: Any) -> None:
        self.settings: Any = self.Settings(**fields)
        self._thread: _Thread | None = None
        self._answer: Any = None
        self._asked = 0

    @abstractmethod
    def optimize(self, bench: Bench, worth: Worth) -> None:
        """Run the optimizer, in its thread. It must score templates with `worth`."""

    def in_vain(self) -> int:
        """Return how many questions in a row may bring no new template; after more, the optimizer is ended."""
        return IN_VAIN

    def ask(self, bench: Bench) -> str | None:
        """Let the optimizer work until it has handed in as many new templates as are wanted.

        Raises:
            InputError: the reward does not give the results from which the optimizer learns.
        """
        if self._thread is None:
            self._begin(bench)
        assert self._thread is not None
        answer = self._answer
        while bench.missing > 0:
            what, content = self._thread.hear(answer)
            if what == "question":
                self._asked += 1
                if self._asked > self.in_vain():
                    return f"{self.name} wrote no new template in {self.in_vain()} questions"
                answer = self._reply(content)
            elif what == "template":
                found = bench.propose([bench.cleaned(content)])
                answer = found[0] if found else bench.refused[-1].reason
                self._asked = 0 if found else self._asked
            elif what == "failed":
                raise content
            else:
                return f"{self.name} has ended"
        self._answer = answer  # sent in the next step; until then, the thread waits
        return None

    def close(self) -> None:
        """End the optimizer."""
        if self._thread:
            self._thread.end()

    def _begin(self, bench: Bench) -> None:
        model = dspy.settings.lm
        scores: dict[str, Score | str] = {key(one.template): one for one in bench.history}
        self._model, self._seeds = model, random.Random(bench.seed)

        def work(thread: _Thread) -> None:
            def worth(template: str) -> Score | str:
                if (name := key(template)) not in scores:
                    scores[name] = thread.say("template", template)
                return scores[name]

            with dspy.context(lm=handing_on(model, lambda request: thread.say("question", request))):
                self.optimize(bench, worth)

        self._thread = _Thread(work)

    def _reply(self, request: Any) -> Any:
        if is_local(self._model.model):  # a local model gives equal requests equal replies
            seed = self._seeds.getrandbits(31)
            request = replace(request, config=replace(request.config, seed=seed, max_tokens=SMALL_TOKENS))
        try:
            return self._model(request, cache=False)
        except Exception as error:
            if (shown := explain(error)) is error:
                raise
            raise shown from error


class Copro(_Optimizer):
    """COPRO: writes templates in rounds. Each round is written from the best earlier templates and their values."""

    Settings: ClassVar[type[BaseModel]] = CoproSettings
    name: ClassVar[str] = "COPRO"

    def in_vain(self) -> int:
        """See `_Optimizer`."""
        return ROUNDS_IN_VAIN * int(self.settings.breadth)

    def optimize(self, bench: Bench, worth: Worth) -> None:
        """Run COPRO. It uses only the mean over examples, so there is one example, with the value of the template."""

        def value(template: str) -> float:
            found = worth(template)
            return bench.scale.low if isinstance(found, str) else found.value

        temperature = dspy.settings.lm.kwargs.get("temperature") or 1.0  # some models refuse COPRO's default, 1.4
        optimizer = dspy.COPRO(
            metric=lambda example, answer: answer.value,
            breadth=self.settings.breadth,
            depth=MANY,
            init_temperature=temperature,
        )
        with dspy.context(adapter=Reading()), silent(copro_optimizer.__name__, "dspy.evaluate.evaluate"):
            optimizer.compile(
                _Valued(bench.history.initial.template, value),
                trainset=[dspy.Example(image="all").with_inputs("image")],
                eval_kwargs={"num_threads": 1, "display_progress": False},
            )

    def forecast(self, expected: Expected) -> Forecast:
        """Forecast one call for each template, in whole rounds; the first round has one call less.

        The tokens are an upper bound. COPRO also asks further questions, if templates repeat others or cannot be used;
        they are not in the forecast.
        """
        breadth, wanted = self.settings.breadth, expected.settings.steps * expected.settings.candidates_per_step
        later = max(0, -(-(wanted - breadth + 1) // breadth))
        attempts = [f"{part} #{i}: {LONG_FIELD}" for i in range(breadth) for part in ("Instruction", "Prefix")]
        scores = [f"Resulting Score #{i}: 100.00" for i in range(breadth)]
        longest = {"attempted_instructions": [*attempts, *scores]}
        question = copro_optimizer.GenerateInstructionGivenAttempts
        return _forecast(breadth - 1 + later * breadth, question, longest, expected)


class Gepa(_Optimizer):
    """GEPA: writes one template at a time, from the predictions of an earlier template on a few images.

    GEPA keeps the new template if it is better on these images.
    """

    Settings: ClassVar[type[BaseModel]] = GepaSettings
    name: ClassVar[str] = "GEPA"

    def optimize(self, bench: Bench, worth: Worth) -> None:
        """Run GEPA with the questions of `dspy.GEPA`, but without progress bars and without a call for each image."""
        images: Any = _Images(bench, worth)
        rows = list(range(bench.history.initial.n))
        optimize(
            seed_candidate={PART: bench.history.initial.template},
            trainset=rows,
            valset=rows,
            adapter=images,
            reflection_minibatch_size=min(self.settings.minibatch, len(rows)),
            stop_callbacks=images.stop,
            logger=SimpleNamespace(log=logger.debug),
            seed=bench.seed,
        )

    def ask(self, bench: Bench) -> str | None:
        """See `_Optimizer`.

        Raises:
            InputError: the reward does not give the predicted class of each image.
        """
        initial = bench.history.initial
        if bench.labels is None or not len(bench.labels) == len(initial.predictions) == initial.n:
            raise InputError(
                "GEPA learns from the predicted class of each image, and this reward does not give it; choose "
                "COPRO, which learns from the values alone, or another strategy."
            )
        return super().ask(bench)

    def forecast(self, expected: Expected) -> Forecast:
        """Forecast one call for each template.

        The tokens are an upper bound if class names have up to 60 characters. GEPA also asks further questions, if
        templates repeat others or cannot be used; they are not in the forecast.
        """
        calls = expected.settings.steps * expected.settings.candidates_per_step
        told = [_told(LONG_NAME, dspy.Prediction(label=LONG_NAME[1:]))] * self.settings.minibatch
        longest = {"current_instruction": LONG_FIELD, "examples_with_feedback": told}
        return _forecast(calls, _proposer().propose.signature, longest, expected)


def _forecast(calls: int, question: Any, longest: dict[str, Any], expected: Expected) -> Forecast:
    told = question.with_instructions(f"{question.instructions}\n{NOTE}")
    tokens = sum(len(str(message["content"]).encode()) for message in Reading().format(told, [], longest))
    return Forecast(calls, calls * tokens, calls * expected.reply_tokens)


class Reading(AboutTemplates, dspy.ChatAdapter):
    """An adapter that asks once and reads any answer. If an answer has no fields, its text becomes the first field."""

    def __init__(self) -> None:
        super().__init__(use_json_adapter_fallback=False)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Return a table of field → the last `LONGEST_FIELD` characters of its text."""
        try:
            fields = super().parse(signature, completion)
        except dspy.AdapterParseError:
            fields = {**dict.fromkeys(signature.output_fields, ""), next(iter(signature.output_fields)): completion}
        return {name: str(text)[-LONGEST_FIELD:] for name, text in fields.items()}


class _HandsOn:
    """An engine for a language model. The function `complete` answers the requests."""

    def __init__(self, complete: Callable[[Request], Response]) -> None:
        self.complete = complete


def handing_on(lm: dspy.LM, complete: Callable[[Request], Response]) -> dspy.LM:
    """Return a language model that makes the same requests as `lm`. The function `complete` answers the requests."""
    made = dspy.LM(lm.model, engine=_HandsOn(complete), cache=False, num_retries=0)
    made.kwargs = options_of(lm)
    return made


class _Valued(dspy.Predict):  # type: ignore[misc,unused-ignore]
    """A program whose instructions are a template. Its only answer is the value of the template.

    When a signature is assigned, the program stores only its template. COPRO nests each signature in the next, and
    Python cannot copy more than about 140 nested signatures.
    """

    def __init__(self, template: str, value: Callable[[str], float]) -> None:
        self.template = template
        self.value = value
        super().__init__(self.signature)

    @property
    def signature(self) -> Any:
        return signature_of(self.template)

    @signature.setter
    def signature(self, signature: Any) -> None:
        self.template = template_in(signature.instructions)

    def forward(self, **kwargs: Any) -> dspy.Prediction:
        return dspy.Prediction(value=self.value(self.template))


class _Images:
    """GEPA's adapter for the train images. To GEPA, each image is a number."""

    def __init__(self, bench: Bench, worth: Worth) -> None:
        assert bench.labels is not None
        self._names = [str(name) for name in bench.class_names]
        self._labels = bench.labels.tolist()
        self._worth = worth
        self._worst = bench.scale.low
        self._proposer = _proposer()
        self.idle = 0

    def evaluate(self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """Return the predicted class of each image, and its contribution to the value of the template."""
        found = self._worth(template_in(candidate[PART]))
        if isinstance(found, str):
            answers = [dspy.Prediction(label=None, problem=f"the template cannot be used: {found}")] * len(batch)
            hits = [self._worst] * len(batch)
        else:
            answers = [dspy.Prediction(label=self._names[found.predictions[row]]) for row in batch]
            hits = [float(found.hits[row]) for row in batch]
        return EvaluationBatch(answers, hits, [*zip(batch, answers, strict=True)])

    def make_reflective_dataset(self, candidate: dict[str, str], evaluated: Any, parts: list[str]) -> dict[str, Any]:
        """Return the feedback of each image: the predicted class and the true class."""
        rows = evaluated.trajectories
        return {PART: [_told(self._names[self._labels[row]], answer) for row, answer in rows]}

    def propose_new_texts(self, candidate: dict[str, str], told: Any, parts: list[str]) -> dict[str, str]:
        """Ask for a better template and return it."""
        self.idle = 0
        texts: dict[str, str] = self._proposer(candidate, told, parts)
        return texts

    def stop(self, gepa_state: Any) -> bool:
        """Return whether GEPA made more than `IDLE` rounds in a row without a question."""
        self.idle += 1
        return self.idle > IDLE


def _proposer() -> Any:
    return InstructionProposer(base_instructions=BETTER, adapter=Reading())


def _told(label: str, answer: dspy.Prediction) -> dict[str, Any]:
    feedback = with_feedback(dspy.Example(label=label), answer).feedback
    return {"Generated Outputs": {"label": answer.label}, "Feedback": feedback}
