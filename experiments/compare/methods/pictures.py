"""Methods that learn from pictures what no text says: a mean to take off, class means, and LP++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.compare.methods.base import (
    Absent,
    FittedLogits,
    Lesson,
    Logits,
    Method,
    Templates,
    classifying,
    labels_of_a_search,
)
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.blend import Labelled, Way, blend, from_pictures
from ipo_prompts.metrics.classification import features_of, logits_of
from ipo_prompts.metrics.offsets import MeanOffsets
from ipo_prompts.metrics.template import ANCHOR


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
        classifying(lesson.prepared.reward)
        mean = MeanOffsets.from_pictures(features_of(*lesson.prepared.shown))

        def logits(class_names: Sequence[str]) -> Logits:
            classes = Templates(lesson.clip, ((ANCHOR, 1.0),)).class_embeddings(class_names)
            offsets = mean.of(lesson.clip, classes)
            return lambda features: logits_of(lesson.clip, features, classes, offsets)

        return FittedLogits(logits)


class FromPictures(Method):
    """The nearest class mean by cosine, or the shared-covariance discriminant of Wang et al. (ICLR 2024, "GDA").

    Alone, where no word is used, or beside the text; see `metrics/blend.py`.
    """

    def __init__(self, label: str, way: Way, *, text: bool = False) -> None:
        """Take `label` as its name; `text` adds the hand-written template or the anchor."""
        self.label, self.way, self.text = label, way, text

    def differs(self, config: RunConfig) -> str:
        """See `Method`."""
        if self.way == "class mean":
            return ""
        same = "a picture is encoded with the clean transform that all methods see, without crops"
        if not self.text:
            return same
        return (
            f"{same}; the text is the data set's hand-written template or the anchor; the weight of the pictures is "
            "chosen on pictures of search and selection that are left out in turn, where theirs is on a validation "
            "split of its own, and the class mean takes the discriminant's place where those pictures prefer it"
        )

    def fit(self, lesson: Lesson) -> FittedLogits:
        """Learn from all labelled pictures; see `metrics/blend.py`."""
        known, names = seen(lesson), lesson.class_names
        check_every_class(known, lesson)
        pictures, clip = Labelled(known.features.astype(np.float32), known.labels, len(names)), lesson.clip
        texts = Templates(clip, ((lesson.hand_written or ANCHOR, 1.0),)).class_embeddings(names) if self.text else None
        if texts is None:
            found = from_pictures(self.way, pictures, clip.logit_scale)
        else:
            found = blend(logits_of(clip, pictures.features, texts), pictures, clip.logit_scale).added
        if found is None:
            raise Absent("no class has two pictures, which tell how pictures of a class differ")
        learnt = found

        def logits(class_names: Sequence[str]) -> Logits:
            chosen = places(class_names, names)

            def of(features: Floats) -> Floats:
                own = learnt.logits(features)[:, chosen].astype(np.float32)
                return own if texts is None else own + logits_of(clip, features, texts[chosen])

            return of

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
    classifying(lesson.prepared.reward)
    none = LabelledFeatures(np.zeros((0, lesson.clip.width)), np.zeros(0, dtype=np.int64))

    def of(part: Encoded | None) -> LabelledFeatures:
        units: Any = part and part.units
        return LabelledFeatures(units.features.astype(np.float64), units.labels) if part else none

    return of(lesson.prepared.search), of(lesson.prepared.selection)


def seen(lesson: Lesson) -> LabelledFeatures:
    """Return the search and selection pictures together; see `searched_and_selected`."""
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


EPOCHS = 300
MOMENTUM = 0.9
BLEND_EVERY = 10
"""Epochs between two steps of the blending weights."""
FIRST_BLEND = 250
"""The first blending weights are so many times the mean similarity of a picture to its class's text."""


class LinearProbe(Method):
    """Learns `w_k · f + b_k + a_k t_k · f`, the logit of class k for the feature f, with the class's text t_k.

    Start, step sizes and schedule are those of the published code (its class `LinearProbe_P2`,
    https://github.com/FereshteShakeri/FewShot-CLIP-Strong-Baseline): full-batch gradient descent on the cross-entropy,
    300 epochs, the best of which on validation pictures counts, the latest of equal ones. Nothing else is tuned, which
    is why it stands here for the few-shot learners from pictures. `differs` says what is not as published.
    """

    label = "LP++ (linear probe with text)"

    def differs(self, config: RunConfig) -> str:
        """See `Method`."""
        which = "selection_shots pictures of each class choose the epoch, where theirs are as many as it learns from"
        if labels_of_a_search(config) == config.shots:
            which = "the last epoch counts, as no selection pictures are drawn"
        return (
            f"{which}; a picture is encoded with the clean transform that all methods see, where the published runs "
            "crop and flip it at random; the text is the data set's hand-written template or the anchor; biases start "
            "at 0, where theirs start at random; arithmetic is in 64 bits, where theirs is in 16"
        )

    def fit(self, lesson: Lesson) -> FittedLogits:
        """Train on the search pictures, choose the epoch on the selection pictures."""
        (learnt_from, chosen_on), names = searched_and_selected(lesson), lesson.class_names
        check_every_class(learnt_from, lesson)
        words = Templates(lesson.clip, ((lesson.hand_written or ANCHOR, 1.0),))
        learnt = learn(learnt_from, words.class_embeddings(names).astype("float64"), chosen_on)

        def logits(class_names: Sequence[str]) -> Logits:
            found = places(class_names, names)
            weights, biases = (one[found] for one in learnt)
            return lambda features: (features @ weights.T + biases).astype("float32")

        return FittedLogits(logits)


def learn(pictures: LabelledFeatures, texts: Doubles, chosen_on: LabelledFeatures) -> tuple[Doubles, Doubles]:
    """Train LP++.

    Args:
        pictures: what is learnt from; at least one of each class.
        texts: float64 (C, D), unit rows.
        chosen_on: what chooses the epoch; where there are none, the last one counts.

    Returns:
        Weights, float64 (C, D), with the texts blended in, and biases, float64 (C,).
    """
    from scipy.special import softmax

    features, n = pictures.features, len(pictures.labels)
    truth = np.eye(len(texts))[pictures.labels]
    similarity = features @ texts.T  # (n, C)
    weights, biases = truth.T @ features, np.zeros(len(texts))
    blend = np.full(len(texts), FIRST_BLEND * np.mean((truth * similarity).sum(axis=0) / truth.sum(axis=0)))
    step = 4 * n / np.linalg.eigvalsh(features.T @ features)[-1]
    blend_step = n / (4 * (similarity**2).sum(axis=0).max())
    speeds = np.zeros_like(weights), np.zeros_like(biases)
    blend_slope = np.zeros_like(blend)  # summed up from the first epoch on, as in the published code
    best, most = (weights, biases), -1
    for epoch in range(1, EPOCHS + 1):
        error = (softmax(features @ weights.T + biases + blend * similarity, axis=1) - truth) / n
        blend_slope += (error * similarity).sum(axis=0)
        speeds = MOMENTUM * speeds[0] + error.T @ features, MOMENTUM * speeds[1] + error.sum(axis=0)
        weights, biases = weights - step * speeds[0], biases - step * speeds[1]
        if epoch % BLEND_EVERY == 0:
            blend = blend - blend_step * blend_slope
        blended = weights + blend[:, None] * texts
        right = int(((chosen_on.features @ blended.T + biases).argmax(axis=1) == chosen_on.labels).sum())
        if right >= most:
            best, most = (blended, biases), right
    return best
