"""Make a verdict from the answers to a page, and write it to `verified.json` with the counts that it rests on.

A file of answers may come from anybody, so it is checked strictly. Answers to another page are refused, and so are
answers that are cut, doubled or out of order. The order matters: k answers are a random sample only if they are the
answers to the first k questions.
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
"""The name of the tests that are corrected together.

A rater who peeks at the verdict, answers more and peeks again has more chances of a false finding. ipo docs annotation
says how many more.
"""
NEITHER = (
    "Where neither is right, no template helps much: check the class names, or try another CLIP, before you search for "
    "words."
)
FIX = "download the answers from the page again"


class Answer(Content):
    """The answer to one showing.

    Attributes:
        picture: the id of the showing.
        answer: which of the two shown names was right.
        label: the number of the class that the rater typed because neither name was right; None if none was typed.
    """

    picture: Annotated[str, Field(max_length=12)]
    answer: Literal["first", "second", "both", "neither"]
    label: Annotated[NonNegativeInt, Field(strict=True)] | None = None


class Answers(Content):
    """The content of the file of answers that a page saves."""

    version: Literal[1] = Field(alias="schema")
    drawing: Annotated[str, Field(max_length=16)]
    answers: Annotated[tuple[Answer, ...], Field(min_length=1)]


class RestsOn(Content):
    """The numbers that a verdict by clicks rests on.

    Attributes:
        data: the name of the data set or folder.
        pictures: how many pictures both programs named.
        disagreements: on how many draws the programs disagree.
        answers: about how many of these draws the rater answered. They are the draws that were asked about first.
        second: how many answers say that only the second program is right.
        first: how many answers say that only the first program is right.
        both: how many answers say that both programs are right.
        neither: how many answers say that neither program is right.
        repeated: how many pictures were answered twice.
        otherwise: how many of the pictures that were answered twice got a different second answer.
        lost: the share of the gain that wrong clicks hide, estimated from the pictures that were answered twice.
        peeks: how many times somebody looked at a verdict on these two programs and these pictures, this time included.
        opening: the number of the opening of the pictures. It is 1 if none of them was opened before this pair was
            asked about.
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
        programs: the name of the first program, and the name of the second program.
        verdict: the gain of the second program over the first on pictures like these.
        these: the gain of the second program over the first on exactly these pictures, a fraction.
        these_ci95: the 95 % interval of `these`.
        rests_on: the numbers that the verdict rests on.
        words: the verdict and its numbers in words, as the command and the report print them.
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
    """An answer that is translated from shown names to programs.

    Attributes:
        who: which program was right: `second`, `first`, `both` or `neither`.
        label: the number of the right class; None if it is not known.
    """

    who: str
    label: int | None

    def agrees(self, other: Said) -> bool:
        """Return whether two answers to one picture agree. An answer without a class agrees with every class."""
        return self.who == other.who and (None in (self.label, other.label) or self.label == other.label)


def check_program(place: Path, drawing: Drawing) -> None:
    """Check that the program of the run is still the second program that the page asked about.

    A folder without a program passes.

    Raises:
        InputError: the run has another program now, so the answers say nothing about it.
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
    """Return the answers in the order of the showings, with programs in place of names.

    A picture that was shown twice has two answers.

    Raises:
        InputError: the file has no answers or answers to another page, or the answers are doubled, cut or out of order.
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
    """Return the verdict that the answers to a page give.

    Args:
        drawing: the content of `label.json`.
        said: the answers to the page, in order.
        others: two other programs to compare by these answers: the labels of the pictures by these programs, and the
            programs. None compares the programs of the page.
        peeks: how many times somebody looked at a verdict on this question, this time included.
        opening: the number of the opening of the pictures that this question is.

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
    # The correction assumes that every peek had this result.
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
    """Return a function that says which of two other programs is right in a draw.

    The function takes the number of the draw and its answer. It compares the class in the answer with the labels by the
    two programs, and returns `second`, `first`, `both` or `neither`.

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
    """Count and record a peek at a verdict, before the verdict is printed. The same answers again are no new peek.

    Args:
        place: the folder in which the page was made.
        drawing: the content of `label.json`.
        file: the file of answers.
        sides: the two programs that are compared.

    Returns:
        The number of peeks, and the number of the opening, as `verdict_of` takes them.

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
    """Return the verdict by clicks in a folder; None if the folder has no such verdict.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / VERIFIED
    return read_model(Verified, file, "verify the answers again") if file.is_file() else None
