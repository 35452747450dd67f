"""`ipo predict`: label pictures with an optimised program."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipo_prompts.experiments.cli.options import Device, Program, examples, one_of
from ipo_prompts.metrics.errors import InputError, printable

if TYPE_CHECKING:
    from ipo_prompts.metrics.arrays import Floats

EXAMPLES = examples("ipo predict runs/RUN holiday/", "ipo predict runs/RUN holiday/ cat.jpg --format csv > labels.csv")


def predict(
    program: Program,
    pictures: Annotated[list[Path], typer.Argument(help="pictures, or folders of them")],
    format_: Annotated[str, typer.Option("--format", help="table, csv or jsonl")] = "table",
    device: Device = "auto",
) -> int:
    """Label pictures with an optimised program."""
    from ipo_prompts.experiments.run.labelling import find_pictures, label_files
    from ipo_prompts.programs.classifier import TemplateClassifier

    one_of("format", format_, ("table", "csv", "jsonl"))
    classifier = TemplateClassifier.from_file(program, device=device)
    bare = [path for path in pictures if os.path.isdir(path) and next(find_pictures(path), None) is None]  # noqa: PTH112
    if len(bare) == len(pictures):
        raise InputError(f"there are no pictures in {', '.join(map(str, bare))}.")
    for path in bare:
        _complain(InputError(f"there are no pictures in {path}."))
    failed = len(bare)
    write = _Writer(format_, classifier.class_names)
    try:
        files = (file for path in pictures for file in (find_pictures(path) if os.path.isdir(path) else [path]))  # noqa: PTH112
        for file, outcome in label_files(classifier, files):
            write(file, outcome)
            if isinstance(outcome, InputError):
                failed += 1
                _complain(outcome)
    except BrokenPipeError:  # the reader has enough rows, as `head` has
        _drop_output()
    except OSError as error:
        _drop_output()
        raise InputError(f"cannot write the labels: {error.strerror}; make room, or write them elsewhere.") from error
    gone = any(not os.path.lexists(path) for path in pictures)  # a name that was typed, not a file that is damaged
    return 2 if gone else 1 if failed else 0


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would fail again


class _Writer:
    """Writes each row at once. File names are not escaped: a CSV is data, not a sheet with formulas."""

    def __init__(self, format_: str, class_names: Sequence[str]) -> None:
        self._format = format_
        self._class_names = class_names
        self._csv = csv.writer(sys.stdout)
        if format_ == "csv":
            if hasattr(sys.stdout, "reconfigure"):
                sys.stdout.reconfigure(errors="surrogateescape")  # a name that is not UTF-8 is written as it is on disk
            self._csv.writerow(["picture", "label", "probability"])

    def __call__(self, file: Path, outcome: Floats | InputError) -> None:
        if isinstance(outcome, InputError):
            if self._format == "jsonl":
                self._json({"picture": str(file), "error": str(outcome)})
            return
        best = int(outcome.argmax())
        label, probability = self._class_names[best], float(outcome[best])
        if self._format == "csv":
            self._csv.writerow([str(file), label, f"{probability:.4f}"])
        elif self._format == "jsonl":
            scores = {name: float(p) for name, p in zip(self._class_names, outcome, strict=True)}
            self._json({"picture": str(file), "label": label, "scores": scores})
        else:
            print(f"{probability:7.2%}  {printable(label):24}  {printable(str(file))}")
        sys.stdout.flush()

    def _json(self, row: dict[str, object]) -> None:
        text = json.dumps(row, ensure_ascii=False)
        if not text.isprintable():  # such as a name that is not UTF-8, which JSON has only as an escape
            text = json.dumps(row)
        print(text, flush=True)


def _complain(error: InputError) -> None:
    print(f"ipo: {printable(str(error))}", file=sys.stderr)
