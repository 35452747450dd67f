"""The question for other names of classes, asked for some classes at a time."""

from __future__ import annotations

import dspy


class ProposeNames(dspy.Signature):
    """Say what else the classes of an image classifier are called, in words that captions of pictures use.

    Give each class up to five short names in plain English: the everyday name, a synonym, the singular, what a brand, a
    code or a Latin name stands for, a slightly wider or narrower word. Do not use the name of another class.
    """

    task: str = dspy.InputField(desc="what the pictures are classified into")
    classes: list[str] = dspy.InputField(desc="the classes to name, as they are called now")
    confusions: list[str] = dspy.InputField(desc="which of them are taken for which other classes; may be empty")
    lines: list[str] = dspy.OutputField(desc="one line a class, as in `moggy: cat, house cat, kitten`")
