"""Words and images: what labelled images add to the class embeddings of a template, and with which weight.

A few images of each class give logits in one of two ways. Both are linear in an image's unit feature f:

- the discriminant, if the median class has three base images: `f · Wμ - ½ μ·Wμ`. μ is the mean feature of the
  class. W is the inverse of a covariance that all classes share. With few images the covariance is shrunk: W = D (S
  + tr(S)/(N-1) I)⁻¹, where S is the scatter of N images around the means of their classes and D is the length of
  features (Kubokawa & Srivastava 2008). All classes have the same prior. The shrinking and the prior are as in Wang
  et al., "A Hard-to-Beat Baseline for Training-Free CLIP-Based Adaptation" (ICLR 2024, "GDA"). A class without
  images is judged by its text alone. To place it where classes stand on average, the mean over classes is
  subtracted.
- logistic regression around the words, with fewer images: `f · V`, where V is as small as it can be while words and
  V together name the images (a penalty of `PENALTY` on the square of V). With one or two images a class, no
  covariance can be told.

The blend is `words + a · images`: the logits by text, plus a times the logits by images. Views of a labelled
image, such as its mirror image, teach beside the image, but never judge.

The weight a is chosen on left-out images: each round leaves out one base image of each class, and the others judge
it. The weight with the lowest loss at its best temperature wins. With one image a class none can be left out; then
a = 1, and the temperature is that of the words.

Nobody has to ask for images, so they are taken only where they are sure to tell the classes apart: the gate is open
if the median class has `FEWEST` base images, and images without words name left-out images better than the share
of the largest class would. On shuffled labels they do not.

The temperature makes the mean confidence of left-out images equal to the accuracy of the choice made anew: for the
images of a round, the weight is chosen without this round. Otherwise the choice would look better than it is. All
images together are more accurate than the share s of them that a round learns from. If nothing but the means were
noisy, the temperature would fall to s times; if they were not noisy, it would stay. It is set to √s times.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ipo_prompts.metrics.arrays import Doubles, Floats, spread
from ipo_prompts.metrics.calibration import (
    BOUNDS,
    best_temperature,
    expected_accuracy,
    matched_temperature,
)
from ipo_prompts.metrics.sampling import Numbers

WEIGHTS = (0.0, *(2.0**power for power in range(-6, 7)))
"""The weights a that are tried; 0 adds nothing to the words."""
MOST_ROUNDS = 16
"""The most rounds of leaving images out. If a class has more images, a round leaves out several of them."""
JUDGES = 4_000
"""The most left-out images that judge; of more, an evenly spread part does."""
TEMPERATURES = np.geomspace(*BOUNDS, 18)
"""The temperatures at which the losses of weights are compared, each about 1.4 times the one before."""
PENALTY = 0.003
"""The penalty on half the square of V, for a loss that is a mean over images."""
ITERATIONS = 60
FEW = 3
"""The fewest base images of the median class from which a covariance is learnt."""
FEWEST = 2
"""The gate: the fewest base images of the median class."""
CHANCE = 0.001
"""The gate: the largest p-value.

