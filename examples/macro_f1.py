"""A user's own reward: macro-F1. Each class counts alike, and wrong predictions of a class count, too.

ipo optimize reward=examples.macro_f1:MacroF1 --lm none
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.reward import Judged


class MacroF1(ClipReward):
    """Scores templates by the mean F1 of the classes that have pictures.

    F1 is a ratio of sums over pictures, not a mean over them. So each picture contributes a linearised value: the
    macro-F1, plus n times the picture's influence on it. The mean of these values is exactly the macro-F1, and their
    spread gives its standard error to first order in 1/n (the delta method). For a measure without a formula,
    `pseudo_values` does the same in n + 1 evaluations.
    """

    measure = "macro-F1"

    def judge(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        """Judge one template.

        Args:
            logits: float32 (n, C).
            pictures: the n pictures; `pictures.labels` is int64 (n,).
        """
        accuracy = super().judge(logits, pictures)  # with the losses, which break ties, and the predicted classes
        assert pictures.labels is not None and accuracy.predictions is not None
        classes = np.unique(pictures.labels)
        true = pictures.labels[:, None] == classes  # bool (n, classes that have pictures)
        told = accuracy.predictions[:, None] == classes
        counted = true.sum(axis=0) + told.sum(axis=0)
        f1 = 2 * (true & told).sum(axis=0) / counted
        influence = ((2.0 * (true & told) - f1 * true - f1 * told) / counted).mean(
            axis=1
        )  # sums to 0 over the pictures
        return replace(accuracy, hits=f1.mean() + len(logits) * influence)
