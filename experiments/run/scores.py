"""The rows of a result: what each step of the answer does on each part of the pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.tasks.base import LABEL
from ipo_prompts.metrics.verdict import Ends, Rounded, Verdict

Thumbnail = Annotated[str, Field(pattern=r"^data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/]+={0,2}$")]
Label = Annotated[str, Field(pattern=LABEL)]


class RewardNames(Content):
    """The names of the reward, of its measure, and of its units (in the plural)."""

    name: str = Field("classification", pattern=r"^[\w.:-]{1,100}$")
    measure: Label = "accuracy"
    unit: Label = "pictures"


CLASSIFICATION = RewardNames()


SealedPart = Literal["test", "new"]
PartName = Literal["search", "selection", "test", "new"]
AnyPart = PartName | Literal["fresh"]
"""A part of the pictures.

`fresh` pictures are left over: no template was searched or chosen with them. They test the single words of a template.
"""


class Value(Content):
    """A score, as a fraction, with its 95 % interval."""

    value: Rounded
    ci95: Ends


What = Literal["names", "template", "other names", "pictures", "in all"]


class Row(Content):
    """One step of the answer: the score before it and after it, on the same n units.

    Attributes:
        part: the part of the pictures.
        measure: the measure of the run, a further measure of its reward, or `mean over classes`.
        what: the step. `names` are read by rule, `other names` are found by a search. `in all` is all steps together.
        how: what changed, in words.
        kept: whether the step changed anything. If not, `after` is `before`.
        before: the score before the step. Before the first step, it is the score of the initial template with the class
            names as typed.
        difference: `after` less `before`, with its verdict. Only the steps on sealed parts are tested, together.
    """

    part: PartName
    measure: Label
    what: What
    how: str
    kept: bool
    before: Value
    after: Value
    n: int
    difference: Verdict
