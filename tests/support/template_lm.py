"""DSPy's optimizers, and a language model for them that fills in every field that it is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import dspy

from ipo_prompts.programs.for_dspy import (
    PROPOSE,
    AboutTemplates,
    clip_accuracy,
    with_feedback,
)

PLANTED = "a negative of a <CLASS>."
"""Better than the initial template on the negatives among the embedded images, by 15 points and more."""
USELESS = "Think step by step, and answer with the name of what you see."


def filled_in(prompt: str, answer: str) -> str:
    """Give one answer in each field that DSPy's adapter asks for, in its format."""
    outputs = prompt.split("Your output fields are:")[-1].split("All interactions")[0]
    names = re.findall(r"\d\. `(\w+)`", outputs)
    if "[[ ## completed ## ]]" not in prompt:
        return json.dumps(dict.fromkeys(names, answer))
    return "\n\n".join([*(f"[[ ## {name} ## ]]\n{answer}" for name in names), "[[ ## completed ## ]]"])


class Writer:
    """Answers what is told that instructions are templates with the next proposal, and anything else with none."""

    def __init__(self, *proposals: str) -> None:
        self.proposals = proposals or (PLANTED,)
        self.asked: list[str] = []
        self.told = 0

    def complete(self, request: Any) -> Any:
        from dspy.lm15 import Message, Response, Usage

        parts = (part.text for message in request.messages for part in message.parts)
        prompt = "\n".join((request.system or "", *parts))
        self.asked.append(prompt)
        answer = USELESS
        if "a template for CLIP" in prompt:
            answer = self.proposals[self.told % len(self.proposals)]
            self.told += 1
        return Response(
            id=None,
            model="writer",
            message=Message.assistant(filled_in(prompt, answer)),
            finish_reason="stop",
            usage=Usage(input_tokens=100, output_tokens=20),
        )


def language_model(writer: Writer) -> dspy.LM:
    """Return a model that asks the writer, and keeps no replies."""
    return dspy.LM("writer/model", engine=writer, cache=False, num_retries=0, temperature=1.0)


def optimised(name: str, program: Any, examples: Sequence[Any], writer: Writer, proposals: int = 3) -> Any:
    """Let one of DSPy's optimizers change a program (ipo docs dspy), with that many proposals or more."""
    lm, examples = language_model(writer), list(examples)
    with dspy.context(lm=lm, adapter=AboutTemplates()):
        if name == "copro":
            few = dspy.COPRO(metric=clip_accuracy, breadth=proposals + 1, depth=2)
            return few.compile(program, trainset=examples, eval_kwargs={"num_threads": 1, "display_progress": False})
        if name == "miprov2":
            mipro = dspy.MIPROv2(
                metric=clip_accuracy,
                prompt_model=lm,
                task_model=lm,
                auto=None,
                num_candidates=proposals + 1,
                max_bootstrapped_demos=0,
                max_labeled_demos=0,
                num_threads=1,
            )
            return mipro.compile(
                program,
                trainset=examples,
                valset=examples,
                num_trials=2 * proposals,
                minibatch=False,
                data_aware_proposer=False,
                program_aware_proposer=False,
            )
        from dspy.teleprompt.gepa import InstructionProposer

        gepa = dspy.GEPA(
            metric=with_feedback,
            max_metric_calls=3 * len(examples) + 16 * proposals,
            reflection_minibatch_size=8,
            reflection_lm=lm,
            instruction_proposer=InstructionProposer(base_instructions=PROPOSE, max_chars=300),
            num_threads=1,
        )
        return gepa.compile(program, trainset=examples, valset=examples)
