"""Methods that learn from pictures what no text says: a mean to take off, and the nearest class mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ipo_prompts.experiments.compare.methods.base import (
    Absent,
    FittedLogits,
    Lesson,
    Logits,
    Method,
    Templates,
    classifying,
)
from ipo_prompts.metrics.offsets import MeanOffsets
from ipo_prompts.metrics.template import ANCHOR

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ipo_prompts.experiments.tasks.base import Encoded
    from ipo_prompts.metrics.arrays import Doubles


class Centred(Method):
    """The anchor with `mean` offsets: what undoing a bias gains. See `metrics/offsets.py`."""

    label = "the centred anchor"
    remark = (
        "each class's mean score over the search and selection pictures is taken off the anchor's scores; no label is "
        "used, but there are equally many of these pictures in each class, which helps it"
    )
    uses_labels = False

    def fit(self, lesson: Lesson) -> FittedLogits:
        """Take the mean of the pictures' features."""
        from ipo_prompts.metrics.classification import features_of, logits_of

        classifying(lesson.prepared.reward)
        mean = MeanOffsets.from_pictures(features_of(*lesson.prepared.shown))

        def logits(class_names: Sequence[str]) -> Logits:
            classes = Templates(lesson.clip, ((ANCHOR, 1.0),)).class_embeddings(class_names)
            offsets = mean.of(lesson.clip, classes)
            return lambda features: logits_of(lesson.clip, features, classes, offsets)

        return FittedLogits(logits)


class ClassMean(Method):
    """The class whose pictures are nearest on average, by cosine: no word is used."""

    label = "the nearest class mean"

    def fit(self, lesson: Lesson) -> FittedLogits:
        """Average the unit features of each class's pictures."""
        from ipo_prompts.metrics.classification import class_means, logits_of

        pictures = seen(lesson)
        check_every_class(pictures, lesson)
        means = class_means(*pictures, len(lesson.class_names))

        def logits(class_names: Sequence[str]) -> Logits:
            classes = means[places(class_names, lesson.class_names)]
            return lambda features: logits_of(lesson.clip, features, classes)

        return FittedLogits(logits)


class LabelledFeatures(NamedTuple):
    """Unit features, float64 (n, D), with labels, int64 (n,)."""

    features: Doubles
    labels: npt.NDArray[np.int64]


def searched_and_selected(lesson: Lesson) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Return the search and the selection pictures; none of the latter where nothing is held back.

    Raises:
        Absent: the lesson's reward does not ask for the class of a picture.
    """
    import numpy as np

    classifying(lesson.prepared.reward)
    none = LabelledFeatures(np.zeros((0, lesson.clip.width)), np.zeros(0, dtype=np.int64))

    def of(part: Encoded | None) -> LabelledFeatures:
        units: Any = part and part.units
        return LabelledFeatures(units.features.astype(np.float64), units.labels) if part else none

    return of(lesson.prepared.search), of(lesson.prepared.selection)


def seen(lesson: Lesson) -> LabelledFeatures:
    """Return the search and selection pictures together; see `searched_and_selected`."""
    import numpy as np

    features, labels = zip(*searched_and_selected(lesson), strict=True)
    return LabelledFeatures(np.concatenate(features), np.concatenate(labels))


def check_every_class(pictures: LabelledFeatures, lesson: Lesson) -> None:
    """Refuse pictures that leave a class of the lesson out.

    Raises:
        Absent: they do.
    """
    if len(set(pictures.labels.tolist())) < len(lesson.class_names):
        raise Absent("a class has no picture that it could learn from")


def places(class_names: Sequence[str], learnt: Sequence[str]) -> list[int]:
    """Return where each class stands among those that pictures were seen of.

    Raises:
        Absent: one is not among them.
    """
    if tuple(class_names) == tuple(learnt):  # two classes may share a name
        return list(range(len(learnt)))
    place = {_plain(name): i for i, name in enumerate(learnt)}
    if any(_plain(name) not in place for name in class_names):
        raise Absent("it knows only the classes that it has seen pictures of")
    return [place[_plain(name)] for name in class_names]


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()
