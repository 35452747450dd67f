"""What the answers to a page show: `verified.json`, with the verdict and what it rests on.

Answers come from somebody's browser, or from anybody: they are read within bounds, and those of another page, that are
cut, doubled or out of order are refused. The order is the point: k answers are a random sample only if they are the
first k that were asked.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, NonNegativeInt, ValidationError

from ipo_prompts.experiments.clicks.drawing import DRAWING, Drawing, Named, Showing, Side, identity, pair_of
from ipo_prompts.experiments.run.files import Content, read_model, write_json
from ipo_prompts.experiments.run.openings import Peek, asked_elsewhere, opened_at, peeks_at, remember
from ipo_prompts.metrics.clicks import FIRST, slips_of
from ipo_prompts.metrics.errors import InputError, first_error, printable
from ipo_prompts.metrics.files import read_json
from ipo_prompts.metrics.verdict import Ends, Rounded, Verdict, judge, points
from ipo_prompts.programs.saved_program import read_program

VERIFIED = "verified.json"
FAMILY = "peeks at the answers about one pair; those before the last count twice"
"""Who peeks, goes on and looks again has more chances: docs/labelling.md has how often something is found by chance."""
NEITHER = (
    "Where neither is right, no template is much good: look at the names of the classes, or for another CLIP, before "
    "you look for words."
)
FIX = "download the answers from the page again"


class Answer(Content):
    """What was said of one showing; `label` is the number of the class, where neither was right and it was named."""

    picture: Annotated[str, Field(max_length=12)]
    answer: Literal["first", "second", "both", "neither"]
    label: Annotated[NonNegativeInt, Field(strict=True)] | None = None


class Answers(Content):
    """The content of `answers.json`."""

    version: Literal[1] = Field(alias="schema")
    drawing: Annotated[str, Field(max_length=16)]
    answers: Annotated[tuple[Answer, ...], Field(min_length=1)]


class RestsOn(Content):
    """What a verdict by clicks rests on.

    Attributes:
        data, pictures: what was named by both programs, and how many.
        disagreements: on how many draws they disagree.
        answers: how many of those were labelled; they are the first that were asked.
        second, first, both, neither: what was said of them, by program.
        repeated, otherwise: pictures that came twice, and how many of them were answered otherwise then.
        lost: the share of the gain that wrong clicks are taken to lose, by the pictures that came twice.
        peeks: verdicts that were asked for on answers about this pair and these pictures, this one included.
        opening: the how many-th question about these pictures or some of them this pair is.
    """

    data: str
    pictures: int
    disagreements: int
    answers: int
    second: int
    first: int
    both: int
    neither: int
    repeated: int
    otherwise: int
    lost: Rounded
    peeks: int
    opening: int


class Verified(Content):
    """The content of `verified.json`.

    Attributes:
        programs: what the first, which is compared with, and the second are called.
        verdict: the second's gain, for pictures like these.
        these: the gain on exactly these pictures, and its 95 % interval.
        rests_on: see `RestsOn`.
        words: all that in words; everything that speaks of it prints that.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    programs: tuple[str, str]
    verdict: Verdict
    these: Rounded
    these_ci95: Ends
    rests_on: RestsOn
    words: str

    @property
    def shown(self) -> str:
        """What is shown, in two words or three."""
        return {"gain": "a gain", "loss": "a loss"}.get(self.verdict.outcome, "no gain shown")


class Said(NamedTuple):
    """An answer to a showing, by program: who was right (`second`, `first`, …), and the class where one is known."""

    who: str
    label: int | None

    def agrees(self, other: Said) -> bool:
        """Whether two answers of one picture are the same; a class that is not named contradicts none."""
        return self.who == other.who and (None in (self.label, other.label) or self.label == other.label)


def check_program(place: Path, drawing: Drawing) -> None:
    """Refuse answers for a run whose program is not the one that they were asked about.

    Raises:
        InputError: says so.
    """
    file = place / "program.json"
    if not file.is_file():
        return
    program = read_program(read_json(file, "the program", "restore it"), str(file))
    if identity(program) != drawing.programs[1].identity:
        raise InputError(
            f"{file} is not the program that the page in {place} was drawn for, and its answers say nothing of others; "
            "make a page for this one: ipo label RUN --out FOLDER."
        )


