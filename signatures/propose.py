"""The questions to language models, as DSPy signatures.

First comes the question to the optimizer: which templates could score higher? Its parts are in the paper's order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


# Questions to small local models, which are answered with plain lines (see `programs/lm/local.py`).


class SmallQuestion(NamedTuple):
    """How a small local model is asked for a list.

    Attributes:
        system: the system line.
        grammar: the rules of llama.cpp's grammar (GBNF) below the rule `line`.
        examples: inputs, and the lines that answer them. They are far from what people classify.
    """

    system: str
    grammar: str
    examples: tuple[tuple[dict[str, Any], str], ...]


SMALL_QUESTIONS = {
    "templates": SmallQuestion(
        "You write short image caption templates for the CLIP classifier, one on each line. They describe the images: "
        "kind of picture, viewpoint, scene, material, or the category of the classes.",
        # The limits on word lengths are wide on purpose: under tight limits a small model joins words.
        r"""line ::= (word " "){1,6} "<CLASS>" (","? (" " word){1,8})? "."
word ::= [a-zA-Z] [a-z]{0,12} ("-" [a-z]{2,9})?""",
        (
            (
                {
                    "task": "pictures of old coins, such as denarius, ducat, penny. <CLASS> is the name of a coin.",
                    "scored_templates": "accuracy 41.00 %, loss 2.1000: <CLASS>.\n"
                    "accuracy 46.50 %, loss 1.9000: a photo of a <CLASS>.\n"
                    "accuracy 55.50 %, loss 1.6000: a museum photo of a <CLASS>.",
                },
                "a top view of a <CLASS>, a kind of coin on a museum tray.\nan old worn <CLASS> lying on dark cloth.",
            ),
        ),
    ),
    "kinds": SmallQuestion(
        "You say in one or two everyday words what all classes of a list are, in one word on each line.",
        r"""line ::= [a-z] [a-z]{1,14} (" " [a-z]{2,14})?""",
        (
            ({"classes": "denarius, ducat, penny, florin"}, "coin\nmoney\nold coin\nmetal piece"),
            ({"classes": "violin, tuba, drum, harp"}, "instrument\nmusic\nsound maker\norchestra"),
        ),
    ),
}
"""By the list that is wanted: an output field of the signatures above."""
