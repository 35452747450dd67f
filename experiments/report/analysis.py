"""What is written beside a result and read for its page: `analysis.json`, why a template won; `seen.json`.

`seen.json` is of a run without labels: what it called its pictures.
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
    """By how much a score changes, with its interval; None where the units cannot bound it or only describe it."""

    change: Rounded
    ci95: Ends | None


class WordChange(Content):
    """One change made to the template. All numbers are changed minus chosen template: a fraction, a loss.

    Attributes:
        kind: a word or phrase was removed, replaced by neutral words, or the slot was moved.
        span: where, in characters (code points) of the template; None when it is nowhere.
        text: what stood there.
        template: the changed template; for a placebo the first of its wordings.
        wordings: the neutral words that stood in for a placebo; the numbers are the mean over them. Wordings that the
            CLIP cannot tell apart are there once.
        to: where the slot was moved.
        p: of the change of value, corrected for the number of changes; None where changes are only described.
        significant: whether it is more than chance.
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
    """What each word does, looked at on `n` units of `part`.

    Attributes:
        part: `fresh`, units that neither searched nor chose; or `selection`, those that chose the template, where the
            changes are a description.
        note: how the numbers came about and what they can show.
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
    """One class: values before and after, on its n pictures."""

    name: str
    part: Literal["test", "new"]
    n: int
    initial: Rounded
    optimised: Rounded
    gain: Rounded
    loss_change: Rounded


class Confusion(Content):
    """How often pictures of a class were taken for another, under both templates."""

    true: str
    predicted: str
    initial: int
    optimised: int


class Confusions(Content):
    """Confusions that are gone and that are new."""

    vanished: tuple[Confusion, ...] = ()
    appeared: tuple[Confusion, ...] = ()


class Flip(Content):
    """A picture with its label before and after, such as one whose label changed from right to wrong or back.

    Attributes:
        true_before, true_after: the probability of its true class under both templates, if it is that of the softmax
            over the classes, else None.
    """

    picture: str
    class_name: str
    before: str
    after: str
    thumbnail: Thumbnail
    true_before: Rounded | None
    true_after: Rounded | None


class Flips(Content):
    """Pictures that flipped, and those that both templates label wrongly; the lists may hold fewer than there are."""

    gained: tuple[Flip, ...] = ()
    lost: tuple[Flip, ...] = ()
    wrong: tuple[Flip, ...] = ()
    gained_total: int
    lost_total: int
    wrong_total: int


class Shown(Content):
    """A picture of a class, to see what the data are."""

    class_name: str
    thumbnail: Thumbnail


class Matrix(Content):
    """Who is taken for whom on the sealed test, among the classes that are confused most.

    Attributes:
        names: k classes; those that are confused with each other stand close.
        of_classes: how many there are.
        initial, optimised: (k, k + 1) counts under both templates: rows are true classes, columns what their pictures
            were taken for, the last one any other class.
    """

    names: tuple[str, ...]
    of_classes: int
    initial: tuple[tuple[int, ...], ...]
    optimised: tuple[tuple[int, ...], ...]


class Analysis(Content):
    """The content of `analysis.json`.

    Attributes:
        words: what each word does; None where it was not measured, with the reason in `words_missing`.
        sample: search pictures of a few classes; empty where a unit is not one picture.
        classes, confusions, flips, matrix: of the sealed parts; empty where the reward has no labels or predictions,
            with the reason in `classes_missing`.
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
        InputError: it cannot be read, or is no analysis.
    """
    file = place / ANALYSIS if place.is_dir() else place
    return read_model(Analysis, file, fix="remove it, the report does without")


class Called(Content):
    """A class: how many pictures are called so by each of three programs, and some that the run's own calls so."""

    class_name: str
    initial: int
    found: int
    mean_off: int
    thumbnails: tuple[Thumbnail, ...]


class Changed(Content):
    """A picture, and what three programs call it."""

    picture: str
    initial: str
    found: str
    mean_off: str
    thumbnail: Thumbnail


class Seen(Content):
    """The content of `seen.json`.

    Attributes:
        classes: those that the chosen template names most often.
        of_classes: how many classes it names at all.
        changed: pictures whose probabilities moved most, by the template; where the initial one stays, by the mean
            picture taken off.
    """

    classes: tuple[Called, ...]
    of_classes: int
    changed: tuple[Changed, ...]


def load_seen(folder: Path) -> Seen | None:
    """Read what a run directory has of it; None where it has none.

    Raises:
        InputError: it cannot be read, or is none.
    """
    file = folder / SEEN
    return read_model(Seen, file, fix="remove it, the report does without") if file.exists() else None
