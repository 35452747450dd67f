"""The questions for the optimizer LLM: which templates could score higher? The parts come in the order of the paper."""

from __future__ import annotations

from typing import Any

import dspy

from ipo_prompts.metrics.scale import FRACTION, Scale

ACCURACY = "Accuracy runs from 0 to 100 percent, higher is better; loss is never negative"
"""What a question says of the scores, where they are shares of right answers."""


class ProposeTemplates(dspy.Signature):
    """Write new prompt templates for CLIP, which classifies a picture by comparing it with one sentence per class.

    `<CLASS>` stands for the class name. Accuracy runs from 0 to 100 percent, higher is better; loss is never negative,
    lower is better. Learn from the scored templates which words help, and write templates that score higher with lower
    loss: each different from every listed one and from each other, one line, concise, generally applicable to these
    pictures, with `<CLASS>` exactly once and no other markup.
    """

    task: str = dspy.InputField(desc="what the pictures are and what `<CLASS>` stands for")
    image_descriptions: str = dspy.InputField(desc="what a few of the pictures look like, one per line; may be empty")
    scored_templates: str = dspy.InputField(desc="templates tried so far, one per line, worst first, best last")
    refused_templates: str = dspy.InputField(desc="your last answers that could not be used, with the reason")
    count: int = dspy.InputField(desc="how many new templates to write")
    templates: list[str] = dspy.OutputField(desc="exactly `count` new templates")


def on_scale(question: Any, scale: Scale) -> Any:
    """Return a signature that speaks of values as they are on a scale; of percent as it stands."""
    said = question.instructions.replace("\n", " ")
    return question if scale.percent else question.with_instructions(said.replace(ACCURACY, "A higher value is better"))


def history_line(template: str, value: float, loss: float, scale: Scale = FRACTION) -> str:
    """Return the line of the scored history that a language model reads.

    >>> history_line("a sketch of a <CLASS>.", 0.625, 1.25)
    'accuracy 62.50 %, loss 1.2500: a sketch of a <CLASS>.'
    """
    return f"{'accuracy' if scale.percent else 'value'} {scale.told(value)}, loss {loss:.4f}: {template}"


# The question for the optimizer LLM that also says what the templates so far have taught.


class ProposeFromFindings(ProposeTemplates):
    """Write new prompt templates for CLIP, which classifies a picture by comparing it with one sentence per class.

    `<CLASS>` stands for the class name. Accuracy runs from 0 to 100 percent, higher is better; loss is never negative,
    lower is better. Keep the words that helped, leave out those that did not, and add new ones that describe these
    pictures or keep apart the classes that are confused, without naming a class. Each template is different from every
    listed one and from each other, one line, concise, generally applicable to these pictures, with `<CLASS>` exactly
    once and no other markup.
    """

    findings: str = dspy.InputField(desc="what the templates tried so far have taught, one finding per line")
