"""Scenes with exact masks, composed of labelled pictures: four to a scene, each in one scene only.

The cuts between the four are drawn at random, so that windows do not line up with them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.pictures import Picture

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.experiments.data import Item

SIDE = 96
"""Pixels of a scene; the embedded pictures have 48."""
LEAST = 36
"""Pixels of the smallest part."""


def compose(items: Sequence[Item], seed: int, least: int = LEAST) -> list[dspy.Example]:
    """Compose scenes; the same items, seed and `least` (pixels of the smallest part) give the same bytes.

    Pictures are shuffled and dealt by fours; up to three are left over.

    Returns:
        Examples with `image` (96 x 96) and `mask` (int64 (96, 96), the label of each pixel).
    """
    import dspy

    rng = np.random.default_rng(seed)
    order = [items[i] for i in rng.permutation(len(items))]
    scenes = []
    for start in range(0, len(order) - 3, 4):
        x, y = (int(cut) for cut in rng.integers(least, SIDE - least, 2, endpoint=True))
        picture, mask = _compose(order[start : start + 4], x, y, f"scene {start // 4}")
        scenes.append(dspy.Example(image=picture, mask=mask))
    return scenes


def _compose(four: Sequence[Item], x: int, y: int, name: str) -> tuple[Picture, npt.NDArray[np.int64]]:
    from PIL import Image

    scene = Image.new("RGB", (SIDE, SIDE))
    mask = np.empty((SIDE, SIDE), dtype=np.int64)
    boxes = ((0, 0, x, y), (x, 0, SIDE, y), (0, y, x, SIDE), (x, y, SIDE, SIDE))
    for item, (left, top, right, bottom) in zip(four, boxes, strict=True):
        part = item.picture.image().resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        scene.paste(part, (left, top))
        mask[top:bottom, left:right] = item.label
    buffer = io.BytesIO()
    scene.save(buffer, format="PNG")
    return Picture.from_bytes(name, buffer.getvalue()), mask
