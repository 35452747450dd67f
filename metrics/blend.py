"""Words and pictures: what labelled pictures add to the class embeddings of a template, and with which weight.

A few pictures of each class give logits in one of two ways. Both are linear in a picture's unit feature f:

- the discriminant, if the median class has three base pictures: `f · Wμ - ½ μ·Wμ`. μ is the mean feature of the
  class. W is the inverse of a covariance that all classes share. With few pictures the covariance is shrunk: W = D (S
  + tr(S)/(N-1) I)⁻¹, where S is the scatter of N pictures around the means of their classes and D is the length of
  features (Kubokawa & Srivastava 2008). All classes have the same prior. The shrinking and the prior are as in Wang
  et al., "A Hard-to-Beat Baseline for Training-Free CLIP-Based Adaptation" (ICLR 2024, "GDA"). A class without
  pictures is judged by its words alone. To place it where classes stand on average, the mean over classes is
  subtracted.
- logistic regression around the words, with fewer pictures: `f · V`, where V is as small as it can be while words and
  V together name the pictures (a penalty of `PENALTY` on the square of V). With one or two pictures a class, no
  covariance can be told.

The blend is `words + a · pictures`: the logits by words, plus a times the logits by pictures. Views of a labelled
picture, such as its mirror image, teach beside the picture, but never judge.

The weight a is chosen on left-out pictures: each round leaves out one base picture of each class, and the others judge
it. The weight with the lowest loss at its best temperature wins. With one picture a class none can be left out; then
a = 1, and the temperature is that of the words.

Nobody has to ask for pictures, so they are taken only where they are sure to tell the classes apart: the gate is open
if the median class has `FEWEST` base pictures, and pictures without words name left-out pictures better than the share
of the largest class would. On shuffled labels they do not.

The temperature makes the mean confidence of left-out pictures equal to the accuracy of the choice made anew: for the
pictures of a round, the weight is chosen without this round. Otherwise the choice would look better than it is. All
pictures together are more accurate than the share s of them that a round learns from. If nothing but the means were
noisy, the temperature would fall to s times; if they were not noisy, it would stay. It is set to √s times.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

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

WEIGHTS = (0.0, *(2.0**power for power in range(-6, 7)))
"""The weights a that are tried; 0 adds nothing to the words."""
MOST_ROUNDS = 16
"""The most rounds of leaving pictures out. If a class has more pictures, a round leaves out several of them."""
TEMPERATURES = np.geomspace(*BOUNDS, 18)
"""The temperatures at which the losses of weights are compared, each about 1.4 times the one before."""
PENALTY = 0.003
"""The penalty on half the square of V, for a loss that is a mean over pictures."""
ITERATIONS = 60
FEW = 3
"""The fewest base pictures of the median class from which a covariance is learnt."""
FEWEST = 2
"""The gate: the fewest base pictures of the median class."""
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
        views: the features of V further views of each picture, (n, V, D), unit rows; None if there are none.
    """

    features: Floats
    labels: Numbers
    classes: int
    groups: Sequence[Hashable] | None = None
    views: Floats | None = None

    def teaching(self, chosen: Any = ...) -> Labelled:
        """Return the pictures where the mask `chosen`, bool (n,), is true, with their views as further pictures."""
        features, labels = self.features[chosen], self.labels[chosen]
        if self.views is not None:
            views = self.views[chosen]
            features = np.concatenate([features, views.reshape(-1, features.shape[1])])
            labels = np.concatenate([labels, np.repeat(labels, views.shape[1])])
        return Labelled(features, labels, self.classes)


Words = Callable[[Floats], Floats]
"""A function that returns the logits by words, float32 (n, C), of features, float32 (n, D)."""


Learn = Callable[[Labelled], Linear | None]
"""A way to learn a classifier from pictures."""


def class_means(pictures: Labelled) -> Linear:
    """Return the classifier whose rows are the mean features of classes, scaled to length 1; 0 for an empty class."""
    sums = np.zeros((pictures.classes, pictures.features.shape[1]))
    np.add.at(sums, pictures.labels, pictures.features)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return Linear(sums / np.where(norms > 0, norms, 1), np.zeros(pictures.classes))


def discriminant(pictures: Labelled) -> Linear | None:
    """Learn the discriminant from pictures; None if no class has two different pictures."""
    sums = np.zeros((pictures.classes, pictures.features.shape[1]))
    np.add.at(sums, pictures.labels, pictures.features)
    counts = np.bincount(pictures.labels, minlength=pictures.classes)
    means = sums / np.maximum(counts, 1)[:, None]
    apart = pictures.features - means[pictures.labels]
    scatter = apart.T @ apart
    spread = float(np.trace(scatter))
    if spread < 1e-9:
        return None
    width = len(scatter)
    ridge = spread / (len(pictures.labels) - 1)
    rows = np.asarray(width * np.linalg.solve(scatter + ridge * np.eye(width), means.T).T, dtype=np.float64)
    return Linear(rows, -0.5 * (rows * means).sum(axis=1)).centred(np.flatnonzero(counts))


