"""The question for small local models: one template at a time, after one worked example.

A model of half a billion parameters that is asked for a list repeats itself and runs on, so the parts of this question
are laid out by `programs.strategies.small_model` as plain turns of a chat, without fields.
"""

import re
from collections.abc import Sequence

import dspy

from ipo_prompts.metrics.scale import FRACTION, Scale

SYSTEM = "You write short image caption templates for the CLIP classifier. You answer with one template."
TASK = "Task: {task}"
DESCRIPTIONS = "What some of the images look like:"
FINDINGS = "What the templates tried so far have taught:"
HISTORY = "Templates tried so far, from the worst score to the best:"
REQUEST = (
    "Write 1 new caption template for these images that could score higher. Use the slot <CLASS> exactly once. "
    "Describe the images: kind of picture, viewpoint, scene, material, or the category of the classes. "
    "Do not repeat a template from the list."
)

# The worked example: its task is far from what people classify, and says nothing about how any other pictures look.
EXAMPLE_TASK = "pictures of old coins, such as denarius, ducat, penny. <CLASS> is the name of a coin."
EXAMPLE_DESCRIPTIONS = ("A round piece of metal lies on a tray in a museum.",)
EXAMPLE_HISTORY = (
    ("<CLASS>.", 0.41),
    ("a photo of a <CLASS>.", 0.465),
    ("an image of a <CLASS> from a collection.", 0.52),
    ("a museum photo of a <CLASS>.", 0.555),
)
EXAMPLE_ANSWER = "a top view of a <CLASS>, a kind of coin on a museum tray."

HISTORY_LINES = 12
"""The most templates shown, the best ones: each costs prompt time at every step."""
DESCRIPTION_CHARACTERS = 200
DESCRIPTION_LINES = 4


class ProposeTemplate(dspy.Signature):
    """Write one new prompt template for CLIP."""

    task: str = dspy.InputField(desc="what the pictures are and what `<CLASS>` stands for")
    image_descriptions: list[str] = dspy.InputField(desc="what a few of the pictures look like; may be empty")
    scored_templates: list[str] = dspy.InputField(desc="templates tried so far, worst first, best last")
    findings: list[str] = dspy.InputField(desc="what the templates tried so far have taught; may be empty")
    template: str = dspy.OutputField(desc="one new template")


def short_line(template: str, value: float, scale: Scale = FRACTION) -> str:
    """Return a line of the scored history.

    Percent are rounded to two decimals and then to one: recorded requests are found by their text.

    >>> short_line("a photo of a <CLASS>.", 0.3125)
    '31.2  a photo of a <CLASS>.'
    """
    return f"{float(f'{100 * value:.2f}'):.1f}  {template}" if scale.percent else f"{scale.told(value)}  {template}"


def question(
    task: str, descriptions: Sequence[str], scored_templates: Sequence[str], findings: Sequence[str] = ()
) -> str:
    """Write one user turn. Parts that would be empty are left out; `scored_templates` run from worst to best."""
    parts = [TASK.format(task=task)]
    shown = [shortened(text) for text in descriptions[:DESCRIPTION_LINES]]
    if shown:
        parts.append("\n".join([DESCRIPTIONS, *(f"- {text}" for text in shown)]))
    if scored_templates:
        parts.append("\n".join([HISTORY, *scored_templates[-HISTORY_LINES:]]))
    if findings:
        parts.append("\n".join([FINDINGS, *(f"- {line}" for line in findings)]))
    return "\n\n".join([*parts, REQUEST])


def shortened(description: str) -> str:
    """Cut a description to its first sentence, and that to what fits.

    >>> shortened("A red bus. It stands in a street.")
    'A red bus.'
    """
    text = re.split(r"(?<=[.!?])\s", " ".join(description.split()), maxsplit=1)[0]
    if len(text) <= DESCRIPTION_CHARACTERS:
        return text
    return text[:DESCRIPTION_CHARACTERS].rsplit(" ", 1)[0] + " ..."
