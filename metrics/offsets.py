"""Offsets: one number for each class, added to its logits. Offsets are made from pictures, mostly without labels.

On pictures unlike its training pictures, a CLIP tends to predict a few classes too often. Part of the effect of a
template's words is to undo this bias. Offsets undo it without words and without labels:

- `centring`: subtract the mean feature μ of the pictures from every feature. A class with the embedding w then gets the
  offset -scale · μ·w. This is the first-order form of distribution normalisation (Zhou et al. 2023, arXiv 2302.11084).
  That method also subtracts a mean text embedding; this is left out, because it changes all logits of a picture by the
  same number. μ does not depend on the classes, so it serves new classes too.
- `prior`: choose one number for each class so that all classes have the same mean predicted probability over the
  pictures. This is bias correction by the predicted label distribution (Zhu et al. 2024, Frolic, arXiv 2410.19294). It
  is a form of logit adjustment (Zhu et al. 2023, arXiv 2310.08106) that assumes balanced classes.

Both kinds assume that the pictures show all classes about equally often. Offsets can do harm where this is not so, or
where there is no bias to undo. If the labels are known and the classes have different numbers of pictures, pictures are
weighted so that each class weighs the same: a picture of a class with n pictures has a weight proportional to 1/n
(`class_weights`). The labels are used for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.sampling import Numbers

if TYPE_CHECKING:
    from ipo_prompts.metrics.clip import Clip


Kind = Literal["centring", "prior"]

TOLERANCE = 1e-4
"""The largest difference between the mean probability of a class and 1/C, as a share of 1/C."""
MOST_ROUNDS = 200
PARTS = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Parts of Newton's step, tried in turn until the objective goes down."""
LARGEST = 1e6
"""The largest number that a saved program may hold: far above any logit."""


@dataclass(frozen=True, eq=False)
class CentringOffsets:
    """Offsets that subtract the mean feature of pictures, `mean`, float32 (D,), from the feature of every picture."""

    mean: Floats
    kind: ClassVar[Kind] = "centring"

    @classmethod
    def from_pictures(cls, features: Floats, weights: Doubles | None = None) -> CentringOffsets:
        """Make the offsets from pictures.

        Args:
            features: the features of n pictures, float32 (n, D), unit rows.
            weights: the weights of the pictures, (n,), which add up to 1; None if all weigh the same.
        """
        mean = features.mean(axis=0, dtype=np.float64) if weights is None else weights @ features
        return cls(mean.astype(np.float32))

    def of(self, clip: Clip, classes: Floats) -> Floats:
        """Return the offset of each class, -scale · μ·w: float32 (C,). See `Offsets`."""
        return np.float32(-clip.logit_scale) * (classes @ self.mean)

    def settled(self, clip: Clip, classes: Floats) -> CentringOffsets:
        """Return the offsets that a program saves: these offsets themselves, because they serve any classes."""
        return self


@dataclass(frozen=True, eq=False)
class PriorOffsets:
    """One number for each class, for one template: `numbers` is float32 (C,)."""

    numbers: Floats
    kind: ClassVar[Kind] = "prior"

    def of(self, clip: Clip, classes: Floats) -> Floats:
        """Return the offset of each class: float32 (C,). See `Offsets`."""
        if len(classes) != len(self.numbers):
            raise InputError(
                f"these prior offsets are for {len(self.numbers)} classes, and there are {len(classes)}; "
                "use offsets=centring, which serves new classes."
            )
        return self.numbers


@dataclass(frozen=True, eq=False)
class Refitted:
    """Offsets that `uniform_offsets` computes anew for every template.

    Attributes:
        features: the features of n pictures, float32 (n, D), unit rows.
        weights: the weights of the pictures, (n,), which add up to 1; None if all weigh the same.
    """

    features: Floats
    weights: Doubles | None = None
    kind: ClassVar[Kind] = "prior"

    def of(self, clip: Clip, classes: Floats) -> Floats:
        """Return the offset of each class, for the template of these embeddings: float32 (C,). See `Offsets`."""
        return uniform_offsets(clip.logit_scale * (self.features @ classes.T), self.weights)

    def settled(self, clip: Clip, classes: Floats) -> PriorOffsets:
        """Return the offsets that a program saves: the offsets for the template of these embeddings."""
        return PriorOffsets(self.of(clip, classes))


Fitted = CentringOffsets | Refitted
"""Offsets that are fitted on the pictures of a run and serve all its templates."""
Saved = CentringOffsets | PriorOffsets
"""Offsets that a program saves."""
Offsets = Fitted | Saved
"""Offsets of any kind.

The method `of` takes the class embeddings of one template, float32 (C, D). It returns the number to add to the logit of
each class, float32 (C,). It raises an `InputError` if the offsets do not suit these classes.
"""


