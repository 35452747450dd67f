"""Headroom by hand: what each figure is on a few vectors, and what they say together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.headroom import (
    Figure,
    Headroom,
    cross_fitted_gains,
    guessed_classes,
    headroom,
    nearest_class_mean,
    outlook,
)
from ipo_prompts.metrics.reward import Judged, Score


def at(*degrees: float) -> Any:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def reward(classes: int, logit_scale: float = 100.0) -> ClipReward:
    """The reward without a CLIP: only its scale and the number of classes count here."""
    made = object.__new__(ClipReward)
    made.clip = cast(Clip, SimpleNamespace(logit_scale=np.float32(logit_scale), logit_bias=0.0))
    made.class_names = tuple(f"class {i}" for i in range(classes))
    return made


def scored(hits: Any, losses: Any) -> list[Score]:
    return [Judged(h, loss).score("") for h, loss in zip(hits, losses, strict=True)]


def figure(value: float, low: float, high: float) -> Figure:
    return Figure(value=value, ci95=(low, high))


@pytest.mark.parametrize(
    ("guesses", "truth", "classes", "expected"),
    [
        ([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], 3, 3.0),  # all right
        ([1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2], 3, 1.0),  # all one class
        ([0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2], 3, 9 / 5),  # a third and two thirds
        ([0, 0, 0, 1], [0, 0, 0, 1], 2, 1 / (9 / 16 + 1 / 16)),  # all right, of unequal classes
        ([0, 1], [0, 1], 2, 2.0),  # one picture a class
        # Each class once right, once taken for the next: no pair within a class agrees, and of the 4 pairs of two
        # classes 1 does: (3 * 0 + 6 / 4) / 9 is below 1/3, the least there can be.
        ([0, 1, 1, 2, 2, 0], [0, 0, 1, 1, 2, 2], 3, 3.0),
    ],
)
def test_guesses_amount_to_so_many_classes(guesses: Any, truth: Any, classes: int, expected: float) -> None:
    found = guessed_classes(guesses, truth, classes)
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert 1 <= found.ci95[0] <= found.value <= found.ci95[1] <= classes


def test_few_pictures_do_not_look_like_few_classes() -> None:
    """Guesses at random among 50 classes: the five most frequent of 150 take far more than a tenth, by luck."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(50), 3)
    found = [guessed_classes(rng.integers(0, 50, 150), truth, 50).value for _ in range(200)]
    top = [np.sort(np.bincount(rng.integers(0, 50, 150), minlength=50))[-5:].sum() / 150 for _ in range(200)]
    assert np.mean(top) > 0.18
    assert np.mean(found) > 45


def test_a_picture_is_not_part_of_its_own_class_mean() -> None:
    """The picture at 40 degrees is 40 from the other one of its class and 26 from the other mean, at 66."""
    found = nearest_class_mean(reward(2), EncodedPictures(at(0, 40, 52, 80), np.array([0, 0, 1, 1])))
    assert found is not None
    assert found.tolist() == [True, False, True, True]


def test_a_class_of_one_picture_has_no_mean_of_the_others() -> None:
    pictures = EncodedPictures(at(0, 10, 90), np.array([0, 0, 1]))
    assert nearest_class_mean(reward(2), pictures) is None


def test_the_luckiest_of_many_phrases_gains_nothing() -> None:
    """All are as good as the first: the best looks far better on the pictures that chose it, and is not."""
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(20), 3)
    lucky, fitted = [], []
    for _ in range(40):
        scores = scored(rng.random((101, 60)) < 0.5, rng.random((101, 60)))
        gains = cross_fitted_gains(scores, truth)
        assert gains is not None
        fitted.append(gains.mean())
        lucky.append(max(score.value for score in scores[1:]) - scores[0].value)
    assert np.mean(lucky) > 0.1
    assert abs(np.mean(fitted)) < 0.05


