"""Words and pictures: what labelled pictures add to the class embeddings of a template, and with which weight.

A few pictures of each class give logits in one of two ways. Both are linear in a picture's unit feature f:

- the class mean: `scale · f · m`. m is the mean feature of the class, scaled to length 1. Means that are not scaled
  would favour classes whose pictures differ less.
- the discriminant: `f · Wμ - ½ μ·Wμ`. μ is the mean feature of the class, not scaled. W is the inverse of a covariance
  that all classes share. With few pictures the covariance is shrunk: W = D (S + tr(S)/(N-1) I)⁻¹, where S is the
  scatter of N pictures around the means of their classes and D is the length of features (Kubokawa & Srivastava 2008).
  All classes have the same prior. The shrinking and the prior are as in Wang et al., "A Hard-to-Beat Baseline for
  Training-Free CLIP-Based Adaptation" (ICLR 2024, "GDA").

The blend is `words + a · pictures`: the logits by words, plus a times the logits by pictures. A class without pictures
is judged by its words alone. To place it where classes stand on average, the mean over classes is subtracted from the
logits by pictures.

The way and a are chosen on left-out pictures: each round leaves out one base picture of each class, and the others
judge it. The way and the weight with the lowest loss at their best temperature win.

With one picture a class none can be left out. Then logistic regression around the words gives the logits by pictures:
`f · V`, where V is as small as it can be while words and V together name the pictures (a penalty on the square of V).
The temperature is the best temperature of the words, to which V was fitted.

Nobody has to ask for pictures, so they are taken only where they are sure to tell the classes apart: the gate is open
if the median class has `FEWEST` base pictures, and pictures without words name left-out pictures better than the share
of the largest class would. On shuffled labels they do not.

The temperature makes the mean confidence of left-out pictures equal to the accuracy of the choice made anew: for the
pictures of a round, way and weight are chosen without this round. Otherwise the choice would look better than it is.
All pictures together are more accurate than the share s of them that a round learns from. If nothing but the means were
noisy, the temperature would fall to s times; if they were not noisy, it would stay. It is set to √s times.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.calibration import (
    BOUNDS,
    best_temperature,
    cross_entropies,
    expected_accuracy,
    matched_temperature,
    softmax,
)
from ipo_prompts.metrics.sampling import Numbers

Way = Literal["class mean", "discriminant", "logistic"]
WAYS: tuple[Way, ...] = ("class mean", "discriminant")
"""The ways that are tried where pictures can be left out."""

WEIGHTS = (0.0, *(2.0**power for power in range(-6, 7)))
"""The weights a that are tried; 0 adds nothing to the words."""
PENALTY = 0.003
"""The penalty on half the square of V, beside a loss that is a mean over pictures."""
MOST_ROUNDS = 16
"""The most rounds of leaving pictures out. If a class has more pictures, a round leaves out several of them."""
TEMPERATURES = np.geomspace(*BOUNDS, 18)
"""The temperatures at which the losses of weights are compared, each about 1.4 times the one before."""
FEWEST = 3
"""The gate: the fewest base pictures of the median class. With two, clean pictures lost up to 25 points."""
CHANCE = 0.001
"""The gate: the largest p-value.

