"""A plain reward class, on labelled pictures: one of the user's own, `reward=module:Class`, or a listed one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ipo_prompts.experiments.tasks.base import LABEL, Encoded, Task, check_fractions
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.registry import blaming, check_members, settings_of
from ipo_prompts.metrics.scale import Scale

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.clip import Clip
    from ipo_prompts.metrics.features import FeatureStore, Progress
    from ipo_prompts.metrics.reward import Reward

MEMBERS = ("problem", "examples", "score")
"""What a class has to have; `class_names` is usually set when an object is made of it."""


class OwnReward(Task):
    """Scores templates with a class that is made as `ClipReward` is: `Class(clip, class_names, store=…)`.

    `also_fit` is given only where there are such names, and the class's settings as further keywords.
    """

    made: ClassVar[type]
    what: ClassVar[str]

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def reward(
        self, clip: Clip, class_names: Sequence[str], store: FeatureStore, also_fit: Sequence[str] = ()
    ) -> Reward:
        """See `Task`."""
        more = {"also_fit": also_fit} if also_fit else {}
        with blaming(self.what):
            return cast("Reward", self.made(clip, class_names, store=store, **more, **self._settings))

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`; what a unit is, `reward.examples` decides. It is a picture where `unit` says so."""
        import dspy

        from ipo_prompts.metrics.classification import ClipReward

        pictures = [item.picture for item in items]
        if isinstance(reward, ClipReward):
            reward.store.encode(pictures, progress)  # shows the progress; `examples` finds them in the store
        names = reward.class_names
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


def own_reward(made: type, what: str) -> type[Task]:
    """Return the task of a reward class; `what` asks for it, for messages: `reward=mine:Mine`.

    The class may say what it is called: `measure`, else its own name, and `unit`, else `pictures`.

    Raises:
        InputError: it lacks something, one of these words cannot stand in a table, or its values are no fractions.
    """
    check_members(made, MEMBERS, what, "your-own-reward")
    if isinstance(scale := getattr(made, "scale", None), Scale):  # else the object says it, and `prepare` asks that
        check_fractions(scale, what)
    words = {"measure": getattr(made, "measure", made.__name__), "unit": getattr(made, "unit", "pictures")}
    for key, word in words.items():
        if not (isinstance(word, str) and re.fullmatch(LABEL, word)):
            raise InputError(f"{key} of {what} is {word!r}; it is a few words, at most 40 characters.")
    return type(made.__name__, (OwnReward,), {"made": made, "what": what, "Settings": settings_of(made, what), **words})
