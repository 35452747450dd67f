"""Macro-F1, as an example of a reward that a user writes.

All classes have equal weight, and wrong predictions of a class lower its F1.

ipo optimize reward=examples.macro_f1:MacroF1 --lm none
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.reward import Judged


class MacroF1(ClipReward):
    """Scores templates by the mean F1 of the classes that have images.

    F1 is a ratio of sums over images, not a mean over images. So the contribution of each image is its jackknife
    pseudo-value, which follows from how the macro-F1 changes without that image. The function `pseudo_values` gives
    the same numbers, but in n + 1 evaluations. The mean of the pseudo-values is the macro-F1. Their spread gives its
    standard error, for one image of each class as well as for many. (The delta method is shorter, but gives only a
    quarter of the standard error with one image of each of 68 classes, and four fifths of it with four images.)
    """

    measure = "macro-F1"

    def judge(self, logits: Floats, images: EncodedImages) -> Judged:
        """Judge one template.

        Args:
            logits: the logit of each class for each image, float32 (n, C).
            images: the n images; `images.labels` is int64 (n,).

        Returns:
            The predictions and losses of the accuracy reward; `hits` are the pseudo-values, float64 (n,).
        """
        accuracy = super().judge(logits, images)  # has the losses, which break ties, and predictions
        assert accuracy.predictions is not None
        classes = np.unique(images.labels)
        true = images.labels[:, None] == classes  # bool (n, classes that have images)
        told = accuracy.predictions[:, None] == classes
        images_of, hits = true.sum(axis=0), (true & told).sum(axis=0)
        counted = images_of + told.sum(axis=0)
        f1 = 2 * hits / counted
        # Without an image, the F1 of its true class changes; a class without any other image is no longer counted.
        # If the prediction was wrong, the F1 of the predicted class changes, too.
        own, right = true.argmax(axis=1), (true & told).any(axis=1)
        last = images_of[own] == 1
        change = np.where(last, 0.0, 2 * (hits[own] - right) / np.maximum(counted[own] - 1 - right, 1)) - f1[own]
        wrong, other = told.any(axis=1) & ~right, told.argmax(axis=1)
        change += np.where(wrong, 2 * hits[other] / np.maximum(counted[other] - 1, 1) - f1[other], 0.0)
        without = (f1.sum() + change) / np.maximum(len(classes) - last, 1)
        return replace(accuracy, hits=f1.mean() + (len(logits) - 1) * (without.mean() - without))
