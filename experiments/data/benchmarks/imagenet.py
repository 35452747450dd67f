"""ImageNet and its shifted versions: one folder a class, and CLIP's class names in `classnames.txt`.

The benchmark uses ImageNet's val folder as the test part, so `val` is empty and the draw takes the selection pictures
from those of train that the search did not draw. Files are sorted within a class. CoOp takes them as the disk lists
them, so its few-shot pictures of ImageNet cannot be drawn again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ipo_prompts.experiments.data.benchmarks.found import Found
from ipo_prompts.experiments.data.benchmarks.registry import Registered
from ipo_prompts.experiments.data.benchmarks.roots import LAYOUT, PictureFolder
from ipo_prompts.experiments.data.dataset import Item, Part
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import ENDINGS

WNID = re.compile(r"n\d{8}")


def read_imagenet(entry: Registered, folder: Path) -> Found:
    """Read `images/train` and `images/val`, folders of WordNet ids; the labels are their sorted order.

    Raises:
        InputError: a folder or `classnames.txt` is missing, or a folder has no name there.
    """
    names = class_names(folder)
    pictures = folder / entry.pictures
    tops: dict[Part, str] = {"train": "train", "test": "val"}
    found = {part: _class_folders(pictures / top) for part, top in tops.items()}
    wnids = sorted(set().union(*found.values()))
    parts: dict[Part, list[Item]] = {"val": []}
    stray: list[str] = []
    for part, top in tops.items():
        # To stat a million training files takes minutes on a network disk, and a run uses a few of them.
        parts[part] = list(_items(pictures, top, wnids, stray, look=part == "test"))
    return Found(str(pictures), _named(wnids, names, pictures), parts, tuple(stray))


def read_wnids(entry: Registered, folder: Path) -> Found:
    """Read folders of WordNet ids as a test part; the labels are their sorted order.

    Raises:
        InputError: as `read_imagenet`.
    """
    names = class_names(folder)
    pictures = folder / entry.pictures
    wnids = _class_folders(pictures)
    return _all_for_testing(pictures, wnids, _named(wnids, names, pictures))


def read_numbers(entry: Registered, folder: Path) -> Found:
    """Read folders that are named by their label, "0" to "999", as a test part.

    Raises:
        InputError: as `read_imagenet`, or the numbers do not run from 0 to one less than the names.
    """
    names = tuple(class_names(folder).values())
    pictures = folder / entry.pictures
    folders = _class_folders(pictures)
    wanted = [str(label) for label in range(len(names))]
    odd = sorted(set(folders) ^ set(wanted))
    if odd:
        raise InputError(
            f"the class folders of {pictures} must be 0 to {len(names) - 1}, one for each name in classnames.txt "
            f"(see {odd[0]})."
        )
    return _all_for_testing(pictures, wanted, names)


def class_names(folder: Path) -> dict[str, str]:
    """Read `classnames.txt`, lines `WNID NAME`, of the folder or of `imagenet` beside it: WordNet id → CLIP's name.

    Raises:
        InputError: the file is missing, or a line is not of that form.
    """
    files = [folder / "classnames.txt", folder.parent / "imagenet" / "classnames.txt"]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise InputError(f"there is no {files[0]}, which pairs WordNet ids with CLIP's class names; {LAYOUT}.")
    names: dict[str, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        wnid, _, name = line.strip().partition(" ")
        if not wnid:
            continue
        if not WNID.fullmatch(wnid) or not name.strip() or wnid in names:
            raise InputError(
                f"line {number} of {file} is {line[:60]!r}, not a new WordNet id and a class name; fix it."
            )
        names[wnid] = name.strip()
    return dict(sorted(names.items()))


def _all_for_testing(pictures: Path, folders: list[str], names: tuple[str, ...]) -> Found:
    stray: list[str] = []
    items = list(_items(pictures, "", folders, stray, look=True))
    return Found(str(pictures), names, {"train": [], "val": [], "test": items}, tuple(stray))


def _named(wnids: list[str], names: dict[str, str], pictures: Path) -> tuple[str, ...]:
    unknown = next((wnid for wnid in wnids if wnid not in names), None)
    if unknown is not None:
        raise InputError(
            f"the class folder {unknown} of {pictures} has no name in classnames.txt; add it or remove it."
        )
    return tuple(names[wnid] for wnid in wnids)


def _class_folders(top: Path) -> list[str]:
    try:
        with os.scandir(top) as entries:
            folders = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
    except OSError as error:
        raise InputError(f"cannot read the folder {top}: {error.strerror}; {LAYOUT}.") from error
    if not folders:
        raise InputError(f"{top} has no class folders; {LAYOUT}.")
    return folders


def _items(pictures: Path, top: str, folders: list[str], stray: list[str], *, look: bool) -> Iterator[Item]:
    """Yield the pictures of each class, sorted; `look` stats the files, so that their features can be kept."""
    make = PictureFolder(pictures)
    for label, folder in enumerate(folders):
        path = f"{top}/{folder}" if top else folder
        if not (pictures / path).is_dir():
            continue  # the class is missing in this part, which `finish` reports
        for file in sorted(os.listdir(pictures / path)):  # noqa: PTH208
            key = f"{path}/{file}"
            if file.startswith(".") or Path(file).suffix.lower() not in ENDINGS:
                stray.append(key)
                continue
            try:
                picture = make.picture(key) if look else make.listed(key)
            except OSError as error:  # a link that leads nowhere
                raise InputError(f"cannot read the picture {pictures / key}: {error.strerror}; remove it.") from error
            yield Item(picture, label, key)
