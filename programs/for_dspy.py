"""A classifier for DSPy: its template as instructions, metrics for DSPy's optimizers, and features that are kept."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import dspy

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.images import to_image
from ipo_prompts.metrics.template import BASELINE, MAX_CHARACTERS, SLOT, normalise

FIELDS = dspy.Signature("image: dspy.Image -> label: str")
"""The inputs and outputs of a classifier."""
TEMPLATE = (
    f"a template for CLIP, which compares an image with one sentence per class: a line of at most {MAX_CHARACTERS} "
    f"characters that says how such images look, with {SLOT} where the name of the class goes, as in `{BASELINE}` It "
    f"gives no orders and names no class. Write {SLOT} as it stands here, and nothing beside the line"
)
NOTE = f"The instruction is no text for a language model, but {TEMPLATE}."
BETTER = "Write a better instruction from the examples and the feedback on them."
PROPOSE = (
    f"{BETTER} If the current one holds {SLOT}, it is no "
    f"text for a language model, but {TEMPLATE}; the new one is such a line too."
)
"""Instructions for GEPA: `InstructionProposer(base_instructions=PROPOSE)`. Instructions of other predictors stay
as they are."""


@lru_cache(maxsize=256)
def signature_of(template: str) -> Any:
    """Return the signature of a classifier, with a template as instructions. Cached: making the class takes time."""
    return FIELDS.with_instructions(template)


def template_in(instructions: str) -> str:
    """Return the template in instructions that a language model wrote: the last line with a slot, normalised.

    If no line has a slot, return all lines, which are no usable template.

    >>> template_in("Classify the image.\\n- **a blurry photo of a [class]**\\nThink step by step.")
    'a blurry photo of a <CLASS>'
    """
    lines = [normalise(line) for line in instructions.splitlines()]
    return next((line for line in reversed(lines) if SLOT in line), normalise(instructions))


class AboutTemplates(dspy.ChatAdapter):
    """Adapter that tells a language model when the instruction that it has to write is a template.

    It is for COPRO and MIPROv2, whose questions ask for instructions: `with dspy.context(adapter=AboutTemplates()):`.
    A question without a template, such as a question about another predictor, is not changed.
    """

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: dict[str, Any]) -> Any:
        """Ask with `NOTE`. It is added here and not in `format`, so that DSPy's second question, for JSON, has it."""
        if any(SLOT in str(value) for value in inputs.values() if isinstance(value, (str, list))):
            signature = signature.with_instructions(f"{signature.instructions}\n{NOTE}")
        return super().__call__(lm, lm_kwargs, signature, demos, inputs)


def clip_accuracy(example: Any, prediction: Any, trace: Any = None) -> float:
    """Return 1.0 if the predicted label is the label of the example, else 0.0: a metric for `dspy.Evaluate` and
    optimizers.
    """
    return float(prediction.label is not None and prediction.label == example.label)


def with_feedback(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Return a `score`, the `clip_accuracy`, and a sentence on the answer as `feedback`: a metric for `dspy.GEPA`."""
    score = clip_accuracy(gold, pred)
    if score:
        feedback = f"An image of {gold.label} was recognised."
    elif pred.label is not None:
        feedback = f"An image of {gold.label} was taken for {pred.label}."
    else:
        # In a larger program only the classifier's own answer says why.
        answers = [pred, *(answer for _, _, answer in pred_trace or ())]
        problem = next((answer.problem for answer in answers if "problem" in answer), "there is no label")
        feedback = f"{problem[:1].upper()}{problem[1:]}."
    return dspy.Prediction(score=score, feedback=feedback)


# Each image is encoded once for all templates.

MOST = 65_536
"""The most images whose features are stored: 200 MB if features have 768 numbers."""


class KeptFeatures:
    """A store of the features of images, by the digest of their bytes: a new template only has to encode texts.

    The copies of a program share one store.

    Attributes:
        lock: a lock that is held while the texts of a template are encoded, so that only one thread encodes them, and
            while features are added.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.lock = threading.Lock()
        self._known: dict[str, Floats] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> KeptFeatures:
        return self

    def of(self, image: Any) -> Floats:
        """Return the features of one image in any form: float32 (1, D), a unit row.

        Raises:
            InputError: the image has no usable form, see `to_image`; or it cannot be decoded.
        """
        given = to_image(image)
        key = given.key(given.content())
        found = self._known.get(key)
        if found is None:
            found = self.clip.encode_images([given])
            with self.lock:
                if len(self._known) >= MOST:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = found
        return found
