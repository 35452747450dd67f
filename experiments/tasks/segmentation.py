"""Mean IoU: what is where in scenes composed of the labelled pictures, four to a scene?

Places are windows that slide over a scene, which work with every tower. What other windows are worth on the pictures
that ship with us, `choices.py` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from ipo_prompts.experiments.tasks.base import Encoded, Task

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.segmentation import SegmentationReward


class SegmentationSettings(BaseModel, extra="forbid", frozen=True):
    """How places are cut out of a scene."""

    window: int = Field(48, ge=8, le=96, description="side of the windows in pixels; a scene has 96")


class Segmentation(Task):
    """Scores templates with `SegmentationReward` on composed scenes."""

    Settings = SegmentationSettings
    measure = "mean IoU"
    unit = "scenes"

    def __init__(self, window: int = 48) -> None:
        self.window = window

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> SegmentationReward:
        """See `Task`."""
        from ipo_prompts.metrics.segmentation import SegmentationReward

        return SegmentationReward(clip, class_names, window=self.window, store=store, also_fit=also_fit)

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; a unit is a scene."""
        from ipo_prompts.experiments.tasks.scenes import compose
        from ipo_prompts.metrics.errors import InputError

        scenes = compose(items, seed)
        if not scenes:
            raise InputError(
                f"a scene is composed of four pictures and there are {len(items)}; give more --shots or pictures."
            )
        units = reward.examples(scenes)
        return Encoded(units, [scene.image for scene in scenes], (), None)
