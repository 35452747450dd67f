"""COPRO and GEPA, each run until it is ended: what they get in the place of a language model, a program and pictures.

No picture leaves, nor its path: a picture is its number, and what it was taken for is known from the scores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dspy
from dspy.lm15 import Request, Response
from dspy.teleprompt import copro_optimizer
from dspy.teleprompt.gepa import InstructionProposer
from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch

from ipo_prompts.metrics.errors import silent
from ipo_prompts.metrics.reward import Score
from ipo_prompts.programs.lm.connect import options_of
from ipo_prompts.programs.lm.replies import BoundedChatAdapter
from ipo_prompts.programs.strategies.base import Known
from ipo_prompts.programs.templates.for_dspy import (
    BETTER,
    NOTE,
    AboutTemplates,
    signature_of,
    template_in,
    with_feedback,
)

logger = logging.getLogger(__name__)

Worth = Callable[[str], Score | str]
"""Gives the score of a template, or why it cannot be used."""
MANY = 1_000_000
"""Rounds of COPRO: the search ends it."""
IDLE = 100
"""Draws of pictures in a row, all of them right, after which GEPA has nothing to learn from."""
PART = "template"
"""What GEPA calls the text that it improves."""
LONGEST_FIELD = 600
"""Characters that are read of each field of an answer, at its end: a template has half of them at most."""
LONG_FIELD, LONG_NAME = " ox" * (LONGEST_FIELD // 3), " ox" * 20
"""For forecasts: in short words, each a token. No class of the paper's data sets has a longer name."""


class Reading(AboutTemplates, BoundedChatAdapter):
    """Asks for a template, once, and reads any answer: what is not in its fields is all of the first one."""

    def __init__(self) -> None:
        super().__init__(use_json_adapter_fallback=False)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Read the fields of an answer."""
        try:
            fields = super().parse(signature, completion)
        except dspy.AdapterParseError:
            fields = {**dict.fromkeys(signature.output_fields, ""), next(iter(signature.output_fields)): completion}
        return {name: str(text)[-LONGEST_FIELD:] for name, text in fields.items()}


class _HandsOn:
    """The engine of a language model whose questions are asked elsewhere."""

    def __init__(self, complete: Callable[[Request], Response]) -> None:
        self.complete = complete


def handing_on(lm: dspy.LM, complete: Callable[[Request], Response]) -> dspy.LM:
    """Return a language model that makes the requests of another one, and has them answered by `complete`."""
    made = dspy.LM(lm.model, engine=_HandsOn(complete), cache=False, num_retries=0)
    made.kwargs = options_of(lm)
    return made


class _Valued(dspy.Predict):  # type: ignore[misc,unused-ignore]
    """A program whose instructions are a template, and whose only answer is the value of that.

    Of an assigned signature it keeps the template alone: COPRO makes each from the one before, fields within fields,
    and some 140 deep Python can copy no more of them.
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


def run_copro(known: Known, worth: Worth, breadth: int) -> None:
    """Run COPRO. It wants no more of a program than its mean over examples: one example has the value as a whole."""

    def value(template: str) -> float:
        found = worth(template)
        return known.scale.low if isinstance(found, str) else found.value

    temperature = dspy.settings.lm.kwargs.get("temperature") or 1.0  # its own, 1.4, is more than some models take
    optimizer = dspy.COPRO(
        metric=lambda example, answer: answer.value, breadth=breadth, depth=MANY, init_temperature=temperature
    )
    whole = [dspy.Example(image="all").with_inputs("image")]
    with dspy.context(adapter=Reading()), silent(copro_optimizer.__name__, "dspy.evaluate.evaluate"):
        optimizer.compile(
            _Valued(known.history.initial.template, value),
            trainset=whole,
            eval_kwargs={"num_threads": 1, "display_progress": False},
        )


class _Pictures:
    """The search pictures, as GEPA's adapter: each is its number."""

    def __init__(self, known: Known, worth: Worth) -> None:
        assert known.labels is not None
        self._names = [str(name) for name in known.class_names]
        self._labels = known.labels.tolist()
        self._worth = worth
        self._worst = known.scale.low
        self._proposer = _proposer()
        self.idle = 0

    def evaluate(self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """Give what each picture contributes to the value of a template, and what it was taken for."""
        found = self._worth(template_in(candidate[PART]))
        if isinstance(found, str):
            answers = [dspy.Prediction(label=None, problem=f"the template cannot be used: {found}")] * len(batch)
            hits = [self._worst] * len(batch)
        else:
            answers = [dspy.Prediction(label=self._names[found.predictions[row]]) for row in batch]
            hits = [float(found.hits[row]) for row in batch]
        return EvaluationBatch(answers, hits, [*zip(batch, answers, strict=True)])

    def make_reflective_dataset(self, candidate: dict[str, str], evaluated: Any, parts: list[str]) -> dict[str, Any]:
        """Tell what the pictures were taken for."""
        rows = evaluated.trajectories
        return {PART: [_told(self._names[self._labels[row]], answer) for row, answer in rows]}

    def propose_new_texts(self, candidate: dict[str, str], told: Any, parts: list[str]) -> dict[str, str]:
        """Ask for a better template."""
        self.idle = 0
        texts: dict[str, str] = self._proposer(candidate, told, parts)
        return texts

    def stop(self, gepa_state: Any) -> bool:
        """Say whether nothing was asked for long."""
        self.idle += 1
        return self.idle > IDLE


def run_gepa(known: Known, worth: Worth, minibatch: int) -> None:
    """Run GEPA with DSPy's questions, as `dspy.GEPA` does, but for progress bars and a call for each picture."""
    pictures: Any = _Pictures(known, worth)
    rows = list(range(known.history.initial.n))
    optimize(
        seed_candidate={PART: known.history.initial.template},
        trainset=rows,
        valset=rows,
        adapter=pictures,
        reflection_minibatch_size=min(minibatch, len(rows)),
        stop_callbacks=pictures.stop,
        logger=SimpleNamespace(log=logger.debug),
        seed=known.seed,
    )


def _proposer() -> Any:
    return InstructionProposer(base_instructions=BETTER, adapter=Reading())


def _told(label: str, answer: dspy.Prediction) -> dict[str, Any]:
    feedback = with_feedback(dspy.Example(label=label), answer).feedback
    return {"Generated Outputs": {"label": answer.label}, "Feedback": feedback}


def gepa_question(minibatch: int) -> list[str]:
    """Return the texts of GEPA's longest question."""
    told = [_told(LONG_NAME, dspy.Prediction(label=LONG_NAME[1:]))] * minibatch
    inputs = {"current_instruction": LONG_FIELD, "examples_with_feedback": told}
    return _texts(_proposer().propose.signature, inputs)


def copro_question(breadth: int) -> list[str]:
    """Return the texts of COPRO's longest question."""
    attempts = [f"{part} #{i}: {LONG_FIELD}" for i in range(breadth) for part in ("Instruction", "Prefix")]
    scores = [f"Resulting Score #{i}: 100.00" for i in range(breadth)]
    inputs = {"attempted_instructions": [*attempts, *scores]}
    return _texts(copro_optimizer.GenerateInstructionGivenAttempts, inputs)


def _texts(signature: Any, inputs: dict[str, Any]) -> list[str]:
    told = signature.with_instructions(f"{signature.instructions}\n{NOTE}")
    return [str(message["content"]) for message in Reading().format(told, [], inputs)]
