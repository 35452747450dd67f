"""The files beside a result that its page reads: `analysis.json` and `seen.json`.

`analysis.json` says why a template won. `seen.json` is for a run without labels: it says what the run called the
pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content, read_model
from ipo_prompts.experiments.run.scores import Thumbnail
from ipo_prompts.metrics.verdict import Ends, Rounded

ANALYSIS = "analysis.json"
SEEN = "seen.json"


class Shift(Content):
    """By how much a score changes. `ci95` is None where the units cannot bound the change, or only describe it."""

    change: Rounded
    ci95: Ends | None


class WordChange(Content):
    """One change made to the template. All differences are the changed template minus the chosen one.

    Attributes:
        kind: `remove`, a word or phrase was removed; `placebo`, a word was replaced by neutral words; `move`, the slot
            was moved.
        span: the changed part, in characters (code points) of the template; None where there is none.
        text: the text of that part.
        template: the changed template; for a placebo the first of its wordings.
        wordings: the neutral words of a placebo; the numbers are means over them. Wordings that the CLIP cannot tell
            apart are counted once.
        to: where the slot was moved.
        value: the change of the value, a fraction.
        loss: the change of the loss.
        p: the p of the change of value, corrected for the number of changes; None where changes are only described.
        significant: whether the change is more than chance.
    """

    kind: Literal["remove", "placebo", "move"]
    span: tuple[int, int] | None
    text: str
    template: str
    wordings: tuple[str, ...] = ()
    to: Literal["first", "last"] | None = None
    value: Shift
    loss: Shift
    p: Rounded | None = None
    significant: bool


class Skipped(Content):
    """A change that could not be scored, and why."""

    template: str
    reason: str


class Words(Content):
    """What each word does, measured on `n` units of `part`.

    Attributes:
        part: `fresh`, units used neither for the search nor for the choice; or `selection`, the units that chose the
            template, on which changes are only described.
        note: how the numbers were measured and what they can show.
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
    """The values of one class with the initial and the chosen template, on n pictures of the class."""

    name: str
    part: Literal["test", "new"]
    n: int
    initial: Rounded
    optimised: Rounded
    gain: Rounded
    loss_change: Rounded


class Confusion(Content):
    """How often pictures of one class were taken for another, with each of the two templates."""

    true: str
    predicted: str
    initial: int
    optimised: int


class Confusions(Content):
    """Confusions that are gone and that are new."""

    vanished: tuple[Confusion, ...] = ()
    appeared: tuple[Confusion, ...] = ()


class Flip(Content):
    """A picture with its label by the initial and by the chosen template.

    Attributes:
        true_before, true_after: the probability of the true class with each template; None where probabilities are not
            those of the softmax over the classes.
    """

    picture: str
    class_name: str
    before: str
    after: str
    thumbnail: Thumbnail
    true_before: Rounded | None
    true_after: Rounded | None


class Flips(Content):
    """Pictures that flipped, and pictures that both templates label wrongly. The lists may hold only some of them."""

    gained: tuple[Flip, ...] = ()
    lost: tuple[Flip, ...] = ()
    wrong: tuple[Flip, ...] = ()
    gained_total: int
    lost_total: int
    wrong_total: int


class Shown(Content):
    """A picture of a class, to show what the data are."""

    class_name: str
    thumbnail: Thumbnail


class Matrix(Content):
    """Which class is taken for which on the sealed test, among the classes that are confused most.

    Attributes:
        names: the names of k classes; classes that are confused with each other stand close.
        of_classes: how many classes there are in all.
        initial, optimised: (k, k + 1) counts with each template. A row is a true class; a column is what pictures were
            taken for, and the last column is all other classes.
    """

    names: tuple[str, ...]
    of_classes: int
    initial: tuple[tuple[int, ...], ...]
    optimised: tuple[tuple[int, ...], ...]


class Analysis(Content):
    """The content of `analysis.json`.

    Attributes:
        words: what each word does; None where this was not measured. `words_missing` has the reason.
        sample: search pictures of a few classes; empty where a unit is not one picture.
        classes, confusions, flips, matrix: from the sealed parts; empty where the reward has no labels or predictions.
            `classes_missing` has the reason.
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
    """Read the analysis of a run directory, or a file.

    Raises:
        InputError: the file cannot be read, or is no analysis.
    """
    file = place / ANALYSIS if place.is_dir() else place
    return read_model(Analysis, file, fix="remove it, the report does without")


class Called(Content):
    """A class, and how many pictures each of three programs calls so.

    Attributes:
        class_name: the name of the class.
        initial, found, mean_off: how many pictures are called so by the initial template, by the chosen template, and
            by the initial template with centring.
        thumbnails: some of the pictures that the chosen template calls so.
    """

    class_name: str
    initial: int
    found: int
    mean_off: int
    thumbnails: tuple[Thumbnail, ...]


class Changed(Content):
    """A picture, and what each of three programs calls it; see `Called`."""

    picture: str
    initial: str
    found: str
    mean_off: str
    thumbnail: Thumbnail


class Seen(Content):
    """The content of `seen.json`.

    Attributes:
        classes: the classes that the chosen template names most often.
        of_classes: how many classes the chosen template names at all.
        changed: the pictures whose probabilities moved most with the chosen template; where the initial template stays,
            with centring.
    """

    classes: tuple[Called, ...]
    of_classes: int
    changed: tuple[Changed, ...]


def load_seen(folder: Path) -> Seen | None:
    """Read `seen.json` of a run directory; None where there is none.

    Raises:
        InputError: the file cannot be read, or has other content.
    """
    file = folder / SEEN
    return read_model(Seen, file, fix="remove it, the report does without") if file.exists() else None
