"""Mean IoU: what is where in scenes composed of the labelled pictures, four to a scene?

Places are windows that slide over a scene, which work with every tower. What other windows are worth on the pictures
that ship with us, `benchmarks/tasks.py` measures. Scenes have exact masks, and each picture is in one scene only. The
cuts between the four are drawn at random, so that windows do not line up with them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from ipo_prompts.experiments.tasks.base import Encoded, Task
from ipo_prompts.metrics.errors import InputError, flag
from ipo_prompts.metrics.pictures import Picture

if TYPE_CHECKING:
    import dspy

    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.features import Progress


class SegmentationSettings(BaseModel, extra="forbid", frozen=True):
    """How places are cut out of a scene."""

    window: int = Field(48, ge=8, le=96, description="side of the windows in pixels; a scene has 96")


class Segmentation(Task):
    """Scores templates with `SegmentationReward` on composed scenes."""

    Settings = SegmentationSettings
    made = "ipo_prompts.metrics.segmentation:SegmentationReward"
    measure = "mean IoU"
    unit = "scenes"

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; a unit is a scene."""
        scenes = compose(items, seed)
        if not scenes:
            raise InputError(
                f"a scene is composed of four pictures and there are {len({item.group for item in items})}, without "
                f"variants; give more {flag('shots')} or pictures."
            )
        units = reward.examples(scenes)
        return Encoded(units, [scene.image for scene in scenes], (), None)


SIDE = 96
"""Pixels of a scene; the embedded pictures have 48."""
LEAST = 36
"""Pixels of the smallest part."""


def compose(items: Sequence[Item], seed: int, least: int = LEAST) -> list[dspy.Example]:
    """Compose scenes; the same items, seed and `least` (pixels of the smallest part) give the same bytes.

    Pictures are shuffled and dealt by fours; up to three are left over. Of the variants of a base picture one takes
    part, so that no two scenes share it.

    Returns:
        Examples with `image` (96 x 96) and `mask` (int64 (96, 96), the label of each pixel).
    """
    import dspy

    rng, items = np.random.default_rng(seed), list({item.group: item for item in items}.values())
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
