"""The questions to language models, as DSPy signatures.

First comes the question to the optimizer: which templates could score higher? Its parts are in the paper's order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import dspy

from ipo_prompts.metrics.scale import FRACTION, Scale

ACCURACY = "Accuracy runs from 0 to 100 percent, higher is better; loss is never negative"
"""What a question says about scores that are shares of right answers."""


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
    """Return a signature that speaks of values on a scale; for percent the signature is unchanged."""
    said = question.instructions.replace("\n", " ")
    return question if scale.percent else question.with_instructions(said.replace(ACCURACY, "A higher value is better"))


def history_line(template: str, value: float, loss: float, scale: Scale = FRACTION) -> str:
    """Return the line of the scored history that a language model reads.

    >>> history_line("a sketch of a <CLASS>.", 0.625, 1.25)
    'accuracy 62.50 %, loss 1.2500: a sketch of a <CLASS>.'
    """
    return f"{'accuracy' if scale.percent else 'value'} {scale.told(value)}, loss {loss:.4f}: {template}"


# Three questions to the multimodal model: what do these pictures look like? Ours, the paper's, and its code's.


class DescribeImage(dspy.Signature):
    """Describe how this picture looks, so that a caption writer who cannot see it knows its style and setting.

    Say in one or two sentences what kind of picture it is (medium, colours, lighting, viewpoint, background, quality)
    and which visible features matter for the task. Do not guess or name what the pictured thing is.
    """

    task: str = dspy.InputField(desc="what the pictures are classified into")
    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="one or two plain sentences, at most 60 words")


# The paper's question to the multimodal model (Du, Sun and Snoek, NeurIPS 2024), in the paper's words.


class DescribeAsInThePaper(dspy.Signature):
    """Please generate the description in detail, do not provide the class name in the description."""

    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="the description")


# What the paper's public code asks the multimodal model (https://github.com/lmsdss/IPO), in our words.
#
# It differs from the paper's question. It does not say that the class must not be named.


class DescribeAsInTheCode(dspy.Signature):
    """Give a detailed account of the features that set what this picture shows apart from other things."""

    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="the account")


# The question for other names of classes. It is asked about some classes at a time.


class ProposeNames(dspy.Signature):
    """Say what else the classes of an image classifier are called, in words that captions of pictures use.

    Give each class up to five short names in plain English: the everyday name, a synonym, the singular, what a brand, a
    code or a Latin name stands for, a slightly wider or narrower word. Do not use the name of another class.
    """

    task: str = dspy.InputField(desc="what the pictures are classified into")
    classes: list[str] = dspy.InputField(desc="the classes to name, as they are called now")
    lines: list[str] = dspy.OutputField(desc="one line a class, as in `moggy: cat, house cat, kitten`")


# The question for domain words. It is asked once.


class ProposeDomain(dspy.Signature):
    """Say what all classes of an image classifier are, and what kind of pictures all of its pictures are.

    Give up to ten short answers to each, the best first, in plain English words that captions of pictures use. What all
    classes are fits into "CLASS, a type of ...", from the narrowest word to the widest one. What all pictures are fits
    into "a ... photo"; give none if they are ordinary photos. Do not use the name of a class.
    """

    task: str = dspy.InputField(desc="what the pictures are classified into")
    classes: list[str] = dspy.InputField(desc="the classes, or some of them")
    kinds: list[str] = dspy.OutputField(desc="what all of these are, as in `coin`, `old money`")
    pictures: list[str] = dspy.OutputField(desc="what kind of pictures, as in `museum`; may be empty")


# The question to small local models: one template at a time, after one worked example.
#
# A model of half a billion parameters that is asked for a list repeats itself and runs on. So
# `programs.strategies.small_model` lays out the parts of this question as plain turns of a chat, without fields.

SYSTEM = "You write short image caption templates for the CLIP classifier. You answer with one template."
TASK = "Task: {task}"
DESCRIPTIONS = "What some of the images look like:"
HISTORY = "Templates tried so far, from the worst score to the best:"
REQUEST = (
    "Write 1 new caption template for these images that could score higher. Use the slot <CLASS> exactly once. "
    "Describe the images: kind of picture, viewpoint, scene, material, or the category of the classes. "
    "Do not repeat a template from the list."
)

# The worked example. Its task is far from what people classify, and says nothing about how other pictures look.
EXAMPLE_TASK = "pictures of old coins, such as denarius, ducat, penny. <CLASS> is the name of a coin."
EXAMPLE_DESCRIPTIONS = ("A round piece of metal lies on a tray in a museum.",)
EXAMPLE_HISTORY = (
    ("<CLASS>.", 0.41),
    ("a photo of a <CLASS>.", 0.465),
    ("an image of a <CLASS> from a collection.", 0.52),
    ("a museum photo of a <CLASS>.", 0.555),
)
EXAMPLE_ANSWER = "a top view of a <CLASS>, a kind of coin on a museum tray."

# The question of a small local model for what all classes are.
SYSTEM_KINDS = "You say in one or two everyday words what all things of a list are. You answer with these words only."
EXAMPLE_KINDS = {"denarius, ducat, penny, florin": "coin, money", "violin, tuba, drum, harp": "instrument"}
"""Lists of names, and what they are: far from what people classify."""

HISTORY_LINES = 12
"""The most templates shown, the best ones. Each costs prompt time at every step."""
DESCRIPTION_CHARACTERS = 200
DESCRIPTION_LINES = 4


class ProposeTemplate(dspy.Signature):
    """Write one new prompt template for CLIP."""

    task: str = dspy.InputField(desc="what the pictures are and what `<CLASS>` stands for")
    image_descriptions: list[str] = dspy.InputField(desc="what a few of the pictures look like; may be empty")
    scored_templates: list[str] = dspy.InputField(desc="templates tried so far, worst first, best last")
    template: str = dspy.OutputField(desc="one new template")


def short_line(template: str, value: float, scale: Scale = FRACTION) -> str:
    """Return a line of the scored history.

    Percentages are rounded to two decimals and then to one, so that recorded requests are still found by their text.

    >>> short_line("a photo of a <CLASS>.", 0.3125)
    '31.2  a photo of a <CLASS>.'
    """
    return f"{float(f'{100 * value:.2f}'):.1f}  {template}" if scale.percent else f"{scale.told(value)}  {template}"


def question(task: str, descriptions: Sequence[str], scored_templates: Sequence[str]) -> str:
    """Return one user turn. Empty parts are left out; `scored_templates` run from worst to best."""
    parts = [TASK.format(task=task)]
    shown = [shortened(text) for text in descriptions[:DESCRIPTION_LINES]]
    if shown:
        parts.append("\n".join([DESCRIPTIONS, *(f"- {text}" for text in shown)]))
    if scored_templates:
        parts.append("\n".join([HISTORY, *scored_templates[-HISTORY_LINES:]]))
    return "\n\n".join([*parts, REQUEST])


def shortened(description: str) -> str:
    """Cut a description to its first sentence, and the sentence to `DESCRIPTION_CHARACTERS`.

    >>> shortened("A red bus. It stands in a street.")
    'A red bus.'
    """
    text = re.split(r"(?<=[.!?])\s", " ".join(description.split()), maxsplit=1)[0]
    if len(text) <= DESCRIPTION_CHARACTERS:
        return text
    return text[:DESCRIPTION_CHARACTERS].rsplit(" ", 1)[0] + " ..."