def around_words(words: Words, pictures: Labelled) -> Linear:
    """Learn what logistic regression adds to the words, whose logits are first divided by their best temperature."""
    from scipy.optimize import minimize

    features, right = pictures.features.astype(np.float64), np.arange(len(pictures.labels))
    logits = words(pictures.features)
    temperature = best_temperature(logits, pictures.labels)
    offset = logits.astype(np.float64) / temperature

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        rows = flat.reshape(pictures.classes, -1)
        found = offset + features @ rows.T
        apart = softmax(found)
        value = cross_entropies(found, pictures.labels).mean() + PENALTY / 2 * flat @ flat
        apart[right, pictures.labels] -= 1
        return value, (apart.T @ features / len(right) + PENALTY * rows).ravel()

    start = np.zeros(pictures.classes * features.shape[1])
    rows = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
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
        weight: a, the weight of the pictures; 0 adds nothing to the words.
        added: the classifier whose logits are added to those by words: a · pictures.
        alone: the classifier that the same pictures make without words: the discriminant, or class means where no
            covariance is learnt.
        temperature: the number to divide the sum of the logits by, > 0.
        loss: the mean loss of left-out pictures, in nats; 0 if none can be left out.
        sure: whether the gate is open: pictures may be taken without being asked for.
    """

    weight: float
    added: Linear
    alone: Linear
    temperature: float
    loss: float
    sure: bool


def blend(words: Words, pictures: Labelled) -> Blend:
    """Choose the weight of the pictures, and return the blend.

    Args:
        words: see `Words`.
        pictures: at least one labelled picture.
    """
    masks, taught = list(left_out_in_turn(pictures)), pictures.teaching()
    if not masks:
        temperature = best_temperature(words(pictures.features), pictures.labels)
        return Blend(1.0, around_words(words, taught), class_means(taught), temperature, loss=0.0, sure=False)
    places, counts = _places(pictures)
    apart = _held(discriminant, pictures, masks)
    many = np.median(counts) >= FEW and apart is not None
    learn = discriminant if many else partial(around_words, words)
    weights = WEIGHTS if many else (0.0, 1.0)
    held = apart if many else _held(learn, pictures, masks)
    whole = learn(taught)
    assert held is not None and whole is not None  # what can learn from some of the pictures can learn from all
    alone = [logits for logits in (_held(class_means, pictures, masks), apart) if logits is not None]
    numbers = np.concatenate([np.flatnonzero(mask) for mask in masks])
    rounds = np.repeat(np.arange(len(masks)), [np.count_nonzero(mask) for mask in masks])
    labels, by_words = pictures.labels[numbers], words(pictures.features[numbers])

    def logits_of(choice: int) -> Floats:
        return np.asarray(by_words + weights[choice] * held, dtype=np.float32)

    hits = np.empty((len(weights), len(labels)), dtype=bool)
    losses = np.empty((len(weights), len(TEMPERATURES), len(labels)))
    for choice in range(len(weights)):  # of equal losses the first counts: the smallest weight
        logits = logits_of(choice)
        hits[choice] = logits.argmax(axis=1) == labels
        losses[choice] = [cross_entropies(logits, labels, temperature) for temperature in TEMPERATURES]
    best, anew = _lowest(losses), 0
    for one in range(len(masks)):
        anew += int(hits[_lowest(losses[:, :, rounds != one]), rounds == one].sum())
    temperature = matched_temperature(logits_of(best), expected_accuracy(anew, len(labels), pictures.classes))
    stayed = 1 - len(labels) / (len(masks) * len(pictures.labels))  # the share that a round learns from
    a = weights[best]
    return Blend(
        a,
        Linear(a * whole.rows, a * whole.bias),
        whole if many else class_means(taught),
        round(temperature * stayed**0.5, 4),
        loss=float(losses[best].mean(axis=1).min()),
        sure=bool(np.median(counts) >= FEWEST) and _beats_chance(alone, labels, places[numbers]),
    )


def _lowest(losses: Doubles) -> int:
    """Return the choice with the lowest mean loss at its best temperature.

    `losses` are (choices, temperatures, m) for the m left-out pictures.
    """
    return int(losses.mean(axis=2).min(axis=1).argmin())


def _beats_chance(alone: Sequence[Doubles], labels: Numbers, places: Numbers) -> bool:
    """Whether pictures without words tell classes apart; see the head of this file.

    Args:
        alone: the logits of m left-out pictures in each way, (m, C).
        labels: their labels, (m,).
        places: the numbers of their base pictures within the class, (m,).
    """
    from scipy.stats import binom

    one_each = np.unique(np.stack([labels, places]), axis=1, return_index=True)[1]  # variants are no trials
    n = len(one_each)
    share = np.bincount(labels[one_each]).max() / n
    found = [logits[one_each].argmax(axis=1) == labels[one_each] for logits in alone]
    return bool(binom.sf(max(map(np.count_nonzero, found)) - 1, n, share) <= CHANCE)


def _held(learn: Learn, pictures: Labelled, masks: Sequence[Any]) -> Doubles | None:
    """Return the logits by pictures of the left-out pictures, mask after mask: float64 (m, C).

    For each mask a classifier is learnt from the pictures that stay. Return None if one cannot be learnt. The logits of
    the discriminant shrink as one over the number of pictures. So they are scaled to the number of all.
    """
    found = []
    for mask in masks:
        learnt = learn(pictures.teaching(~mask))
        if learnt is None:
            return None
        share = np.mean(~mask) if learn is discriminant else 1.0
        found.append(share * learnt.logits(pictures.features[mask]))
    return np.concatenate(found)
