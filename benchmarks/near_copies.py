"""Which near copies are proposed, by kind of burst, and which different pictures are; on the shipped drawings."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, cast
from unittest.mock import patch

import numpy as np
from PIL import Image, ImageEnhance

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells, short, show
from ipo_prompts.experiments.data import Item, load_data, near_copies
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.pictures import Picture

FAR = 2.0
"""A likeness that no pair reaches: it switches a clue off."""
CLUES: dict[str, dict[str, float]] = {
    "features": {"GREY": FAR, "GREY_NEXT": FAR, "FEATURES_NEXT": FAR},
    "grey": {"FEATURES": FAR, "FEATURES_NEXT": FAR, "GREY_NEXT": FAR},
    "both": {"FEATURES_NEXT": FAR, "GREY_NEXT": FAR},
    "both, and names in order": {"SECONDS": near_copies.SECONDS},
}


def jpeg(picture: Image.Image) -> bytes:
    """Save a picture again, quality 70."""
    return saved(picture, "JPEG", quality=70)


def shift(picture: Image.Image) -> bytes:
    """Move it by 4 and 2 % of its side."""
    moved = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
    moved.paste(picture, (round(0.04 * picture.width), round(0.02 * picture.height)))
    return saved(moved)


def light(picture: Image.Image) -> bytes:
    """Take 15 % of the light."""
    return saved(ImageEnhance.Brightness(picture).enhance(0.85))


def crop(picture: Image.Image) -> bytes:
    """Take 4 % off each side."""
    w, h = picture.size
    return saved(picture.resize((w, h), Image.Resampling.BICUBIC, (0.04 * w, 0.04 * h, 0.96 * w, 0.96 * h)))


def turn(picture: Image.Image) -> bytes:
    """Turn it by 5 degrees."""
    return saved(picture.rotate(5, Image.Resampling.BICUBIC, fillcolor=picture.getpixel((0, 0))))


Kind = Callable[[Image.Image], bytes]
KINDS: tuple[Kind, ...] = (jpeg, shift, light, crop, turn)


def saved(picture: Image.Image, form: str = "PNG", **settings: int) -> bytes:
    """Return the file."""
    file = io.BytesIO()
    picture.save(file, form, **settings)
    return file.getvalue()


def named(labels: Sequence[int], contents: Sequence[bytes], first: int, step: int) -> list[Item]:
    """Give pictures numbers for names: with step 2 there is room for a copy after each."""
    pictures = [Picture.from_bytes(f"p/{first + step * i:05d}.png", data) for i, data in enumerate(contents)]
    return [Item(picture, label, picture.name) for picture, label in zip(pictures, labels, strict=True)]


def joined(items: Sequence[Item], kinds: Sequence[Kind], store: FeatureStore) -> dict[str, list[str]]:
    """Return clues → for each kind "1" for each picture that was joined with its copy, else "0"; last, joined falsely.

    The last are without copies, and with names that all follow one another, which is the worst case.
    """
    labels, images = [item.label for item in items], [item.picture.image() for item in items]
    firsts = named(labels, [saved(image) for image in images], 0, 2)
    features, n = store.encode([item.picture for item in firsts]), len(items)
    bursts = [named(labels, list(map(kind, images)), 1, 2) for kind in kinds]
    both = [np.concatenate([features, store.encode([item.picture for item in burst])]) for burst in bursts]
    found = {}
    for name, thresholds in CLUES.items():
        with patch.multiple(near_copies, **cast("dict[str, Any]", thresholds)):
            masks = []
            for burst, encoded in zip(bursts, both, strict=True):
                groups = np.array(near_copies.near_copies([*firsts, *burst], encoded))
                masks.append(groups[:n] == groups[n:])
            alone = np.array(near_copies.near_copies(named(labels, [saved(one) for one in images], 0, 1), features))
            masks.append(np.bincount(alone)[alone] > 1)
            found[name] = ["".join("01"[int(one)] for one in mask) for mask in masks]
    return found


def main() -> None:
    """Measure what the file of cells lacks, and print the table; `--small` one kind on a few pictures."""
    options = arguments(__doc__, cells=OPTION)
    with Cells(options.cells) as cells:
        show(table(cells, small=options.small))


def table(cells: Cells, clip: str = "embedded", *, small: bool = False) -> Iterator[str]:
    """Yield the lines of the table."""
    store = cache(lambda: FeatureStore(load_clip(clip)))
    kinds, most = (KINDS[:1], 60) if small else (KINDS, None)

    def measure(domain: str) -> dict[str, list[str]]:
        items = [item for _, item in load_data(f"embedded:{domain}", seed=0).items()]
        return joined(items[:most], kinds, store())

    yield "| set | clues | " + " | ".join(kind.__name__ for kind in kinds) + " | joined falsely |"
    yield "| --- | --- |" + " --- |" * (len(kinds) + 1)
    for domain in "c" if small else "abcd":
        for name, found in cells.of((short(clip), domain), partial(measure, domain)).items():
            yield (
                f"| {domain} | {name} | "
                + " | ".join(f"{100 * np.mean(list(map(int, one))):.1f} %" for one in found)
                + " |"
            )
            if small and "grey" in name:
                assert "0" not in found[0], "a picture saved again is found"


if __name__ == "__main__":
    main()
