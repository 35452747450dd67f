"""Pictures with several labels: the reward, the mean over classes (mAP), and the probability that a class is shown.

The reward is the mean over pictures of the **ranking average precision** (Schapire and Singer 2000). A picture ranks
the classes by logit. For a class that the picture shows, take this class and all classes ranked above it. The precision
is the share of these classes that the picture shows. The ranking average precision of a picture is the mean of the
precisions over the classes that it shows. If a picture has one label, it is 1/place of that label. The reward is a mean
over pictures, so templates are compared picture by picture, as with accuracies.

**mAP** is the mean over classes of average precision. Each class ranks the pictures, so mAP also tests whether scores
can be compared between pictures. It is no mean over pictures. Its interval comes from a bootstrap over base pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.reward import Judged
from ipo_prompts.metrics.sampling import Interval, MeanOverClasses, Sampling

Shown = npt.NDArray[np.bool_]
"""Whether each picture shows each class: bool (n, C)."""
RESAMPLES = 2000
AT_ONCE = 4_000_000
"""The largest size of a block of resamples, in numbers; a resample has a number for each picture."""
LINES = np.concatenate([np.arange(1, 10) / 1000, np.arange(1, 100) / 100])
"""The probabilities that `propose` tries as the line. A class is named if its probability is above the line."""
ENOUGH = 19
"""The number of search and selection pictures that must show a class before it gets an intercept of its own.

With n such pictures, a line through the lowest of them misses a new picture with a chance of 1/(n + 1). For fewer than
19 pictures this chance is above 5 %.
"""


class SeveralLabels(ClipReward):
    """Scores templates by ranking average precision, which the head of this file defines.

    The loss is in nats. For a CLIP that was trained with sigmoids (SigLIP), the loss is the mean over classes of the
    binary cross-entropy. For other CLIPs it is the cross-entropy between the softmax and a distribution that gives all
    classes shown the same probability.
    """

    takes: ClassVar[Literal["one label", "several labels", "no label"]] = "several labels"

    def judge(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        """Return the ranking average precision and the loss of each picture; see `ClipReward`."""
        assert pictures.shown is not None
        loss = sigmoid_losses if is_sigmoid(self.clip) else softmax_losses
        return Judged(ranking_precision(logits, pictures.shown), loss(logits, pictures.shown))


def is_sigmoid(clip: Clip) -> bool:
    """Whether a CLIP was trained with sigmoids, so that it decides on each class independently of the others."""
    return clip.logit_bias != 0


def ranking_precision(logits: Floats, shown: Shown) -> Doubles:
    """Return the ranking average precision of each picture: float64 (n,), in (0, 1]. It is 1 for a picture of no class.

    Of two classes with equal logits, the class with the lower label ranks higher, as everywhere.

    >>> ranking_precision(np.array([[3, 2, 1]], dtype=np.float32), np.array([[False, True, True]])).round(4).tolist()
    [0.5833]
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    right = np.take_along_axis(shown, order, axis=1)
    precision = right.cumsum(axis=1) / np.arange(1, logits.shape[1] + 1)
    count = right.sum(axis=1)
    return np.where(count, (precision * right).sum(axis=1) / np.maximum(count, 1), 1.0)


def softmax_losses(logits: Floats, shown: Shown) -> Doubles:
    """Return the cross-entropy of each picture in nats: float64 (n,).

    It compares the softmax with a distribution that gives all classes shown the same probability.
    """
    rows = logits.astype(np.float64)
    share = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.logaddexp.reduce(rows, axis=1) - (share * rows).sum(axis=1))


def sigmoid_losses(logits: Floats, shown: Shown) -> Doubles:
    """Return the binary cross-entropy of each picture, as a mean over classes, in nats: float64 (n,)."""
    return np.asarray(np.logaddexp(0, np.where(shown, -1, 1) * logits.astype(np.float64)).mean(axis=1))


# The mean over classes, and its interval.


