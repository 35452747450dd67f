"""The paper's data sets, listed in `registry.yaml`: eleven to search on, four shifted ImageNets to test on.

The layout is CoOp's (github.com/KaiyangZhou/CoOp, DATASETS.md): one root with a folder for each data set. The folder
holds the pictures and the split file `split_zhou_NAME.json`. The templates come from CoOp's zero-shot classifier.

The sizes were counted in the published split and index files (github.com/linzhiqiu/cross_modal_adaptation, MIT). The
sizes of ImageNet and its shifted versions are those that were published with them. The digests are those of the split
files in the same repository, at revision ac9077e. FGVC-Aircraft, ImageNet and its shifted versions have no digest,
because their lists could not be looked up.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter

from ipo_prompts.experiments.data.assemble import check_parts, labels_of
from ipo_prompts.experiments.data.dataset import COUNTED, DIFFERENT, OFFICIAL, PARTS, DataSet, Item, Part
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture

LAYOUT = "github.com/KaiyangZhou/CoOp, DATASETS.md, has the layout and the sources"
MOST = 40_000
"""Most pictures in each part of an `assumed` data set. No forecast draws as many, and a million pictures take long."""
ROOT_VARIABLE = "IPO_DATA_ROOT"

Rule = Literal["split", "variants", "imagenet", "wnids", "numbers"]


@dataclass(frozen=True)
class Registered:
    """One registered data set.

    Attributes:
        name: the name that a user types, as in `--data eurosat`.
        title: the name in tables.
        task: a sentence for the language model that says what the pictures are; it names no new class.
        hand_written: CoOp's template.
        folder: the path of the data set's folder, relative to the root.
        pictures: the path of the folder of pictures, relative to `folder`; paths in the split file start there.
        rule: where parts and labels come from. "split": a split file. "variants": the lists of FGVC-Aircraft.
            "imagenet": a train and a val folder, with a folder for each WordNet id; val is the test part. "wnids": a
            folder for each WordNet id, all for testing. "numbers": a folder for each label, all for testing.
        classes: the number of classes.
        sizes: the numbers of pictures in train, val and test of the official split.
        split_file: the name of the split file, for the rule "split"; else None.
        digest: the digest of the official split, see `split_digest`; None if the list of its pictures is not known
            here.
    """

    name: str
    title: str
    task: str
    hand_written: str
    folder: str
    pictures: str
    rule: Rule
    classes: int
    sizes: tuple[int, int, int]
    split_file: str | None = None
    digest: str | None = None

    @property
    def twins(self) -> bool:
        """Whether two classes may share a name: CLIP's names for ImageNet have "missile" and "sunglasses" twice."""
        return self.rule in ("imagenet", "wnids", "numbers")


_LISTED = yaml.safe_load(Path(__file__).with_name("registry.yaml").read_text(encoding="utf-8"))
REGISTRY: Mapping[str, Registered] = TypeAdapter(dict[str, Registered]).validate_python(
    {name: {"name": name, **fields} for name, fields in _LISTED.items()}
)
"""Name → registered data set, in the order of the paper's tables."""


def default_root() -> Path | None:
    """Return the root folder that `IPO_DATA_ROOT` names, or None."""
    value = os.environ.get(ROOT_VARIABLE, "").strip()
    return Path(value).expanduser() if value else None


def find_folder(entry: Registered, given: str) -> Path:
    """Return the data set's folder below the root.

    Args:
        entry: the data set.
        given: the path of the root, from the spec; "" takes `default_root`.

    Raises:
        InputError: no root is given, or the folder does not exist.
    """
    root = Path(given).expanduser() if given else default_root()
    if root is None:
        raise InputError(
            f"{entry.name} is read from a root folder in the CoOp layout and {ROOT_VARIABLE} is not set; set it to the "
            f"folder that holds {entry.folder}/, or write {entry.name}:PATH_OF_ROOT."
        )
    folder = root / entry.folder
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}, where {entry.title} is expected; {LAYOUT}.")
    return folder


def state(entry: Registered, root: Path | None) -> str:
    """Return whether the data set can be read from a root: "yes", "no" (it has no folder), or what is missing."""
    if root is None or not (root / entry.folder).is_dir():
        return "no"
    folder = root / entry.folder
    if entry.split_file and not (folder / entry.split_file).is_file():
        return "no split file"
    return "yes" if (folder / entry.pictures).is_dir() else "no pictures"


