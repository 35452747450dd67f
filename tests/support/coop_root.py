"""A root in the CoOp layout, made from the embedded images: every registered data set, four classes each.

File formats, folder names and class names are the real ones; the images are not. A file that ends in .jpg holds WebP:
images are told by their bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from ipo_prompts.experiments.data.published import REGISTRY, Registered
from ipo_prompts.experiments.embedded import IMAGES_DIR

SIZES = {"train": 5, "val": 2, "test": 3}
"""Images of a class."""

CLASSES = {
    "caltech101": ("face", "leopard", "motorbike", "accordion"),
    "oxford_pets": ("abyssinian", "american_bulldog", "basset_hound", "beagle"),
    "stanford_cars": (
        "2000 AM General Hummer SUV",
        "2012 Acura RL Sedan",
        "2012 Acura TL Sedan",
        "2008 Acura TL Type-S",
    ),
    "oxford_flowers": ("pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea"),
    "food101": ("apple_pie", "baby_back_ribs", "baklava", "beef_carpaccio"),
    "fgvc_aircraft": ("707-320", "727-200", "Cessna 525", "A300B4"),
    "sun397": ("abbey", "airplane_cabin", "indoor ice_skating_rink", "outdoor ice_skating_rink"),
    "dtd": ("banded", "blotchy", "braided", "bubbly"),
    "eurosat": ("Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road"),
    "ucf101": ("Apply_Eye_Makeup", "Apply_Lipstick", "Archery", "Baby_Crawling"),
}
WNIDS = {"n01440764": "tench", "n04008634": "missile", "n03773504": "missile", "n04355933": "sunglasses"}
"""Two classes with one name, as in the real list."""
WNID_NAMES = ("tench", "missile", "missile", "sunglasses")
"""The names in the order of their sorted ids."""


def make_root(root: Path) -> Path:
    """Make all fifteen data sets; return the root."""
    for entry in REGISTRY.values():
        {
            "split": _with_split,
            "variants": _with_variants,
            "imagenet": _imagenet,
            "wnids": _wnids,
            "numbers": _numbers,
        }[entry.rule](entry, root / entry.folder)
    return root


def _with_split(entry: Registered, folder: Path) -> None:
    split: dict[str, list[list[object]]] = {part: [] for part in SIZES}
    for label, source in enumerate(_sources(4)):
        for part, size in SIZES.items():
            for _ in range(size):
                name = CLASSES[entry.name][label]
                path = f"{name.replace(' ', '_')}/{part}_{len(split[part]):03d}.jpg"
                _put(next(source), folder / entry.images / path)
                split[part].append([path, label, name])
    split["train"].reverse()  # the order of a split file is its own
    (folder / str(entry.split_file)).write_text(json.dumps(split))


def _with_variants(entry: Registered, folder: Path) -> None:
    names = CLASSES[entry.name]
    lines: dict[str, list[str]] = {part: [] for part in SIZES}
    for label, source in enumerate(_sources(4)):
        for part, size in SIZES.items():
            for i in range(size):
                number = f"0{label}{part[:2]}{i}"
                _put(next(source), folder / entry.images / f"{number}.jpg")
                lines[part].append(f"{number} {names[label]}\n")
    for part in SIZES:
        (folder / f"images_variant_{part}.txt").write_text("".join(lines[part]))
    (folder / "variants.txt").write_text("".join(f"{name}\n" for name in names))


def _imagenet(entry: Registered, folder: Path) -> None:
    _class_names(folder)
    for wnid, source in zip(WNIDS, _sources(4), strict=True):
        for i in range(SIZES["train"]):
            _put(next(source), folder / entry.images / "train" / wnid / f"{wnid}_{i}.JPEG")
        for i in range(SIZES["test"]):
            _put(next(source), folder / entry.images / "val" / wnid / f"ILSVRC2012_val_{i}.JPEG")


def _wnids(entry: Registered, folder: Path) -> None:
    _class_names(folder)
    for wnid, source in zip(WNIDS, _sources(4), strict=True):
        for i in range(SIZES["test"]):
            _put(next(source), folder / entry.images / wnid / f"{i}.jpg")
    (folder / entry.images / "README.txt").write_text("about")


def _numbers(entry: Registered, folder: Path) -> None:
    """Eleven classes: sorted as text, 10 would come before 2."""
    folder.mkdir(parents=True)
    lines = [f"n{i:08d} thing {i}\n" for i in range(11)]
    (folder / "classnames.txt").write_text("".join(lines))
    for label, source in enumerate(_sources(11)):
        for i in range(SIZES["test"]):
            _put(next(source), folder / entry.images / str(label) / f"{i}.jpeg")


def _class_names(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "classnames.txt").write_text("".join(f"{wnid} {name}\n" for wnid, name in sorted(WNIDS.items())))


def _sources(count: int) -> Iterator[Iterator[Path]]:
    """Embedded images, class by class."""
    folders = sorted(path for path in (IMAGES_DIR / "a").iterdir() if path.is_dir())[:count]
    return (cycle(sorted(folder.iterdir())) for folder in folders)


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
