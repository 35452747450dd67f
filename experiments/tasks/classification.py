"""Accuracy: which of the class names fits a picture best?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.tasks.base import Encoded, Task

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.classification import ClipReward
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress


class Classification(Task):
    """Scores templates with `ClipReward`."""

    measure = "accuracy"
    unit = "pictures"

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> ClipReward:
        """See `Task`."""
        from ipo_prompts.metrics.classification import ClipReward

        return ClipReward(clip, class_names, store, also_fit)

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; a unit is a picture."""
        pictures = [item.picture for item in items]
        groups = [item.group for item in items]
        units = reward.encode(pictures, [item.label for item in items], groups, progress)
        return Encoded(units, pictures, items, units.labels)
