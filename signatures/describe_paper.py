"""The paper's question for the multimodal model (Du, Sun and Snoek, NeurIPS 2024), in its own words."""

import dspy


class DescribeAsInThePaper(dspy.Signature):
    """Please generate the description in detail, do not provide the class name in the description."""

    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="the description")