It is small because the better of two ways counts, and because pictures that look alike are named alike. At most 3 % of
runs on shipped pictures with shuffled labels passed it, and 6 % where the pictures of a class were nearly equal.
"""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier: logits are features @ rows.T + bias. `rows` is float64 (C, D), `bias` is float64 (C,)."""

    rows: Doubles
    bias: Doubles

    def logits(self, features: Floats | Doubles) -> Doubles:
        """Return the logits of each picture: float64 (n, C). `features` are (n, D), unit rows."""
        return np.asarray(features @ self.rows.T + self.bias, dtype=np.float64)

    def centred(self, present: Numbers) -> Linear:
        """Return the classifier less its mean over the classes that have pictures; the other classes get 0.

        `present` has the numbers of the classes that have pictures. After the subtraction their mean is 0, too.
        """
        rows, bias = np.zeros_like(self.rows), np.zeros_like(self.bias)
        rows[present] = self.rows[present] - self.rows[present].mean(axis=0)
        bias[present] = self.bias[present] - self.bias[present].mean()
        return Linear(rows, bias)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled pictures that a classifier learns from.

    Attributes:
        features: the feature of each picture, (n, D), unit rows.
        labels: the number of each picture's class, int64 (n,).
        classes: the number of classes; some may have no picture.
        groups: a name for each picture's base picture, length n; variants of one base picture have the same name.
            None where no picture is a variant.
    """

    features: Floats
    labels: Numbers
    classes: int
    groups: Sequence[Hashable] | None = None

    def some(self, chosen: Any) -> Labelled:
        """Return the pictures where the mask `chosen`, bool (n,), is true, without their groups."""
        return Labelled(self.features[chosen], self.labels[chosen], self.classes)

    def sums(self) -> tuple[Doubles, Numbers]:
        """Return two arrays: the sum of each class's features, float64 (C, D), and its number of pictures, (C,)."""
        sums = np.zeros((self.classes, self.features.shape[1]))
        np.add.at(sums, self.labels, self.features)
        return sums, np.bincount(self.labels, minlength=self.classes)


def from_pictures(way: Way, pictures: Labelled, scale: float) -> Linear | None:
    """Learn a classifier from pictures alone; `scale` is the CLIP's logit scale.

    Return None where the way cannot learn: the discriminant needs some class with two different pictures.
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


def around_words(words: Floats, pictures: Labelled, temperature: float) -> Linear:
    """Learn what logistic regression adds to the logits by words, float32 (n, C), divided by their temperature."""
    from scipy.optimize import minimize

    features, offset = pictures.features.astype(np.float64), words / temperature
    right = np.eye(pictures.classes)[pictures.labels]

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        rows = flat.reshape(pictures.classes, -1)
        logits = np.asarray(offset + features @ rows.T, dtype=np.float32)
        value = cross_entropies(logits, pictures.labels).mean() + PENALTY / 2 * flat @ flat
        slope = (softmax(logits) - right).T @ features / len(right) + PENALTY * rows
        return float(value), slope.ravel()

    start = np.zeros(pictures.classes * features.shape[1])
    rows = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
    return Linear(temperature * rows.reshape(pictures.classes, -1), np.zeros(pictures.classes))


def left_out_in_turn(pictures: Labelled) -> Iterator[Any]:
    """Yield a mask, bool (n,), for each round: true for the pictures that the round leaves out.

    A round leaves out one base picture of each class that has at least two. If no class has three, only every second
    class takes part in a round, in turn. Otherwise no class would keep two pictures, and nothing would tell how
    pictures of a class differ.
    """
    places, counts = _places(pictures)
    several = counts[pictures.labels] > 1
    folds = places % MOST_ROUNDS
    if counts.max() == 2:
        folds = 2 * folds + pictures.labels % 2
    for fold in np.unique(folds[several]):
        yield several & (folds == fold)


def _places(pictures: Labelled) -> tuple[Numbers, Numbers]:
    """Number the base pictures within each class, from 0.

    Return two arrays: the number of each picture's base picture, (n,), and how many base pictures each class has, (C,).
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
    """The chosen blend: what pictures add to the logits by words.

    Attributes:
        way: the way that logits are made from pictures.
        weight: a, the weight of the pictures; 0 adds nothing to the words.
        added: the classifier whose logits are added to those by words: a · pictures.
        temperature: the number to divide the sum of the logits by, > 0.
        sure: whether the gate is open: pictures may be taken without being asked for.
    """

    way: Way
    weight: float
    added: Linear
    temperature: float
    sure: bool