def read_answers(file: Path, drawing: Drawing) -> list[Said]:
    """Read answers, each as it bears on the programs; those of repeated pictures are among them, in order.

    Raises:
        InputError: they are no answers, or those of another page, or doubled, cut, or not the first that were asked.
    """
    content = read_json(file, "the answers", FIX)
    try:
        given = Answers.model_validate(content)
    except ValidationError as error:
        where, said = first_error(error, "the whole")
        raise InputError(f"{file} holds no answers of a page ({where}: {said}); {FIX}.") from error
    if given.drawing != drawing.id:
        raise InputError(f"{file} has the answers to another page; name the folder that this page was made in.")
    for number, one in enumerate(given.answers):
        if number >= len(drawing.showings) or one.picture != drawing.showings[number].id:
            raise InputError(
                f"answer {number + 1} of {file} is not of the picture that was shown then, and a sample with gaps or "
                f"doubles is none; {FIX}."
            )
    shown = zip(drawing.showings, given.answers, strict=False)
    return [_said(showing, one, len(drawing.class_names), file) for showing, one in shown]


def _said(showing: Showing, given: Answer, classes: int, file: Path) -> Said:
    if given.answer in ("first", "second"):
        place = ("first", "second").index(given.answer)
        return Said(given.answer if showing.straight else ("second", "first")[place], showing.names[place])
    label = given.label if given.answer == "neither" else None
    if label is not None and (label >= classes or label in showing.names):
        raise InputError(f"{file} answers {given.picture!r} with a class that it cannot be ({label}); {FIX}.")
    return Said(given.answer, label)


def verdict_of(
    drawing: Drawing,
    said: Sequence[Said],
    others: tuple[Named, tuple[Side, Side]] | None = None,
    peeks: int = 1,
    opening: int = 1,
) -> Verified:
    """Make the verdict of answers.

    Args:
        drawing: of the page.
        said: its answers.
        others: labels of the same pictures by two other programs, and what these are.
        peeks: at the answers to this question, this one included.
        opening: the how many-th question about these pictures it is.

    Raises:
        InputError: too few answers, or `others` on which they say nothing.
    """
    first: dict[int, Said] = {}
    again: dict[int, Said] = {}
    for showing, one in zip(drawing.showings, said, strict=False):
        (again if showing.draw in first else first)[showing.draw] = one
    fewest = min(FIRST, len(drawing.disagreements))
    if len(first) < fewest:
        raise InputError(f"{len(first)} answers are too few for a verdict; answer {fewest} pictures or more.")
    answers = [first[number] for number in range(len(first))]
    twice = [(first[draw], one) for draw, one in again.items()]
    if others:
        by_label = _by_label(drawing, answers, others[0])
        right = [by_label(draw, one) for draw, one in first.items()]
        pairs = [(right[draw], by_label(draw, one)) for draw, one in again.items() if one.label is not None]
    else:
        right, pairs = [one.who for one in answers], [(one.who, other.who) for one, other in twice]
    slips = slips_of([[_value(one), _value(other)] for one, other in pairs])
    found = drawing.design.gain([_value(who) for who in right], slips)
    # As if all peeks had found this.
    verdict = judge(dict.fromkeys(range(2 * peeks - 1), found.new), FAMILY, opening)[0]
    counts = {who: right.count(who) for who in ("second", "first", "both", "neither")}
    sides = others[1] if others else drawing.programs
    verified = Verified(
        programs=(sides[0].name, sides[1].name),
        verdict=verdict,
        these=found.these.mean,
        these_ci95=(found.these.low, found.these.high),
        rests_on=RestsOn(
            data=drawing.data,
            pictures=drawing.pictures,
            disagreements=len(drawing.disagreements),
            answers=len(answers),
            **counts,
            repeated=len(twice),
            otherwise=sum(not before.agrees(after) for before, after in twice),
            lost=slips.lost,
            peeks=peeks,
            opening=opening,
        ),
        words="",
    )
    return verified.model_copy(update={"words": _words(verified)})


def _value(who: str) -> int:
    return (who == "second") - (who == "first")


