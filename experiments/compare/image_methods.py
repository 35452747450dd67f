"""Methods that learn something else than text from images: class means, a discriminant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ipo_prompts.experiments.compare.methods import (
    Absent,
    FittedLogits,
    Logits,
    Method,
    Templates,
    classifying,
)
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.blend import Labelled, Linear, Moments, blend
from ipo_prompts.metrics.classification import logits_of, together
from ipo_prompts.metrics.template import BASELINE, as_read


class FromImages(Method):
    """The nearest class mean by cosine, or the shared-covariance discriminant of Wang et al. (ICLR 2024, "GDA").

    The classifier is used alone, without words, or beside the text; see `metrics/blend.py`.
    """

    def __init__(
        self, label: str, learn: Callable[[Moments], Linear | None], *, cosines: bool = False, text: bool = False
    ) -> None:
        """Make a method that is called `label`.

        Args:
            label: the name of the method.
            learn: learns the classifier.
            cosines: whether the classifier gives cosines, which the CLIP's logit scale makes logits.
            text: whether the method also uses the hand-written or the baseline template.
        """
        self.label, self.learn, self.cosines, self.text = label, learn, cosines, text

    def differs(self, config: RunConfig) -> str:
        """See `Method`."""
        if self.cosines:
            return ""
        same = "an image is encoded with the clean transform that all methods see, without crops"
        if not self.text:
            return same
        return (
            f"{same}; the text is the data set's hand-written template or the baseline template; the weight of the "
            "images is chosen on images of train and validation that are left out in turn, where theirs is on "
            "a validation split of its own, and with fewer than three images of most classes logistic regression "
            "around the text takes the discriminant's place"
        )

    def fit(self, lesson: Prepared) -> FittedLogits:
        """Learn from all labelled images; see `metrics/blend.py`."""
        images, names, clip = seen(lesson), lesson.reward.class_names, lesson.clip
        texts = (
            Templates(clip, (lesson.plan.data.hand_written or BASELINE,)).class_embeddings(names) if self.text else None
        )
        if texts is None:
            found = self.learn(Moments.of(images))
            if self.cosines and found:
                found = found.times(clip.logit_scale)
        else:
            found = blend(partial(logits_of, clip, classes=texts), images).added
        if found is None:
            raise Absent("no class has two images, which tell how images of a class differ")
        learnt = found

        def logits(class_names: Sequence[str]) -> Logits:
            chosen = places(class_names, names)

            def of(features: Floats) -> Floats:
                own = learnt.logits(features)[:, chosen].astype(np.float32)
                return own if texts is None else own + logits_of(clip, features, texts[chosen])

            return of

        return FittedLogits(logits)


PROTOTYPE = FromImages("the nearest prototype (class mean)", Moments.prototypes, cosines=True)
GDA = FromImages("GDA", Moments.discriminant)
GDA_TEXT = FromImages("GDA with text", Moments.discriminant, text=True)


def seen(lesson: Prepared) -> Labelled:
    """Return the train and validation images together.

    Raises:
        Absent: the lesson's reward does not ask for the class of an image, or a class has no image.
    """
    classifying(lesson.reward)
    parts: list[Any] = lesson.shown
    every = together(parts)
    if len({*every.labels.tolist()}) < len(lesson.reward.class_names):
        raise Absent("a class has no image that it could learn from")
    return Labelled(every.features, every.labels, len(lesson.reward.class_names))


def places(class_names: Sequence[str], learnt: Sequence[str]) -> list[int]:
    """Return the place of each class in `learnt`, the classes of the images that a method has learnt from.

    Raises:
        Absent: a class is not in `learnt`.
    """
    if tuple(class_names) == tuple(learnt):  # two classes may share a name
        return list(range(len(learnt)))
    place = {as_read(name): i for i, name in enumerate(learnt)}
    if any(as_read(name) not in place for name in class_names):
        raise Absent("it knows only the classes that it has seen images of")
    return [place[as_read(name)] for name in class_names]
