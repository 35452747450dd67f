"""`analysis.json`: why a template won. The models here are what is written and what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ipo.experiments.run.files import Content, read_model
from ipo.experiments.run.result import renamed
from ipo.metrics.verdict import Ends

FILE_NAME = "analysis.json"
Thumbnail = Annotated[str, Field(pattern=r"^data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/]+={0,2}$")]


class Shift(Content):
    """By how much a score changes, with its interval; None where the units cannot bound it or only describe it."""

    change: float
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
    p: float | None = None
    significant: bool


class Skipped(Content):
    """A change that could not be scored, and why."""

    template: str
    reason: str


class Words(Content):
    """What each word does, looked at on `n` units of `part`.

    Attributes:
        part: `fresh`, units that neither searched nor chose; or `selection`, those that chose the template, where the
            changes are a description: earlier versions tested them there all the same.
        note: how the numbers came about and what they can show.
    """

    part: str
    n: int
    template: str
    value: float
    loss: float
    changes: tuple[WordChange, ...]
    skipped: tuple[Skipped, ...] = ()
    note: str = ""


class ClassGain(Content):
    """One class: values before and after, on its n pictures."""

    name: str
    part: Literal["test", "new"]
    n: int
    initial: float
    optimised: float
    gain: float
    loss_change: float


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
    """A picture whose label changed from right to wrong or back."""

    picture: str
    class_name: str
    before: str
    after: str
    thumbnail: Thumbnail


class Flips(Content):
    """Pictures that flipped; the lists may hold fewer than there are."""

    gained: tuple[Flip, ...] = ()
    lost: tuple[Flip, ...] = ()
    gained_total: int
    lost_total: int


class Analysis(Content):
    """The content of `analysis.json`.

    Attributes:
        words: what each word does; None where it was not measured, with the reason in `words_missing`.
        classes, confusions, flips: of the sealed parts; empty where the reward has no labels or predictions, with the
            reason in `classes_missing`.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    words: Words | None
    words_missing: str | None = None
    classes: tuple[ClassGain, ...] = ()
    confusions: Confusions = Confusions()
    flips: Flips | None = None
    classes_missing: str | None = None


def load_analysis(place: Path) -> Analysis:
    """Read the analysis of a run directory, or a file; older schemas are migrated.

    Raises:
        InputError: it cannot be read, or is no analysis.
    """
    file = place / FILE_NAME if place.is_dir() else place
    return read_model(Analysis, file, {1: _from_1}, fix="remove it, the report does without")


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Make schema 2 of schema 1, in which values were accuracies and wordings stood under `with`."""
    words, flips = old["words"], old.get("flips")
    if words:
        changes = [renamed(renamed(change, "accuracy", "value"), "with", "wordings") for change in words["changes"]]
        words = {**renamed(words, "accuracy", "value"), "changes": changes}
    if flips:
        named = {kind: [renamed(flip, "class", "class_name") for flip in flips[kind]] for kind in ("gained", "lost")}
        flips = {**flips, **named}
    return {**old, "schema": 2, "words": words, "flips": flips}
