"""Verdicts by clicks: `ipo label` makes the page that asks, `ipo verify` says what the answers show."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipo_prompts.experiments.cli.common import Device, examples
from ipo_prompts.metrics.errors import InputError, printable

if TYPE_CHECKING:
    from ipo_prompts.experiments.clicks.drawing import Drawing, Named, ToAsk
    from ipo_prompts.experiments.clicks.pictures import TwoPrograms
    from ipo_prompts.experiments.clicks.verifying import Said, Verified
    from ipo_prompts.experiments.data import Item

LABEL = examples(
    "ipo label runs/RUN", "ipo label runs/RUN --data holiday/ --out holiday-labels", "ipo label ONE TWO --data holiday/"
)
VERIFY = examples("ipo verify runs/RUN answers.json", "ipo verify labels answers.json ONE TWO --data holiday/")

Pictures = Annotated[
    str | None, typer.Option(help="a folder of pictures; or test pictures of folder:PATH, csv:PATH, …", metavar="SPEC")
]


def label(
    programs: Annotated[list[Path], typer.Argument(help="a run; or two runs or program.json", metavar="RUN [OTHER]")],
    data: Pictures = None,
    out: Annotated[
        Path | None, typer.Option(help="the folder to write to; default RUN, of two programs `labels`", metavar="DIR")
    ] = None,
    half_width: Annotated[float, typer.Option(help="points plus or minus that the gain is to be known to")] = 5.0,
    device: Device = "auto",
) -> int:
    """Make a page that asks which of two templates is right, on pictures where they disagree."""
    from ipo_prompts.experiments.clicks.drawing import DRAWING, draw_questions
    from ipo_prompts.experiments.clicks.pictures import programs_of_run, two_programs
    from ipo_prompts.experiments.report.label_page import PAGE, label_page
    from ipo_prompts.experiments.run.files import check_writable, write_json, write_text

    if len(programs) > 2:
        raise InputError(f"there are {len(programs)} programs; name a run, or two programs.")
    if not 0.1 <= half_width <= 50:
        raise InputError(f"--half-width is {half_width:g}; it is a number of points from 0.1 to 50, such as 5.")
    folder = out or (programs[0] if len(programs) == 1 and programs[0].is_dir() else Path("labels"))
    check_writable(folder)
    question = (
        two_programs(programs[0], programs[1], data, device)
        if len(programs) == 2
        else programs_of_run(programs[0], data, device)
    )
    question, named = _named(question)
    first, second = question.names
    asked = draw_questions(question.items, named, question.programs, data=question.data, first=first, second=second)
    if question.left_out:
        print(f"{question.left_out:,} pictures searched or chose in this run and are left out")
    drawing = asked.drawing
    if not drawing.disagreements:
        print(_nothing(drawing))
        return 0
    asked = _as_before(folder, asked, question.items, named)
    folder.mkdir(parents=True, exist_ok=True)
    page = label_page(asked, half_width / 100)
    write_json(folder / DRAWING, asked.drawing)
    write_text(folder / PAGE, page)
    print(
        f"{folder / PAGE}: they disagree on {_counted(drawing)}; at most "
        f"{drawing.design.needed(half_width / 100)} answers are planned\nopen it in a browser, then: ipo verify "
        f"{folder} answers.json"
    )
    return 0


def _named(question: TwoPrograms) -> tuple[TwoPrograms, Named]:
    """Have both programs name the pictures; those that cannot be read are told and left out.

    Raises:
        InputError: none can be read, or the programs have other classes.
    """
    from ipo_prompts.experiments.clicks.drawing import name_pictures
    from ipo_prompts.experiments.clicks.pictures import unreadable
    from ipo_prompts.experiments.run.live_view import Ui

    progress = Ui(0, quiet=False).pictures("unlabelled")
    try:
        return question, name_pictures(question.items, question.programs, progress)
    except InputError:
        faults = unreadable(question.items)
        kept = [item for item, fault in zip(question.items, faults, strict=True) if fault is None]
        if not kept or len(kept) == len(question.items):
            raise
    for fault in filter(None, faults):
        print(f"left out: {printable(fault)}", file=sys.stderr)
    question = question._replace(items=kept)
    return question, name_pictures(kept, question.programs, progress)


def _counted(drawing: Drawing) -> str:
    apart = sum(one.differing for one in drawing.disagreements)
    return f"{apart:,} of {drawing.pictures:,} pictures ({100 * apart / drawing.pictures:.0f} %)"


def _nothing(drawing: Drawing) -> str:
    """Say that there is nothing to ask, and what that bounds: with none of n, 1 - 0.05^(1/n) at 95 %."""
    most = 100 * (1 - 0.05 ** (1 / drawing.draws))
    return (
        f"both name all {drawing.pictures:,} pictures of {printable(drawing.data)} alike, so no label is needed: "
        f"on these the gain is 0, and of pictures like these they name at most {most:.2g} % differently (95 %)"
    )


def _as_before(folder: Path, asked: ToAsk, items: Sequence[Item], named: Named) -> ToAsk:
    """Return the drawing that is in the folder already, if it is of the same question.

    Raises:
        InputError: it is of another.
    """
    from ipo_prompts.experiments.clicks.drawing import DRAWING, again
    from ipo_prompts.experiments.clicks.verifying import read_drawing

    if not (folder / DRAWING).exists():
        return asked
    if (before := again(read_drawing(folder), asked, items, named)) is None:
        raise InputError(
            f"{folder} has the page of another question, whose answers would be lost; choose another --out, or remove "
            f"{folder / DRAWING}."
        )
    return before


def verify(
    place: Annotated[Path, typer.Argument(help="the run or folder that the page was made in", metavar="RUN")],
    answers: Annotated[Path, typer.Argument(help="what the page gave", metavar="ANSWERS.json")],
    others: Annotated[
        list[Path] | None, typer.Argument(help="two other programs, if every answer has a class", metavar="[ONE TWO]")
    ] = None,
    data: Pictures = None,
    device: Device = "auto",
) -> int:
    """Say what the answers to a page show, of new pictures and of these, and keep it with the run."""
    from ipo_prompts.experiments.clicks.verifying import (
        VERIFIED,
        check_program,
        looked,
        read_answers,
        read_drawing,
        verdict_of,
    )
    from ipo_prompts.experiments.report.page import write_report
    from ipo_prompts.experiments.run.files import write_json
    from ipo_prompts.experiments.run.result import RESULT

    drawing = read_drawing(place)
    said = read_answers(answers, drawing)
    if others:
        found = _of_others(drawing, place, answers, said, others, data, device)
        print(printable(found.words))
        return 0
    if data is not None:
        raise InputError("--data is for two other programs; leave it out, the page's own are known.")
    check_program(place, drawing)
    verdict_of(drawing, said)  # what is refused is no look
    found = verdict_of(looked(place, drawing, answers, len(said)), said)
    write_json(place / VERIFIED, found)
    print(printable(found.words))
    if (place / RESULT).is_file():
        print(f"on the page: {write_report(place)}")
    return 0


def _of_others(
    drawing: Drawing,
    place: Path,
    answers: Path,
    said: Sequence[Said],
    others: Sequence[Path],
    data: str | None,
    device: str,
) -> Verified:
    """Verify two other programs with the classes that the answers name; nothing of it is kept but that it was asked.

    Raises:
        InputError: there are not two, no pictures, or the answers say nothing of them.
    """
    from ipo_prompts.experiments.clicks.drawing import name_pictures
    from ipo_prompts.experiments.clicks.pictures import two_programs
    from ipo_prompts.experiments.clicks.verifying import looked, verdict_of

    if len(others) != 2:
        raise InputError(
            f"a verdict is about two programs and there {'is' if len(others) == 1 else 'are'} {len(others)}."
        )
    question = two_programs(others[0], others[1], data, device)
    named = name_pictures(question.items, question.programs)
    verdict_of(drawing, said, (named, question.names))
    return verdict_of(looked(place, drawing, answers, len(said)), said, (named, question.names))
