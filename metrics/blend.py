"""Words and pictures: what labelled pictures add to the class embeddings of a template, and with which weight.

A few pictures of each class give logits in one of two ways, both linear in a picture's unit feature f:

- the class mean: `scale · f · m`, m the unit mean of the class. Raw means would favour classes whose pictures differ
  less.
- the discriminant: `f · Wμ - ½ μ·Wμ`, μ the raw mean, W the inverse of a covariance that all classes share. With few
  pictures the covariance is shrunk: W = D (S + tr(S)/(N-1) I)⁻¹, S the scatter of N pictures around the means of their
  classes, D the length of features (Kubokawa & Srivastava 2008). All classes have the same prior. Both are as in Wang
  et al., "A Hard-to-Beat Baseline for Training-Free CLIP-Based Adaptation" (ICLR 2024, "GDA").

The blend is `words + a · pictures`. The mean over classes is subtracted from the part of the pictures, so that a class
without pictures, which has its words alone, stands where classes stand on average. Leave-one-out chooses the way and a:
one picture of each class at a time is left out. The way that names most left-out pictures rightly wins, and of its
weights the largest that is within one standard error of the best. The words were often chosen on the same pictures, and
a left-out picture is missing from its class: both push a towards too small a value. With one picture a class nothing
can be left out; then the way is the class mean and a = 1.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import best_temperature, cross_entropies
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.sampling import Numbers

Way = Literal["class mean", "discriminant"]
WAYS: tuple[Way, ...] = get_args(Way)

WEIGHTS = (0.0, *(2.0**power for power in range(-6, 7)))
"""The values that a is chosen from; 0 leaves the words alone."""
MOST_ROUNDS = 16
"""The most rounds of leaving pictures out; where classes have more pictures, several are left out together."""
LARGEST = 1e6
"""The largest number in a saved program: far above any that pictures give."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier of features: logits are features @ rows.T + bias, float64 (C, D) and (C,)."""

    rows: Doubles
    bias: Doubles

    def logits(self, features: Floats | Doubles) -> Doubles:
        """Return the logits, float64 (n, C), of features, (n, D) with unit rows."""
        return np.asarray(features @ self.rows.T + self.bias, dtype=np.float64)

    def centred(self, present: Numbers) -> Linear:
        """Subtract the mean over the classes with pictures; the other classes get 0, which is that mean."""
        rows, bias = np.zeros_like(self.rows), np.zeros_like(self.bias)
        rows[present] = self.rows[present] - self.rows[present].mean(axis=0)
        bias[present] = self.bias[present] - self.bias[present].mean()
        return Linear(rows, bias)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures to learn from.

    Attributes:
        features: (n, D), unit rows.
        labels: int64 (n,).
        classes: how many classes there are; some may have no picture.
        groups: length n, equal for variants of one base picture; None where there are none.
    """

    features: Floats
    labels: Numbers
    classes: int
    groups: Sequence[Hashable] | None = None

    def some(self, chosen: Any) -> Labelled:
        """Return the pictures that a mask, bool (n,), selects, without groups, which only leaving out needs."""
        return Labelled(self.features[chosen], self.labels[chosen], self.classes)

    def sums(self) -> tuple[Doubles, Numbers]:
        """Return the sum of the features of each class, float64 (C, D), and its number of pictures, (C,)."""
        sums = np.zeros((self.classes, self.features.shape[1]))
        np.add.at(sums, self.labels, self.features)
        return sums, np.bincount(self.labels, minlength=self.classes)


def from_pictures(way: Way, pictures: Labelled, scale: float) -> Linear | None:
    """Learn a classifier from pictures alone; `scale` is the CLIP's logit scale.

    Return None where the way cannot learn: the discriminant needs two pictures of a class that differ.
    """
    sums, counts = pictures.sums()
    present = np.flatnonzero(counts)
    if way == "class mean":
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        rows = np.asarray(scale * sums / np.where(norms > 0, norms, 1), dtype=np.float64)
        return Linear(rows, np.zeros(pictures.classes)).centred(present)
    means = sums / np.maximum(counts, 1)[:, None]
    apart = pictures.features - means[pictures.labels]
    scatter = apart.T @ apart
    spread = float(np.trace(scatter))
    if spread < 1e-9:
        return None
    width = len(scatter)
    ridge = spread / (len(pictures.labels) - 1)
    rows = np.asarray(width * np.linalg.solve(scatter + ridge * np.eye(width), means.T).T, dtype=np.float64)
    return Linear(rows, -0.5 * (rows * means).sum(axis=1)).centred(present)


def left_out_in_turn(pictures: Labelled) -> Iterator[Any]:
    """Yield masks, bool (n,), of pictures that are left out together: one base picture of each class that has two.

    Where no class has three, only every second class leaves one out, in turn. Otherwise no class would keep two, and
    nothing would tell how pictures of a class differ.
    """
    places, counts = _places(pictures)
    several = counts[pictures.labels] > 1
    folds = places % MOST_ROUNDS
    if counts.max() == 2:
        folds = 2 * folds + pictures.labels % 2
    for fold in np.unique(folds[several]):
        yield several & (folds == fold)


def _places(pictures: Labelled) -> tuple[Numbers, Numbers]:
    """Return the number of each picture's base picture within its class, from 0, and the base pictures of each class.

    Shapes: (n,) and (C,).
    """
    counts, known = np.zeros(pictures.classes, dtype=np.int64), dict[tuple[int, Hashable], int]()
    groups = pictures.groups if pictures.groups is not None else range(len(pictures.labels))
    places = np.empty(len(pictures.labels), dtype=np.int64)
    for i, (label, group) in enumerate(zip(pictures.labels.tolist(), groups, strict=True)):
        if (label, group) not in known:
            known[label, group] = int(counts[label])
            counts[label] += 1
        places[i] = known[label, group]
    return places, counts


@dataclass(frozen=True, eq=False)
class Blend:
    """What pictures add to words.

    Attributes:
        way, weight: the way of the pictures, and a, their weight; 0 leaves the words alone.
        alone: the way that is best without words.
        added: a · pictures, in logits.
        pictures: the classifier from pictures alone, in the way `alone`.
        held: logits of left-out pictures, float32 (m, C), their labels and numbers; None where none can be left out.
    """

    way: Way
    weight: float
    alone: Way
    added: Linear
    pictures: Linear
    held: tuple[Floats, Numbers, Numbers] | None


class Kept(BaseModel):
    """What pictures add to a program's logits, as plain JSON.

    Attributes:
        way, weight: see `Blend`.
        without: numbers of the classes that have words alone.
        rows: what pictures add to unit class embeddings: float32 (C, D), little-endian, row after row, in base64.
        bias: what pictures add to the logit of each class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    way: Way
    weight: float = Field(gt=0, le=LARGEST)
    without: tuple[int, ...] = ()
    rows: str
    bias: tuple[Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)], ...]

    @classmethod
    def of(cls, found: Blend, scale: float, without: Sequence[int]) -> Kept:
        """Keep a blend for a CLIP with this logit scale."""
        rows = np.ascontiguousarray(found.added.rows / scale, dtype="<f4")
        return cls(
            way=found.way,
            weight=found.weight,
            without=tuple(without),
            rows=base64.b64encode(rows.tobytes()).decode("ascii"),
            bias=tuple(found.added.bias.astype(np.float32).tolist()),
        )

    def matrix(self, classes: int, width: int) -> Floats:
        """Return the rows, float32 (C, D).

        Raises:
            InputError: the rows or the bias have another size, or a number too large or not finite.
        """
        try:
            flat = np.frombuffer(base64.b64decode(self.rows, validate=True), dtype="<f4")
        except (binascii.Error, ValueError):
            flat = np.zeros(0, dtype="<f4")
        if flat.size != classes * width or len(self.bias) != classes or not (np.abs(flat) <= LARGEST).all():
            raise InputError(
                f"the part of the pictures in a saved program must be {width} numbers and a bias for each of {classes} "
                "classes, and this one is not; optimise again."
            )
        return flat.reshape(classes, width).astype(np.float32)


