"""Make the verdict of the answers to a page: `verified.json`, with the verdict and what it rests on.

Answers come from a browser and could be anybody's, so they are read within bounds. Answers to another page, and answers
that are cut, doubled or out of order, are refused. The order matters: k answers are a random sample only if they are
the answers to the first k questions.
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
"""A rater who peeks, goes on and peeks again has more chances of a false finding; docs/labelling.md says how many."""
NEITHER = (
    "Where neither is right, no template helps much: check the class names, or try another CLIP, before you search for "
    "words."
)
FIX = "download the answers from the page again"


class Answer(Content):
    """The answer to one showing. `label` is the number of the class, where neither name was right and one was typed."""

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
        data: the name of the data set or folder.
        pictures: how many pictures both programs named.
        disagreements: on how many draws the programs disagree.
        answers: how many of these draws were answered; they are the first that were asked.
        second, first, both, neither: in how many answers this program, both or neither was right.
        repeated: how many pictures came twice.
        otherwise: how many of these got another answer the second time.
        lost: the share of the gain that wrong clicks lose, estimated from the pictures that came twice.
        peeks: how many peeks there were at answers about this pair and these pictures, this one included.
        opening: the number of the opening of these pictures, or of some of them, by this pair.
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
        programs: the names of the first program and of the second, which is compared with the first.
        verdict: the gain of the second program on pictures like these.
        these: the gain on exactly these pictures.
        these_ci95: its 95 % interval.
        rests_on: see `RestsOn`.
        words: all of this in words, as it is printed everywhere.
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
        """The verdict in two or three words."""
        return {"gain": "a gain", "loss": "a loss"}.get(self.verdict.outcome, "no gain shown")


class Said(NamedTuple):
    """An answer by program: who was right (`second`, `first`, `both`, `neither`), and the class where it is known."""

    who: str
    label: int | None

    def agrees(self, other: Said) -> bool:
        """Return whether two answers to one picture agree; an answer without a class agrees with every class."""
        return self.who == other.who and (None in (self.label, other.label) or self.label == other.label)


def check_program(place: Path, drawing: Drawing) -> None:
    """Refuse answers where the run's program is not the program that the page asked about.

    Raises:
        InputError: it is another program.
    """
    file = place / "program.json"
    if not file.is_file():
        return
    program = read_program(read_json(file, "the program", "restore it"), str(file))
    if identity(program) != drawing.programs[1].identity:
        raise InputError(
            f"{file} is not the program that the page in {place} was made for, so its answers say nothing about it; "
            "make a page for this program: ipo label RUN --out FOLDER."
        )


def read_answers(file: Path, drawing: Drawing) -> list[Said]:
    """Read answers in order, by program; the answers to repeated pictures are among them.

    Raises:
        InputError: the file has no answers, or answers to another page, or they are doubled, cut or out of order.
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
                f"answer {number + 1} of {file} is not to the picture that was shown then, and answers with gaps or "
                f"doubles are no random sample; {FIX}."
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
        drawing: the drawing of the page.
        said: the answers to the page.
        others: to compare two other programs by these answers: the labels by them, and who they are.
        peeks: how many peeks there were at the answers to this question, this one included.
        opening: the number of the opening of these pictures by this question.

    Raises:
        InputError: there are too few answers, or the answers say nothing about `others`.
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
    # Corrected as if every peek had found this.
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
    """Return the function that says which of two other programs is right in a draw, by the class in the answer.

    Raises:
        InputError: an answer has no class, or the two programs disagree on a picture that the page did not ask about.
    """
    refused = "but other programs need one in each; verify the programs that the page is for, or make another page"
    if missing := sum(one.label is None for one in answers):
        raise InputError(f"{missing} of {len(answers)} answers have no class, {refused}.")
    labels = dict(zip(named.contents, named.labels.T.tolist(), strict=True))
    elsewhere = {one for one, (first, second) in labels.items() if first != second}
    elsewhere -= {one.picture for one in drawing.disagreements}
    if elsewhere or any(one.size > 1 for one in drawing.disagreements) or len(labels) != drawing.pictures:
        what = f"the page did not ask about {len(elsewhere):,} pictures on which these two programs disagree"
        if not elsewhere:
            what = "the answers are not about these pictures one by one"
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
        twice += f": wrong clicks are estimated to hide {100 * basis.lost:.0f} % of the gain." if basis.lost else "."
    if basis.opening > 1:
        twice += f" This is opening {basis.opening} of these pictures or some of them, so p is corrected for that."
    if verdict.outcome == "not shown" and 2 * basis.neither > basis.answers:
        twice += f" {NEITHER}"
    return (
        f"{said} Of these {basis.pictures:,} pictures: {points(found.these)} points "
        f"[{points(low)}, {points(high)}]. It rests on {basis.answers:,} labels of the {basis.disagreements:,} "
        f"{'disagreements' if basis.disagreements != 1 else 'disagreement'}: {second} was right in {basis.second:,}, "
        f"{first} in {basis.first:,}, both in {basis.both:,}, neither in {basis.neither:,}. {twice}"
    )


def peeked(place: Path, drawing: Drawing, file: Path, sides: tuple[Side, Side]) -> tuple[int, int]:
    """Count a peek at answers, and record it before the verdict is told. The same answers again are no new peek.

    Args:
        place: the folder in which the page was made.
        drawing: the drawing of the page.
        file: the file of answers.
        sides: the two programs that are compared.

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
    """Return the verdict by clicks in a folder; None where there is none.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / VERIFIED
    return read_model(Verified, file, "verify the answers again") if file.is_file() else None
