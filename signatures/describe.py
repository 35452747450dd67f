"""The question for the multimodal model: what do these pictures look like?"""

import dspy


class DescribeImage(dspy.Signature):
    """Describe how this picture looks, so that a caption writer who cannot see it knows its style and setting.

    Say in one or two sentences what kind of picture it is (medium, colours, lighting, viewpoint, background, quality)
    and which visible features matter for the task. Do not guess or name what the pictured thing is.
    """

    task: str = dspy.InputField(desc="what the pictures are classified into")
    image: dspy.Image = dspy.InputField(desc="one training picture")
    description: str = dspy.OutputField(desc="one or two plain sentences, at most 60 words")
