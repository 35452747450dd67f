"""A template as the instructions of a signature, and what DSPy's own optimizers need to find one: words and metrics."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import dspy

from ipo_prompts.metrics.template import ANCHOR, MAX_CHARACTERS, SLOT, normalise

FIELDS = dspy.Signature("image: dspy.Image -> label: str")
"""What a classifier takes and gives."""
TEMPLATE = (
    f"a template for CLIP, which compares a picture with one sentence per class: a line of at most {MAX_CHARACTERS} "
    f"characters that says how such pictures look, with {SLOT} where the name of the class goes, as in `{ANCHOR}` It "
    f"gives no orders and names no class. Write {SLOT} as it stands here, and nothing beside the line"
)
NOTE = f"The instruction is no text for a language model, but {TEMPLATE}."
BETTER = "Write a better instruction from the examples and the feedback on them."
PROPOSE = (
    f"{BETTER} If the current one holds {SLOT}, it is no "
    f"text for a language model, but {TEMPLATE}; the new one is such a line too."
)
"""For GEPA: `InstructionProposer(base_instructions=PROPOSE)`. Instructions of other predictors are left what they are.
"""


@lru_cache(maxsize=256)
def signature_of(template: str) -> Any:
    """Return the signature of a classifier, with a template as instructions: a class, which takes a while to make."""
    return FIELDS.with_instructions(template)


def template_in(instructions: str) -> str:
    """Return the template in instructions, as a language model wrote them: the last line with a slot, normalised.

    Without a slot in any line, it is all of them, and no template that can be used.

    >>> template_in("Classify the picture.\\n- **a blurry photo of a [class]**\\nThink step by step.")
    'a blurry photo of a <CLASS>'
    """
    lines = [normalise(line) for line in instructions.splitlines()]
    return next((line for line in reversed(lines) if SLOT in line), normalise(instructions))


class AboutTemplates(dspy.ChatAdapter):
    """Tells a language model that is asked for an instruction that it is a template, where it is one.

    For COPRO and MIPROv2, whose questions speak of instructions: `with dspy.context(adapter=AboutTemplates()):`. A
    question that shows no template, as those of other predictors do not, stays as it is.
    """

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: dict[str, Any]) -> Any:
        """Ask; here and not in `format`, so that it holds when DSPy asks once more for JSON."""
        if any(SLOT in str(value) for value in inputs.values() if isinstance(value, (str, list))):
            signature = signature.with_instructions(f"{signature.instructions}\n{NOTE}")
        return super().__call__(lm, lm_kwargs, signature, demos, inputs)


def clip_accuracy(example: Any, prediction: Any, trace: Any = None) -> float:
    """Return 1.0 when the predicted label is the example's, else 0.0: a metric for `dspy.Evaluate` and optimizers."""
    return float(prediction.label is not None and prediction.label == example.label)


def with_feedback(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Return `clip_accuracy` as `score`, and as `feedback` what went wrong: a metric for `dspy.GEPA`."""
    score = clip_accuracy(gold, pred)
    if score:
        feedback = f"A picture of {gold.label} was recognised."
    elif pred.label is not None:
        feedback = f"A picture of {gold.label} was taken for {pred.label}."
    else:
        # In a larger program only the classifier's own answer says why.
        answers = [pred, *(answer for _, _, answer in pred_trace or ())]
        problem = next((answer.problem for answer in answers if "problem" in answer), "there is no label")
        feedback = f"{problem[:1].upper()}{problem[1:]}."
    return dspy.Prediction(score=score, feedback=feedback)
