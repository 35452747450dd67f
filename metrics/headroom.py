"""Can words gain anything? Three figures on a few labelled pictures, and a verdict from them.

- *Guesses*: how many equally frequent classes the initial template's guesses amount to (labels only weigh the classes).
- *Accuracy*: the accuracy of the initial template, compared with that of the nearest class mean of the other pictures,
  which uses no words.
- *Words*: how much the best phrase of a fixed vocabulary gains. The phrase is chosen on some pictures, and its gain is
  measured on others.

The verdict rests on the third figure; accuracies show what a phrase cannot do. In a measurement on 121 shifts of the
shipped clean pictures, the third figure alone ranked the shifts by the gain of words on other pictures (Spearman 0.62;
`ipo docs why-seldom`, from `benchmarks/headroom.py`). The number of guessed classes did not (-0.01): if few classes are
guessed, this shows a bias between classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Doubles
from ipo_prompts.metrics.classification import (
    SLIGHT,
    ClipReward,
    EncodedPictures,
    guessed,
    nearest_class_mean,
    scores_accuracy,
)
from ipo_prompts.metrics.evidence import Crossed, paired_effect
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Numbers, Sampling, mean_interval
from ipo_prompts.metrics.verdict import Figure, Headroom, score_interval

FOLDS = 5
"""How many parts the pictures are dealt into, as for choosing a winner.

Each part measures the phrase that was chosen on the other parts.
"""
LITTLE = 0.05
"""The gain below which a gain counts as little: the sealed test of the default job (272 pictures) seldom shows it."""

Hits = npt.NDArray[Any]
"""The contribution of each picture to the value, (n,); bool if a picture is either right or wrong."""


def headroom(
    reward: ClipReward, scores: Sequence[Score], pictures: EncodedPictures, of_classes: int | None = None
) -> Headroom:
    """Return the three figures and the verdict for labelled pictures, before a search.

    Args:
        reward: the reward that judges the pictures; its values are fractions.
        scores: the score of the initial template, then the scores of T phrases, all on these pictures.
        pictures: n base pictures, at least two, of C classes.
        of_classes: the number of all classes, if the pictures have only some of them.
    """
    truth, initial = pictures.labels, scores[0]
    classes = len(reward.names_in(pictures))
    sampling = Sampling.of(len(truth), truth.tolist())
    near, gains = nearest_class_mean(reward, pictures), cross_fitted_gains(scores, truth)
    class_mean = None if near is None else _value(near, sampling)
    difference = None if near is None else _difference(near - initial.hits.astype(np.float64), sampling)
    words = None if gains is None else _difference(gains, sampling)
    guessing = guessed(reward, pictures)
    chance = guessing if scores_accuracy(reward) else None
    return Headroom(
        outcome=outlook(chance, _value(initial.hits, sampling), class_mean, difference, words),
        pictures=len(truth),
        classes=classes,
        of_classes=of_classes or classes,
        phrases=len(scores) - 1,
        guessing=guessing,
        guessed=guessed_classes(initial.predictions, truth, classes),
        initial=_value(initial.hits, sampling),
        class_mean=class_mean,
        difference=difference,
        words=words,
    )


def outlook(
    guessing: float | None, initial: Figure, class_mean: Figure | None, difference: Figure | None, words: Figure | None
) -> str:
    """Return the verdict: "near guessing", "likely", "little" or "cannot tell".

    An interval that contains 0 shows no gain. "little" needs two figures: `words` and `difference`. `guessing` is None
    if the figures are not accuracies: by a measure such as calibration, guessing may be perfect.
    """
    highest = max(figure.ci95[1] for figure in (initial, class_mean) if figure)
    if guessing is not None and (highest - guessing) / (1 - guessing) < SLIGHT:
        return "near guessing"
    if words and words.ci95[0] > 0:
        return "likely"
    if words and words.ci95[1] < LITTLE and difference and difference.ci95[0] <= 0:
        return "little"
    return "cannot tell"


def guessed_classes(guesses: Sequence[int] | Numbers, truth: Sequence[int] | Numbers, classes: int) -> Figure:
    """Return how many equally frequent classes the guesses amount to, from 1 to `classes`.

    The number is 1 / p, where p is the chance that two different pictures get the same guess (the inverse Simpson
    index; Hill's 1973 number of order 2). A picture makes no pair with itself, so that few pictures do not look like
    few classes; only a picture that is alone in its class is paired with itself. If all guesses are right, the result
    is the number of classes. Among many classes the result falls as the share of the most frequent guesses grows; among
    three classes it still says something. The interval is computed from an interval of p, to first order. It is too
    narrow if guesses are spread evenly.

    Args:
        guesses: the guessed class of each picture, length n.
        truth: the true class of each picture, length n.
        classes: the number of classes that could be guessed.

    >>> guessed_classes([0, 0, 1, 1], [0, 0, 1, 1], 2).value, guessed_classes([1, 1, 1, 1], [0, 0, 1, 1], 2).value
    (2.0, 1.0)
    """
    told, true = np.asarray(guesses, dtype=np.int64), np.asarray(truth, dtype=np.int64)
    shares = np.bincount(told, minlength=classes) / len(told)
    same = float(shares @ shares)
    for label in np.unique(true):
        own = np.bincount(told[true == label], minlength=classes)
        size = int(own.sum())
        if size > 1:  # pairs within a class, without those of a picture with itself
            same += float(own @ (own - 1) / (size * (size - 1)) - own @ own / size**2) * (size / len(told)) ** 2
    same = min(1.0, max(1 / classes, same))
    low, high = mean_interval(2 * shares[told], Sampling.of(len(told), true.tolist()))
    half = (high - low) / 2
    return Figure(value=1 / same, ci95=(1 / min(1.0, same + half), 1 / max(1 / classes, same - half)))


def cross_fitted_gains(scores: Sequence[Score], truth: Numbers) -> Doubles | None:
    """Return the gain of the best later template over the first template on each picture: float64 (n,).

    Pictures are dealt into folds, one class after the other. On the pictures of a fold, the best template is the one
    that is best on the other folds (highest value, then least loss). So no template looks good only because it was
    lucky. Return None if there is no second score, or if there are fewer pictures than folds.
    """
    if len(scores) < 2 or len(truth) < FOLDS:
        return None
    fold = np.empty(len(truth), dtype=np.int64)
    fold[np.argsort(truth, kind="stable")] = np.arange(len(truth)) % FOLDS
    values, all_losses = np.stack([score.hits for score in scores]), np.stack([score.losses for score in scores])
    gains = np.zeros(len(truth))
    for k in range(FOLDS):
        held = fold == k
        hits, losses = values[1:, ~held].mean(axis=1), all_losses[1:, ~held].mean(axis=1)
        best = 1 + int(np.lexsort((losses, -hits))[0])
        gains[held] = values[best, held].astype(np.float64) - values[0, held]
    return gains


def _value(hits: Hits, sampling: Sampling) -> Figure:
    low, high = score_interval(hits, sampling)
    return Figure(value=hits.mean(), ci95=(low, high))


def _difference(values: Doubles, sampling: Sampling) -> Figure:
    effect = paired_effect([Crossed(values[None], sampling)]).these
    return Figure(value=effect.mean, ci95=(max(-1.0, effect.low), min(1.0, effect.high)))