def blend(words: Floats, pictures: Labelled, scale: float) -> Blend:
    """Choose what pictures add to words.

    Args:
        words: float32 (n, C), the logits of the same pictures by words alone.
        pictures: at least one labelled picture.
        scale: the CLIP's logit scale.
    """
    masks = list(left_out_in_turn(pictures))
    if not masks:
        mean = _whole("class mean", pictures, scale)
        return Blend("class mean", 1.0, "class mean", mean, mean, None)
    numbers = np.concatenate([np.flatnonzero(mask) for mask in masks])
    labels, spoken = pictures.labels[numbers], words[numbers]
    found: dict[Way, Doubles] = {}
    for way in WAYS:
        if (logits := _held(way, pictures, masks, scale)) is not None:
            found[way] = logits
    alone = max(found, key=lambda way: _order(found[way], labels))
    tried = {(way, a): (spoken + a * held).astype(np.float32) for way, held in found.items() for a in WEIGHTS}
    best = max(tried, key=lambda one: _order(tried[one], labels))
    way, weight = max(one for one in tried if one[0] == best[0] and _level(tried[one], tried[best], labels))
    whole = _whole(way, pictures, scale)
    added = Linear(weight * whole.rows, weight * whole.bias)
    return Blend(way, weight, alone, added, _whole(alone, pictures, scale), (tried[way, weight], labels, numbers))


def _order(logits: Any, labels: Numbers) -> tuple[int, float]:
    """Return a key to sort by: hits first, then the loss at the best temperature, negated."""
    values = logits.astype(np.float32)
    return int(_hits(values, labels).sum()), -float(
        cross_entropies(values, labels, best_temperature(values, labels)).mean()
    )


def _level(logits: Floats, best: Floats, labels: Numbers) -> bool:
    """Whether some logits are right as often as the best ones, within one standard error of the difference."""
    fewer = _hits(best, labels).astype(np.float64) - _hits(logits, labels)
    return bool(fewer.mean() <= fewer.std() / np.sqrt(len(fewer)))


def _hits(logits: Floats, labels: Numbers) -> Any:
    return logits.argmax(axis=1) == labels


def _held(way: Way, pictures: Labelled, masks: Sequence[Any], scale: float) -> Doubles | None:
    """Return the logits of left-out pictures, learnt from the others, mask after mask; None where one cannot learn."""
    learnt = [from_pictures(way, pictures.some(~mask), scale) for mask in masks]
    if any(one is None for one in learnt):
        return None
    pairs = zip(learnt, masks, strict=True)
    return np.concatenate([one.logits(pictures.features[mask]) for one, mask in pairs if one is not None])


def _whole(way: Way, pictures: Labelled, scale: float) -> Linear:
    found = from_pictures(way, pictures, scale)
    assert found is not None  # the way could learn from fewer pictures
    return found