def mean_precision(logits: Floats, shown: Shown, weights: Doubles | None = None) -> Doubles:
    """Return the mean over classes of average precision (mAP) for each row of weights: float64 (B,).

    Args:
        logits: the logits of the pictures, float (n, C).
        shown: which classes each picture shows, bool (n, C). A class is left out if no picture with a weight above 0
            shows it.
        weights: how often each picture counts, float64 (B, n); None is one row of ones. A picture that counts several
            times ranks as its last copy would.

    >>> mean_precision(np.array([[3], [2], [1]]), np.array([[True], [False], [True]])).round(4).tolist()
    [0.8333]
    """
    given = np.ones((1, len(logits))) if weights is None else weights
    total, counted = np.zeros(len(given)), np.zeros(len(given))
    for label in np.flatnonzero(shown.any(axis=0)).tolist():
        order = np.argsort(-logits[:, label], kind="stable")
        heavy = given[:, order]
        right = heavy * shown[order, label]
        precision = right.cumsum(axis=1) / np.maximum(heavy.cumsum(axis=1), 1)
        weight = right.sum(axis=1)
        total += np.where(weight, (right * precision).sum(axis=1) / np.maximum(weight, 1), 0.0)
        counted += weight > 0
    return total / np.maximum(counted, 1)


def compare_precision(
    before: Floats, after: Floats, shown: Shown, sampling: Sampling, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[MeanOverClasses, MeanOverClasses, MeanOverClasses]:
    """Return the mAP of the first template, the mAP of the second, and the gain of the second over the first.

    Each has a 95 % interval from a bootstrap over base pictures. Both templates are measured on the same resamples.
    Resampled values are too high on average, because pictures are drawn several times. So the percentiles are shifted
    by the difference between the value and the mean of the resamples.

    Args:
        before, after: the logits of the first and of the second template, (n, C).
        shown: which classes each picture shows.
        sampling: how the pictures were drawn; variants of one base picture are drawn together.
        seed, resamples: the seed and the number of resamples of the bootstrap.
    """
    n = len(shown)
    draws = np.arange(n) if sampling.draws is None else sampling.draws

    def measured(logits: Floats) -> tuple[float, Doubles]:
        blocks = _resampled(int(draws.max()) + 1, n, resamples, np.random.default_rng(seed))
        resampled = [mean_precision(logits, shown, drawn[:, draws]) for drawn in blocks]
        return float(mean_precision(logits, shown)[0]), np.concatenate(resampled)

    (low, first), (high, second) = measured(before), measured(after)
    return _around(low, first), _around(high, second), _around(high - low, second - first)


def _resampled(bases: int, n: int, resamples: int, rng: np.random.Generator) -> Iterator[Doubles]:
    """Yield blocks of resamples. A block is float64 (resamples in the block, bases): how often each base is drawn.

    Args:
        bases: the number of base pictures.
        n: the number of pictures, to bound the memory; see `AT_ONCE`.
        resamples: the number of resamples in all blocks.
        rng: the random numbers.
    """
    size, left = max(1, AT_ONCE // n), resamples
    while left > 0:
        yield rng.multinomial(bases, np.full(bases, 1 / bases), size=min(size, left)).astype(np.float64)
        left -= size


def _around(value: float, resampled: Doubles) -> MeanOverClasses:
    """Return a value with its 95 % interval: percentiles of the resamples, shifted by the value minus their mean."""
    ends = value + np.quantile(resampled, [0.025, 0.975]) - resampled.mean()
    return MeanOverClasses(value, *ends.tolist())


# The probability that a class is shown.


class Proposed(BaseModel, frozen=True, extra="forbid"):
    """A proposed line for probabilities: classes with a probability above it are named. And how well this works.

    Attributes:
        above: the line: the probability of `LINES` with the highest micro-averaged F1, over all classes of all
            pictures.
        f1: the F1 of the line. It is a little too high, because the line was chosen by its F1.
        ci95: the 95 % interval of the F1, by bootstrap over pictures.
        n: the number of pictures.
    """

    above: float = Field(ge=0, lt=1)
    f1: float = Field(ge=0, le=1)
    ci95: Interval
    n: int = Field(ge=1)


class Sureness(BaseModel, frozen=True, extra="forbid"):
    """Turns the logit of a class into the probability that a picture shows the class: σ(slope · logit + intercept).

    Attributes:
        slope: the slope, which is the same for all classes.
        intercepts: the intercept of each class. Classes with too few pictures share one intercept.
        own: the number of classes with an intercept of their own.
        proposed: the proposed line above which classes are named; None if no pictures were held back to choose a line.
    """

    slope: float = Field(gt=0)
    intercepts: tuple[float, ...]
    own: int = Field(0, ge=0)
    proposed: Proposed | None = None

    def probabilities(self, logits: Floats) -> Floats:
        """Return the probability of each class, float32 (n, C). The rows do not sum to 1."""
        scaled = self.slope * logits.astype(np.float64) + np.array(self.intercepts)
        return np.asarray(np.exp(-np.logaddexp(0, -scaled)).astype(np.float32))

    @property
    def is_native(self) -> bool:
        """Whether the probabilities are σ(logit) with nothing fitted, because the CLIP was trained with sigmoids."""
        return self.slope == 1 and not any(self.intercepts)


def native(classes: int) -> Sureness:
    """Return the `Sureness` of a CLIP that was trained with sigmoids: slope 1, intercepts 0."""
    return Sureness(slope=1.0, intercepts=(0.0,) * classes)


def propose(probabilities: Floats, shown: Shown, seed: int = 0) -> Proposed:
    """Choose the line above which classes are named, with pictures whose classes are known.

    If several lines have the highest F1, the middle line is chosen.

    Args:
        probabilities: the probability of each class for each picture, float (n, C).
        shown: which classes each picture shows, bool (n, C).
        seed: the seed of the bootstrap.

    >>> propose(np.array([[0.3, 0.1], [0.05, 0.2]]), np.array([[True, False], [False, True]])).above
    0.15
    """
    named = len(probabilities) * probabilities.shape[1] - np.searchsorted(np.sort(probabilities, None), LINES, "right")
    right = shown.sum() - np.searchsorted(np.sort(probabilities[shown]), LINES, "right")
    scores = 2 * right / np.maximum(named + shown.sum(), 1)
    best = np.flatnonzero(scores == scores.max())
    line = float(LINES[best[len(best) // 2]])
    of_each = probabilities > line
    hits, names = (of_each & shown).sum(axis=1), (of_each.astype(int) + shown).sum(axis=1)
    blocks = _resampled(len(shown), len(shown), RESAMPLES, np.random.default_rng(seed))
    resampled = np.concatenate([2 * (drawn @ hits) / np.maximum(drawn @ names, 1) for drawn in blocks])
    ends = np.quantile(resampled, [0.025, 0.975])
    return Proposed(
        above=line, f1=round(float(scores.max()), 4), ci95=Interval(*ends.round(4).tolist()), n=len(probabilities)
    )


def fit_sureness(logits: Floats, shown: Shown) -> Sureness:
    """Fit the slope and the intercepts to pictures whose classes are known.

    First, one slope and one intercept are fitted for all classes (Platt 2000). Then each class that at least `ENOUGH`
    pictures show gets an intercept of its own. A weak prior keeps the fit finite where logits separate the classes
    perfectly. Its variance is 10 for the log of the slope and 100 for intercepts.

    Args:
        logits: the logits of the pictures, float (n, C).
        shown: which classes each picture shows, bool (n, C).
    """
    from scipy import optimize

    rows = logits.astype(np.float64)
    spread = float(rows.std()) or 1.0
    sign = np.where(shown, -1.0, 1.0)

    def loss(parameters: Any) -> float:
        slope, intercept = np.exp(parameters[0]) / spread, parameters[1]
        fits = np.logaddexp(0, sign * (slope * rows + intercept)).sum()
        return float(fits + parameters[0] ** 2 / 20 + intercept**2 / 200)

    start = [0.0, -float(rows.mean() / spread)]
    found = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-6})
    slope, shared = float(np.exp(found.x[0]) / spread), float(found.x[1])

    def own(label: int) -> float:
        def of_class(intercept: float) -> float:
            fits = np.logaddexp(0, sign[:, label] * (slope * rows[:, label] + intercept)).sum()
            return float(fits + (intercept - shared) ** 2 / 200)

        return float(optimize.minimize_scalar(of_class, (shared - 1, shared + 1)).x)

    enough = shown.sum(axis=0) >= ENOUGH
    intercepts = tuple(own(label) if enough[label] else shared for label in range(rows.shape[1]))
    return Sureness(slope=slope, intercepts=intercepts, own=int(enough.sum()))
