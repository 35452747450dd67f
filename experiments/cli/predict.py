"""The command `ipo predict`: label images with an optimised program, and write the row of each image at once.

Sorted rows, and a page, are written when all images are labelled.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, TypeAlias

import typer

from ipo_prompts.experiments.cli.app import drop_output, new_app, note
from ipo_prompts.experiments.cli.common import Device, Program, examples, look_first
from ipo_prompts.experiments.data.sources import find_images
from ipo_prompts.metrics.errors import InputError, as_cell, printable
from ipo_prompts.metrics.files import refuse_taken
from ipo_prompts.metrics.images import LazyImage, thumbnail

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ipo_prompts.metrics.arrays import Floats
    from ipo_prompts.programs.classifier import Answer, TemplateClassifier

STDIN = Path("-")
MOST_SHOWN = 500
"""The most images on a page. Their thumbnails take about 2 MB."""
EXAMPLES = examples(
    "ipo predict runs/RUN holiday/",
    "ipo predict runs/RUN holiday/ cat.jpg --out predicted.csv",
    "ipo predict runs/RUN holiday/ --top 3",
    "ipo predict runs/RUN holiday/ --text-only",
    "ipo predict runs/RUN holiday/ --sort doubt --out doubtful.html",
    "ipo predict runs/RUN archive/ --out labels.csv --resume",
    "find holiday/ -newer last | ipo predict runs/RUN -",
)


app = new_app()


@app.command(epilog=EXAMPLES)
def predict(
    program: Program,
    images: Annotated[list[Path], typer.Argument(help="images, folders of images, or - to read paths from stdin")],
    format_: Annotated[
        Literal["table", "csv", "jsonl", "html"] | None,
        typer.Option("--format", help="table, csv, jsonl or html; default: table, or the ending of --out"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write a new FILE.csv, .jsonl or .html", metavar="FILE")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue the FILE of a call that was stopped")] = False,
    sort: Annotated[Literal["doubt"] | None, typer.Option(help="doubt: the least probable labels first")] = None,
    top: Annotated[int, typer.Option(help="print the K most probable classes", metavar="K", min=1)] = 1,
    text_only: Annotated[bool, typer.Option("--text-only", help="classify without labelled images")] = False,
    template: Annotated[str | None, typer.Option(help="classify with this template instead of the program's")] = None,
    device: Device = "auto",
) -> int:
    """Label images with an optimised program."""
    if STDIN in images and sys.stdin is None:
        raise InputError("stdin is closed, and - reads the paths of images from stdin; open it, or name the images.")
    if images == [Path("IMAGES")] and not os.path.exists("IMAGES"):  # noqa: PTH110
        raise InputError("IMAGES stands for images of yours; type the path of their folder in its place.")
    form = format_ or ("table" if out is None else out.suffix.lower().removeprefix("."))
    if out is not None:
        if form not in ("csv", "jsonl", "html"):
            raise InputError(f"--out {out} is no .csv, .jsonl or .html; give it such an ending, or add --format csv.")
        if not resume:
            refuse_taken(out)
    elif resume:
        raise InputError("--resume continues the file that --out names; add --out FILE.")
    if resume and (sort or form == "html"):
        raise InputError("--resume continues rows in the order of the images; leave it away, or --sort and html.")
    look_first([program], "the image", [] if STDIN in images else images)
    bare = [path for path in images if next(find_images(path), None) is None]
    if len(bare) == len(images):
        raise InputError(f"there are no images in {', '.join(map(str, bare))}.")
    from ipo_prompts.programs.classifier import TemplateClassifier

    classifier = TemplateClassifier.from_file(program, device=device)
    if text_only:
        classifier = classifier.text_only()
    if template is not None:
        if classifier.images:
            note("the labelled images are left out, because they were fitted to another template.")
        classifier.set_template(template)
    _tell_how_sure(program, classifier)
    for path in bare:
        note(f"there are no images in {path}.")
    failed = len(bare)
    try:
        with (
            nullcontext(sys.stdout)
            if out is None
            else out.open("a+" if resume else "x", encoding="utf-8", newline="") as stream
        ):
            files = _files(images)
            if (out or sort) and STDIN not in images and sys.stderr.isatty():
                from rich.console import Console
                from rich.progress import track

                count = sum(1 for _ in files)
                files = iter(track(_files(images), "images", count, console=Console(stderr=True), transient=True))
            rows = _Rows(form, classifier, min(top, len(set(classifier.labels))), stream)
            begun, size = rows.begin(files, resume)
            labelled = label_files(classifier, chain(begun, files), size)
            if sort:
                labelled = _doubtful_first(classifier, labelled)
            for file, outcome in islice(labelled, len(begun), None):
                rows.write(file, outcome)
                if isinstance(outcome, InputError):
                    failed += 1
                    note(str(outcome))
            rows.end()
    except BrokenPipeError:  # the reader, such as `head`, has enough rows
        drop_output()
    except OSError as error:
        drop_output()
        raise InputError(
            f"cannot write {out or 'the labels'}: {error.strerror}; make room, or write them elsewhere."
        ) from error
    gone = any(
        not os.path.lexists(path) for path in images if path != STDIN
    )  # a path that was mistyped, not a file that is damaged
    return 2 if gone else 1 if failed else 0


def _files(images: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of all images, each as soon as it is known.

    They are the named images and the images in named folders. For `-`, stdin names images or folders, one a line.
    """
    if STDIN in images and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is read as it is on disk
    for path in images:
        named = (Path(text) for line in sys.stdin if (text := line.rstrip("\r\n"))) if path == STDIN else [path]
        for one in named:
            yield from find_images(one)


