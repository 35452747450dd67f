"""Calibration: find a temperature with which a classifier that is 80 % sure is right 80 % of the time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.sampling import standard_error

FEWEST = 20
"""The fewest pictures on which a temperature is fitted. With fewer, one picture could change it by a quarter."""
BOUNDS = (0.05, 20.0)
"""The lowest and the highest temperature.

On the shipped pictures a CLIP needs at most 4; it needs that on the classes that it knows least.
"""


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Turn logits into probabilities: (n, C) → float32 (n, C), rows that sum to 1."""
    scaled = (logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature)
    exponents: Floats = np.exp(scaled)
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def cross_entropies(logits: Floats, labels: npt.NDArray[np.int64], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return each picture's cross-entropy of softmax(logits / temperature): float64 (n,), nats, ≥ 0."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels])


def fit_temperature(logits: Floats, labels: npt.NDArray[np.int64], groups: Sequence[Hashable] | None = None) -> float:
    """Find the temperature that makes softmax(logits / temperature) fit the labels best.

    The method is temperature scaling (Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML
    2017). The temperature changes the confidence and never the predicted class. A few pictures determine it badly, and
    a bad temperature costs more than a nearly calibrated classifier can gain. So the fitted temperature must beat 1 by
    more than one standard error of the paired difference, as a new template must beat the initial template.

    Args:
        logits: the logits of pictures that were not used in the search for the templates, (n, C).
        labels: the true class of each picture, (n,).
        groups: a name for each picture, length n; pictures that depend on each other have the same name. None when
            all pictures are independent.

    Returns:
        The temperature, > 0; above 1 the classifier was too sure. It is exactly 1.0 in three cases: there are fewer
        pictures than `FEWEST`; the classifier is right on all of them (then any lower temperature would fit better);
        or the gain over 1 is not clear.
    """
    if len(labels) < FEWEST or bool((logits.argmax(axis=1) == labels).all()):
        return 1.0
    temperature = best_temperature(logits, labels)
    gains = cross_entropies(logits, labels) - cross_entropies(logits, labels, temperature)
    return temperature if gains.mean() > standard_error(gains, groups) else 1.0


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
