"""Tasks. A task makes the reward for a data set, and the units that templates are scored on. It names the measure.

Users can write a task or a reward class of their own, and name it: `reward=module:Class`. A reward class becomes a task
on labelled images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from pydantic import BaseModel, Field

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import NoSettings, Registry, blaming, check_members
from ipo_prompts.metrics.scale import Scale

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.images import LazyImage
    from ipo_prompts.metrics.reward import Reward, Units
    from ipo_prompts.metrics.sampling import Sampling

LABEL = r"^[\w@ .,%/+()-]{1,40}$"
"""A pattern for the name of a measure and of its units. A name that fits can be used in a plot unchanged."""


def check_fractions(scale: Scale, what: str) -> None:
    """Raise an error if the values of a reward are not fractions (from 0 to 1).

    This is needed since verdicts, pages and tables of runs show percent and percentage points.

    Args:
        scale: the scale of the reward.
        what: the setting that names the reward, such as `reward=mine:Mine`.

    Raises:
        InputError: the values are not fractions; the message says how to use the reward in Python.
    """
    if not scale.fractions:
        raise InputError(
            f"the scale of {what} is from {scale.low:g} to {scale.high:g} with percent={scale.percent}, and runs and "
            "tables show values from 0 to 1 in percent; search with it in Python, IPO(reward=…).compile(…), or give it "
            "values from 0 to 1; see ipo docs own-reward."
        )


class Encoded(NamedTuple):
    """The train, validation, test or new images of a run, in the form that a reward needs.

    Attributes:
        units: the units that templates are scored on.
        images: the images that a describer is shown.
        items: the labelled images, in the order of the units; () if a unit is not one image.
        labels: int64 (n,), the class of each unit; None if units have no class.
    """

    units: Units
    images: Sequence[LazyImage]
    items: Sequence[Item]
    labels: npt.NDArray[np.int64] | None

    def sampling(self, n: int) -> Sampling:
        """Return the `Sampling` that says how the n units of a score were drawn, by class and by group."""
        from ipo_prompts.metrics.sampling import Sampling

        return Sampling.of(n, None if self.labels is None else self.labels.tolist(), self.units.groups)


class Task:
    """A way to score templates on labelled images: a task in the table `REWARDS`, or a user's own.

    Attributes:
        measure: the name of the measure in the head of a table, such as `accuracy` or `recall@1`.
        unit: the name of the units, in the plural, such as `images` or `queries`. `images` means that each unit is
            one image.
        Settings: the model of the task's own settings. On the command line they are `reward.KEY=VALUE`.
        made: the class of the reward, or the place from which it is imported when it is used. It is called with the
            settings as further keywords, and with `also_fit` if there are such names.
    """

    Settings: ClassVar[type[BaseModel]] = NoSettings
    made: ClassVar[Any]
    measure: str
    unit: str = "images"

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    @classmethod
    def build(cls, settings: BaseModel) -> Task:
        """Return the task with these settings; nothing is loaded."""
        return cls(**settings.model_dump())

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> Reward:
        """Return the reward for a set of classes.

        Args:
            clip: the CLIP that encodes images and prompts.
            class_names: the names of the classes.
            store: the store of the features of images.
            also_fit: further class names that will be put into the templates later; prompts with them must be short
                enough for the CLIP, too.
        """
        more = {"also_fit": also_fit} if also_fit else {}
        return cast("Reward", self.maker()(clip, class_names, store=store, **more, **self._settings))

    @classmethod
    def maker(cls) -> Any:
        """Return the class of the reward, or the function that makes it."""
        return resolve_name(cls.made) if isinstance(cls.made, str) else cls.made

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """Return labelled images in the form that a reward needs; `reward.examples` makes the units from them.

        Args:
            reward: the reward that the method `reward` returned.
            items: the labelled images; a label is the index of a class of the reward.
            seed: the seed of random draws while units are made. For test images, it is the same in all runs.
            progress: a function that is called with the number of images encoded so far.

        Raises:
            InputError: an image cannot be read, or there are too few images.
        """
        import dspy

        from ipo_prompts.metrics.classification import ClipReward

        images, names = [item.image for item in items], reward.class_names
        if isinstance(reward, ClipReward):
            reward.store.encode(images, progress)  # here, to show the progress; `examples` then reads the store
        examples = [
            dspy.Example(image=item.image, label=names[item.label], class_index=item.label, group=item.group)
            for item in items
        ]
        units = reward.examples([example.with_inputs("image") for example in examples])
        if self.unit != "images":
            return Encoded(units, images, (), None)
        return Encoded(units, images, items, units.labels)

    def other_measures(self, clip: Clip, class_names: Sequence[str], store: FeatureStore) -> Mapping[str, Reward]:
        """Return further rewards that templates are scored with in the held-out test, by the name of their measure."""
        return {}


class Classification(Task):
    """Scores templates with `ClipReward`: does the right class name fit an image best?"""

    made = "ipo_prompts.metrics.classification:ClipReward"
    measure = "accuracy"


MEMBERS = ("problem", "examples", "score")
"""The members that a reward class must have. `class_names` is not among them: usually only its objects have it."""
TASK_MEMBERS = ("made", "measure")
"""The members that a task must have."""


class OwnReward(Task):
    """Scores templates with a user's own reward class, which is called as `Class(clip, class_names, store=…)`."""

    what: ClassVar[str]

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> Reward:
        """Return the reward, as `Task.reward` does; an error in the user's code becomes an InputError."""
        with blaming(self.what):
            return super().reward(clip, class_names, store, also_fit)


