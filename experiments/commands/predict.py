"""`ipo predict`: label pictures with an optimised program."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ipo.metrics.errors import InputError
from ipo.metrics.pictures import Picture
from ipo.programs.classifier import TemplateClassifier

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def run(program: Path, pictures: Sequence[Path], format_: str) -> int:
    """Do what the command says; return the exit code: 1 when a picture could not be read."""
    if format_ not in ("table", "csv", "jsonl"):
        raise InputError(f"there is no format {format_!r}; it can be table, csv or jsonl.")
    classifier = TemplateClassifier.from_file(program / "program.json" if program.is_dir() else program)
    files = list(_files(pictures))
    if not files:
        raise InputError(f"there are no pictures in {', '.join(map(str, pictures))}.")
    failed = 0
    write = _Writer(format_)
    for file in files:
        try:
            prediction = classifier(image=Picture.from_path(file))
        except InputError as error:
            print(f"ipo: {error}", file=sys.stderr)
            failed += 1
            continue
        write(file, prediction)
    return 1 if failed else 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        else:
            yield path


class _Writer:
    """Writes each row as soon as it is there."""

    def __init__(self, format_: str) -> None:
        self._format = format_
        self._csv = csv.writer(sys.stdout)
        if format_ == "csv":
            self._csv.writerow(["picture", "label", "probability"])

    def __call__(self, file: Path, prediction: Any) -> None:
        probability = prediction.scores[prediction.label]
        if self._format == "csv":
            self._csv.writerow([str(file), prediction.label, f"{probability:.4f}"])
        elif self._format == "jsonl":
            row = {"picture": str(file), "label": prediction.label, "scores": prediction.scores}
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(f"{probability:7.2%}  {prediction.label:24}  {file}")
        sys.stdout.flush()