def _tell_how_sure(program: Path, classifier: TemplateClassifier) -> None:
    """Print on stderr how often the labels of the program were right in its run.

    Also print whether its probabilities lack a fitted temperature.
    """
    from ipo_prompts.experiments.run.result import load_result

    if classifier.head().temperature == 1:
        note("the probabilities may be too high or too low, so only their order counts: no temperature was fitted.")
    try:
        result = load_result(program if os.path.isdir(program) else program.parent)  # noqa: PTH112
    except InputError:
        return  # labels do not need the result
    rows = [row for row in result.rows_on("test")[:-1] if classifier.images or row.what != "images"]
    if rows and result.reward.measure == "accuracy" and classifier.template == result.template:
        low, high = rows[-1].after.ci95
        alike = ", as a mean over classes" if result.gain.over_classes else ""
        note(
            f"of the {rows[-1].n:,} test images of its run this program labelled {rows[-1].after.value:.1%} "
            f"right{alike} (95 % interval {low:.1%} to {high:.1%}); other images may be harder."
        )


@dataclass
class _Rows:
    """Writes the row of each image as soon as the image is classified.

    No cell of a CSV can run as a formula: `as_cell` puts `'` before such a label, and `./` before such a path.

    Attributes:
        form: the format of the rows: table, csv or jsonl.
        classifier: the program.
        top: how many labels are named for each image.
        stream: where the rows are written.
        labelled: how many images were labelled for a page.
        shown: of the first of them the thumbnail, the path and the answers.
    """

    form: str
    classifier: TemplateClassifier
    top: int
    stream: TextIO
    labelled: int = 0
    shown: list[tuple[str, str, list[Answer]]] = field(default_factory=list)

    def begin(self, files: Iterator[Path], resume: bool) -> tuple[list[Path], int]:
        """Write the header of a CSV. To resume, cut off a half row, and take the files up to that of the last row.

        Files without a row, before the last row, could not be read; they are not tried again. The batch that holds the
        last row is labelled again: a label may depend, in its last digits, on the images that are encoded with it.

        Args:
            files: the image files.
            resume: whether the stream may have rows.

        Returns:
            The files of the batch that holds the last row, as far as they were taken; and the size of this batch.

        Raises:
            InputError: the rows in the stream are not those that this call would write.
        """
        begun: list[Path] = []
        size = 1
        whole = 0  # bytes of whole lines
        heads = ["label", "probability", "name"]
        columns = ["image", *heads, *(f"{head}_{place}" for place in range(2, self.top + 1) for head in heads)]
        if self.form == "csv" and isinstance(self.stream, io.TextIOWrapper):
            self.stream.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is written as on disk
        if resume:
            content = self.stream.buffer
            content.seek(0)
            whole = sum(len(line) for line in content if line.endswith(b"\n"))
            self.stream.seek(0)
            for image in self._written(columns):
                for file in files:
                    if len(begun) == size:
                        begun.clear()
                        size = min(2 * size, self.classifier.clip.batch)
                    begun.append(file)
                    if self._named(file) == image:
                        break
                else:
                    raise InputError(
                        f"{self.stream.name} has other rows than this command writes; give the same images, --format "
                        "and --top as before, or name another --out."
                    )
            self.stream.truncate(whole)
        if self.form == "csv" and not whole:
            csv.writer(self.stream).writerow(columns)
        return begun, size

    def _written(self, columns: Sequence[str]) -> Iterator[str | None]:
        """Yield the image that each row of the stream names; None for a row that this call would not write."""
        lines = (line for line in self.stream if line.endswith("\n"))
        try:
            if self.form == "csv":
                table = csv.reader(lines)
                if next(table, columns) != columns:
                    yield None
                for image, *_ in table:
                    yield image
            else:
                for row in map(json.loads, lines):
                    image = row["image"]
                    yield image if "error" in row or len(row.get("top", ["label"])) == self.top else None
        except (LookupError, TypeError, ValueError):
            yield None

    def _named(self, file: Path) -> str:
        return as_cell(str(file), "./") if self.form == "csv" else str(file)

    def write(self, file: Path, outcome: Floats | InputError) -> None:
        """Write the row of an image. An image that cannot be read has a row only in JSON.

        A page is written at its end. Of images beyond `MOST_SHOWN`, it has only the number.
        """
        best = [] if isinstance(outcome, InputError) else self.classifier.answers(outcome)[: self.top]
        if self.form == "jsonl":
            row: dict[str, object] = {"image": str(file)}
            if isinstance(outcome, InputError):
                row["error"] = str(outcome)
            else:
                row.update(label=best[0].label, name=best[0].name, scores=self.classifier.by_label(outcome))
                if self.top > 1:
                    row["top"] = [one.label for one in best]
            text = json.dumps(row, ensure_ascii=False)
            # JSON can hold a name that is not UTF-8 only as an escape.
            print(text if text.isprintable() else json.dumps(row), file=self.stream)
        elif self.form == "table":
            for one in best:
                name = "" if one.name == one.label else f" ({one.name})"
                place = f"  {printable(str(file))}" if one is best[0] else ""
                print(f"{one.probability:7.2%}  {printable(one.label + name):24}{place}".rstrip(), file=self.stream)
        elif best and self.form == "html":
            self.labelled += 1
            if self.labelled <= MOST_SHOWN:
                self.shown.append((thumbnail(LazyImage.from_path(file)), str(file), best))
        elif best:
            cells = [cell for one in best for cell in (as_cell(one.label), f"{one.probability:.4f}", as_cell(one.name))]
            csv.writer(self.stream).writerow([self._named(file), *cells])
        self.stream.flush()

    def end(self) -> None:
        """Write the page of thumbnails, if the rows are a page."""
        if self.form == "html":
            from ipo_prompts.experiments.report.page import page

            self.stream.write(page("labels.html.j2", shown=self.shown, labelled=self.labelled))


