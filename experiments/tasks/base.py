"""What makes a reward of a data set: what templates are scored on, and what measure and units are called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import BaseModel

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import NoSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.pictures import Picture
    from ipo_prompts.metrics.reward import Reward, Units
    from ipo_prompts.metrics.sampling import Sampling
    from ipo_prompts.metrics.scale import Scale

LABEL = r"^[\w@ .,%/+()-]{1,40}$"
"""What a measure and its units may be called: it may stand in a plot as it is."""


def check_fractions(scale: Scale, what: str) -> None:
    """Refuse a reward whose values are no fractions; `what` asks for it: `reward=mine:Mine`.

    Verdicts, pages and tables of runs are in percent and points, with intervals between 0 and 1.

    Raises:
        InputError: says how it is used in Python.
    """
    if not scale.fractions:
        raise InputError(
            f"the scale of {what} is from {scale.low:g} to {scale.high:g} with percent={scale.percent}, and runs and "
            "tables tell values from 0 to 1 in percent; search with it in Python, IPO(reward=…).compile(…), or let it "
            "count so; see docs/your-own-reward.md."
        )


class Encoded(NamedTuple):
    """One part of the pictures (search, selection, test, new), as a reward needs it.

    Attributes:
        units: what templates are scored on.
        pictures: what a describer is shown.
        items: the labelled pictures, in the order of the units; empty where a unit is not one picture.
        labels: int64 (n,), the class of each unit; None where a unit has none.
    """

    units: Units
    pictures: Sequence[Picture]
    items: Sequence[Item]
    labels: npt.NDArray[np.int64] | None

    def sampling(self, n: int) -> Sampling:
        """Return how the n units of a score on them were drawn."""
        from ipo_prompts.metrics.sampling import Sampling

        return Sampling.of(n, None if self.labels is None else self.labels.tolist(), self.units.groups)


class Task(ABC):
    """A way to score templates on labelled pictures. One file each, one line in `tasks/__init__.py`.

    Attributes:
        measure: what is maximised, as a table heads it: `accuracy`, `recall@1`.
        unit: what n counts, in the plural: `pictures`, `queries`.
        Settings: its own settings; on the command line `reward.KEY=VALUE`.
    """

    Settings: ClassVar[type[BaseModel]] = NoSettings
    measure: str
    unit: str

    @classmethod
    def build(cls, settings: BaseModel) -> Task:
        """Make it from its own settings; nothing is loaded."""
        return cls(**settings.model_dump())

    @abstractmethod
    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> Reward:
        """Return the reward for a set of classes; `also_fit` are names that are only met later."""

    @abstractmethod
    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """Encode the pictures of one part.

        Args:
            reward: what `reward` returned.
            items: labelled pictures, the labels counting the reward's classes.
            seed: of whatever is drawn in making the units; the same one for the sealed parts of all runs.
            progress: called with how many pictures are encoded.

        Raises:
            InputError: a picture cannot be read, or there are too few of them.
        """

    def other_measures(self, clip: Clip, class_names: Sequence[str], store: FeatureStore) -> Mapping[str, Reward]:
        """Return further rewards that the sealed test is scored with, by their measure's name."""
        return {}
