"""Pictures with several labels: the reward, the mean over classes (mAP), and the probability that a class is shown.

The reward is the mean over pictures of **ranking average precision** (Schapire and Singer 2000). For each class that a
picture shows, take the classes ranked as high or higher, and the share of them that the picture shows too; average this
share over the classes shown. The reward is a mean over pictures, so templates are compared picture by picture, as with
accuracies. With one label a picture it is 1/place of that label.

**mAP** ranks the pictures for each class instead, so it also tests whether scores can be compared between pictures. It
is no mean over pictures. Its interval is a bootstrap's, over base pictures.
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
"""How many numbers are in memory at once while resamples are measured."""
LINES = np.concatenate([np.arange(1, 10) / 1000, np.arange(1, 100) / 100])
"""The probabilities that are tried as the line above which classes are named."""
ENOUGH = 19
"""How many search and selection pictures must show a class for it to have a threshold of its own.

With fewer pictures, the largest share of them that a line through one can miss, 1/(n + 1), is above 5 %.
"""


class SeveralLabels(ClipReward):
    """Scores templates by ranking average precision, in `hits`; see the head of this file.

    The loss is in nats. For a CLIP that was trained with sigmoids (SigLIP) it is the mean over classes of the binary
    cross-entropy. For others it is the cross-entropy of the softmax with all classes shown, in equal parts.
    """

    takes: ClassVar[Literal["one label", "several labels", "no label"]] = "several labels"

    def judge(self, logits: Floats, pictures: EncodedPictures) -> Judged:
        """See `ClipReward`."""
        assert pictures.shown is not None
        loss = sigmoid_losses if is_sigmoid(self.clip) else softmax_losses
        return Judged(ranking_precision(logits, pictures.shown), loss(logits, pictures.shown))


def is_sigmoid(clip: Clip) -> bool:
    """Whether a CLIP was trained with sigmoids, to decide on each class by itself."""
    return clip.logit_bias != 0


def ranking_precision(logits: Floats, shown: Shown) -> Doubles:
    """Return the ranking average precision of each picture: float64 (n,), in (0, 1]; 1 if it shows no class.

    Among equal logits the lower label ranks higher, as everywhere.

    >>> ranking_precision(np.array([[3, 2, 1]], dtype=np.float32), np.array([[False, True, True]])).round(4).tolist()
    [0.5833]
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    right = np.take_along_axis(shown, order, axis=1)
    precision = right.cumsum(axis=1) / np.arange(1, logits.shape[1] + 1)
    count = right.sum(axis=1)
    return np.where(count, (precision * right).sum(axis=1) / np.maximum(count, 1), 1.0)


def softmax_losses(logits: Floats, shown: Shown) -> Doubles:
    """Return the cross-entropy of the softmax with the classes shown in equal parts: float64 (n,), nats."""
    rows = logits.astype(np.float64)
    share = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.logaddexp.reduce(rows, axis=1) - (share * rows).sum(axis=1))


def sigmoid_losses(logits: Floats, shown: Shown) -> Doubles:
    """Return the mean over classes of the binary cross-entropy: float64 (n,), nats."""
    return np.asarray(np.logaddexp(0, np.where(shown, -1, 1) * logits.astype(np.float64)).mean(axis=1))


# The mean over classes, and its interval.


def mean_precision(logits: Floats, shown: Shown, weights: Doubles | None = None) -> Doubles:
    """Return the mean over classes of average precision: float64 (B,), one number for each row of weights.

    Args:
        logits: float (n, C).
        shown: which classes each picture shows. A class is left out if no picture with a weight shows it.
        weights: how often each picture counts, float64 (B, n); None is one row of ones. The copies of a picture share
            one place, the place of the last copy.

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
    """Return the mAP of two templates and the gain of the second, with 95 % bootstrap intervals over base pictures.

    Both templates have the same resamples. Pictures that are drawn twice make resampled precisions too high, so the
    percentiles are lowered by the excess of the mean resample over the value.

    Args:
        before, after: the logits of the two templates, (n, C).
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
    """Yield how often each base picture is drawn, float64 (resamples of a block, bases), in blocks for `n` pictures."""
    size, left = max(1, AT_ONCE // n), resamples
    while left > 0:
        yield rng.multinomial(bases, np.full(bases, 1 / bases), size=min(size, left)).astype(np.float64)
        left -= size


def _around(value: float, resampled: Doubles) -> MeanOverClasses:
    ends = value + np.quantile(resampled, [0.025, 0.975]) - resampled.mean()
    return MeanOverClasses(value, *ends.tolist())


# The probability that a class is shown.


class Proposed(BaseModel, frozen=True, extra="forbid"):
    """A probability above which classes are named, and how well it names the classes of labelled pictures.

    Attributes:
        above: the line of `LINES` with the highest micro-averaged F1, over all classes of all pictures.
        f1: the F1 of this line; a little too high, because the line was chosen by it.
        ci95: the 95 % interval of the F1, by bootstrap over pictures.
        n: the number of pictures.
    """

    above: float = Field(ge=0, lt=1)
    f1: float = Field(ge=0, le=1)
    ci95: Interval
    n: int = Field(ge=1)


class Sureness(BaseModel, frozen=True, extra="forbid"):
    """Turns logits into probabilities that a class is shown: σ(slope · logit + intercept), each class by itself.

    Attributes:
        slope: the slope, the same for all classes.
        intercepts: the intercept of each class; the classes without enough pictures share one.
        own: how many classes have an intercept of their own.
        proposed: the probability above which classes are named; None if no pictures were held back to propose one.
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
        """Whether the logits are used as they are, because the CLIP was trained with sigmoids."""
        return self.slope == 1 and not any(self.intercepts)


def native(classes: int) -> Sureness:
    """Return the `Sureness` of a CLIP that was trained with sigmoids: slope 1, intercepts 0."""
    return Sureness(slope=1.0, intercepts=(0.0,) * classes)


def propose(probabilities: Floats, shown: Shown, seed: int = 0) -> Proposed:
    """Propose the probability above which classes are named, from pictures whose classes are known.

    Among equally good lines the middle one is taken.

    Args:
        probabilities: float (n, C).
        shown: which classes each picture shows.
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
    """Fit slope and intercepts to pictures whose classes are known.

    First one slope and one intercept are fitted for all classes (Platt 2000). Then each class that at least `ENOUGH`
    pictures show gets an intercept of its own. A weak prior (a variance of 10 on the log of the slope, of 100 on
    intercepts) keeps the fit finite where logits separate the classes perfectly.

    Args:
        logits: float (n, C).
        shown: which classes each picture shows.
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