def test_a_phrase_that_helps_gains_what_it_gains() -> None:
    hits = np.array([[1, 0, 0, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0, 0, 1], [0] * 10], dtype=bool)
    gains = cross_fitted_gains(scored(hits, np.ones((3, 10))), np.array([0] * 5 + [1] * 5))
    assert gains is not None
    assert gains.tolist() == [0, 1, 1, 1, 1, 0, -1, 0, 0, 1]


def test_least_loss_decides_between_phrases_of_equal_hits() -> None:
    hits = np.array([[0] * 5, [1] * 5, [1] * 5], dtype=bool)
    hits[1, 0] = hits[2, 4] = False
    losses = np.stack([np.ones(5), np.full(5, 2.0), np.full(5, 0.5)])
    gains = cross_fitted_gains(scored(hits, losses), np.zeros(5, dtype=np.int64))
    assert gains is not None
    # The fold of the first picture sees the second row better (4 of 4 against 3); those in between break the tie.
    assert gains.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("hits", [np.zeros((1, 9), bool), np.zeros((3, 4), bool)])
def test_without_phrases_or_pictures_no_gain_is_told(hits: Any) -> None:
    assert cross_fitted_gains(scored(hits, np.zeros(hits.shape)), np.zeros(hits.shape[1], dtype=np.int64)) is None


GOOD, BAD = figure(0.6, 0.5, 0.7), figure(0.1, 0.05, 0.15)


@pytest.mark.parametrize(
    ("expected", "initial", "class_mean", "difference", "words"),
    [
        ("likely", BAD, GOOD, figure(0.5, 0.4, 0.6), figure(0.1, 0.02, 0.18)),
        ("likely", GOOD, None, None, figure(0.1, 0.02, 0.18)),
        ("little", GOOD, GOOD, figure(0.0, -0.1, 0.1), figure(0.01, -0.02, 0.04)),
        ("cannot tell", GOOD, GOOD, figure(0.0, -0.1, 0.1), figure(0.01, -0.08, 0.1)),  # more may be hidden
        ("cannot tell", BAD, GOOD, figure(0.5, 0.4, 0.6), figure(0.01, -0.02, 0.04)),  # there is room
        ("cannot tell", GOOD, None, None, figure(0.01, -0.02, 0.04)),
        ("cannot tell", GOOD, GOOD, figure(0.0, -0.1, 0.1), None),
        ("near guessing", BAD, BAD, figure(0.0, -0.1, 0.1), figure(0.05, 0.01, 0.09)),
        ("near guessing", BAD, None, None, None),
        ("cannot tell", figure(0.1, 0.0, 0.4), figure(0.1, 0.0, 0.4), figure(0.0, -0.1, 0.1), None),  # too few to say
    ],
)
def test_the_verdict(expected: str, initial: Figure, class_mean: Any, difference: Any, words: Any) -> None:
    assert outlook(0.02, initial, class_mean, difference, words) == expected


def looked(features: Any, labels: list[int], templates: list[Any], scale: float, of_classes: int = 2) -> Headroom:
    judges, pictures = reward(2, scale), EncodedPictures(features, np.array(labels))
    scores = judges.score_embeddings([""] * len(templates), templates, pictures)
    return headroom(judges, scores, pictures, of_classes)


