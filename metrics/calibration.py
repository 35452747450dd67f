"""Calibration: find a temperature with which a classifier that is 80 % sure is right 80 % of the time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from ipo_prompts.metrics.arrays import Floats

BOUNDS = (0.05, 20.0)
"""The lowest and the highest temperature at which losses are compared.

On the shipped images a CLIP needs at most 4; it needs that on the classes that it knows least.
"""
WIDEST = (1e-3, 1e5)
"""The lowest and the highest temperature of a program. Logits of heavy images can be a thousand times too large."""


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Turn logits into probabilities: (n, C) → float32 (n, C), rows that sum to 1."""
    scaled = (logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature)
    return np.asarray(special.softmax(scaled, axis=1))


def cross_entropies(logits: Floats, labels: npt.NDArray[np.int64], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return each image's cross-entropy of softmax(logits / temperature): float64 (n,), nats, ≥ 0."""
    logs = special.log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return np.asarray(-logs[np.arange(len(labels)), labels])


def best_temperature(logits: Floats, labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature within `BOUNDS` that makes the labels likeliest, rounded to four decimals."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_temperature: cross_entropies(logits, labels, float(np.exp(log_temperature))).mean(),
        bounds=tuple(np.log(BOUNDS)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return round(float(np.exp(found.x)), 4)


def expected_accuracy(hits: float, n: int, classes: int) -> float:
    """Return the accuracy to expect of new images if `hits` of `n` images were named rightly.

    It is at most (hits + 1) / (n + 2), Laplace's rule of succession, so that few images do not make a classifier
    sure; and at least 1 / classes, as no confidence is lower.
    """
    return max(min(hits / n if n else 1.0, (hits + 1) / (n + 2)), 1 / classes)


def matched_temperature(logits: Floats, accuracy: float) -> float:
    """Find the temperature at which the mean confidence of images is the accuracy.

    The confidence of an image is its highest probability. The temperature never changes the predicted class.

    Args:
        logits: (n, C), of at least one image.
        accuracy: see `expected_accuracy`.

    Returns:
        The temperature, within `WIDEST`; above 1 the classifier was too sure.
    """
    low, high = np.log(WIDEST)
    for _ in range(30):
        middle = (low + high) / 2
        if softmax(logits, float(np.exp(middle))).max(axis=1).mean() > accuracy:
            low = middle
        else:
            high = middle
    return round(float(np.exp(low)), 4)


@dataclass(frozen=True, eq=False)
class Head:
    """The part of a program behind the CLIP's image tower: mainly one matrix and one bias.

    The template, synonyms and labelled images are already part of these numbers.

    Attributes:
        rows: the matrix that features are multiplied by, float32 (C, D). If words decide alone, its rows have length 1.
        scale: the factor that cosines are multiplied by to give logits.
        bias: the sum of the CLIP's bias and the bias of the images, float32 (C,). It is added to the logits.
        temperature: the number that logits are divided by before they become probabilities; 1.0 if none was fitted.
    """

    rows: Floats
    scale: float
    bias: Floats
    temperature: float

    def logits(self, features: Floats) -> Floats:
        """Return the logits of each image: float32 (n, C). `features` are float32 (n, D), unit rows."""
        return self.scale * (features @ self.rows.T) + self.bias

    def probabilities(self, features: Floats) -> Floats:
        """Return the probability of each class for each image: float32 (n, C). Each row sums to 1."""
        return softmax(self.logits(features), self.temperature)
