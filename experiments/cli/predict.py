"""The command `ipo predict`: label pictures with an optimised program, and write the row of each picture at once."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, TypeAlias

import typer

from ipo_prompts.experiments.cli.app import drop_output, fail, new_app, note
from ipo_prompts.experiments.cli.common import Device, Program, examples, look_first
from ipo_prompts.experiments.data.sources import find_pictures
from ipo_prompts.metrics.errors import InputError, as_cell, printable
from ipo_prompts.metrics.files import refuse_taken

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ipo_prompts.metrics.arrays import Floats
    from ipo_prompts.metrics.calibration import Head
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.programs.classifier import Answer, TemplateClassifier

STDIN = Path("-")
EXAMPLES = examples(
    "ipo predict runs/RUN holiday/",
    "ipo predict runs/RUN holiday/ cat.jpg --out predicted.csv",
    "ipo predict runs/RUN holiday/ --top 3",
    "ipo predict runs/RUN holiday/ --words",
    "find holiday/ -newer last | ipo predict runs/RUN -",
)


app = new_app()


@app.command(epilog=EXAMPLES)
def predict(
    program: Program,
    pictures: Annotated[
        list[Path], typer.Argument(help="pictures, folders of pictures, or - to read paths from stdin")
    ],
    format_: Annotated[
        Literal["table", "csv", "jsonl"] | None,
        typer.Option("--format", help="table, csv or jsonl; default: table, or the ending of --out"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write a new file, FILE.csv or FILE.jsonl", metavar="FILE")] = None,
    top: Annotated[int, typer.Option(help="print the K most probable classes", metavar="K", min=1)] = 1,
    words: Annotated[bool, typer.Option("--words", help="classify without labelled pictures")] = False,
    template: Annotated[str | None, typer.Option(help="classify with this template instead of the program's")] = None,
    device: Device = "auto",
) -> int:
    """Label pictures with an optimised program."""
    if STDIN in pictures and sys.stdin is None:
        raise InputError(
            "stdin is closed, and - reads the paths of pictures from stdin; open it, or name the pictures."
        )
    if [str(path) for path in pictures] == ["PICTURES"] and not os.path.exists("PICTURES"):  # noqa: PTH110
        raise InputError("PICTURES stands for pictures of yours; type the path of their folder in its place.")
    form = format_ or ("table" if out is None else out.suffix.lower().removeprefix("."))
    if out is not None:
        if form not in ("csv", "jsonl"):
            raise InputError(f"--out {out} is no .csv and no .jsonl; give it such an ending, or add --format csv.")
        refuse_taken(out)
    look_first([program], "the picture", [] if STDIN in pictures else pictures)
    bare = [path for path in pictures if os.path.isdir(path) and next(find_pictures(path), None) is None]  # noqa: PTH112
    if len(bare) == len(pictures):
        raise InputError(f"there are no pictures in {', '.join(map(str, bare))}.")
    from ipo_prompts.programs.classifier import TemplateClassifier

    classifier = TemplateClassifier.from_file(program, device=device)
    if words:
        classifier = classifier.words_alone()
    if template is not None:
        if classifier.pictures:
            note("the labelled pictures are left out, because they were fitted to another template.")
        classifier.set_template(template)
    _tell_how_sure(program, classifier)
    for path in bare:
        fail(f"there are no pictures in {path}.", 1)
    failed = len(bare)
    try:
        with nullcontext(sys.stdout) if out is None else out.open("x", encoding="utf-8", newline="") as stream:
            rows = _Rows(form, classifier, min(top, len(set(classifier.labels))), stream)
            rows.begin()
            for file, outcome in label_files(classifier, _files(pictures)):
                rows.write(file, outcome)
                if isinstance(outcome, InputError):
                    failed += 1
                    fail(str(outcome), 1)
    except BrokenPipeError:  # the reader, such as `head`, has enough rows
        drop_output()
    except OSError as error:
        drop_output()
        raise InputError(
            f"cannot write {out or 'the labels'}: {error.strerror}; make room, or write them elsewhere."
        ) from error
    gone = any(
        not os.path.lexists(path) for path in pictures if path != STDIN
    )  # a path that was mistyped, not a file that is damaged
    return 2 if gone else 1 if failed else 0


def _files(pictures: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of all pictures, each as soon as it is known.

    They are the named pictures and the pictures in named folders. For `-`, stdin names pictures or folders, one a line.
    """
    if STDIN in pictures and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is read as it is on disk
    for path in pictures:
        named = (Path(text) for line in sys.stdin if (text := line.rstrip("\r\n"))) if path == STDIN else [path]
        for one in named:
            yield from find_pictures(one) if os.path.isdir(one) else [one]  # noqa: PTH112


