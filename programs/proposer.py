"""Asks the optimizer LLM for new templates and lets only valid ones through.

A language model's answer is untrusted text. It is normalised, checked, compared with everything known, and refused with
a reason; the refusals go back to the model once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from ipo.metrics.template import key, normalise
from ipo.programs.lm.connect import explain
from ipo.programs.lm.small_model import SmallModelAdapter, quality_problem, words_to_ban
from ipo.signatures.propose import ProposeTemplates

logger = logging.getLogger(__name__)

Refuse = Callable[[str], str | None]
"""Says why a template cannot be scored, or None."""

TRIES_EACH = 3
"""A small model is asked at most this often for each template that is wanted."""


@dataclass(frozen=True)
class Rejection:
    """A template that was not let through, and why."""

    template: str
    reason: str


@dataclass
class _Admission:
    """Collects the templates of one step: valid, unknown, at most `count`."""

    refuse: Refuse
    count: int
    accepted: list[str] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)

    @property
    def missing(self) -> int:
        return self.count - len(self.accepted)

    def admit(self, text: object, *, extra: Refuse | None = None) -> str | None:
        """Take a template in, or return why not."""
        template = normalise(text) if isinstance(text, str) else repr(text)
        reason = self.refuse(template) or (extra(template) if extra else None)
        if reason is None and key(template) in {key(other) for other in self.accepted}:
            reason = "it repeats another answer"
        if reason is None and self.missing <= 0:
            reason = "more templates came than were asked for"
        if reason is None:
            self.accepted.append(template)
        else:
            self.rejected.append(Rejection(template[:300], reason))
        return reason


@dataclass(frozen=True)
class _Question:
    """What stays the same over the calls of one step."""

    task: str
    descriptions: Sequence[str]
    history: Sequence[str]
    class_names: Sequence[str]

    def inputs(self, count: int, refused: Sequence[str] = ()) -> dict[str, Any]:
        """Return the signature's inputs."""
        return {
            "task": self.task,
            "image_descriptions": "\n".join(self.descriptions),
            "scored_templates": "\n".join(self.history),
            "refused_templates": "\n".join(refused),
            "count": count,
        }


class TemplateProposer(dspy.Module):
    """Proposes templates with any language model: all of a step in one structured call.

    What comes back is untrusted: it is normalised, refused with a reason where `refuse` says so or where it repeats
    another answer, and asked for a second time with the reasons when too little is left. The order of the question's
    parts is the paper's (Du, Sun and Snoek, NeurIPS 2024).

    Args:
        lm: the model to ask; the one of `dspy.context` when None.

    Raises:
        dspy.LMError, BudgetReached: when called, see `forward`. An unreadable answer is a rejection and no error.

    Example:
        >>> from ipo.metrics.template import problem
        >>> proposer = TemplateProposer(dspy.LM("openai/gpt-4o-mini", temperature=1.0))
        >>> answer = proposer(
        ...     task="pictures of pets",
        ...     history=["accuracy 50.00 %, loss 1.0000: a photo of a <CLASS>."],
        ...     count=2,
        ...     refuse=problem,
        ... )
        >>> [problem(template) for template in answer.templates]
        [None, None]
    """

    def __init__(self, lm: dspy.LM | None = None) -> None:
        super().__init__()
        self.propose = dspy.Predict(ProposeTemplates)
        self._lm = lm

    def forward(
        self,
        task: str,
        history: Sequence[str],
        count: int,
        refuse: Refuse,
        descriptions: Sequence[str] = (),
        class_names: Sequence[str] = (),
        seed: int = 0,
    ) -> dspy.Prediction:
        """Ask for `count` templates.

        Args:
            task: what the pictures are.
            history: scored templates as lines, worst first, best last.
            count: how many are wanted.
            refuse: says why a template cannot be used (invalid, or known), or None.
            descriptions: what a few pictures look like.
            class_names: the classes; a small model is kept from naming one, which would harm the others.
            seed: makes retries differ from each other and reruns the same.

        Returns:
            `templates`: at most `count`, valid and new; `rejected`: a list of `Rejection`.

        Raises:
            dspy.LMError: the model could not be reached or refused the request.
            BudgetReached: a limit would be passed.
        """
        admission = _Admission(refuse, count)
        question = _Question(task, descriptions, history, class_names)
        with dspy.context(**({"lm": self._lm} if self._lm else {})):
            self._fill(admission, question, seed)
        for rejection in admission.rejected:
            logger.info("refused %r: %s", rejection.template, rejection.reason)
        return dspy.Prediction(templates=admission.accepted, rejected=admission.rejected)

    def _fill(self, admission: _Admission, question: _Question, seed: int) -> None:
        """Ask once, and a second time for what was refused or unreadable, with the reasons."""
        for attempt in range(2):
            refused = [f"{r.template} ({r.reason})" for r in admission.rejected[-10:]]
            # A fresh rollout id: the same question again would be answered from a cache.
            config = {"rollout_id": seed * 2 + attempt}
            try:
                answer = self._ask(question.inputs(admission.missing, refused), config)
            except dspy.AdapterParseError as error:
                admission.rejected.append(Rejection(_excerpt(error), "the answer was not a list of templates"))
                continue
            for text in answer:
                admission.admit(text)
            if admission.missing <= 0:
                return

    def _ask(self, inputs: dict[str, Any], config: dict[str, Any]) -> list[object]:
        try:
            templates = self.propose(**inputs, config=config).templates
        except dspy.LMError as error:
            raise explain(error) from error
        answer = list(templates) if isinstance(templates, list) else [templates]
        if _was_cut_off():
            answer = answer[:-1]  # the token limit went through the last one
        return answer


