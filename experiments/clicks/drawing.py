"""Which pictures are asked about, in which order and under which names: `label.json`, which the page does not show.

The page has an id for each showing and two names in shuffled order. Which name is whose is here alone.

Both orders follow from digests of a picture and the two programs, which know nothing of what the picture shows. So one
pair on the same pictures has one page, wherever it is made and whoever answers: a second one is no fresh sample.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, model_validator

from ipo_prompts.experiments.data import Item
from ipo_prompts.experiments.run.files import Content, read_model
from ipo_prompts.experiments.run.openings import DIGITS as OPENED
from ipo_prompts.experiments.run.openings import Peek
from ipo_prompts.metrics.clicks import Disagreements
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import written
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.saved_program import SavedProgram

DRAWING = "label.json"
MOST = 1000
"""Pictures of a page: more than anybody answers."""
EVERY, LATER = 3, 9
"""Every third new picture comes again, after so many others or at the end. It takes so many to tell what wrong clicks
do (`benchmarks/verify.py`), and a rater who stops early has some, too."""
SOONEST = 2
DIGITS = 16
"""Of a picture's digest: of a million hardly two begin alike."""


class Side(Content):
    """One of the two programs: what a person calls it, its templates, and a digest of all that decides its labels."""

    name: str
    templates: tuple[str, ...]
    identity: str


class Showing(Content):
    """A picture as the page shows it.

    Attributes:
        id: in the page and in the answers.
        draw: the number of its draw, in the order asked; a picture that comes again has that of before.
        names: the numbers of the two classes, in the order shown.
        straight: whether the name shown first is the first program's.
    """

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    draw: NonNegativeInt
    names: tuple[NonNegativeInt, NonNegativeInt]
    straight: bool


Count = Annotated[int, Field(ge=1, le=10**9, strict=True)]
"""Of pictures."""


class Drawn(Content):
    """A draw of which one picture is asked about.

    Attributes:
        picture: the beginning of its digest.
        differing, size: how many pictures of the draw the two name differently, and how many it has.
    """

    picture: str
    differing: Count
    size: Count