def test_all_of_it_on_vectors() -> None:
    """Two classes, 12 pictures each; the initial template calls all of them the first, the phrase tells them apart."""
    rng = np.random.default_rng(2)
    features = at(*rng.normal(0, 5, 12), *rng.normal(60, 5, 12))
    found = looked(features, [0] * 12 + [1] * 12, [at(30, 150), at(0, 60)], 100.0, of_classes=9)
    assert (found.outcome, found.pictures, found.classes, found.of_classes, found.phrases) == ("likely", 24, 2, 9, 1)
    assert (found.guessing, found.guessed.value, found.initial.value) == (0.5, 1.0, 0.5)
    assert found.class_mean and found.difference and found.words
    assert (found.class_mean.value, found.difference.value, found.words.value) == (1.0, 0.5, 0.5)
    assert found.words.ci95[0] > 0.2
    assert found.verdict.startswith(
        "Words are likely to help: the best of 1 phrases, chosen on other pictures, gains +50"
    )
    assert "among 2 of 9 classes" in found.lines[1]


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]])
def test_the_edges_still_end_in_a_sentence_and_finite_numbers(labels: list[int]) -> None:
    features = at(*(10 * label + place for place, label in enumerate(labels)))
    for templates in ([at(0, 90)], [at(0, 90), at(90, 0), at(5, 5)]):
        found = looked(features, labels, templates, 10.0)
        numbers = [part for part in (found.guessed, found.initial, found.class_mean, found.words) if part]
        assert all(np.isfinite([one.value, *one.ci95]).all() for one in numbers)
        assert found.guessing == pytest.approx(max(labels.count(0), labels.count(1)) / len(labels), abs=1e-6)
        assert found.verdict.endswith(".") and all(found.lines)


def test_the_order_of_pictures_moves_no_gain() -> None:
    """Classes in turn or one after the other: folds hold the same pictures."""
    rng, truth = np.random.default_rng(3), np.repeat([0, 1], 10)
    hits, losses = rng.random((6, 20)) < 0.5, rng.random((6, 20))
    in_turn = np.arange(20).reshape(2, 10).T.ravel()
    apart = cross_fitted_gains(scored(hits, losses), truth)
    mixed = cross_fitted_gains(scored(hits[:, in_turn], losses[:, in_turn]), truth[in_turn])
    assert apart is not None and mixed is not None and apart.any()
    assert mixed.tolist() == apart[in_turn].tolist()


def test_a_class_without_any_picture_has_no_mean_either() -> None:
    pictures = EncodedPictures(at(0, 10, 80, 90), np.array([0, 0, 1, 1]))
    assert nearest_class_mean(reward(3), pictures) is None


def test_the_interval_of_guessed_classes_by_hand() -> None:
    """Of 40 pictures of one class 30 are guessed alike and 10: pairs agree in 960 of 1560, and to first order by twice
    the shares, 1.5 and 0.5."""
    found = guessed_classes([0] * 30 + [1] * 10, [0] * 40, 5)
    half = 2.022691 * np.std([1.5] * 30 + [0.5] * 10, ddof=1) / np.sqrt(40)  # t(39)
    same = 960 / 1560
    assert found.value == pytest.approx(1 / same, abs=1e-5)
    assert found.ci95 == pytest.approx((1 / (same + half), 1 / (same - half)), abs=1e-5)


def test_what_classes_differ_by_does_not_widen_the_gain_of_words() -> None:
    """All of one class is gained and nothing of the other: within classes only the two draws that are added vary."""
    found = looked(at(*[0] * 12, *[60] * 12), [0] * 12 + [1] * 12, [at(30, 150), at(0, 60)], 100.0)
    assert found.words is not None
    half = 2.073873 * np.sqrt(2 / 24**2)  # t(22)
    assert found.words.ci95 == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)


def test_only_an_accuracy_can_be_near_guessing() -> None:
    """All pictures are alike, so that nothing can name them."""

    class Other(ClipReward):
        def judge(self, logits: Any, pictures: EncodedPictures) -> Judged:
            return super().judge(logits, pictures)

    other = object.__new__(Other)
    vars(other).update(vars(reward(2)))
    pictures = EncodedPictures(at(*[0] * 400), np.repeat([0, 1], 200))
    outcomes = []
    for judges in (reward(2), other):
        scores = judges.score_embeddings([""] * 2, [at(0, 90)] * 2, pictures)
        outcomes.append(headroom(judges, scores, pictures).outcome)
    assert outcomes == ["near guessing", "little"]
