"""Loads registered data sets from a root, `--data eurosat`: reads their parts and labels.

- Most data sets have a list that names each picture: CoOp's `split_zhou_NAME.json`, or the lists of FGVC-Aircraft.
- ImageNet and its shifted versions have one folder for each class; `classnames.txt` has CLIP's class names. The
  benchmark uses ImageNet's val folder as the test part. So the val part is empty, and the selection pictures are drawn
  from the train pictures that the search did not draw. Here, files are sorted within a class. CoOp takes files in the
  order in which the disk lists them, so CoOp's few-shot pictures of ImageNet cannot be drawn again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import StrictInt, TypeAdapter, ValidationError

from ipo_prompts.experiments.data.benchmarks import (
    LAYOUT,
    REGISTRY,
    LabelledParts,
    Registered,
    Rule,
    find_folder,
    official_data,
)
from ipo_prompts.experiments.data.dataset import PARTS, DataSet, Item, Part
from ipo_prompts.experiments.data.sources.table import numbered_names
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import open_lines, read_json
from ipo_prompts.metrics.pictures import ENDINGS, Picture, read_file

SPLITS = "github.com/linzhiqiu/cross_modal_adaptation, folder splits (MIT)"
WNID = re.compile(r"n\d{8}")


class SplitEntry(NamedTuple):
    """One picture of a split: its path relative to the folder of pictures, its label, and the name of its class."""

    path: str
    label: StrictInt
    name: str


Split = dict[Part, list[SplitEntry]]
_SPLIT = TypeAdapter(Split)


def read_split(entry: Registered, folder: Path) -> LabelledParts:
    """Read a data set that has a split file.

    Pictures keep the order of the file, because the few-shot draw depends on it.

    Raises:
        InputError: the split file is missing or malformed, or a picture that it names is missing.
    """
    file = folder / str(entry.split_file)
    split = parse_split(file)
    return _found(split, split_names(split, file), file, folder / entry.pictures)


def parse_split(file: Path) -> Split:
    """Read a split file: `{"train": [[path, label, class name], …], "val": …, "test": …}`.

    Raises:
        InputError: the file is missing or malformed, or `_once` refuses it.
    """
    where = f"the split file {file}"
    if not file.exists():
        raise InputError(
            f"{where} is missing; take it from {SPLITS}, because a new split would not be the official one."
        )
    content = read_json(file, "the split file", f"take it from {SPLITS}")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in PARTS):
        raise InputError(f"{where} is not an object with the lists train, val and test; take it from {SPLITS}.")
    try:
        return _once(_SPLIT.validate_python({part: content[part] for part in PARTS}), where)
    except ValidationError as error:
        part, at = error.errors()[0]["loc"][:2]
        raise InputError(
            f"entry {at} of {part} in {where} is {str(content[part][at])[:80]}, not [path, label, class name]; fix it."
        ) from error


def _once(split: Split, where: str) -> Split:
    """Return the split unchanged.

    Raises:
        InputError: the split names a picture twice, or a picture outside the folder of pictures.
    """
    seen: dict[str, Part] = {}
    for part in PARTS:
        for path, _, _ in split[part]:
            if path.startswith("/") or ".." in path.split("/"):
                raise InputError(f"{where} has the path {path!r} in {part}, outside the data set; take it out.")
            if path in seen:
                raise InputError(f"{where} names {path!r} twice, in {seen[path]} and in {part}; keep one of them.")
            seen[path] = part
    return split


def split_names(split: Split, file: Path) -> tuple[str, ...]:
    """Return the class names of a split in label order.

    Raises:
        InputError: the labels have a gap, a label has two names, or a name has two labels.
    """
    return numbered_names((entry[1:] for part in PARTS for entry in split[part]), f"the split file {file}")


def read_variants(entry: Registered, folder: Path) -> LabelledParts:
    """Read FGVC-Aircraft.

    `variants.txt` lists the classes in label order. `images_variant_PART.txt` has a line `NUMBER VARIANT` for each
    picture of a part; the picture is the file `NUMBER.jpg`.

    Raises:
        InputError: a list is missing, or names an unknown variant or a missing picture.
    """
    names = tuple(line for _, line in _lines(folder / "variants.txt", entry))
    labels = {name: label for label, name in enumerate(names)}
    split: Split = {part: [] for part in PARTS}
    for part in PARTS:
        file = folder / f"images_variant_{part}.txt"
        for number, line in _lines(file, entry):
            stem, _, name = line.partition(" ")
            if name not in labels:
                raise InputError(
                    f"line {number} of {file} has the variant {name!r}, which is not in variants.txt; fix it."
                )
            split[part].append(SplitEntry(f"{stem}.jpg", labels[name], name))
    _once(split, f"the list images_variant_PART.txt in {folder}")
    return _found(split, names, folder / "images_variant_PART.txt", folder / entry.pictures)


def _lines(file: Path, entry: Registered) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not blank, each after its line number, which counts from 1."""
    try:
        with open_lines(file) as opened:
            lines = list(opened)
    except OSError as error:
        raise InputError(
            f"cannot read {file}, a part of {entry.title}'s own split: {error.strerror}; {LAYOUT}."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error}); take it from the source again.") from error
    yield from ((number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip())


def _found(split: Split, names: tuple[str, ...], file: Path, pictures: Path) -> LabelledParts:
    below = pictures_below(pictures)
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    absent: list[str] = []
    for part in PARTS:
        for path, label, _ in split[part]:
            try:
                parts[part].append(Item(below(path), label, path))
            except OSError:
                absent.append(path)
    if absent:
        total = sum(len(split[part]) for part in PARTS)
        raise InputError(
            f"{file} names the picture {absent[0]!r}, which is not in {pictures} (absent: {len(absent)} of {total}); "
            "put the pictures there."
        )
    return LabelledParts(str(file), names, parts)


def read_folders(entry: Registered, folder: Path) -> LabelledParts:
    """Read a data set with a folder for each class, named by WordNet id or by label ("0" to "999").

    The label of a WordNet id is its position among the sorted ids. ImageNet has class folders in `train` and in `val`.
    In the other data sets, all class folders are for testing.

    Raises:
        InputError: a folder or `classnames.txt` is missing; a class folder has no name in `classnames.txt`; or the
            numbered folders are not those from 0 to one less than the number of names.
    """
    pictures = folder / entry.pictures
    tops: dict[Part, Path] = {"test": pictures}
    if entry.rule == "imagenet":
        tops = {"train": pictures / "train", "test": pictures / "val"}
    names = class_names(entry, folder)
    folders = sorted(set().union(*map(_class_folders, tops.values())))
    if entry.rule == "numbers":
        names = {str(label): name for label, name in enumerate(names.values())}
        if odd := sorted(set(folders) ^ set(names)):
            raise InputError(
                f"the class folders of {pictures} must be 0 to {len(names) - 1}, one for each name in classnames.txt "
                f"(see {odd[0]})."
            )
        folders = list(names)
    if unknown := [folder for folder in folders if folder not in names]:
        raise InputError(
            f"the class folder {unknown[0]} of {pictures} has no name in classnames.txt; add it or remove it."
        )
    stray: list[str] = []
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    for part, top in tops.items():
        # Train files are not statted: a million of them take minutes on a network disk, and a run uses only a few.
        parts[part] = list(_items(pictures, top, folders, stray, look=part == "test"))
    return LabelledParts(str(pictures), tuple(names[folder] for folder in folders), parts, tuple(stray))


READERS: Mapping[Rule, Callable[[Registered, Path], LabelledParts]] = {
    "split": read_split,
    "variants": read_variants,
    "imagenet": read_folders,
    "wnids": read_folders,
    "numbers": read_folders,
}


def class_names(entry: Registered, folder: Path) -> dict[str, str]:
    """Return a table of WordNet id → CLIP's class name, sorted by id.

    It is read from `classnames.txt`, which has a line `WNID NAME` for each class. The file is in the data set's folder,
    or else in the folder `imagenet` beside it.

    Raises:
        InputError: the file is missing, a line has another form, or an id is listed twice.
    """
    files = [folder / "classnames.txt", folder.parent / "imagenet" / "classnames.txt"]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise InputError(f"there is no {files[0]}, which pairs WordNet ids with CLIP's class names; {LAYOUT}.")
    names: dict[str, str] = {}
    for number, line in _lines(file, entry):
        wnid, _, name = line.partition(" ")
        if not WNID.fullmatch(wnid) or not name.strip() or wnid in names:
            raise InputError(
                f"line {number} of {file} is {line[:60]!r}, not a new WordNet id and a class name; fix it."
            )
        names[wnid] = name.strip()
    return dict(sorted(names.items()))


def _class_folders(top: Path) -> set[str]:
    try:
        with os.scandir(top) as entries:
            folders = {e.name for e in entries if not e.name.startswith(".") and e.is_dir()}
    except OSError as error:
        raise InputError(f"cannot read the folder {top}: {error.strerror}; {LAYOUT}.") from error
    if not folders:
        raise InputError(f"{top} has no class folders; {LAYOUT}.")
    return folders


def _items(pictures: Path, top: Path, folders: list[str], stray: list[str], *, look: bool) -> Iterator[Item]:
    """Yield the pictures of each class, sorted by file name.

    Other files are added to `stray`. With `look`, a link that leads nowhere is refused.
    """
    below = pictures_below(pictures, look=look)
    for label, folder in enumerate(top / folder for folder in folders):
        inside = folder.relative_to(pictures).as_posix()
        # `official_data` reports a class that has no folder in this part.
        for file in sorted(os.listdir(folder) if folder.is_dir() else ()):  # noqa: PTH208
            key = f"{inside}/{file}"
            if file.startswith(".") or Path(file).suffix.lower() not in ENDINGS:
                stray.append(key)
                continue
            try:
                yield Item(below(key), label, key)
            except OSError as error:  # a link that leads nowhere
                raise InputError(f"cannot read the picture {pictures / key}: {error.strerror}; remove it.") from error


def pictures_below(folder: Path, *, look: bool = True) -> Callable[[str], Picture]:
    """Return a function that takes a path relative to a folder and returns the picture in this file.

    Pictures are read as stored, because the published numbers were measured so. With `look`, the function raises an
    OSError if the file is missing. Files that were found by listing a folder need no such check.
    """
    top = str(folder)

    def picture(key: str) -> Picture:
        path = f"{top}/{key}"
        if look:
            os.stat(path)  # noqa: PTH116 - twice as fast
        return Picture(path, partial(read_file, path), stored=True)

    return picture


def load_registered(entry: Registered, rest: str, task: str | None) -> DataSet:
    """Load a registered data set. `rest` is the text behind its name in the spec; see `load_data`."""
    return official_data(entry, READERS[entry.rule](entry, find_folder(entry, rest)), task)


OFFICIAL = {name: partial(load_registered, entry) for name, entry in REGISTRY.items()}