def blend(words: Floats, pictures: Labelled, scale: float) -> Blend:
    """Choose the way and the weight of the pictures, and return the blend.

    Args:
        words: the logits by words alone, float32 (n, C), of the n `pictures`.
        pictures: at least one labelled picture.
        scale: the CLIP's logit scale.
    """
    masks = list(left_out_in_turn(pictures))
    if not masks:
        temperature = best_temperature(words, pictures.labels)
        return Blend("logistic", 1.0, around_words(words, pictures, temperature), temperature, sure=False)
    numbers = np.concatenate([np.flatnonzero(mask) for mask in masks])
    rounds = np.repeat(np.arange(len(masks)), [np.count_nonzero(mask) for mask in masks])
    labels = pictures.labels[numbers]
    alone: dict[Way, Doubles] = {}
    for way in WAYS:
        if (held := _held(way, pictures, masks, scale)) is not None:
            alone[way] = held
    choices = [(a, way) for a in WEIGHTS for way in alone]  # of equal losses the first counts: the smallest weight

    def logits_of(choice: int) -> Floats:
        a, way = choices[choice]
        return np.asarray(words[numbers] + a * alone[way], dtype=np.float32)

    hits = np.empty((len(choices), len(labels)), dtype=bool)
    losses = np.empty((len(choices), len(TEMPERATURES), len(labels)))
    for choice in range(len(choices)):
        logits = logits_of(choice)
        hits[choice] = _hits(logits, labels)
        losses[choice] = [cross_entropies(logits, labels, temperature) for temperature in TEMPERATURES]
    best, anew = _lowest(losses), 0
    for one in range(len(masks)):
        anew += int(hits[_lowest(losses[:, :, rounds != one]), rounds == one].sum())
    a, way = choices[best]
    temperature = matched_temperature(logits_of(best), expected_accuracy(anew, len(labels), pictures.classes))
    stayed = 1 - len(labels) / (len(masks) * len(pictures.labels))  # the share that a round learns from
    return Blend(
        way,
        a,
        _whole(way, a, pictures, scale),
        round(temperature * stayed**0.5, 4),
        sure=_tell_classes_apart(pictures, numbers, [_hits(logits, labels) for logits in alone.values()]),
    )


def _lowest(losses: Doubles) -> int:
    """Return the choice with the lowest mean loss at its best temperature.

    `losses` are (choices, temperatures, m) for the m left-out pictures.
    """
    return int(losses.mean(axis=2).min(axis=1).argmin())


def _tell_classes_apart(pictures: Labelled, numbers: Numbers, hits: Sequence[Any]) -> bool:
    """Whether the gate is open; see the head of this file.

    Args:
        pictures: the labelled pictures.
        numbers: the numbers of the left-out pictures, (m,).
        hits: for each way without words, whether it names each left-out picture rightly: bool (m,).
    """
    from scipy.stats import binom

    places, counts = _places(pictures)
    if np.median(counts) < FEWEST:
        return False
    labels = pictures.labels[numbers]
    one_each = np.unique(np.stack([labels, places[numbers]]), axis=1, return_index=True)[1]  # variants are no trials
    n = len(one_each)
    share = np.bincount(labels[one_each]).max() / n
    most = max(int(right[one_each].sum()) for right in hits)
    return bool(binom.sf(most - 1, n, share) <= CHANCE)


def _hits(logits: Any, labels: Numbers) -> Any:
    return logits.argmax(axis=1) == labels


def _held(way: Way, pictures: Labelled, masks: Sequence[Any], scale: float) -> Doubles | None:
    """Return the logits of the left-out pictures, mask after mask: float64 (m, C).

    For each mask a classifier is learnt from the pictures that stay. Return None if one of them cannot be learnt. The
    logits of the discriminant shrink as one over the number of pictures. So they are scaled to the number of all.
    """
    found = []
    for mask in masks:
        learnt = from_pictures(way, pictures.some(~mask), scale)
        if learnt is None:
            return None
        shrunk = np.mean(~mask) if way == "discriminant" else 1.0
        found.append(shrunk * learnt.logits(pictures.features[mask]))
    return np.concatenate(found)


def _whole(way: Way, weight: float, pictures: Labelled, scale: float) -> Linear:
    found = from_pictures(way, pictures, scale)
    assert found is not None  # the way could learn from fewer pictures
    return Linear(weight * found.rows, weight * found.bias)
