"""Parts and labels that are written in files: CoOp's `split_zhou_NAME.json`, and the lists of FGVC-Aircraft."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ipo_prompts.experiments.data.benchmarks.found import Found
from ipo_prompts.experiments.data.benchmarks.registry import Registered
from ipo_prompts.experiments.data.benchmarks.roots import LAYOUT, SPLITS, PictureFolder
from ipo_prompts.experiments.data.dataset import PARTS, Item, Part
from ipo_prompts.experiments.data.sources.labels import numbered_names
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import read_json


class Entry(NamedTuple):
    """One line of a split: a picture's path below the picture folder, its label, its class's name."""

    path: str
    label: int
    name: str


Split = dict[Part, list[Entry]]


def read_split(entry: Registered, folder: Path) -> Found:
    """Read a data set that has a split file, in the order of the file: the few-shot draw depends on it.

    Raises:
        InputError: the file is missing or is not a split, or a picture that it names is missing.
    """
    file = folder / str(entry.split_file)
    split = parse_split(file)
    return _found(split, split_names(split, file), file, folder / entry.pictures)


def parse_split(file: Path) -> Split:
    """Read a split file: `{"train": [[path, label, class name], …], "val": …, "test": …}`.

    Raises:
        InputError: it is missing or malformed.
    """
    where = f"the split file {file}"
    if not file.exists():
        raise InputError(
            f"{where} is missing; take it from {SPLITS}, because a new split would not be the official one."
        )
    content = read_json(file, "the split file", f"take it from {SPLITS}")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in PARTS):
        raise InputError(f"{where} is not an object with the lists train, val and test; take it from {SPLITS}.")
    split: Split = {part: list(_entries(content[part], part, where)) for part in PARTS}
    _once(split, where)
    return split


def _entries(rows: list[Any], part: Part, where: str) -> Iterator[Entry]:
    for i, row in enumerate(rows):
        match row:
            case [str(path), int(label), str(name)] if not isinstance(label, bool):
                # A split may name pictures inside the picture folder only.
                if path.startswith("/") or ".." in path.split("/"):
                    raise InputError(f"entry {i} of {part} in {where} has the path {path!r}, outside the data set.")
                yield Entry(path, label, name)
            case _:
                raise InputError(
                    f"entry {i} of {part} in {where} is {str(row)[:80]}, not [path, label, class name]; fix it."
                )


def _once(split: Split, where: str) -> None:
    seen: dict[str, Part] = {}
    for part in PARTS:
        for path, _, _ in split[part]:
            if path in seen:
                raise InputError(f"{where} names {path!r} twice, in {seen[path]} and in {part}; keep one of them.")
            seen[path] = part


def split_names(split: Split, file: Path) -> tuple[str, ...]:
    """Return the class names of a split in label order.

    Raises:
        InputError: labels with a gap, a label with two names, a name with two labels.
    """
    return numbered_names((entry[1:] for part in PARTS for entry in split[part]), f"the split file {file}")


def read_variants(entry: Registered, folder: Path) -> Found:
    """Read FGVC-Aircraft: `variants.txt` orders the classes, `images_variant_PART.txt` has `NUMBER VARIANT` lines.

    Raises:
        InputError: a list is missing, or names an unknown variant or a missing picture.
    """
    names = tuple(line.strip() for line in _lines(folder / "variants.txt", entry) if line.strip())
    labels = {name: label for label, name in enumerate(names)}
    split: Split = {}
    for part in PARTS:
        file = folder / f"images_variant_{part}.txt"
        split[part] = []
        for number, line in enumerate(_lines(file, entry), start=1):
            stem, _, name = line.strip().partition(" ")
            if not stem:
                continue
            if name not in labels:
                raise InputError(
                    f"line {number} of {file} has the variant {name!r}, which is not in variants.txt; fix it."
                )
            split[part].append(Entry(f"{stem}.jpg", labels[name], name))
    _once(split, f"the list images_variant_PART.txt in {folder}")
    return _found(split, names, folder / "images_variant_PART.txt", folder / entry.pictures)


def _lines(file: Path, entry: Registered) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(
            f"cannot read {file}, a part of {entry.title}'s own split: {error.strerror}; {LAYOUT}."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error}); take it from the source again.") from error


def _found(split: Split, names: tuple[str, ...], file: Path, pictures: Path) -> Found:
    folder = PictureFolder(pictures)
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    absent: list[str] = []
    for part in PARTS:
        for path, label, _ in split[part]:
            try:
                parts[part].append(Item(folder.picture(path), label, path))
            except OSError:
                absent.append(path)
    if absent:
        total = sum(len(split[part]) for part in PARTS)
        raise InputError(
            f"{file} names the picture {absent[0]!r}, which is not in {pictures} (absent: {len(absent)} of {total}); "
            "put the pictures there."
        )
    return Found(str(file), names, parts)