def fitted(kind: Kind, features: Floats, labels: Numbers | None = None) -> Fitted:
    """Fit offsets on pictures.

    Args:
        kind: the kind of offsets.
        features: the features of n pictures, float32 (n, D), unit rows.
        labels: the class of each picture, int64 (n,), so that each class weighs the same; None if each picture does.
    """
    weights = None if labels is None else class_weights(labels)
    return CentringOffsets.from_pictures(features, weights) if kind == "centring" else Refitted(features, weights)


def class_weights(labels: Numbers) -> Doubles | None:
    """Return weights of n pictures with which all classes weigh the same: float64 (n,), with the sum 1.

    `labels` is the class of each picture, int64 (n,). Return None if all classes have equally many pictures.

    >>> class_weights(np.array([0, 0, 1])).tolist(), class_weights(np.array([0, 1]))
    ([0.25, 0.25, 0.5], None)
    """
    _, own, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(set(sizes.tolist())) < 2:
        return None
    return 1 / (len(sizes) * sizes[own])


def uniform_offsets(logits: Floats, weights: Doubles | None = None) -> Floats:
    """Find the offsets with which all classes have the same mean probability over the pictures.

    The probabilities are softmax(logits + offsets). The offsets minimise the convex objective
    mean log-sum-exp(logits + offsets) - mean(offsets). Its gradient is the mean probability of each class minus 1/C.

    Each round tries Newton's step first. If the objective does not go down, the round takes the fixed-point step
    b += log(1/C) - log(mean probability), a round of Sinkhorn's algorithm. The fixed-point step never moves away from
    the minimum, but it is slow where few pictures lie between two classes.

    Args:
        logits: the logits of n pictures, (n, C).
        weights: the weights of the pictures, (n,), which add up to 1; None if all weigh the same.

    Returns:
        The offsets, float32 (C,), with mean 0. If `MOST_ROUNDS` rounds did not suffice, these are the last offsets.
    """
    values = logits.astype(np.float64)
    n, count = values.shape
    offsets = np.zeros(count)
    objective, mean, probabilities = _objective(values, offsets, weights)
    for _ in range(MOST_ROUNDS):
        if np.abs(count * mean - 1).max() <= TOLERANCE:
            break
        weighed = probabilities if weights is None else probabilities * (n * weights)[:, None]
        curvature = np.diag(mean) - probabilities.T @ weighed / n
        # The same number added to all offsets changes no probability, so the matrix is singular without the last term.
        curvature += 1e-12 * np.eye(count) + 1 / count**2
        step = np.linalg.solve(curvature, 1 / count - mean)
        damped = (offsets + part * step for part in PARTS)
        fixed = offsets - np.log(count * np.maximum(mean, np.finfo(np.float64).tiny))
        tried = next((one for one in damped if _objective(values, one, weights)[0] < objective), fixed)
        offsets = tried - tried.mean()
        objective, mean, probabilities = _objective(values, offsets, weights)
    return offsets.astype(np.float32)


def _objective(logits: Any, offsets: Any, weights: Any) -> tuple[float, Any, Any]:
    """Return the objective, the mean probability of each class, (C,), and the probabilities, (n, C)."""
    shifted = logits + offsets
    highest = shifted.max(axis=1, keepdims=True)
    exponents = np.exp(shifted - highest)
    sums = exponents.sum(axis=1, keepdims=True)
    probabilities = exponents / sums
    logs = (highest + np.log(sums))[:, 0]
    if weights is None:
        return float(logs.mean() - offsets.mean()), probabilities.mean(axis=0), probabilities
    return float(weights @ logs - offsets.mean()), weights @ probabilities, probabilities


def state_of(offsets: Saved) -> dict[str, Any]:
    """Return offsets as plain JSON: the kind, and as `values` the mean feature or the numbers of the classes."""
    values = offsets.mean if isinstance(offsets, CentringOffsets) else offsets.numbers
    return {"kind": offsets.kind, "values": [float(value) for value in values]}


def from_state(state: Any, width: int, classes: int) -> Saved:
    """Read offsets from what `state_of` returned.

    Args:
        state: what `state_of` returned.
        width: the number of components of a feature.
        classes: the number of classes.

    Raises:
        InputError: `state` holds no offsets of this width or for this number of classes.
    """
    kind = state.get("kind") if isinstance(state, Mapping) else None
    values = state.get("values") if isinstance(state, Mapping) else None
    wanted = {"centring": width, "prior": classes}.get(kind if isinstance(kind, str) else "")
    if (
        wanted is None
        or not isinstance(values, list)
        or len(values) != wanted
        or not all(
            isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
            for value in values
        )
    ):
        raise InputError(
            f"the offsets of a saved program are of the kind centring, with {width} numbers, or prior, with one for "
            f"each of {classes} classes, and these are not; optimise again."
        )
    numbers = np.array(values, dtype=np.float32)
    return CentringOffsets(numbers) if kind == "centring" else PriorOffsets(numbers)


def under(units: Any, offsets: Fitted | None) -> Any:
    """Return a copy of `units` that is scored with these offsets; `units` themselves if `offsets` is None."""
    return replace(units, offsets=offsets) if offsets else units