@dataclass(frozen=True)
class LabelledParts:
    """The labelled pictures of a registered data set, as a reader returns them.

    Attributes:
        where: the source's name in messages.
        class_names: the class names in label order.
        parts: the pictures of each part. If the data set lacks a part, it is empty.
        stray: the names of files and splits that were left out.
    """

    where: str
    class_names: tuple[str, ...]
    parts: dict[Part, list[Item]]
    stray: tuple[str, ...] = ()


def official_data(entry: Registered, found: LabelledParts, task: str | None) -> DataSet:
    """Compare the parts with the official split, and build the data set.

    Args:
        entry: the registered data set.
        found: its labelled pictures.
        task: replaces the registered task; None keeps it.

    Raises:
        InputError: two class names look the same in a prompt, or a class has no pictures in a part.
    """
    if not entry.twins:
        labels_of(found.class_names, found.where)
    there = [part for part, official in zip(PARTS, entry.sizes, strict=True) if official]
    check_parts(found.parts, found.class_names, found.where, there)
    return DataSet(
        name=entry.name,
        class_names=found.class_names,
        task=task or entry.task,
        train=tuple(found.parts["train"]),
        val=tuple(found.parts["val"]),
        test=tuple(found.parts["test"]),
        variants=False,
        stray=found.stray,
        hand_written=entry.hand_written,
        split=_split(entry, found),
    )


def _split(entry: Registered, found: LabelledParts) -> str:
    """Return `DataSet.split` for these parts.

    The numbers of classes and pictures are compared with the official split. If the list of its pictures is known,
    every picture, label and class name is compared, too.
    """
    reasons = []
    if len(found.class_names) != entry.classes:
        reasons.append(f"{len(found.class_names)} classes where the official split has {entry.classes}")
    for part, official in zip(PARTS, entry.sizes, strict=True):
        if len(found.parts[part]) != official:
            reasons.append(f"{len(found.parts[part])} {part} pictures where the official split has {official}")
    if reasons:
        return DIFFERENT + "; ".join(reasons)
    if entry.digest is None:
        return COUNTED
    if split_digest(found) != entry.digest:
        return f"{DIFFERENT}as many pictures as the official split has, but other ones, or with other class names"
    return OFFICIAL


def split_digest(found: LabelledParts) -> str:
    """Return the id that Git gives to the split file that CoOp's code writes for these parts.

    The ids of the published split files are known from their Git repository. The digest of the official split can
    therefore be stored here, and does not depend on how a copy on disk is formatted.
    """
    names = found.class_names
    rows = {part: [[item.group, item.label, names[item.label]] for item in found.parts[part]] for part in PARTS}
    text = json.dumps(rows, indent=4, separators=(",", ": ")).encode()
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()


def absent(spec: str) -> Registered | None:
    """Return the registered data set that a spec names, if it has no folder below the root; else None.

    A spec that says where the data are, such as `eurosat:PATH_OF_ROOT`, is not checked: the result is None.
    """
    entry = REGISTRY.get(spec.strip())
    return entry if entry and state(entry, default_root()) == "no" else None


@cache
def assumed(entry: Registered, task: str | None) -> DataSet:
    """Return a data set with the published numbers of classes and pictures, but without files, for forecasts.

    All classes have equally many pictures. A part has at most `MOST` pictures. No picture can be opened.
    """

    def missing() -> bytes:
        raise InputError(f"{entry.name} is not on this machine; only its published sizes are known.")

    def part(name: str, size: int) -> tuple[Item, ...]:
        items = []
        for label in range(entry.classes):
            for number in range(min(MOST, size) // entry.classes):
                key = f"{name}/{label}/{number}"
                items.append(Item(Picture(key, missing), label, key))
        return tuple(items)

    train, val, test = (part(name, size) for name, size in zip(PARTS, entry.sizes, strict=True))
    names = tuple(f"class {label}" for label in range(entry.classes))
    return DataSet(entry.name, names, task or entry.task, train, val, test, False, (), entry.hand_written, OFFICIAL)
