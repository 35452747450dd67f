"""LP++ (Huang et al., CVPR 2024), as a method: `methods=benchmarks.lab.linear_probe:LinearProbe`."""

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
"""Epochs between two steps of the blending weights."""
FIRST_BLEND = 250
"""The first blending weights are the mean similarity of a picture to its class's text times this."""


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
            "crop and flip it at random; the text is the data set's hand-written template or the baseline template; "
            "biases start at 0, where theirs start at random; arithmetic is in 64 bits, where theirs is in 16"
        )

    def fit(self, lesson: Lesson) -> FittedLogits:
        """Train on the search pictures, choose the epoch on the selection pictures."""
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
    """Train LP++.

    Args:
        pictures: the pictures to learn from; at least one of each class.
        texts: float64 (C, D), unit rows.
        chosen_on: the pictures that choose the epoch; if there are none, the last epoch counts.

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
