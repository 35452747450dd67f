"""Fit: which template describes pictures best whose labels nobody knows? A measure to search by, and no accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.tasks.base import Encoded, Task

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.fit import Fit


class FitTask(Task):
    """Scores templates with `Fit`; a run on pictures without labels has it by itself."""

    measure = "fit"
    unit = "pictures"

    def reward(self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()) -> Fit:
        """See `Task`."""
        from ipo_prompts.programs.by_fit import fit_reward

        return fit_reward(clip, class_names, store, also_fit)

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; a unit is a picture, whose label is not looked at."""
        pictures = [item.picture for item in items]
        units = reward.encode(pictures, None, [item.group for item in items], progress)
        return Encoded(units, pictures, items, None)