class SmallModelProposer(TemplateProposer):
    """Proposes with a small local model: one template a call, under a grammar, with part of the known words banned.

    A model of half a billion parameters that is asked for a list repeats itself. The scored history
    stays in what it sees; a random half of the history's words is discouraged, so that it looks for other ones.

    Args:
        lm: a model whose engine knows grammars and `logit_bias`, as that of `programs.lm.local.local_lm` does.

    Raises:
        dspy.LMError, BudgetReached: when called, see `TemplateProposer.forward`.

    Example:
        >>> from ipo.metrics.template import problem
        >>> from ipo.programs.lm.local import local_lm
        >>> engine, name = local_lm("local/small")
        >>> proposer = SmallModelProposer(dspy.LM(name, engine=engine, temperature=1.0, cache=False))
        >>> answer = proposer(task="pictures of pets", history=[], count=1, refuse=problem)
        >>> [problem(template) for template in answer.templates]
        [None]
    """

    def __init__(self, lm: dspy.LM | None = None) -> None:
        super().__init__(lm)
        self._adapter = SmallModelAdapter()

    def _fill(self, admission: _Admission, question: _Question, seed: int) -> None:
        rng = random.Random(seed)
        # Of longer names, the words may describe: "black bear" must not cost the search the word "black".
        one_word = [name for name in question.class_names if " " not in name.replace("_", " ")]
        with dspy.context(adapter=self._adapter):
            for attempt in range(TRIES_EACH * admission.count):
                config = {
                    "seed": rng.getrandbits(31),
                    "rollout_id": seed * 100 + attempt,
                    "logit_bias": words_to_ban(question.history, admission.accepted, rng, always=one_word),
                }
                try:
                    answer = self._ask(question.inputs(1), config)
                except dspy.AdapterParseError as error:
                    admission.rejected.append(Rejection(_excerpt(error), "the answer was not a template"))
                    continue
                for text in answer:
                    admission.admit(text, extra=lambda template: quality_problem(template, question.class_names))
                if admission.missing <= 0:
                    return


def _excerpt(error: dspy.AdapterParseError) -> str:
    return " ".join(str(getattr(error, "lm_response", "") or "").split())[:300]


def _was_cut_off() -> bool:
    """Whether the model's last reply ended at the token limit."""
    lm = dspy.settings.lm
    if not lm or not lm.history:
        return False
    response = lm.history[-1].get("response")
    reason = getattr(response, "finish_reason", None)
    if reason is None and getattr(response, "choices", None):
        reason = response.choices[0].finish_reason
    return bool(reason == "length")