def _tell_how_sure(program: Path, classifier: TemplateClassifier) -> None:
    """Print on stderr how often the labels of the program were right in its run.

    Also print whether its probabilities lack a fitted temperature.
    """
    from ipo_prompts.experiments.run.result import RESULT, load_result

    if classifier.head().temperature == 1:
        note("the probabilities may be too high or too low, so only their order counts: no temperature was fitted.")
    folder = program if os.path.isdir(program) else program.parent  # noqa: PTH112
    if not os.path.exists(folder / RESULT):  # noqa: PTH110 - pathlib raises where a name is too long
        return
    try:
        result = load_result(folder)
    except InputError:
        return  # labels do not need the result
    rows = [row for row in result.rows_on("test")[:-1] if classifier.pictures or row.what != "pictures"]
    if rows and result.reward.measure == "accuracy" and classifier.template == result.template:
        low, high = rows[-1].after.ci95
        alike = ", as a mean over classes" if result.gain.over_classes else ""
        note(
            f"of the {rows[-1].n:,} sealed test pictures of its run this program labelled {rows[-1].after.value:.1%} "
            f"right{alike} (95 % interval {low:.1%} to {high:.1%}); other pictures may be harder."
        )


@dataclass
class _Rows:
    """Writes the row of each picture as soon as the picture is classified.

    No cell of a CSV can run as a formula: `as_cell` puts `'` before such a label, and `./` before such a path.

    Attributes:
        form: the format of the rows: table, csv or jsonl.
        classifier: the program.
        top: how many labels are named for each picture.
        stream: where the rows are written.
    """

    form: str
    classifier: TemplateClassifier
    top: int
    stream: TextIO

    def begin(self) -> None:
        """Write the header of a CSV."""
        if self.form == "csv":
            if isinstance(self.stream, io.TextIOWrapper):
                self.stream.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is written as on disk
            places = ["", *(f"_{place}" for place in range(2, self.top + 1))]
            heads = [f"{what}{place}" for place in places for what in ("label", "probability", "name")]
            csv.writer(self.stream).writerow(["picture", *heads])

    def write(self, file: Path, outcome: Floats | InputError) -> None:
        """Write the row of a picture. A picture that cannot be read has a row only in JSON."""
        if isinstance(outcome, InputError):
            if self.form == "jsonl":
                self._json({"picture": str(file), "error": str(outcome)})
            return
        best = self.classifier.answers(outcome)[: self.top]
        {"csv": self._csv, "jsonl": self._row, "table": self._table}[self.form](file, outcome, best)
        self.stream.flush()

    def _csv(self, file: Path, outcome: Floats, best: Sequence[Answer]) -> None:
        cells = [cell for one in best for cell in (as_cell(one.label), f"{one.probability:.4f}", as_cell(one.name))]
        csv.writer(self.stream).writerow([as_cell(str(file), "./"), *cells])

    def _row(self, file: Path, outcome: Floats, best: Sequence[Answer]) -> None:
        row: dict[str, object] = {
            "picture": str(file),
            "label": best[0].label,
            "name": best[0].name,
            "scores": self.classifier.by_label(outcome),
        }
        if self.top > 1:
            row["top"] = [one.label for one in best]
        self._json(row)

    def _table(self, file: Path, outcome: Floats, best: Sequence[Answer]) -> None:
        for one in best:
            name = "" if one.name == one.label else f" ({one.name})"
            place = f"  {printable(str(file))}" if one is best[0] else ""
            print(f"{one.probability:7.2%}  {printable(one.label + name):24}{place}".rstrip(), file=self.stream)

    def _json(self, row: Mapping[str, object]) -> None:
        text = json.dumps(row, ensure_ascii=False)
        # JSON can hold a name that is not UTF-8 only as an escape.
        print(text if text.isprintable() else json.dumps(row), file=self.stream, flush=True)


BATCH = 32
"""The most pictures that are encoded at once. As many again are decoded ahead.

So the memory needed does not grow with the number of pictures.
"""


Row: TypeAlias = "tuple[Path, Floats | InputError]"
"""A picture file with the probability of each class, float32 (C,), or with the error for which there is none."""


def label_files(classifier: TemplateClassifier, files: Iterator[Path]) -> Iterator[Row]:
    """Label pictures, and yield a row for each, batch by batch, while threads decode the next pictures.

    The first batch is a single picture, so that its row comes at once. Each later batch is twice as large, up to
    `BATCH`.

    Args:
        classifier: the program.
        files: the picture files.
    """
    head, clip = classifier.head(), classifier.clip
    ahead: deque[tuple[Path, Future[torch.Tensor]]] = deque()
    size = 1
    while True:
        while len(ahead) < 2 * size and (file := next(files, None)):
            ahead.append((file, clip.decoding(partial(_open, file))))
        if not ahead:
            return
        yield from _label(clip, head, [ahead.popleft() for _ in range(min(size, len(ahead)))])
        size = min(2 * size, BATCH)


def _open(file: Path) -> Image:
    from ipo_prompts.metrics.pictures import Picture

    return Picture.from_path(file).image()


def _label(clip: Clip, head: Head, batch: Sequence[tuple[Path, Future[torch.Tensor]]]) -> list[Row]:
    faults = [error if isinstance(error := pixels.exception(), InputError) else None for _, pixels in batch]
    good = [pixels for (_, pixels), fault in zip(batch, faults, strict=True) if fault is None]
    answers: Iterator[Floats] = iter(head.probabilities(clip.encode_pixels(good))) if good else iter(())
    return [(file, fault or next(answers)) for (file, _), fault in zip(batch, faults, strict=True)]
