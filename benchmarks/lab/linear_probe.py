"""The method LP++ (Huang et al., CVPR 2024), for `methods=benchmarks.lab.linear_probe:LinearProbe`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipo_prompts.experiments.compare.methods.base import (
    FittedLogits,
    Lesson,
    Logits,
    Method,
    Templates,
    labels_of_a_search,
)
from ipo_prompts.experiments.compare.methods.pictures import (
    LabelledFeatures,
    check_every_class,
    places,
    searched_and_selected,
)
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.template import BASELINE

EPOCHS = 300
MOMENTUM = 0.9
BLEND_EVERY = 10
"""The number of epochs from one step of the blending weights to the next."""
FIRST_BLEND = 250
"""The first blending weights are this factor times the mean similarity of a picture to the text of its class."""


class LinearProbe(Method):
    """Learns the logits `w_k · f + b_k + a_k t_k · f` of each class k, for a feature f and the class's text t_k.

    Start, step sizes and schedule are those of the published code (its class `LinearProbe_P2`,
    https://github.com/FereshteShakeri/FewShot-CLIP-Strong-Baseline): full-batch gradient descent on the cross-entropy,
    300 epochs. The best epoch on validation pictures is used; of equally good epochs, the latest. Nothing else is
    tuned. That is why this method represents the few-shot learners from pictures here. `differs` lists the differences
    from the publication.
    """

    label = "LP++ (linear probe with text)"

    def differs(self, config: RunConfig) -> str:
        """See `Method`."""
        which = "selection_shots pictures of each class choose the epoch, where theirs are as many as it learns from"
        if labels_of_a_search(config) == config.shots:
            which = "the last epoch counts, as no selection pictures are drawn"
        return (
            f"{which}; a picture is encoded with the clean transform that all methods see, where the published runs "
            "crop and flip it at random; the text is the data set's hand-written template or the baseline template; "
            "biases start at 0, where theirs start at random; arithmetic is in 64 bits, where theirs is in 16"
        )

    def fit(self, lesson: Lesson) -> FittedLogits:
        """Train on the search pictures, and choose the epoch on the selection pictures."""
        (learnt_from, chosen_on), names = searched_and_selected(lesson), lesson.class_names
        check_every_class(learnt_from, lesson)
        words = Templates(lesson.clip, ((lesson.hand_written or BASELINE, 1.0),))
        learnt = learn(learnt_from, words.class_embeddings(names).astype("float64"), chosen_on)

        def logits(class_names: Sequence[str]) -> Logits:
            found = places(class_names, names)
            weights, biases = (one[found] for one in learnt)
            return lambda features: (features @ weights.T + biases).astype("float32")

        return FittedLogits(logits)


def learn(pictures: LabelledFeatures, texts: Doubles, chosen_on: LabelledFeatures) -> tuple[Doubles, Doubles]:
    """Train LP++ and return its linear classifier.

    Args:
        pictures: the pictures to learn from; at least one of each class.
        texts: the text embeddings of the classes, float64 (C, D), unit rows.
        chosen_on: the pictures on which the epoch is chosen; if there are none, the last epoch is used.

    Returns:
        The weights, float64 (C, D), to which the weighted texts are added already; and the biases, float64 (C,).
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
    blend_slope = np.zeros_like(blend)  # a sum over all epochs so far, as in the published code
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
