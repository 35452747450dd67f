"""Images beside words, by numbers worked by hand, and on images made so that one way must win."""

from __future__ import annotations

import numpy as np
import pytest

from ipo_prompts.metrics.blend import (
    MOST_ROUNDS,
    PENALTY,
    TEMPERATURES,
    WEIGHTS,
    Blend,
    Labelled,
    Moments,
    Words,
    around_words,
    blend,
    left_out_in_turn,
)
from ipo_prompts.metrics.calibration import cross_entropies, expected_accuracy, softmax

LABELS = np.array([0, 0, 1, 1])
# Means (0.8, 0) and (0, 0.7); scatter diag(2 · 0.2², 2 · 0.3²) = diag(0.08, 0.18), trace 0.26, ridge 0.26 / 3.
FEATURES = np.array([[1.0, 0], [0.6, 0], [0, 1], [0, 0.4]], dtype=np.float32)


def test_the_discriminant_by_hand() -> None:
    found = Moments.of(Labelled(FEATURES, LABELS, 2)).discriminant()
    assert found is not None
    a, b = 2 / (0.08 + 0.26 / 3), 2 / (0.18 + 0.26 / 3)
    rows = np.array([[a * 0.8, 0], [0, b * 0.7]])
    bias = np.array([-0.5 * a * 0.8**2, -0.5 * b * 0.7**2])
    assert found.rows == pytest.approx(rows - rows.mean(axis=0), rel=1e-5)
    assert found.bias == pytest.approx(bias - bias.mean(), rel=1e-5)


def test_the_class_mean_by_hand_and_a_class_without_images() -> None:
    found = Moments.of(Labelled(FEATURES, LABELS, 3)).prototypes()
    assert found.rows == pytest.approx(np.array([[1, 0], [0, 1], [0, 0]]))
    assert found.bias.tolist() == [0, 0, 0]


def test_one_base_image_of_each_class_is_left_out_at_a_time() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    groups = ["a", "a", "b", "c", "d", "e", "f", "g"]
    masks = [
        np.flatnonzero(mask).tolist()
        for mask in left_out_in_turn(Labelled(np.eye(8, dtype=np.float32), labels, 3, groups))
    ]
    assert masks == [[0, 1, 4], [2, 5], [3, 6]], "variants go together, and the only image of a class stays"


def test_of_two_images_a_class_every_second_class_keeps_both() -> None:
    masks = [np.flatnonzero(mask).tolist() for mask in left_out_in_turn(Labelled(FEATURES, LABELS, 2))]
    assert masks == [[0], [2], [1], [3]]


