"""The question for the optimizer LLM that also says what the templates so far have taught."""

import dspy

from ipo_prompts.signatures.propose import ProposeTemplates


class ProposeFromFindings(ProposeTemplates):
    """Write new prompt templates for CLIP, which classifies a picture by comparing it with one sentence per class.

    `<CLASS>` stands for the class name. Accuracy runs from 0 to 100 percent, higher is better; loss is never negative,
    lower is better. Keep the words that helped, leave out those that did not, and add new ones that describe these
    pictures or keep apart the classes that are confused, without naming a class. Each template is different from every
    listed one and from each other, one line, concise, generally applicable to these pictures, with `<CLASS>` exactly
    once and no other markup.
    """

    findings: str = dspy.InputField(desc="what the templates tried so far have taught, one finding per line")
