"""Offsets: a number added to each class's logit, made of pictures, mostly without their labels.

A CLIP that meets pictures unlike those it was trained on tends to guess a few classes too often. Part of what the words
of a template do is to undo that, and a line of arithmetic does that part without words and without labels:

- `mean`: the mean feature μ of the pictures is taken off every feature, so that a class with the embedding w gets the
  offset -scale · μ·w. The first-order form of distribution normalisation (Zhou et al. 2023, arXiv 2302.11084); the
  half that concerns the texts moves all classes of a picture alike. μ knows no classes, so it serves new ones too.
- `prior`: one number a class, such that the mean predicted probability of each class over the pictures is the same.
  Bias correction by the predicted label distribution (Zhu et al. 2024, Frolic, arXiv 2410.19294), a form of logit
  adjustment (Zhu et al. 2023, arXiv 2310.08106) that assumes balanced classes.

Both assume that the pictures show all classes about equally often, and can do harm where they do not, or
where there is nothing to undo. Where it is known how many pictures each class has, and they differ, each class weighs
the same: a picture of n of its class counts 1/n (`class_weights`). Of the labels that uses no more.
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
"""How far the mean probability of a class may be from uniform, relative to it."""
MOST_ROUNDS = 200
PARTS = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Of Newton's step, tried in turn until one goes down."""
LARGEST = 1e6
"""Of a number in a saved program: far above any logit."""


@dataclass(frozen=True, eq=False)
class CentringOffsets:
    """Offsets that take the mean feature off every picture: `mean` is float32 (D,)."""

    mean: Floats
    kind: ClassVar[Kind] = "centring"

    @classmethod
    def from_pictures(cls, features: Floats, weights: Doubles | None = None) -> CentringOffsets:
        """Take the mean of the features of n pictures, float32 (n, D), unit rows; `weights` (n,) add up to 1."""
        mean = features.mean(axis=0, dtype=np.float64) if weights is None else weights @ features
        return cls(mean.astype(np.float32))

    def of(self, clip: Clip, classes: Floats) -> Floats:
        """See `Offsets`: -scale · μ·w of each class."""
        return np.float32(-clip.logit_scale) * (classes @ self.mean)

    def settled(self, clip: Clip, classes: Floats) -> CentringOffsets:
        """Return what a program keeps: itself, which serves any classes."""
        return self


@dataclass(frozen=True, eq=False)
class PriorOffsets:
    """One number a class for one template and its classes: `numbers` is float32 (C,)."""

    numbers: Floats
    kind: ClassVar[Kind] = "prior"

    def of(self, clip: Clip, classes: Floats) -> Floats:
        """See `Offsets`."""
        if len(classes) != len(self.numbers):
            raise InputError(
                f"these prior offsets are one number for each of {len(self.numbers)} classes and there are "
                f"{len(classes)}; take centring offsets, which serve new classes."
            )
        return self.numbers


@dataclass(frozen=True, eq=False)
class Refitted:
    """Offsets that are found anew for every template: its `uniform_offsets`.

    `features` are those of n pictures, float32 (n, D), unit rows; `weights` (n,) add up to 1, None weighs all alike.
    """

    features: Floats
    weights: Doubles | None = None
    kind: ClassVar[Kind] = "prior"

    def of(self, clip: Clip, classes: Floats) -> Floats:
        """See `Offsets`."""
        return uniform_offsets(clip.logit_scale * (self.features @ classes.T), self.weights)

    def settled(self, clip: Clip, classes: Floats) -> PriorOffsets:
        """Return what a program keeps: the numbers of its template."""
        return PriorOffsets(self.of(clip, classes))


Fitted = CentringOffsets | Refitted
"""What is fitted on a run's pictures, and serves all its templates."""
Saved = CentringOffsets | PriorOffsets
"""What a program keeps."""
Offsets = Fitted | Saved
"""What is added to the logits of one template's classes: `of` makes float32 (C,) of class embeddings, float32 (C, D).

It raises an `InputError` where it cannot be made for these classes.
"""


def fitted(kind: Kind, features: Floats, labels: Numbers | None = None) -> Fitted:
    """Fit offsets on n pictures, float32 (n, D), unit rows; with `labels`, int64 (n,), each class weighs the same."""
    weights = None if labels is None else class_weights(labels)
    return CentringOffsets.from_pictures(features, weights) if kind == "centring" else Refitted(features, weights)


def class_weights(labels: Numbers) -> Doubles | None:
    """Return the weights of n pictures, int64 (n,), that give each class the same: float64 (n,), 1 together.

    None where all classes have equally many, and nothing is to be weighed.

    >>> class_weights(np.array([0, 0, 1])).tolist(), class_weights(np.array([0, 1]))
    ([0.25, 0.25, 0.5], None)
    """
    _, own, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(set(sizes.tolist())) < 2:
        return None
    return 1 / (len(sizes) * sizes[own])


def uniform_offsets(logits: Floats, weights: Doubles | None = None) -> Floats:
    """Find the offsets that make softmax(logits + offsets), averaged over the pictures, uniform: (n, C) → float32 (C,).

    It is the minimum of the convex mean log-sum-exp(logits + offsets) - mean(offsets), whose gradient is the mean
    probability less 1/C. The fixed point b += log(1/C) - log(mean probability), a round of Sinkhorn's algorithm, never
    moves away from it, but is slow where few pictures lie between two classes; Newton's step is tried first.

    Returns:
        Numbers of mean 0; of rounds that do not end, the last.
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
        # One number for all classes changes nothing: the last term makes the matrix one that can be inverted.
        curvature += 1e-12 * np.eye(count) + 1 / count**2
        step = np.linalg.solve(curvature, 1 / count - mean)
        damped = (offsets + part * step for part in PARTS)
        fixed = offsets - np.log(count * np.maximum(mean, np.finfo(np.float64).tiny))
        tried = next((one for one in damped if _objective(values, one, weights)[0] < objective), fixed)
        offsets = tried - tried.mean()
        objective, mean, probabilities = _objective(values, offsets, weights)
    return offsets.astype(np.float32)


def _objective(logits: Any, offsets: Any, weights: Any) -> tuple[float, Any, Any]:
    """Return the objective, the mean probability of each class (C,), and the probabilities (n, C)."""
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
    """Return plain JSON: the kind, and the mean feature or the numbers of the classes."""
    values = offsets.mean if isinstance(offsets, CentringOffsets) else offsets.numbers
    return {"kind": offsets.kind, "values": [float(value) for value in values]}


def from_state(state: Any, width: int, classes: int) -> Saved:
    """Read what `state_of` returned, for features of `width` numbers and so many classes.

    Raises:
        InputError: it is no such thing.
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
            f"the offsets of a saved program are of the kind mean, with {width} numbers, or prior, with one for "
            f"each of {classes} classes, and these are not; optimise again."
        )
    numbers = np.array(values, dtype=np.float32)
    return CentringOffsets(numbers) if kind == "centring" else PriorOffsets(numbers)


def under(units: Any, offsets: Fitted | None) -> Any:
    """Return units that are scored with these offsets."""
    return replace(units, offsets=offsets) if offsets else units
