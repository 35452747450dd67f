"""The paper's data sets, `--data eurosat`: eleven to search on, four shifted ImageNets to test on.

`published.yaml` lists them. The layout is CoOp's (github.com/KaiyangZhou/CoOp, DATASETS.md): one root with a folder for
each data set, which holds its images.

- Most data sets have a list that names each image: CoOp's `split_zhou_NAME.json`, or the lists of FGVC-Aircraft.
- ImageNet and its shifted versions have one folder for each class; `classnames.txt` has CLIP's class names. The
  benchmark uses ImageNet's val folder as the test part. So the val part is empty, and the validation images are drawn
  from the train images that the search did not draw. Here, files are sorted within a class. CoOp takes files in the
  order in which the disk lists them, so CoOp's few-shot images of ImageNet cannot be drawn again.

The templates come from CoOp's zero-shot classifier. The sizes were counted in the published split and index files
(github.com/linzhiqiu/cross_modal_adaptation, MIT). The sizes of ImageNet and its shifted versions are those that were
published with them. The digests are those of the split files in the same repository, at revision ac9077e.
FGVC-Aircraft, ImageNet and its shifted versions have no digest, because their lists could not be looked up.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import StrictInt, TypeAdapter, ValidationError

from ipo_prompts.experiments.data.dataset import COUNTED, DIFFERENT, OFFICIAL, PARTS, DataSet, Item, Part
from ipo_prompts.experiments.data.names import labels_of, numbered_names
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import JSON_BYTES, read_json, read_text
from ipo_prompts.metrics.images import ENDINGS, LazyImage, read_file

LAYOUT = "github.com/KaiyangZhou/CoOp, DATASETS.md, has the layout and the sources"
SPLITS = "take it from github.com/linzhiqiu/cross_modal_adaptation, folder splits (MIT)"
ROOT_VARIABLE = "IPO_DATA_ROOT"
MOST = 40_000
"""Most images in each part of an `assumed` data set. No forecast draws as many, and a million images take long."""
WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Registered:
    """One registered data set.

    Attributes:
        name: the name that a user types, as in `--data eurosat`.
        title: the name in tables.
        task: a sentence for the language model that says what the images are; it names no new class.
        hand_written: CoOp's template.
        folder: the path of the data set's folder, relative to the root.
        images: the path of the folder of images, relative to `folder`; paths in the split file start there.
        rule: where parts and labels come from. "split": a split file. "variants": the lists of FGVC-Aircraft.
            "imagenet": a train and a val folder, with a folder for each WordNet id; val is the test part. "wnids": a
            folder for each WordNet id, all for testing. "numbers": a folder for each label, all for testing.
        classes: the number of classes.
        sizes: the numbers of images in train, val and test of the official split.
        split_file: the name of the split file, for the rule "split"; else None.
        digest: the digest of the official split, see `split_digest`; None if the list of its images is not known
            here.
    """

    name: str
    title: str
    task: str
    hand_written: str
    folder: str
    images: str
    rule: Literal["split", "variants", "imagenet", "wnids", "numbers"]
    classes: int
    sizes: tuple[int, int, int]
    split_file: str | None = None
    digest: str | None = None


_LISTED = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
REGISTRY: Mapping[str, Registered] = TypeAdapter(dict[str, Registered]).validate_python(
    {name: {"name": name, **fields} for name, fields in _LISTED.items()}
)
"""Name → registered data set, in the order of the paper's tables."""


class SplitEntry(NamedTuple):
    """One image of a split: its path relative to the folder of images, its label, and the name of its class."""

    path: str
    label: StrictInt
    name: str


Split = dict[Part, list[SplitEntry]]
_SPLIT = TypeAdapter(Split)
Found = tuple[tuple[str, ...], dict[Part, list[Item]], list[str]]
"""What a reader returns: the class names in label order, the images of each part, and the files that it left out."""


def load_registered(entry: Registered, rest: str, task: str | None) -> DataSet:
    """Load a registered data set, and compare its parts with the official split.

    Args:
        entry: the registered data set.
        rest: the path of the root; "" takes `default_root`.
        task: replaces the registered task; None keeps it.

    Raises:
        InputError: there is no such root or folder; its files are missing or malformed; two class names look the same
            in a prompt; or a class has no images in a part.
    """
    root = Path(rest).expanduser() if rest else default_root()
    if root is None:
        raise InputError(
            f"{entry.name} is read from a root folder in the CoOp layout and {ROOT_VARIABLE} is not set; set it to the "
            f"folder that holds {entry.folder}/, or write {entry.name}:PATH_OF_ROOT."
        )
    folder = root / entry.folder
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}, where {entry.title} is expected; {LAYOUT}.")
    if entry.rule == "split":
        names, parts, stray = _read_split(entry, folder)
    elif entry.rule == "variants":
        names, parts, stray = _read_variants(entry, folder)
    else:
        names, parts, stray = _read_folders(entry, folder)
    if entry.rule in ("split", "variants"):  # CLIP's names for ImageNet have "missile" and "sunglasses" twice
        labels_of(names, str(folder))
    for part, official in zip(PARTS, entry.sizes, strict=True):
        missing = sorted(set(range(len(names))) - {item.label for item in parts[part]})
        if official and missing:
            raise InputError(
                f"the class {names[missing[0]]!r} (label {missing[0]}) has no images in the {part} part of {folder} "
                f"({len(missing)} of {len(names)} classes have none); every class needs images in each part."
            )
    data = DataSet(
        name=entry.name,
        class_names=names,
        task=task or entry.task,
        train=tuple(parts["train"]),
        val=tuple(parts["val"]),
        test=tuple(parts["test"]),
        variants=False,
        stray=tuple(stray),
        hand_written=entry.hand_written,
    )
    return replace(data, split=_split(entry, data))


