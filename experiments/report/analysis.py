"""The file `analysis.json`, which says why a template won. The report reads it besides `result.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content, read_model
from ipo_prompts.experiments.run.result import Thumbnail
from ipo_prompts.metrics.verdict import Ends, Rounded

ANALYSIS = "analysis.json"


class Shift(Content):
    """The change of a value or a loss.

    Attributes:
        change: the change.
        ci95: its 95 % interval. None if there are too few units for an interval, or if changes are only described.
    """

    change: Rounded
    ci95: Ends | None


class WordChange(Content):
    """A word or phrase removed from the chosen template. All differences are changed minus chosen.

    Attributes:
        span: the start and the end of the removed part, in characters (code points) of the chosen template.
        text: the text of the removed part.
        template: the changed template.
        value: the change of the value, a fraction.
        loss: the change of the loss.
        p: the p-value of the change of the value, corrected for the number of changes; None if changes are only
            described.
        significant: whether the corrected p-value shows that the change of the value is more than chance.
    """

    span: tuple[int, int]
    text: str
    template: str
    value: Shift
    loss: Shift
    p: Rounded | None = None
    significant: bool


class Skipped(Content):
    """A changed template that could not be scored, and the reason."""

    template: str
    reason: str


class Words(Content):
    """The effect of each word of the chosen template, measured on `n` units of `part`.

    Attributes:
        part: `fresh`: units that were used neither for the search nor for the choice. `selection`: the units that chose
            the template; on them changes are only described.
        n: the number of units.
        template: the chosen template.
        value, loss: the value and the loss of the chosen template on these units.
        changes: the changes that were scored.
        skipped: the changes that could not be scored.
        note: a text that says how the numbers were measured and what they can show.
    """

    part: Literal["fresh", "selection"]
    n: int
    template: str
    value: Rounded
    loss: Rounded
    changes: tuple[WordChange, ...]
    skipped: tuple[Skipped, ...] = ()
    note: str = ""


class ClassGain(Content):
    """The values of one class with the initial and with the chosen template, on `n` pictures of the class."""

    name: str
    part: Literal["test", "new"]
    n: int
    initial: Rounded
    optimised: Rounded
    gain: Rounded
    loss_change: Rounded


class Confusion(Content):
    """How often pictures of the class `true` were taken for the class `predicted`, with each of the two templates."""

    true: str
    predicted: str
    initial: int
    optimised: int


class Confusions(Content):
    """Confusions that are rarer with the chosen template (`vanished`), and confusions that are more frequent."""

    vanished: tuple[Confusion, ...] = ()
    appeared: tuple[Confusion, ...] = ()


class Flip(Content):
    """A picture with its label by the initial template and by the chosen template.

    Attributes:
        picture: the short name of the picture.
        class_name: the true class.
        before, after: the class predicted with the initial template, and with the chosen template.
        thumbnail: the picture, small.
        true_before, true_after: the probability of the true class with each template; None if the losses do not give
            the softmax probabilities of the classes.
        confused: of an example of a confusion, how many pictures of the true class were taken for the class `after`.
        taken_for: beside such an example, a picture that is of the class `after`; None if there is none.
    """

    picture: str
    class_name: str
    before: str
    after: str
    thumbnail: Thumbnail
    true_before: Rounded | None
    true_after: Rounded | None
    confused: int = 0
    taken_for: Thumbnail | None = None


class Flips(Content):
    """Pictures that flipped, and pictures that the chosen template labels wrongly.

    Attributes:
        gained: some of the pictures that only the chosen template labels rightly.
        lost: some of the pictures that only the initial template labels rightly.
        wrong: one picture of each of the most frequent confusions of the chosen template, the most frequent first.
        gained_total, lost_total: how many such pictures there are in all.
        wrong_total: how many pictures both templates label wrongly.
    """

    gained: tuple[Flip, ...] = ()
    lost: tuple[Flip, ...] = ()
    wrong: tuple[Flip, ...] = ()
    gained_total: int
    lost_total: int
    wrong_total: int


class Shown(Content):
    """A picture of a class, as an example of the data."""

    class_name: str
    thumbnail: Thumbnail


class Matrix(Content):
    """How often each class is taken for each class on the sealed test, for the k classes that are confused most.

    Attributes:
        names: the names of the k classes. Classes that are confused with each other stand close together.
        of_classes: how many classes there are in all.
        initial, optimised: counts of pictures with each template, (k, k + 1). A row is a true class. A column is a
            predicted class; the last column counts all other predicted classes.
    """

    names: tuple[str, ...]
    of_classes: int
    initial: tuple[tuple[int, ...], ...]
    optimised: tuple[tuple[int, ...], ...]


class Analysis(Content):
    """The content of `analysis.json`.

    Attributes:
        words: the effect of each word; None if it was not measured.
        words_missing: the reason why the effects of words were not measured.
        classes: the gain of each class on the sealed parts.
        confusions: the confusions on the sealed parts that changed most.
        flips: sealed pictures whose label changed, or stayed wrong.
        matrix: how often each class is taken for each class on the sealed test.
        sample: search pictures of a few classes; empty if units are not single pictures.
        classes_missing: the reason why `classes`, `confusions`, `flips` and `matrix` are empty: the reward has no
            labels or predictions.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    words: Words | None
    words_missing: str | None = None
    classes: tuple[ClassGain, ...] = ()
    confusions: Confusions = Confusions()
    flips: Flips | None = None
    matrix: Matrix | None = None
    sample: tuple[Shown, ...] = ()
    classes_missing: str | None = None


def load_analysis(place: Path) -> Analysis:
    """Read the analysis from a run directory, or from a file.

    Raises:
        InputError: the file cannot be read, or is not an analysis.
    """
    file = place / ANALYSIS if place.is_dir() else place
    return read_model(Analysis, file, fix="remove it, the report does without")
