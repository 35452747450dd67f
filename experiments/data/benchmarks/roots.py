"""Where the registered data sets are: one root folder in the CoOp layout."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from ipo_prompts.experiments.data.benchmarks.registry import ROOT_VARIABLE, Registered
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import AS_STORED, Picture, read_file, stamp_of

LAYOUT = "github.com/KaiyangZhou/CoOp, DATASETS.md, has the layout and the sources"
SPLITS = "github.com/linzhiqiu/cross_modal_adaptation, folder splits (MIT)"


def default_root() -> Path | None:
    """Return the root that the environment names, or None."""
    value = os.environ.get(ROOT_VARIABLE, "").strip()
    return Path(value).expanduser() if value else None


def find_folder(entry: Registered, given: str) -> Path:
    """Return the data set's folder below the root.

    Args:
        entry: the data set.
        given: the root as the spec names it; "" takes the environment's.

    Raises:
        InputError: no root is named, or the folder is not there.
    """
    root = Path(given).expanduser() if given else default_root()
    if root is None:
        raise InputError(
            f"{entry.name} is read from a root folder in the CoOp layout and {ROOT_VARIABLE} is not set; set it to the "
            f"folder that holds {entry.folder}/, or write {entry.name}:PATH_OF_ROOT or {entry.name}:hf."
        )
    folder = root / entry.folder
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}, where {entry.title} is expected; {LAYOUT}.")
    return folder


def state(entry: Registered, root: Path | None) -> str:
    """Return whether the data set can be read from a root: "yes", or what is missing."""
    if root is None or not (root / entry.folder).is_dir():
        return "no"
    folder = root / entry.folder
    if entry.split_file and not (folder / entry.split_file).is_file():
        return "no split file"
    return "yes" if (folder / entry.pictures).is_dir() else "no pictures"


class PictureFolder:
    """Makes the pictures below one folder, whose path is resolved once: there may be a million.

    They are read as stored, as the published numbers on them were.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._real = os.path.realpath(folder)

    def picture(self, key: str) -> Picture:
        """Return the picture with the relative path `key`.

        Raises:
            OSError: there is none.
        """
        picture = self.listed(key)
        facts = os.stat(picture.name)  # noqa: PTH116
        return Picture(picture.name, picture.read, stamp_of(f"{self._real}/{key}", facts), picture.background)

    def listed(self, key: str) -> Picture:
        """Return a picture that a listing has shown to exist: without a stamp, as the file is not looked at."""
        path = f"{self._folder}/{key}"
        return Picture(path, partial(read_file, path), None, AS_STORED)