def _split(entry: Registered, data: DataSet) -> str:
    """Return `DataSet.split`: whether these are the classes, the images and their order of the official split."""
    reasons = []
    if len(data.class_names) != entry.classes:
        reasons.append(f"{len(data.class_names)} classes where the official split has {entry.classes}")
    for part, official in zip(PARTS, entry.sizes, strict=True):
        if len(data.part(part)) != official:
            reasons.append(f"{len(data.part(part))} {part} images where the official split has {official}")
    if reasons:
        return DIFFERENT + "; ".join(reasons)
    if entry.digest is None:
        return COUNTED
    if split_digest(data) != entry.digest:
        return f"{DIFFERENT}as many images as the official split has, but other ones, or with other class names"
    return OFFICIAL


def split_digest(data: DataSet) -> str:
    """Return the id that Git gives to the split file that CoOp's code writes for these parts.

    The ids of the published split files are known from their Git repository. The digest of the official split can
    therefore be stored here, and does not depend on how a copy on disk is formatted.
    """
    names = data.class_names
    rows = {part: [[item.group, item.label, names[item.label]] for item in data.part(part)] for part in PARTS}
    text = json.dumps(rows, indent=4, separators=(",", ": ")).encode()
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()


# Lists of images.


def _read_split(entry: Registered, folder: Path) -> Found:
    """Read a data set that has a split file: `{"train": [[path, label, class name], …], "val": …, "test": …}`.

    Images keep the order of the file, because the few-shot draw depends on it.

    Raises:
        InputError: the split file is missing or malformed, or an image that it names is missing.
    """
    file = folder / str(entry.split_file)
    where = f"the split file {file}"
    if not file.exists():
        raise InputError(f"{where} is missing; {SPLITS}, because a new split would not be the official one.")
    content = read_json(file, "the split file", SPLITS)
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in PARTS):
        raise InputError(f"{where} is not an object with the lists train, val and test; {SPLITS}.")
    try:
        split = _SPLIT.validate_python({part: content[part] for part in PARTS})
    except ValidationError as error:
        part, at = error.errors()[0]["loc"][:2]
        raise InputError(
            f"entry {at} of {part} in {where} is {str(content[part][at])[:80]}, not [path, label, class name]; fix it."
        ) from error
    names = numbered_names((row[1:] for part in PARTS for row in split[part]), where)
    return names, _images(split, where, folder / entry.images), []


def _read_variants(entry: Registered, folder: Path) -> Found:
    """Read FGVC-Aircraft.

    `variants.txt` lists the classes in label order. `images_variant_PART.txt` has a line `NUMBER VARIANT` for each
    image of a part; the image is the file `NUMBER.jpg`.

    Raises:
        InputError: a list is missing, or names an unknown variant or a missing image.
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
    return names, _images(split, f"the list {folder / 'images_variant_PART.txt'}", folder / entry.images), []


def _lines(file: Path, entry: Registered) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not blank, each after its line number, which counts from 1."""
    what = f"a part of {entry.title}'s own split"
    if not file.is_file():
        raise InputError(f"cannot read {file}, {what}; {LAYOUT}.")
    text = read_text(file, f"{what},", JSON_BYTES, "text", "take it from the source again")
    yield from ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _images(split: Split, where: str, folder: Path) -> dict[Part, list[Item]]:
    """Return the images of a split.

    Raises:
        InputError: the split names an image twice, an image outside the folder of images, or a missing image.
    """
    seen: dict[str, Part] = {}
    absent: list[str] = []
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    for part in PARTS:
        for path, label, _ in split[part]:
            if path.startswith("/") or ".." in path.split("/"):
                raise InputError(f"{where} has the path {path!r} in {part}, outside the data set; take it out.")
            if path in seen:
                raise InputError(f"{where} names {path!r} twice, in {seen[path]} and in {part}; keep one of them.")
            seen[path] = part
            try:
                parts[part].append(Item(_image(folder, path), label, path))
            except OSError:
                absent.append(path)
    if absent:
        raise InputError(
            f"{where} names the image {absent[0]!r}, which is not in {folder} (absent: {len(absent)} of "
            f"{len(seen)}); put the images there."
        )
    return parts


