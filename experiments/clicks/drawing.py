"""Choose at random which pictures the page asks about, their order, and the order of their two names.

The choice is written to `label.json`. The page has, for each showing of a picture, an id and two names in shuffled
order. Only `label.json` says which program gave which name.

Digests of the picture and of the two programs serve as random numbers; they do not depend on what the picture shows. So
two programs and the same pictures always give the same page, wherever it is made. A second page is no fresh sample.
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
"""The most pictures on a page: more than anybody answers."""
EVERY, LATER = 3, 9
"""Every third new picture is shown again, after nine other new pictures or at the end.

So many repetitions are needed to measure the effect of wrong clicks (`benchmarks/verify.py`). They are spread over the
page, so a rater who stops early has answered some of them.
"""
SOONEST = 2
DIGITS = 16
"""The number of digits of a picture's digest: enough for a million pictures, of which hardly two have equal digits."""


class Side(Content):
    """One of the two programs.

    Attributes:
        name: the name of the program, for people.
        templates: the templates of the program.
        identity: a digest of everything that decides the labels of the program.
    """

    name: str
    templates: tuple[str, ...]
    identity: str


class Showing(Content):
    """A picture as the page shows it.

    Attributes:
        id: the id of the showing in the page and in the answers.
        draw: the number of the draw that the picture is from, in the order in which the page asks about draws. A
            picture that is shown again has the same number.
        names: the numbers of the two classes, in the order in which the page shows their names.
        straight: whether the first name is the label by the first program.
    """

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    draw: NonNegativeInt
    names: tuple[NonNegativeInt, NonNegativeInt]
    straight: bool


Count = Annotated[int, Field(ge=1, le=10**9, strict=True)]
"""A number of pictures."""


class Drawn(Content):
    """A draw on which the two programs disagree. The page asks about one picture of the draw.

    Attributes:
        picture: the beginning of the digest of the picture that the page asks about.
        differing: how many pictures of the draw the two programs name differently.
        size: how many pictures the draw has.
    """

    picture: str
    differing: Count
    size: Count