def own_reward(made: type, what: str) -> type[Task]:
    """Return a task that scores templates with a reward class of the user's own; return a task unchanged.

    A reward class may have the attributes `measure` and `unit`. Without them, the measure is the name of the class, and
    the unit is `images`.

    Args:
        made: the reward class, or the task.
        what: the setting that names the class, such as `reward=mine:Mine`.

    Raises:
        InputError: a member is missing, measure or unit cannot stand in a table, or the values are not fractions.
    """
    if not isinstance(made, type):
        raise InputError(f"{what} is no class; name the class of a reward, see ipo docs own-reward.")
    whole = issubclass(made, Task)
    check_members(made, TASK_MEMBERS if whole else MEMBERS, what, "own-reward")
    with blaming(what):
        reward = cast("type[Task]", made).maker() if whole else made
    if isinstance(scale := getattr(reward, "scale", None), Scale):  # if not, `prepare` checks the scale of the object
        check_fractions(scale, what)
    words = {"measure": getattr(made, "measure", made.__name__), "unit": getattr(made, "unit", "images")}
    for key, word in words.items():
        if not (isinstance(word, str) and re.fullmatch(LABEL, word)):
            raise InputError(f"{key} of {what} is {word!r}; it is a few words, at most 40 characters.")
    if whole:
        return made
    form = getattr(made, "Settings", NoSettings)
    return type(made.__name__, (OwnReward,), {"made": made, "what": what, "Settings": form, **words})


# Retrieval: is an image of a class among the first k images for the name of the class?
#
# In classification, the names compete for one image. In retrieval, the images compete for one name. So a template
# must make similarities comparable from image to image.

ALSO = 5
"""The k of a second recall@k, which the held-out test reports beside the measure that is maximised."""


class RetrievalSettings(BaseModel, extra="forbid", frozen=True):
    """The settings of the task `retrieval`."""

    k: int = Field(1, ge=1, description="a class counts as found if one of its images is among the first k")


class Retrieval(Task):
    """Scores templates with `RetrievalReward`; the class names are the captions."""

    Settings = RetrievalSettings
    made = "ipo_prompts.metrics.retrieval:RetrievalReward"
    unit = "queries"

    def __init__(self, k: int = 1) -> None:
        super().__init__(k=k)
        self.k = k
        self.measure = f"recall@{k}"

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """Return the units, as `Task.encode` does. A unit is a class name: the query for the images of the class."""
        import dspy

        names = reward.class_names
        units = reward.examples([dspy.Example(image=item.image, caption=names[item.label]) for item in items])
        return Encoded(units, [item.image for item in items], (), None)

    def other_measures(self, clip: Clip, class_names: Sequence[str], store: FeatureStore) -> Mapping[str, Reward]:
        """Return the reward for recall@5; return no reward if recall@5 is the measure that is maximised."""
        if self.k == ALSO:
            return {}
        return {f"recall@{ALSO}": Retrieval(ALSO).reward(clip, class_names, store)}


REWARDS = Registry(
    "reward",
    "ipo_prompts.experiments",
    {
        "classification": "tasks:Classification",
        "retrieval": "tasks:Retrieval",
    },
    default="classification",
    own="tasks:own_reward",
)
"""The rewards that a template can be optimised for. To add a reward, add a file, and a line here."""