def made(per_class: int, classes: int = 8, width: int = 24, noise: float = 0.15) -> tuple[Labelled, np.ndarray]:
    """Return images around orthogonal means, with noise that all classes share along one direction."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), per_class)
    shared = rng.standard_normal((len(labels), 1)) * np.linspace(-1, 1, width)
    points = np.eye(classes, width)[labels] + noise * rng.standard_normal((len(labels), width)) + shared
    features = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return Labelled(features, labels, classes), np.eye(classes)[labels].astype(np.float32)


def by_words(images: Labelled, logits: np.ndarray) -> Words:
    """Words that give each of these images, told by its feature, its logits."""
    known = {tuple(row.tolist()): given for row, given in zip(images.features, logits, strict=True)}
    return lambda features: np.array([known[tuple(row.tolist())] for row in features], dtype=np.float32)


def test_words_that_know_better_stay_alone_and_images_that_do_outweigh_words() -> None:
    images, right = made(4, noise=0.3)
    shuffled = Labelled(images.features, np.random.default_rng(1).permutation(images.labels), 8)
    words = 5 * np.eye(8, dtype=np.float32)[shuffled.labels]
    assert blend(by_words(shuffled, words), shuffled).weight < 1, "labels at random: only the words know them"
    assert blend(by_words(images, -5 * right), images).weight > 1, "words that are always wrong"


def test_one_image_a_class_is_learnt_around_the_words() -> None:
    images, right = made(1)
    found = blend(by_words(images, right), images)
    assert (found.weight, found.loss, found.sure) == (1.0, 0.0, False)
    logits = (right + found.added.logits(images.features)) / found.temperature
    # Where the loss is lowest, the penalty on each row is the sum of what its images still lack.
    lacks = (np.eye(8)[images.labels] - softmax(logits.astype(np.float32))).T @ images.features / 8
    assert found.added.rows / found.temperature == pytest.approx(lacks / PENALTY, abs=0.05)


def test_two_images_a_class_are_learnt_around_the_words_or_not_at_all() -> None:
    images, right = made(2)
    helped = blend(by_words(images, 0 * right), images)
    assert helped.weight == 1 and helped.sure
    learnt = around_words(by_words(images, 0 * right), images)
    assert helped.added.rows == pytest.approx(learnt.rows)
    assert helped.alone.rows == pytest.approx(Moments.of(images).prototypes().rows), (
        "without words, no covariance is learnt"
    )
    shuffled = Labelled(images.features, np.random.default_rng(1).permutation(images.labels), 8)
    words = 9 * np.eye(8, dtype=np.float32)[shuffled.labels]
    assert blend(by_words(shuffled, words), shuffled).weight == 0


def left_out(images: Labelled) -> tuple[list[np.ndarray], np.ndarray]:
    """The images of each round, and their logits by those that stay, as if there were as many of these as of all."""
    masks, found = list(left_out_in_turn(images)), []
    for mask in masks:
        learnt = Moments.of(images.teaching(~mask)).discriminant()
        assert learnt is not None
        found.append((~mask).sum() / len(mask) * learnt.logits(images.features[mask]))
    return [np.flatnonzero(mask) for mask in masks], np.concatenate(found)


def noisy(seed: int) -> tuple[np.ndarray, Labelled]:
    images, right = made(6, noise=0.4)
    return (right + np.random.default_rng(seed).normal(size=right.shape)).astype(np.float32), images


def tried(words: np.ndarray, images: Labelled) -> tuple[list[np.ndarray], dict[float, np.ndarray]]:
    """The images of each round, and the logits of the left-out images for each weight."""
    rounds, alone = left_out(images)
    return rounds, {a: (words[np.concatenate(rounds)] + a * alone).astype(np.float32) for a in WEIGHTS}


def losses_of(logits: dict[float, np.ndarray], labels: np.ndarray) -> dict[float, float]:
    """The loss at the best temperature of those that are tried."""
    return {
        a: min(float(cross_entropies(found, labels, temperature).mean()) for temperature in TEMPERATURES)
        for a, found in logits.items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_weight_of_the_lowest_loss_is_taken(seed: int) -> None:
    words, images = noisy(seed)
    found = blend(by_words(images, words), images)
    rounds, logits = tried(words, images)
    losses = losses_of(logits, images.labels[np.concatenate(rounds)])
    assert losses[found.weight] == min(losses.values()) == pytest.approx(found.loss, rel=1e-5)
    assert found.added.rows == pytest.approx(found.weight * found.alone.rows)


@pytest.mark.parametrize("seed", range(4))
def test_the_blend_is_as_sure_as_the_choice_made_anew_is_right(seed: int) -> None:
    words, images = noisy(seed)
    found = blend(by_words(images, words), images)
    rounds, logits = tried(words, images)
    order, hits, start = np.concatenate(rounds), 0, 0
    for numbers in rounds:
        of = np.arange(len(order)) - start
        apart = (of < 0) | (of >= len(numbers))
        losses = losses_of({a: rows[apart] for a, rows in logits.items()}, images.labels[order][apart])
        best = logits[min(losses, key=lambda a: losses[a])]
        hits += int((best.argmax(axis=1) == images.labels[order])[~apart].sum())
        start += len(numbers)
    of_a_round = found.temperature / np.sqrt(5 / 6)  # five images of each class, and six are kept
    sure = softmax(logits[found.weight], of_a_round).max(axis=1).mean()
    assert sure == pytest.approx(expected_accuracy(hits, 48, 8), abs=1e-3)


def test_views_teach_and_never_judge() -> None:
    images, right = made(4, noise=0.3)
    rng = np.random.default_rng(3)
    near = images.features[:, None] + 0.05 * rng.standard_normal((32, 2, 24)).astype(np.float32)
    views = near / np.linalg.norm(near, axis=2, keepdims=True)
    seen = Labelled(images.features, images.labels, 8, views=views)
    taught = seen.teaching(images.labels < 2)
    assert taught.features.shape == (24, 24) and np.bincount(taught.labels).tolist() == [12, 12]
    assert taught.features[8:10] == pytest.approx(views[0]), "the views of the first image, with its label"
    words = by_words(seen, right)  # knows no view: a view that judged would raise a KeyError
    alone = Moments.of(seen.teaching()).discriminant()
    found = blend(words, seen)
    assert alone is not None and found.alone.rows == pytest.approx(alone.rows)
    assert found.loss != blend(words, images).loss


def gated(images: Labelled) -> Blend:
    return blend(lambda features: np.zeros((len(features), images.classes), dtype=np.float32), images)


def test_the_gate_opens_for_images_that_tell_the_classes_apart() -> None:
    assert gated(made(4)[0]).sure and gated(made(2)[0]).sure
    assert not gated(made(1)[0]).sure, "one of a class is too few: none can be left out"
    images, _ = made(6)
    groups = [f"image {i // 6}" for i in range(48)]
    assert not gated(Labelled(images.features, images.labels, 8, groups)).sure, "variants of one base image"


@pytest.mark.parametrize("sizes", [[6] * 8, [2] * 8, [1, 2, 3, 4, 4, 4, 6, 24]], ids=["even", "two", "imbalanced"])
def test_the_gate_stays_shut_on_shuffled_labels(sizes: list[int]) -> None:
    labels, rng = np.repeat(np.arange(8), sizes), np.random.default_rng(2)
    points = np.eye(8, 24)[labels] + 0.3 * rng.standard_normal((len(labels), 24))
    features = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    assert gated(Labelled(features, labels, 8)).sure
    assert sum(gated(Labelled(features, rng.permutation(labels), 8)).sure for _ in range(20)) <= 1


def test_a_class_without_images_has_nothing_of_the_discriminant_either() -> None:
    found, two = (Moments.of(Labelled(FEATURES, LABELS, classes)).discriminant() for classes in (3, 2))
    assert found is not None and two is not None
    assert found.rows.tolist() == [*two.rows.tolist(), [0, 0]]
    assert found.bias.tolist() == [*two.bias.tolist(), 0]


def test_images_of_a_class_that_do_not_differ_teach_no_discriminant() -> None:
    assert Moments.of(Labelled(np.eye(2, dtype=np.float32)[LABELS], LABELS, 2)).discriminant() is None


def test_of_many_images_several_are_left_out_together() -> None:
    labels = np.repeat([0, 1], 40)
    masks = list(left_out_in_turn(Labelled(np.zeros((80, 2), dtype=np.float32), labels, 2)))
    assert len(masks) == MOST_ROUNDS
    assert np.sum(masks, axis=0).tolist() == [1] * 80
