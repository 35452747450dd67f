"""`ipo predict`: label pictures with an optimised program."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ipo.metrics.clip import Floats
from ipo.metrics.errors import InputError
from ipo.metrics.pictures import Picture
from ipo.metrics.printable import printable
from ipo.programs.classifier import TemplateClassifier

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
BATCH = 32
"""Pictures encoded at once; as many again are read ahead, so that memory does not grow with their number."""
READERS = 8

Row = tuple[Path, Floats | InputError]
"""A picture, and the probability of each class, float32 (C,), or why there is none."""


def run(program: Path, pictures: Sequence[Path], format_: str) -> int:
    """Do what the command says; return the exit code: 1 when a picture could not be read."""
    if format_ not in ("table", "csv", "jsonl"):
        raise InputError(f"there is no format {format_!r}; it can be table, csv or jsonl.")
    classifier = load_program(program)
    bare = [path for path in pictures if os.path.isdir(path) and next(find_pictures(path), None) is None]  # noqa: PTH112
    if len(bare) == len(pictures):
        raise InputError(f"there are no pictures in {', '.join(map(str, bare))}.")
    for path in bare:
        _complain(InputError(f"there are no pictures in {path}."))
    failed = len(bare)
    write = _Writer(format_, classifier.class_names)
    try:
        for file, outcome in predict(classifier, _files(pictures)):
            write(file, outcome)
            if isinstance(outcome, InputError):
                failed += 1
                _complain(outcome)
    except BrokenPipeError:  # whoever read our rows has enough of them, as `head` has
        _drop_output()
    except OSError as error:
        _drop_output()
        raise InputError(f"cannot write the labels: {error.strerror}; make room, or write them elsewhere.") from error
    return 1 if failed else 0


def load_program(place: Path) -> TemplateClassifier:
    """Load the program of a run directory, or a program.json itself.

    Raises:
        InputError: see `TemplateClassifier.from_file`.
    """
    # os.path says of a name that is too long that it is no folder; pathlib raises.
    return TemplateClassifier.from_file(place / "program.json" if os.path.isdir(place) else place)  # noqa: PTH112


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would fail again


def predict(classifier: TemplateClassifier, files: Iterator[Path]) -> Iterator[Row]:
    """Label pictures in order; rows come batch by batch, while threads read the next pictures.

    The first batch is one picture and each is twice the one before, up to `BATCH`: the first row comes at once.
    """
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[tuple[Path, Future[Picture | InputError]]] = deque()
        size = 1
        while True:
            while len(ahead) < 2 * size and (file := next(files, None)):
                ahead.append((file, pool.submit(_read, file)))
            if not ahead:
                return
            batch = [ahead.popleft() for _ in range(min(size, len(ahead)))]
            yield from _label(classifier, [(file, future.result()) for file, future in batch])
            size = min(2 * size, BATCH)


def _label(classifier: TemplateClassifier, batch: Sequence[tuple[Path, Picture | InputError]]) -> list[Row]:
    good = [picture for _, picture in batch if isinstance(picture, Picture)]
    try:
        probabilities = iter(classifier.probabilities(good) if good else ())
    except InputError as error:
        if len(batch) == 1:
            return [(batch[0][0], error)]
        return [row for one in batch for row in _label(classifier, [one])]  # to find out which of them is no picture
    return [(file, next(probabilities) if isinstance(it, Picture) else it) for file, it in batch]


def _read(file: Path) -> Picture | InputError:
    try:
        picture = Picture.from_path(file)
        return Picture.from_bytes(picture.name, picture.bytes())
    except InputError as error:
        return error


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112
            yield from find_pictures(path)
        else:
            yield path


def find_pictures(folder: Path) -> Iterator[Path]:
    """Find the pictures below a folder, sorted within each, without listing all before the first."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(place, name)


class _Writer:
    """Writes each row as soon as it is there. File names are as they are: a CSV is data, not a sheet with formulas."""

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