It is small because the better of two ways counts, and because images that look alike are named alike. At most 3 % of
runs on shipped images with shuffled labels passed it, and 6 % where the images of a class were nearly equal.
"""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier: logits are features @ rows.T + bias. `rows` is float64 (C, D), `bias` is float64 (C,)."""

    rows: Doubles
    bias: Doubles

    def logits(self, features: Floats | Doubles) -> Doubles:
        """Return the logits of each image: float64 (n, C). `features` are (n, D), unit rows."""
        return np.asarray(features @ self.rows.T + self.bias, dtype=np.float64)

    def times(self, weight: float) -> Linear:
        """Return the classifier whose logits are `weight` times as large."""
        return Linear(weight * self.rows, weight * self.bias)

    def centred(self, present: Numbers) -> Linear:
        """Return the classifier less its mean over the classes that have images; the other classes get 0.

        `present` has the numbers of the classes that have images. After the subtraction their mean is 0, too.
        """
        rows, bias = np.zeros_like(self.rows), np.zeros_like(self.bias)
        rows[present] = self.rows[present] - self.rows[present].mean(axis=0)
        bias[present] = self.bias[present] - self.bias[present].mean()
        return Linear(rows, bias)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled images that a classifier learns from.

    Attributes:
        features: the feature of each image, (n, D), unit rows.
        labels: the number of each image's class, int64 (n,).
        classes: the number of classes; some may have no image.
        groups: a name for each image's base image, length n; variants of one base image have the same name.
            None where no image is a variant.
        views: the features of V further views of each image, (n, V, D), unit rows; None if there are none.
    """

    features: Floats
    labels: Numbers
    classes: int
    groups: Sequence[Hashable] | None = None
    views: Floats | None = None

    def teaching(self, chosen: Any = ...) -> Labelled:
        """Return the images where the mask `chosen`, bool (n,), is true, with their views as further images."""
        features, labels = self.features[chosen], self.labels[chosen]
        if self.views is not None:
            views = self.views[chosen]
            features = np.concatenate([features, views.reshape(-1, features.shape[1])])
            labels = np.concatenate([labels, np.repeat(labels, views.shape[1])])
        return Labelled(features, labels, self.classes)


Words = Callable[[Floats], Floats]
"""A function that returns the logits by text, float32 (n, C), of features, float32 (n, D)."""


@dataclass(frozen=True, eq=False)
class Moments:
    """The sums over images that classifiers are learnt from. The sums of some images can be taken away again.

    Attributes:
        sums: the sum of the features of each class, float64 (C, D).
        counts: the number of images of each class, (C,).
        squares: the sum of f fᵀ over all features f, float64 (D, D).
    """

    sums: Doubles
    counts: Numbers
    squares: Doubles

    @classmethod
    def of(cls, images: Labelled) -> Moments:
        """Return the sums over images."""
        features, order = images.features.astype(np.float64), images.labels.argsort(kind="stable")
        counts = np.bincount(images.labels, minlength=images.classes)
        sums, present = np.zeros((images.classes, features.shape[1])), np.flatnonzero(counts)
        sums[present] = np.add.reduceat(features[order], (counts.cumsum() - counts)[present])
        return cls(sums, counts, features.T @ features)

    def without(self, other: Moments) -> Moments:
        """Return the sums over these images without the images of `other`."""
        return Moments(self.sums - other.sums, self.counts - other.counts, self.squares - other.squares)

    def prototypes(self) -> Linear:
        """Return the classifier whose rows are the mean features of classes, scaled to length 1; 0 for no image."""
        norms = np.linalg.norm(self.sums, axis=1, keepdims=True)
        rows = np.where(self.counts[:, None] > 0, self.sums / np.where(norms > 0, norms, 1), 0)
        return Linear(rows, np.zeros(len(self.counts)))

    def discriminant(self) -> Linear | None:
        """Learn the discriminant; None if no class has two different images."""
        means = np.where(self.counts[:, None] > 0, self.sums / np.maximum(self.counts, 1)[:, None], 0)
        scatter = self.squares - self.sums.T @ means
        spread = float(np.trace(scatter))
        if spread < 1e-9:
            return None
        width = len(scatter)
        ridge = spread / (self.counts.sum() - 1)
        rows = np.asarray(width * np.linalg.solve(scatter + ridge * np.eye(width), means.T).T, dtype=np.float64)
        return Linear(rows, -0.5 * (rows * means).sum(axis=1)).centred(np.flatnonzero(self.counts))


def around_words(words: Words, images: Labelled) -> Linear:
    """Learn what logistic regression adds to the words, whose logits are first divided by their best temperature."""
    from scipy.optimize import minimize

    features, right = images.features.astype(np.float64), (np.arange(len(images.labels)), images.labels)
    logits = words(images.features)
    temperature = best_temperature(logits, images.labels)
    offset = logits.astype(np.float64) / temperature

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        rows = flat.reshape(images.classes, -1)
        logs = special.log_softmax(offset + features @ rows.T, axis=1)
        apart = np.exp(logs)
        apart[right] -= 1
        value = PENALTY / 2 * flat @ flat - logs[right].mean()
        return value, (apart.T @ features / len(features) + PENALTY * rows).ravel()

    start = np.zeros(images.classes * features.shape[1])
    rows = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return Linear(temperature * rows.reshape(images.classes, -1), np.zeros(images.classes))


def left_out_in_turn(images: Labelled) -> Iterator[Any]:
    """Yield a mask, bool (n,), for each round: true for the images that the round leaves out.

    A round leaves out one base image of each class that has at least two. If no class has three, only every second
    class takes part in a round, in turn. Otherwise no class would keep two images, and nothing would tell how
    images of a class differ.
    """
    places, counts = _places(images)
    several = counts[images.labels] > 1
    folds = places % MOST_ROUNDS
    if counts.max() == 2:
        folds = 2 * folds + images.labels % 2
    for fold in np.unique(folds[several]):
        yield several & (folds == fold)


def _places(images: Labelled) -> tuple[Numbers, Numbers]:
    """Number the base images within each class, from 0.

    Return two arrays: the number of each image's base image, (n,), and how many base images each class has, (C,).
    """
    counts, known = np.zeros(images.classes, dtype=np.int64), dict[tuple[int, Hashable], int]()
    groups = images.groups if images.groups is not None else range(len(images.labels))
    places = np.empty(len(images.labels), dtype=np.int64)
    for i, (label, group) in enumerate(zip(images.labels.tolist(), groups, strict=True)):
        if (label, group) not in known:
            known[label, group] = int(counts[label])
            counts[label] += 1
        places[i] = known[label, group]
    return places, counts


@dataclass(frozen=True, eq=False)
class Blend:
    """The chosen blend: what images add to the logits by text.

    Attributes:
        weight: a, the weight of the images; 0 adds nothing to the words.
        added: the classifier whose logits are added to those by words: a · images.
        alone: the classifier that the same images make without words: the discriminant, or class means where no
            covariance is learnt.
        temperature: the number to divide the sum of the logits by, > 0.
        loss: the mean loss of left-out images, in nats; 0 if none can be left out, or nothing was fitted.
        sure: whether the gate is open: images may be taken without being asked for.
    """

    weight: float
    added: Linear
    alone: Linear
    temperature: float
    loss: float
    sure: bool


def blend(words: Words, images: Labelled, *, gate: bool = False) -> Blend:
    """Choose the weight of the images, and return the blend.

    Args:
        words: see `Words`.
        images: at least one labelled image.
        gate: whether the images have to pass the gate; if they do not, their weight is 0 and nothing is fitted.
    """
    masks, taught = list(left_out_in_turn(images)), images.teaching()
    every = Moments.of(taught)
    if not masks:
        if gate:
            return _closed(every.prototypes())
        temperature = best_temperature(words(images.features), images.labels)
        return Blend(1.0, around_words(words, taught), every.prototypes(), temperature, loss=0.0, sure=False)
    places, counts = _places(images)
    staying = [every.without(Moments.of(images.teaching(mask))) for mask in masks]
    alone = [_left_out([one.prototypes() for one in staying], images, masks)]
    # The logits of the discriminant shrink as one over the number of images; they are scaled to that of all.
    found = zip(map(Moments.discriminant, staying), masks, strict=True)
    learnt = [one.times(float(np.mean(~mask))) for one, mask in found if one]
    if len(learnt) == len(masks):
        alone.append(_left_out(learnt, images, masks))
    whole = every.discriminant() if np.median(counts) >= FEW and len(alone) == 2 else None
    by_images = whole or every.prototypes()
    numbers = np.concatenate([np.flatnonzero(mask) for mask in masks])
    rounds = np.repeat(np.arange(len(masks)), [np.count_nonzero(mask) for mask in masks])
    judges = spread(len(numbers), JUDGES)
    numbers, rounds, alone = numbers[judges], rounds[judges], [logits[judges] for logits in alone]
    labels = images.labels[numbers]
    sure = bool(np.median(counts) >= FEWEST) and _beats_chance(alone, labels, places[numbers])
    if gate and not sure:
        return _closed(by_images)
    if whole:
        weights = WEIGHTS
        held = alone[1]
        added = whole
    else:
        weights = (0.0, 1.0)
        learnt = [around_words(words, images.teaching(~mask)) for mask in masks]
        held = _left_out(learnt, images, masks)[judges]
        added = around_words(words, taught)
    by_words = words(images.features[numbers])

    def logits_of(choice: int) -> Floats:
        return np.asarray(by_words + weights[choice] * held, dtype=np.float32)

    hits = np.empty((len(weights), len(labels)), dtype=bool)
    losses = np.empty((len(weights), len(TEMPERATURES), len(labels)))
    for choice in range(len(weights)):  # of equal losses the first counts: the smallest weight
        logits = logits_of(choice)
        hits[choice] = logits.argmax(axis=1) == labels
        losses[choice] = _at_all_temperatures(logits, labels)
    best, anew = _lowest(losses), 0
    for one in range(len(masks)):
        anew += int(hits[_lowest(losses[:, :, rounds != one]), rounds == one].sum())
    temperature = matched_temperature(logits_of(best), expected_accuracy(anew, len(labels), images.classes))
    stayed = 1 - float(np.mean(masks))  # the share that a round learns from
    a = weights[best]
    return Blend(
        a,
        added.times(a),
        by_images,
        round(temperature * stayed**0.5, 4),
        loss=float(losses[best].mean(axis=1).min()),
        sure=sure,
    )


def _closed(alone: Linear) -> Blend:
    """Return the blend of a closed gate; `alone` is the classifier by images alone."""
    return Blend(0.0, alone.times(0.0), alone, 1.0, loss=0.0, sure=False)


def _at_all_temperatures(logits: Floats, labels: Numbers) -> Doubles:
    """Return the losses of m images at each of `TEMPERATURES`, (temperatures, m), in nats, as exact as float32."""
    apart = logits - logits.max(axis=1, keepdims=True)
    right = apart[np.arange(len(labels)), labels]
    inverse = (1 / TEMPERATURES).astype(np.float32)
    sums = (np.exp(one * apart).sum(axis=1, dtype=np.float64) for one in inverse)
    return np.stack([np.log(total) - one * right for total, one in zip(sums, inverse, strict=True)])


def _lowest(losses: Doubles) -> int:
    """Return the choice with the lowest mean loss at its best temperature.

    `losses` are (choices, temperatures, m) for the m left-out images.
    """
    return int(losses.mean(axis=2).min(axis=1).argmin())


def _beats_chance(alone: Sequence[Doubles], labels: Numbers, places: Numbers) -> bool:
    """Whether images without words tell classes apart; see the head of this file.

    Args:
        alone: the logits of m left-out images in each way, (m, C).
        labels: their labels, (m,).
        places: the numbers of their base images within the class, (m,).
    """
    from scipy.stats import binom

    one_each = np.unique(np.stack([labels, places]), axis=1, return_index=True)[1]  # variants are no trials
    n = len(one_each)
    share = np.bincount(labels[one_each]).max() / n
    found = [logits[one_each].argmax(axis=1) == labels[one_each] for logits in alone]
    return bool(binom.sf(max(map(np.count_nonzero, found)) - 1, n, share) <= CHANCE)


def _left_out(learnt: Sequence[Linear], images: Labelled, masks: Sequence[Any]) -> Doubles:
    """Return the logits by images of the left-out images, mask after mask: float64 (m, C).

    `learnt` has the classifier that was learnt from the images that stay, for each mask.
    """
    return np.concatenate([one.logits(images.features[mask]) for one, mask in zip(learnt, masks, strict=True)])