def _image(folder: Path, key: str, *, look: bool = True) -> LazyImage:
    """Return the image in a file below a folder. With `look`, a missing file raises an OSError.

    Images are read as stored, because the published numbers were measured so.
    """
    path = f"{folder}/{key}"
    if look:
        os.stat(path)  # noqa: PTH116 - twice as fast
    return LazyImage(path, partial(read_file, path), stored=True)


# Folders of classes.


def _read_folders(entry: Registered, folder: Path) -> Found:
    """Read a data set with a folder for each class, named by WordNet id or by label ("0" to "999").

    The label of a WordNet id is its position among the sorted ids. ImageNet has class folders in `train` and in `val`.
    In the other data sets, all class folders are for testing.

    Raises:
        InputError: a folder or `classnames.txt` is missing; a class folder has no name in `classnames.txt`; or the
            numbered folders are not those from 0 to one less than the number of names.
    """
    images = folder / entry.images
    tops: dict[Part, Path] = {"test": images}
    if entry.rule == "imagenet":
        tops = {"train": images / "train", "test": images / "val"}
    names = _class_names(entry, folder)
    folders = sorted(set().union(*map(_class_folders, tops.values())))
    if entry.rule == "numbers":
        names = {str(label): name for label, name in enumerate(names.values())}
        if odd := sorted(set(folders) ^ set(names)):
            raise InputError(
                f"the class folders of {images} must be 0 to {len(names) - 1}, one for each name in classnames.txt "
                f"(see {odd[0]})."
            )
        folders = list(names)
    if unknown := [one for one in folders if one not in names]:
        raise InputError(
            f"the class folder {unknown[0]} of {images} has no name in classnames.txt; add it or remove it."
        )
    stray: list[str] = []
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    for part, top in tops.items():
        # Train files are not statted: a million of them take minutes on a network disk, and a run uses only a few.
        parts[part] = list(_items(images, top, folders, stray, look=part == "test"))
    return tuple(names[one] for one in folders), parts, stray


def _class_names(entry: Registered, folder: Path) -> dict[str, str]:
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


def _items(images: Path, top: Path, folders: list[str], stray: list[str], *, look: bool) -> Iterator[Item]:
    """Yield the images of each class, sorted by file name.

    Other files are added to `stray`. With `look`, a link that leads nowhere is refused.
    """
    for label, folder in enumerate(top / folder for folder in folders):
        inside = folder.relative_to(images).as_posix()
        # `load_registered` reports a class that has no folder in this part.
        for file in sorted(os.listdir(folder) if folder.is_dir() else ()):  # noqa: PTH208
            key = f"{inside}/{file}"
            if file.startswith(".") or Path(file).suffix.lower() not in ENDINGS:
                stray.append(key)
                continue
            try:
                yield Item(_image(images, key, look=look), label, key)
            except OSError as error:  # a link that leads nowhere
                raise InputError(f"cannot read the image {images / key}: {error.strerror}; remove it.") from error


# What is on this machine.


def default_root() -> Path | None:
    """Return the root folder that `IPO_DATA_ROOT` names, or None."""
    value = os.environ.get(ROOT_VARIABLE, "").strip()
    return Path(value).expanduser() if value else None


def state(entry: Registered, root: Path | None) -> str:
    """Return whether the data set can be read from a root: "yes", "no" (it has no folder), or what is missing."""
    if root is None or not (root / entry.folder).is_dir():
        return "no"
    folder = root / entry.folder
    if entry.split_file and not (folder / entry.split_file).is_file():
        return "no split file"
    return "yes" if (folder / entry.images).is_dir() else "no images"


def absent(spec: str) -> Registered | None:
    """Return the registered data set that a spec names, if it has no folder below the root; else None.

    A spec that says where the data are, such as `eurosat:PATH_OF_ROOT`, is not checked: the result is None.
    """
    entry = REGISTRY.get(spec.strip())
    return entry if entry and state(entry, default_root()) == "no" else None


@cache
def assumed(entry: Registered, task: str | None) -> DataSet:
    """Return a data set with the published numbers of classes and images, but without files, for forecasts.

    All classes have equally many images. A part has at most `MOST` images. No image can be opened.
    """

    def missing() -> bytes:
        raise InputError(f"{entry.name} is not on this machine; only its published sizes are known.")

    def part(name: str, size: int) -> tuple[Item, ...]:
        items = []
        for label in range(entry.classes):
            for number in range(min(MOST, size) // entry.classes):
                key = f"{name}/{label}/{number}"
                items.append(Item(LazyImage(key, missing), label, key))
        return tuple(items)

    train, val, test = (part(name, size) for name, size in zip(PARTS, entry.sizes, strict=True))
    names = tuple(f"class {label}" for label in range(entry.classes))
    return DataSet(entry.name, names, task or entry.task, train, val, test, False, (), entry.hand_written, OFFICIAL)
