"""The commands for verdicts by clicks: `ipo label` makes the page of questions, `ipo verify` judges the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipo_prompts.experiments.cli.common import Device, Trust, examples, look_first
from ipo_prompts.metrics.errors import InputError, printable

LABEL = examples(
    "ipo label runs/RUN", "ipo label runs/RUN --data holiday/ --out holiday-labels", "ipo label ONE TWO --data holiday/"
)
VERIFY = examples(
    "ipo verify runs/RUN answers-RUN.json", "ipo verify labels answers-labels.json ONE TWO --data holiday/"
)

Pictures = Annotated[
    str | None,
    typer.Option(help="a folder of pictures, or a data set (folder:PATH, …) for its test pictures", metavar="SPEC"),
]


def label(
    programs: Annotated[
        list[Path], typer.Argument(help="one run, or two programs (runs or program.json)", metavar="RUN [OTHER]")
    ],
    data: Pictures = None,
    out: Annotated[
        Path | None,
        typer.Option(help="the folder to write to; default RUN, or `labels` for two programs", metavar="DIR"),
    ] = None,
    half_width: Annotated[
        float, typer.Option(help="the wanted half-width of the gain's interval, in points", min=0.1, max=50)
    ] = 5.0,
    device: Device = "auto",
    trust: Trust = False,
) -> int:
    """Make a page that asks you which class is right, for pictures on which two templates disagree."""
    look_first(programs)
    from ipo_prompts.experiments.clicks.drawing import DRAWING, as_before, draw_questions
    from ipo_prompts.experiments.clicks.pictures import named_by_both, programs_of_run, two_programs
    from ipo_prompts.experiments.data.sources import own
    from ipo_prompts.experiments.report.label_page import PAGE, answers_file, label_page, verify_command
    from ipo_prompts.experiments.run.files import check_writable, write_json, write_text
    from ipo_prompts.programs.record.trust import trusting

    if len(programs) > 2:
        raise InputError(f"there are {len(programs)} programs; name a run, or two programs.")
    folder = out or (programs[0] if len(programs) == 1 and programs[0].is_dir() else Path("labels"))
    check_writable(folder)
    own.allow(data)
    with trusting(trust):
        question = (
            two_programs(programs[0], programs[1], data, device)
            if len(programs) == 2
            else programs_of_run(programs[0], data, device)
        )
    question, named = named_by_both(question)
    drawing, pictures = draw_questions(question, named)
    if question.left_out:
        print(f"{question.left_out:,} search or selection pictures of this run are left out")
    if not drawing.disagreements:
        most = 100 * (1 - 0.05 ** (1 / drawing.draws))  # the 95 % bound on the share if none of so many draws differs
        print(
            f"both give the same names to all {drawing.pictures:,} pictures of {printable(drawing.data)}, so "
            f"no label is needed: the gain on these is 0, and of pictures like these they name at most "
            f"{most:.2g} % differently (95 %)"
        )
        return 0
    drawing = as_before(folder, drawing)
    folder.mkdir(parents=True, exist_ok=True)
    page = label_page(drawing, pictures, half_width / 100, folder)
    write_json(folder / DRAWING, drawing)
    write_text(folder / PAGE, page)
    apart = sum(one.differing for one in drawing.disagreements)
    print(
        f"{folder / PAGE}: they disagree on {apart:,} of {drawing.pictures:,} pictures "
        f"({100 * apart / drawing.pictures:.0f} %); at most {drawing.design.needed(half_width / 100)} answers are "
        f"planned\nopen it in a browser and answer, then: {verify_command(folder, drawing)}\n"
        f"({answers_file(folder, drawing)} is in the folder of your browser's downloads, wherever that is)"
    )
    return 0


def verify(
    place: Annotated[Path, typer.Argument(help="the run or folder with the page", metavar="RUN")],
    answers: Annotated[
        Path, typer.Argument(help="the answers that you downloaded from the page", metavar="ANSWERS.json")
    ],
    others: Annotated[
        list[Path] | None,
        typer.Argument(help="two other programs to compare; then every answer needs a class", metavar="[ONE TWO]"),
    ] = None,
    data: Pictures = None,
    device: Device = "auto",
    trust: Trust = False,
) -> int:
    """Print the verdict from your answers to a page of `ipo label`, and keep this verdict with the run."""
    look_first([place, *(others or ())], "the answers", [answers])
    from ipo_prompts.experiments.clicks.drawing import name_pictures, read_drawing, sides_of
    from ipo_prompts.experiments.clicks.pictures import two_programs
    from ipo_prompts.experiments.clicks.verifying import VERIFIED, check_program, peeked, read_answers, verdict_of
    from ipo_prompts.experiments.data.sources import own
    from ipo_prompts.experiments.report.page import write_report
    from ipo_prompts.experiments.run.files import write_json
    from ipo_prompts.experiments.run.result import RESULT
    from ipo_prompts.programs.record.trust import trusting

    drawing = read_drawing(place)
    said = read_answers(answers, drawing)
    of_others = None  # for other programs only the peek is recorded, not the verdict
    if others:
        if len(others) != 2:
            is_one = "is" if len(others) == 1 else "are"
            raise InputError(f"a verdict compares two programs, and there {is_one} {len(others)}.")
        own.allow(data)
        with trusting(trust):
            question = two_programs(others[0], others[1], data, device)
        of_others = name_pictures(question), sides_of(question)
    elif data is not None:
        raise InputError("--data is for two other programs; leave it out, for the pictures of the page are known.")
    else:
        check_program(place, drawing)
    verdict_of(drawing, said, of_others)  # this raises if answers are refused: then they are no peek
    peeks, opening = peeked(place, drawing, answers, of_others[1] if of_others else drawing.programs)
    found = verdict_of(drawing, said, of_others, peeks, opening)
    if not others:
        write_json(place / VERIFIED, found)
    print(printable(found.words))
    if not others and (place / RESULT).is_file():
        print(f"on the page: {write_report(place)}")
    return 0
