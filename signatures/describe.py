"""The questions for the multimodal model: what do these pictures look like? Ours, the paper's, its code's."""

from __future__ import annotations

import dspy


class DescribeImage(dspy.Signature):
    """Describe how this picture looks, so that a caption writer who cannot see it knows its style and setting.

    Say in one or two sentences what kind of picture it is (medium, colours, lighting, viewpoint, background, quality)
    and which visible features matter for the task. Do not guess or name what the pictured thing is.
    """

    task: str = dspy.InputField(desc="what the pictures are classified into")
    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="one or two plain sentences, at most 60 words")


# The paper's question for the multimodal model (Du, Sun and Snoek, NeurIPS 2024), in its own words.


class DescribeAsInThePaper(dspy.Signature):
    """Please generate the description in detail, do not provide the class name in the description."""

    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="the description")


# What the paper's public code asks the multimodal model (https://github.com/lmsdss/IPO), in our words.
#
# It is another question than the paper's. It does not say that the class must not be named.


class DescribeAsInTheCode(dspy.Signature):
    """Give a detailed account of the features that set what this picture shows apart from other things."""

    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="the account")
