"""Score templates with recall@k: is a picture of a class among the first k pictures for the name of the class?

In classification, the names compete for one picture. In retrieval, the pictures compete for one name. So a template
must make similarities comparable from picture to picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from ipo_prompts.experiments.tasks.base import Encoded, Task

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.reward import Reward

ALSO = 5
"""The k of a second recall@k, which the sealed test reports beside the measure that is maximised."""


class RetrievalSettings(BaseModel, extra="forbid", frozen=True):
    """The settings of the task `retrieval`."""

    k: int = Field(1, ge=1, description="a class counts as found if one of its pictures is among the first k")


class Retrieval(Task):
    """Scores templates with `RetrievalReward`; the class names are the captions."""

    Settings = RetrievalSettings
    unit = "queries"

    def __init__(self, k: int = 1) -> None:
        super().__init__(k=k)
        self.k = k
        self.measure = f"recall@{k}"

    @classmethod
    def maker(cls) -> Any:
        """Return `RetrievalReward`."""
        from ipo_prompts.metrics.retrieval import RetrievalReward

        return RetrievalReward

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """Return the units, as `Task.encode` does. A unit is a class name: the query for the pictures of the class."""
        import dspy

        names = reward.class_names
        units = reward.examples([dspy.Example(image=item.picture, caption=names[item.label]) for item in items])
        return Encoded(units, [item.picture for item in items], (), None)

    def other_measures(self, clip: Clip, class_names: Sequence[str], store: FeatureStore) -> Mapping[str, Reward]:
        """Return the reward for recall@5; return no reward if recall@5 is the measure that is maximised."""
        if self.k == ALSO:
            return {}
        return {f"recall@{ALSO}": Retrieval(ALSO).reward(clip, class_names, store)}
