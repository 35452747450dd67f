"""What the paper's public code asks the multimodal model (https://github.com/lmsdss/IPO), in our words.

It is another question than the paper's. It does not say that the class must not be named.
"""

import dspy


class DescribeAsInTheCode(dspy.Signature):
    """Give a detailed account of the features that set what this picture shows apart from other things."""

    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="the account")