class Drawing(Content):
    """The content of `label.json`.

    Attributes:
        id: the page's, which its answers repeat.
        data: what the pictures are called.
        pictures, draws: how many both programs have named; base pictures among them.
        contents: the beginning of the digest of each picture, whichever of them are asked about.
        class_names: as JSON has them, a list for a class with synonyms.
        programs: the first, which is compared with, and the second.
        disagreements: all draws with one, in the order asked; the first `MOST` are on the page.
        showings: the page, from first to last.
        peeks: at verdicts on answers to this page.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    data: str
    pictures: Count
    draws: Count
    contents: tuple[str, ...]
    class_names: tuple[str | tuple[str, ...], ...]
    programs: tuple[Side, Side]
    disagreements: tuple[Drawn, ...]
    showings: tuple[Showing, ...]
    peeks: tuple[Peek, ...] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if any(one.differing > one.size for one in self.disagreements) or self.draws > self.pictures:
            raise ValueError("more pictures differ than there are")
        if sum(one.size for one in self.disagreements) > self.pictures or len(self.contents) > self.pictures:
            raise ValueError("more pictures are asked about than there are")
        draws, classes = len(self.disagreements), len(self.class_names)
        if any(one.draw >= draws or max(one.names) >= classes for one in self.showings):
            raise ValueError("it shows what it does not have")
        return self

    @property
    def design(self) -> Disagreements:
        """What the statistics need."""
        counts = np.array([(one.differing, one.size) for one in self.disagreements], dtype=np.float64).reshape(-1, 2)
        return Disagreements(self.pictures, self.draws, *counts.T)


class TwoPrograms(NamedTuple):
    """Two programs, the first of which is compared with, their pictures, and what each is called.

    `left_out` counts pictures that searched or chose in the run, and so are not asked about.
    """

    programs: tuple[TemplateClassifier, TemplateClassifier]
    items: Sequence[Item]
    data: str
    names: tuple[str, str]
    left_out: int = 0


class Named(NamedTuple):
    """Pictures under the two programs.

    `contents` are their digests, `groups` their draws; `labels` int64 (2, N), numbers among the first's classes.
    """

    contents: Sequence[str]
    groups: Sequence[str]
    labels: npt.NDArray[np.int64]


def sides_of(question: TwoPrograms) -> tuple[Side, Side]:
    """Return what `label.json` says of both programs."""
    states = [SavedProgram.model_validate(program.dump_state()) for program in question.programs]
    first, second = (
        Side(name=name, templates=tuple(one.template for one in state.templates), identity=identity(state))
        for name, state in zip(question.names, states, strict=True)
    )
    return first, second


def identity(program: SavedProgram) -> str:
    """Return a digest of all that decides the labels of a program; its temperature does not."""
    state = program.model_dump(mode="json", include={"clip", "class_names", "synonyms", "templates", "offsets"})
    state["clip"].pop("name")
    return hashlib.sha256(json.dumps([state, program.background], sort_keys=True).encode()).hexdigest()


def name_pictures(question: TwoPrograms, progress: Progress | None = None) -> Named:
    """Have both programs name pictures, whose own labels are not looked at.

    Raises:
        InputError: the programs have other classes, or a picture cannot be read, which is named.
    """
    items, programs = question.items, question.programs
    names = [list(map(str, program.class_names)) for program in programs]
    if sorted(names[0]) != sorted(names[1]):
        other = next(iter(set(names[0]) ^ set(names[1])), "one that a program has twice")
        raise InputError(
            f"the two programs have other classes ({printable(other)!r} is of one alone), so their labels cannot be "
            "compared; name two programs of the same classes."
        )
    labels = np.empty((2, len(items)), dtype=np.int64)
    contents: Sequence[str] = ()
    for row, program in enumerate(programs):
        store = FeatureStore(program.clip)
        pictures = [item.picture.on(program.background) for item in items]
        found = program.logits(store.encode(pictures, progress)).argmax(axis=1)
        labels[row] = [names[0].index(names[row][label]) for label in found]  # of classes with one name, the first
        contents = [one[:DIGITS] for one in store.contents(pictures)]
    first: dict[str, str] = {}
    groups = [first.setdefault(content, item.group) for content, item in zip(contents, items, strict=True)]
    return Named(contents, groups, labels)


def draw_questions(question: TwoPrograms, named: Named) -> tuple[Drawing, tuple[Picture, ...]]:
    """Draw what is asked: of each draw with a disagreement one picture, in random order, under shuffled names.

    Args:
        question: which programs, and their pictures.
        named: the pictures by both.

    Returns:
        The drawing, and the pictures of its page: one for each draw that is on it.
    """
    items, sides = question.items, sides_of(question)
    turned = sides[0].identity > sides[1].identity  # who names the pair the other way round gets the same page
    pair = pair_of(sides)
    members: dict[str, list[int]] = {}
    for i in sorted(range(len(items)), key=lambda i: _chance(pair, named.contents[i], "which")):
        members.setdefault(named.groups[i], []).append(i)
    apart = named.labels[0] != named.labels[1]
    differing = [[i for i in of if apart[i]] for of in members.values()]
    asked = [(of[0], len(of), size) for of, size in zip(differing, map(len, members.values()), strict=True) if of]
    asked.sort(key=lambda one: _chance(pair, named.contents[one[0]], "when"))
    showings = []
    for place, number in enumerate(showing_order(min(MOST, len(asked)))):
        picture, seed = asked[number][0], f"{named.contents[asked[number][0]]} {place}"
        first, second = (int(label) for label in named.labels[:, picture])
        straight = (_chance(pair, seed, "whose")[0] in "01234567") != turned
        shown = (first, second) if straight else (second, first)
        showings.append(Showing(id=_chance(pair, seed, "id")[:12], draw=number, names=shown, straight=straight))
    class_names = tuple(
        tuple(one) if isinstance(one, list) else one for one in written(question.programs[0].class_names)
    )
    whole = json.dumps([pair, class_names, [(one.id, one.names) for one in showings]])
    drawing = Drawing(
        id=hashlib.sha256(whole.encode()).hexdigest()[:16],
        data=question.data,
        pictures=len(items),
        draws=len(members),
        contents=tuple(sorted({one[:OPENED] for one in named.contents})),
        class_names=class_names,
        programs=sides,
        disagreements=tuple(Drawn(picture=named.contents[i], differing=of, size=size) for i, of, size in asked),
        showings=tuple(showings),
    )
    return drawing, tuple(items[i].picture for i, _, _ in asked[:MOST])


def pair_of(sides: Sequence[Side]) -> str:
    """Return a digest of what two programs are, in any order."""
    return hashlib.sha256("".join(sorted(side.identity for side in sides)).encode()).hexdigest()[:OPENED]


def _chance(pair: str, picture: str, what: str) -> str:
    """Return a digest, by which something of a picture is decided that nobody can foresee from what it shows."""
    return hashlib.sha256(f"{pair} {picture} {what}".encode()).hexdigest()


def read_drawing(place: Path) -> Drawing:
    """Read what a page asks, from the folder that it was made in.

    Raises:
        InputError: there is none; or the run there has other templates by now.
    """
    if not os.path.lexists(place / DRAWING):
        raise InputError(f"{place} has no {DRAWING}, so no page was made there; make one with `ipo label`.")
    return read_model(Drawing, place / DRAWING, "make the page again, in another folder")


def as_before(folder: Path, now: Drawing) -> Drawing:
    """Return what was drawn with the peeks at the page that is in the folder already, if any.

    Raises:
        InputError: the page that is there asks something else.
    """
    if not (folder / DRAWING).exists():
        return now
    before = read_drawing(folder)
    if before.id != now.id:
        raise InputError(
            f"{folder} has the page of another question, whose answers would be lost; choose another --out, or remove "
            f"{folder / DRAWING}."
        )
    return now.model_copy(update={"peeks": before.peeks})


def showing_order(count: int) -> list[int]:
    """Return the numbers of the draws in the order shown, some of them twice.

    >>> showing_order(4), len(showing_order(40))
    ([0, 1, 2, 3, 0], 53)
    """
    again: dict[int, list[int]] = {}
    for number in range(0, count - SOONEST, EVERY):
        again.setdefault(min(number + LATER, count - 1), []).append(number)
    return [shown for number in range(count) for shown in (number, *again.get(number, ()))]
