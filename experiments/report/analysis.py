"""The records of `analysis.json`, which the report reads besides `result.json`.

`explain.py` fills them at the end of a run. To read them, neither torch nor DSPy is imported.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.run.result import TestPart, Thumbnail
from ipo_prompts.metrics.verdict import Ends, Rounded

ANALYSIS = "analysis.json"
LARGEST = 1e6
"""The largest value of a template that is accepted, as a fraction. No reward comes near it, and it can be drawn."""


class WordChange(Content):
    """A word or phrase removed from the chosen template.

    Attributes:
        span: the start and the end of the removed part, in characters (code points) of the chosen template.
        text: the text of the removed part.
        template: the changed template.
        change: the value of the changed template less that of the chosen one, a fraction.
        ci95: the 95 % interval of the change; None if changes are only described.
        p: the p-value of the change, corrected for the number of changes; None if changes are only described.
        significant: whether the corrected p-value shows that the change is more than chance.
    """

    span: tuple[int, int]
    text: str
    template: str
    change: Rounded
    ci95: Ends | None = None
    p: Rounded | None = None
    significant: bool = False


class Words(Content):
    """The effect of each word of the chosen template, measured on `n` units of `part`.

    Attributes:
        part: `fresh`: units that were used neither for the search nor for the choice. `val`: the units that chose
            the template; on them changes are only described.
        n: the number of units.
        template: the chosen template.
        value: the value of the chosen template on these units.
        changes: the changes that were scored.
    """

    part: Literal["fresh", "val"]
    n: int
    template: str
    value: Rounded
    changes: tuple[WordChange, ...]


class ClassGain(Content):
    """The values of one class with the initial and with the chosen template, on `n` images of the class."""

    name: str
    part: TestPart
    n: int
    initial: Rounded
    optimised: Rounded
    gain: Rounded


class Flip(Content):
    """An image with its label by the initial template and by the chosen template.

    Attributes:
        image: the short name of the image.
        class_name: the true class.
        before, after: the class predicted with the initial template, and with the chosen template.
        thumbnail: the image, small.
        confused: of an example of a confusion, how many images of the true class were taken for the class `after`.
        taken_for: beside such an example, an image that is of the class `after`; None if there is none.
    """

    image: str
    class_name: str
    before: str
    after: str
    thumbnail: Thumbnail
    confused: int = 0
    taken_for: Thumbnail | None = None


class Flips(Content):
    """Images that flipped, and images that the chosen template labels wrongly.

    Attributes:
        gained: some of the images that only the chosen template labels rightly.
        lost: some of the images that only the initial template labels rightly.
        wrong: one image of each of the most frequent confusions of the chosen template, the most frequent first.
        gained_total, lost_total: how many such images there are in all.
        wrong_total: how many images both templates label wrongly.
    """

    gained: tuple[Flip, ...] = ()
    lost: tuple[Flip, ...] = ()
    wrong: tuple[Flip, ...] = ()
    gained_total: int
    lost_total: int
    wrong_total: int


class Scored(Content):
    """A scored template, its value as a fraction, and the number of units."""

    template: str
    value: Annotated[Rounded, Field(ge=-LARGEST, le=LARGEST)]
    n: int


class SearchStep(Content):
    """The templates that one step proposed."""

    scored: tuple[Scored, ...]


class Search(Content):
    """The search: what the report shows of a `SearchResult`.

    Attributes:
        steps: the steps in order; the first holds the initial template. Their templates were scored on train units.
        finalists: the templates that were scored on the validation units. The initial template is first; the others
            follow, the best on the train units first.
        descriptions: the descriptions of the images.
    """

    steps: Annotated[tuple[SearchStep, ...], Field(min_length=1)]
    finalists: tuple[Scored, ...]
    descriptions: tuple[str, ...]

    @property
    def initial(self) -> Scored:
        """The initial template, scored on the train units."""
        return self.steps[0].scored[0]

    @property
    def proposed(self) -> list[tuple[int, Scored]]:
        """The proposed templates, each with the number of its step, from 1."""
        return [(number, one) for number, step in enumerate(self.steps) if number for one in step.scored]


class Analysis(Content):
    """The content of `analysis.json`.

    Attributes:
        search: the search.
        words: the effect of each word; None if there were no images to measure it on.
        classes: the gain of each class on the test parts; empty if the reward has no labels or predictions, or if a
            unit is not just right or wrong.
        flips: test images whose label changed, or stayed wrong; None if the reward has no labels or predictions.
        untested: the names of the classes that no test image shows.
    """

    version: Literal[3] = Field(default=3, alias="schema")
    search: Search
    words: Words | None
    classes: tuple[ClassGain, ...] = ()
    flips: Flips | None = None
    untested: tuple[str, ...] = ()
