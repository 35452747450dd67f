"""Rewards whose units are pictures: accuracy, fit where nobody knows the labels, ranking precision for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.tasks.base import Encoded, Task

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.features import Progress


class Classification(Task):
    """Scores templates with `ClipReward`: which of the class names fits a picture best?"""

    made = "ipo_prompts.metrics.classification:ClipReward"
    measure = "accuracy"
    unit = "pictures"

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; a unit is a picture."""
        pictures = [item.picture for item in items]
        groups = [item.group for item in items]
        units = reward.encode(pictures, [item.label for item in items], groups, progress)
        return Encoded(units, pictures, items, units.labels)


class FitTask(Classification):
    """Scores templates with `Fit`, a measure to search by and no accuracy; a run without labels has it by itself."""

    made = "ipo_prompts.programs.optimizer:fit_reward"
    measure = "fit"


class SeveralTask(Classification):
    """Scores templates with `SeveralLabels`; a run with labels=several has it by itself.

    Does a template rank the classes that a picture shows above those that it does not?
    """

    made = "ipo_prompts.metrics.several:SeveralLabels"
    measure = "ranking precision"

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; a unit is a picture, which has no one label."""
        import numpy as np

        from ipo_prompts.metrics.classification import EncodedPictures

        pictures = [item.picture for item in items]
        shown = np.zeros((len(items), len(reward.class_names)), dtype=bool)
        for row, item in zip(shown, items, strict=True):
            row[list(item.shows)] = True
        groups = tuple(item.group for item in items)
        units = EncodedPictures(reward.store.encode(pictures, progress), None, groups, shown=shown)
        return Encoded(units, pictures, items, None)