def _by_label(drawing: Drawing, answers: Sequence[Said], named: Named) -> Callable[[int, Said], str]:
    """Return what says which of two other programs is right in a draw, by the label that it was given.

    Raises:
        InputError: a picture has no label, or these two disagree where the page did not ask.
    """
    refused = "and other programs need a label of each; verify those that the page was made for, or make another page"
    if missing := sum(one.label is None for one in answers):
        raise InputError(f"{missing} of {len(answers)} answers have no class, {refused}.")
    labels = dict(zip(named.contents, named.labels.T.tolist(), strict=True))
    elsewhere = {one for one, (first, second) in labels.items() if first != second}
    elsewhere -= {one.picture for one in drawing.disagreements}
    if elsewhere or any(one.size > 1 for one in drawing.disagreements) or len(labels) != drawing.pictures:
        what = f"{len(elsewhere):,} pictures on which these two disagree were not among those asked about"
        if not elsewhere:
            what = "the labels are not of these pictures one by one"
        raise InputError(f"{what}; make a page for them: ipo label ONE TWO --data SPEC.")

    def right(draw: int, said: Said) -> str:
        first, second = labels[drawing.disagreements[draw].picture]
        if first == second:
            return "both" if said.label == first else "neither"
        return "second" if second == said.label else "first" if first == said.label else "neither"

    return right


def _words(found: Verified) -> str:
    verdict, basis = found.verdict, found.rests_on
    first, second = found.programs
    said = {
        "gain": f"A gain on new pictures: {verdict.numbers}.",
        "loss": f"A loss on new pictures: {verdict.numbers}. Keep {first}.",
    }.get(verdict.outcome, f"No evidence of a gain on new pictures: {verdict.numbers}.")
    low, high = found.these_ci95
    twice = "No picture came twice."
    if basis.repeated:
        twice = f"Of {basis.repeated} pictures that came twice, {basis.otherwise} got another answer"
        twice += f": clicks are taken to miss {100 * basis.lost:.0f} % of the gain." if basis.lost else "."
    if basis.opening > 1:
        twice += f" It is opening {basis.opening} of these pictures or some of them, so p is corrected for that."
    if verdict.outcome == "not shown" and 2 * basis.neither > basis.answers:
        twice += f" {NEITHER}"
    return (
        f"{said} Of these {basis.pictures:,} pictures: {points(found.these)} points "
        f"[{points(low)}, {points(high)}]. It rests on {basis.answers:,} labels of the {basis.disagreements:,} "
        f"{'disagreements' if basis.disagreements != 1 else 'disagreement'}: {second} was right in {basis.second:,}, "
        f"{first} in {basis.first:,}, both in {basis.both:,}, neither in {basis.neither:,}. {twice}"
    )


def peeked(place: Path, drawing: Drawing, file: Path, sides: tuple[Side, Side]) -> tuple[int, int]:
    """Count a look at answers and record it before it is told; the same answers again are no other peek.

    Args:
        place: where the page was made.
        drawing: of the page.
        file: the answers.
        sides: the programs that are asked about.

    Returns:
        `peeks` and `opening`; see `verdict_of`.

    Raises:
        InputError: the folder cannot be written.
    """
    content = read_json(file, "the answers", FIX)
    asked, pictures = pair_of(sides), set(drawing.contents)
    known = {*drawing.peeks, *peeks_at(pictures)}
    own = [one for one in known if one.question == asked]
    runs = opened_at(place, pictures)
    others = {one.question for one in known}.union(*(one.known for one in runs))
    next_ = 1 + len(others) + max((one.elsewhere for one in runs), default=0) + asked_elsewhere(asked, pictures)
    peek = Peek(
        question=asked,
        answers=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        opening=min((one.opening for one in own), default=next_),
    )
    if peek not in drawing.peeks:
        write_json(place / DRAWING, drawing.model_copy(update={"peeks": (*drawing.peeks, peek)}))
    try:
        remember(pictures, peek)
    except InputError as error:
        print(f"pages in other folders will not know of this peek: {printable(str(error))}", file=sys.stderr)
    return len({one.answers for one in (*own, peek)}), peek.opening


def load_verified(folder: Path) -> Verified | None:
    """Return what was verified by clicks in a folder; None where nothing was.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / VERIFIED
    return read_model(Verified, file, "verify the answers again") if file.is_file() else None