Row: TypeAlias = "tuple[Path, Floats | InputError]"
"""An image file with the probability of each class, float32 (C,), or with the error for which there is none."""


def label_files(classifier: TemplateClassifier, files: Iterator[Path], size: int = 1) -> Iterator[Row]:
    """Label images, and yield a row for each, batch by batch, while threads decode the next images.

    The first batch is a single image, so that its row comes at once. Each later batch is twice as large, up to
    `Clip.batch`. As many images again are decoded ahead, so the memory does not grow with their number.

    Args:
        classifier: the program.
        files: the image files.
        size: the size of the first batch.
    """
    head, clip = classifier.head(), classifier.clip
    ahead: deque[tuple[Path, Future[torch.Tensor]]] = deque()
    while True:
        while len(ahead) < 2 * size and (file := next(files, None)):
            ahead.append((file, clip.decoding(partial(_open, file))))
        if not ahead:
            return
        batch = [ahead.popleft() for _ in range(min(size, len(ahead)))]
        good = [pixels for _, pixels in batch if not isinstance(pixels.exception(), InputError)]
        answers = iter(head.probabilities(clip.encode_pixels(good)) if good else ())
        for file, pixels in batch:
            fault = pixels.exception()
            yield file, fault if isinstance(fault, InputError) else next(answers)
        size = min(2 * size, clip.batch)


def _doubtful_first(classifier: TemplateClassifier, labelled: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows by the probability of the label, the lowest first; images that cannot be read come before them.

    Only paths and numbers are kept in memory, for there may be a million images. The probabilities wait on disk.
    """
    import numpy as np

    kept: list[tuple[float, int, Path]] = []
    with TemporaryFile() as waiting:
        for file, outcome in labelled:
            if isinstance(outcome, InputError):
                yield file, outcome
            else:
                kept.append((classifier.answers(outcome)[0].probability, waiting.tell(), file))
                waiting.write(outcome.tobytes())
        for _, place, file in sorted(kept):
            waiting.seek(place)
            yield file, np.frombuffer(waiting.read(4 * len(classifier.labels)), "f4")


def _open(file: Path) -> Image:
    return LazyImage.from_path(file).rgb()
