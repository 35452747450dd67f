"""What makes a reward of a data set: what templates are scored on, and what measure and units are called.

A plain reward class is one too, on labelled pictures. Either may be the user's own: `reward=module:Class`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from pydantic import BaseModel

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import NoSettings, blaming, check_members, settings_of
from ipo_prompts.metrics.scale import Scale

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.pictures import Picture
    from ipo_prompts.metrics.reward import Reward, Units
    from ipo_prompts.metrics.sampling import Sampling

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


class Task:
    """A way to score templates on labelled pictures: of the user's own, or with a line in `tasks/__init__.py`.

    Attributes:
        measure: what is maximised, as a table heads it: `accuracy`, `recall@1`.
        unit: what n counts, in the plural: `pictures`, `queries`. Called `pictures`, each is one picture.
        Settings: its own settings; on the command line `reward.KEY=VALUE`.
        made: the class of the reward, or `module:Class`, which is imported when one is made; its settings are further
            keywords, and `also_fit` is one only where there are such names.
    """

    Settings: ClassVar[type[BaseModel]] = NoSettings
    made: ClassVar[Any]
    measure: str
    unit: str = "pictures"

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    @classmethod
    def build(cls, settings: BaseModel) -> Task:
        """Make it from its own settings; nothing is loaded."""
        return cls(**settings.model_dump())

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> Reward:
        """Return the reward for a set of classes; `also_fit` are names that are only met later."""
        more = {"also_fit": also_fit} if also_fit else {}
        return cast("Reward", self.maker()(clip, class_names, store=store, **more, **self._settings))

    @classmethod
    def maker(cls) -> Any:
        """Return the class of the reward, or the function that makes it; the class is asked what the reward can."""
        return resolve_name(cls.made) if isinstance(cls.made, str) else cls.made

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """Encode the pictures of one part, as examples of the reward; what a unit is, `reward.examples` decides.

        Args:
            reward: what `reward` returned.
            items: labelled pictures, the labels counting the reward's classes.
            seed: of whatever is drawn in making the units; the same one for the sealed parts of all runs.
            progress: called with how many pictures are encoded.

        Raises:
            InputError: a picture cannot be read, or there are too few of them.
        """
        import dspy

        from ipo_prompts.metrics.classification import ClipReward

        pictures, names = [item.picture for item in items], reward.class_names
        if isinstance(reward, ClipReward):
            reward.store.encode(pictures, progress)  # shows the progress; `examples` finds them in the store
        examples = [
            dspy.Example(image=item.picture, label=names[item.label], class_index=item.label, group=item.group)
            if not item.also
            else dspy.Example(image=item.picture, label=[names[label] for label in item.also], group=item.group)
            for item in items
        ]
        units = reward.examples([example.with_inputs("image") for example in examples])
        if self.unit != "pictures":
            return Encoded(units, pictures, (), None)
        return Encoded(units, pictures, items, units.labels)

    def other_measures(self, clip: Clip, class_names: Sequence[str], store: FeatureStore) -> Mapping[str, Reward]:
        """Return further rewards that the sealed test is scored with, by their measure's name."""
        return {}


class Classification(Task):
    """Scores templates with `ClipReward`: which of the class names fits a picture best?"""

    made = "ipo_prompts.metrics.classification:ClipReward"
    measure = "accuracy"


class FitTask(Task):
    """Scores templates with `Fit`, a measure to search by and no accuracy; a run without labels has it by itself."""

    made = "ipo_prompts.programs.optimizer:fit_reward"
    measure = "fit"


class SeveralTask(Task):
    """Scores templates with `SeveralLabels`; a run with labels=several has it by itself.

    Does a template rank the classes that a picture shows above those that it does not?
    """

    made = "ipo_prompts.metrics.several:SeveralLabels"
    measure = "ranking precision"


MEMBERS = ("problem", "examples", "score")
"""What a reward class has to have; `class_names` is usually set when an object is made of it."""
TASK_MEMBERS = ("made", "measure")
"""What a whole task has to have."""


class OwnReward(Task):
    """Scores templates with a class that is made as `ClipReward` is: `Class(clip, class_names, store=…)`."""

    what: ClassVar[str]

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> Reward:
        """See `Task`."""
        with blaming(self.what):
            return super().reward(clip, class_names, store, also_fit)


def own_reward(made: type, what: str) -> type[Task]:
    """Return the task of a reward class, and a whole task as it is; `what` asks for it: `reward=mine:Mine`.

    A reward class may say what it is called: `measure`, else its own name, and `unit`, else `pictures`.

    Raises:
        InputError: it lacks something, one of these words cannot stand in a table, or its values are no fractions.
    """
    whole = issubclass(made, Task)
    check_members(made, TASK_MEMBERS if whole else MEMBERS, what, "your-own-reward")
    form = settings_of(made, what)
    with blaming(what):
        reward = cast("type[Task]", made).maker() if whole else made
    if isinstance(scale := getattr(reward, "scale", None), Scale):  # else the object says it, and `prepare` asks that
        check_fractions(scale, what)
    words = {"measure": getattr(made, "measure", made.__name__), "unit": getattr(made, "unit", "pictures")}
    for key, word in words.items():
        if not (isinstance(word, str) and re.fullmatch(LABEL, word)):
            raise InputError(f"{key} of {what} is {word!r}; it is a few words, at most 40 characters.")
    if whole:
        return made
    return type(made.__name__, (OwnReward,), {"made": made, "what": what, "Settings": form, **words})
