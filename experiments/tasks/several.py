"""Several labels a picture: does a template rank the classes that a picture shows above those that it does not?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ipo_prompts.experiments.tasks.base import Encoded, Task

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.several import SeveralLabels


class SeveralTask(Task):
    """Scores templates with `SeveralLabels`; a run with labels=several has it by itself."""

    measure = "ranking precision"
    unit = "pictures"

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> SeveralLabels:
        """See `Task`."""
        from ipo_prompts.metrics.several import SeveralLabels

        return SeveralLabels(clip, class_names, store, also_fit)

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; a unit is a picture, which has no one label."""
        from ipo_prompts.metrics.classification import EncodedPictures

        pictures = [item.picture for item in items]
        shown = np.zeros((len(items), len(reward.class_names)), dtype=bool)
        for row, item in zip(shown, items, strict=True):
            row[list(item.shows)] = True
        groups = tuple(item.group for item in items)
        units = EncodedPictures(reward.store.encode(pictures, progress), None, groups, shown=shown)
        return Encoded(units, pictures, items, None)