class Drawing(Content):
    """The content of `label.json`.

    Attributes:
        id: the id of the page, which the answers repeat.
        data: the name of the data set or folder.
        pictures: how many pictures both programs have named.
        draws: how many draws these pictures come from; all variants of a base picture are one draw.
        contents: the beginning of the digest of every picture, also of pictures that the page does not ask about.
        class_names: the names of the classes; a list for a class with synonyms.
        programs: the two programs. The second program is compared with the first.
        disagreements: all draws on which the programs disagree, in the order in which the page asks about them. The
            first `MOST` are on the page.
        showings: the pictures as the page shows them, from first to last.
        peeks: the peeks at verdicts on answers to this page.
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
        """The disagreements in the form that the statistics take."""
        counts = np.array([(one.differing, one.size) for one in self.disagreements], dtype=np.float64).reshape(-1, 2)
        return Disagreements(self.pictures, self.draws, *counts.T)


class TwoPrograms(NamedTuple):
    """Two programs and the pictures that both name. The second program is compared with the first.

    Attributes:
        programs: the two programs.
        items: the pictures.
        data: the name of the data set or folder.
        names: the names of the two programs, for people.
        left_out: how many pictures were left out because the run searched on them or selected with them.
    """

    programs: tuple[TemplateClassifier, TemplateClassifier]
    items: Sequence[Item]
    data: str
    names: tuple[str, str]
    left_out: int = 0


class Named(NamedTuple):
    """N pictures with their labels by the two programs.

    Attributes:
        contents: for each picture, its digest.
        groups: for each picture, the name of its draw.
        labels: int64 (2, N): the labels by each program, as numbers of the classes of the first program.
    """

    contents: Sequence[str]
    groups: Sequence[str]
    labels: npt.NDArray[np.int64]


def sides_of(question: TwoPrograms) -> tuple[Side, Side]:
    """Return the two programs as `label.json` describes them."""
    states = [SavedProgram.model_validate(program.dump_state()) for program in question.programs]
    first, second = (
        Side(name=name, templates=tuple(one.template for one in state.templates), identity=identity(state))
        for name, state in zip(question.names, states, strict=True)
    )
    return first, second


def identity(program: SavedProgram) -> str:
    """Return a digest of everything that decides the labels of a program. The temperature is not part of it."""
    state = program.model_dump(mode="json", include={"clip", "class_names", "synonyms", "templates", "offsets"})
    state["clip"].pop("name")
    return hashlib.sha256(json.dumps([state, program.background], sort_keys=True).encode()).hexdigest()


def name_pictures(question: TwoPrograms, progress: Progress | None = None) -> Named:
    """Let both programs name the pictures. The labels of the data set are not read.

    Raises:
        InputError: the programs have different classes, or a picture cannot be read. The message names that picture.
    """
    items, programs = question.items, question.programs
    names = [list(map(str, program.class_names)) for program in programs]
    if sorted(names[0]) != sorted(names[1]):
        other = next(iter(set(names[0]) ^ set(names[1])), "one that a program has twice")
        raise InputError(
            f"the two programs have different classes (only one has {printable(other)!r}), so their labels cannot be "
            "compared; name two programs with the same classes."
        )
    labels = np.empty((2, len(items)), dtype=np.int64)
    contents: Sequence[str] = ()
    for row, program in enumerate(programs):
        store = FeatureStore(program.clip)
        pictures = [item.picture.on(program.background) for item in items]
        found = program.logits(store.encode(pictures, progress)).argmax(axis=1)
        labels[row] = [names[0].index(names[row][label]) for label in found]  # the first of classes with one name
        contents = [one[:DIGITS] for one in store.contents(pictures)]
    first: dict[str, str] = {}
    groups = [first.setdefault(content, item.group) for content, item in zip(contents, items, strict=True)]
    return Named(contents, groups, labels)


def draw_questions(question: TwoPrograms, named: Named) -> tuple[Drawing, tuple[Picture, ...]]:
    """Choose one picture from each draw on which the programs disagree; shuffle the pictures, and the names of each.

    Args:
        question: the two programs and the pictures.
        named: the labels of the pictures by both programs.

    Returns:
        The drawing, and the pictures of the page: one for each draw that is on the page.
    """
    items, sides = question.items, sides_of(question)
    turned = sides[0].identity > sides[1].identity  # so that both orders of the programs give the same page
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
    """Return a digest of two programs. It does not depend on their order."""
    return hashlib.sha256("".join(sorted(side.identity for side in sides)).encode()).hexdigest()[:OPENED]


def _chance(pair: str, picture: str, what: str) -> str:
    """Return a digest that serves as a random number for a picture.

    Args:
        pair: the digest of the two programs.
        picture: the digest of the picture, perhaps with the number of the showing.
        what: the name of the decision that the random number is for.
    """
    return hashlib.sha256(f"{pair} {picture} {what}".encode()).hexdigest()


def read_drawing(place: Path) -> Drawing:
    """Read the drawing of a page from the folder in which the page was made.

    Raises:
        InputError: the folder has no page, or the file is damaged.
    """
    if not os.path.lexists(place / DRAWING):
        raise InputError(f"{place} has no {DRAWING}, so no page was made there; make one with `ipo label RUN`.")
    return read_model(Drawing, place / DRAWING, "make the page again, in another folder")


def as_before(folder: Path, now: Drawing) -> Drawing:
    """Return the drawing `now`. If the folder has the same page already, add the peeks of that page.

    Raises:
        InputError: the folder has the page of another question.
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
    """Return the numbers of `count` draws in the order in which the page shows them. Some numbers come twice.

    >>> showing_order(4), len(showing_order(40))
    ([0, 1, 2, 3, 0], 53)
    """
    again: dict[int, list[int]] = {}
    for number in range(0, count - SOONEST, EVERY):
        again.setdefault(min(number + LATER, count - 1), []).append(number)
    return [shown for number in range(count) for shown in (number, *again.get(number, ()))]
