"""Pictures beside words, by numbers worked by hand, and on pictures made so that one way must win."""

from __future__ import annotations

import numpy as np
import pytest

from ipo_prompts.metrics.blend import Kept, Labelled, blend, from_pictures, left_out_in_turn
from ipo_prompts.metrics.errors import InputError

LABELS = np.array([0, 0, 1, 1])
# Means (0.8, 0) and (0, 0.7); scatter diag(2 · 0.2², 2 · 0.3²) = diag(0.08, 0.18), trace 0.26, ridge 0.26 / 3.
FEATURES = np.array([[1.0, 0], [0.6, 0], [0, 1], [0, 0.4]], dtype=np.float32)


def test_the_discriminant_by_hand() -> None:
    found = from_pictures("discriminant", Labelled(FEATURES, LABELS, 2), 100.0)
    assert found is not None
    a, b = 2 / (0.08 + 0.26 / 3), 2 / (0.18 + 0.26 / 3)
    rows = np.array([[a * 0.8, 0], [0, b * 0.7]])
    bias = np.array([-0.5 * a * 0.8**2, -0.5 * b * 0.7**2])
    assert found.rows == pytest.approx(rows - rows.mean(axis=0), rel=1e-5)
    assert found.bias == pytest.approx(bias - bias.mean(), rel=1e-5)


def test_the_class_mean_by_hand_and_a_class_without_pictures() -> None:
    found = from_pictures("class mean", Labelled(FEATURES, LABELS, 3), 100.0)
    assert found is not None
    assert found.rows == pytest.approx(np.array([[50, -50], [-50, 50], [0, 0]]))
    assert found.bias.tolist() == [0, 0, 0]


def test_one_base_picture_of_each_class_is_left_out_at_a_time() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    groups = ["a", "a", "b", "c", "d", "e", "f", "g"]
    masks = [
        np.flatnonzero(mask).tolist()
        for mask in left_out_in_turn(Labelled(np.eye(8, dtype=np.float32), labels, 3, groups))
    ]
    assert masks == [[0, 1, 4], [2, 5], [3, 6]], "variants go together, and the only picture of a class stays"


def test_of_two_pictures_a_class_every_second_class_keeps_both() -> None:
    masks = [np.flatnonzero(mask).tolist() for mask in left_out_in_turn(Labelled(FEATURES, LABELS, 2))]
    assert masks == [[0], [2], [1], [3]]


def made(per_class: int, classes: int = 8, width: int = 24, noise: float = 0.15) -> tuple[Labelled, np.ndarray]:
    """Return pictures around orthogonal means, with noise that all classes share along one direction."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), per_class)
    shared = rng.standard_normal((len(labels), 1)) * np.linspace(-1, 1, width)
    points = np.eye(classes, width)[labels] + noise * rng.standard_normal((len(labels), width)) + shared
    features = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return Labelled(features, labels, classes), np.eye(classes)[labels].astype(np.float32)


def test_the_discriminant_is_chosen_where_classes_share_their_noise() -> None:
    pictures, _ = made(6)
    found = blend(np.zeros((48, 8), dtype=np.float32), pictures, 10.0)
    assert (found.way, found.alone) == ("discriminant", "discriminant")
    assert found.held is not None and sorted(found.held[2].tolist()) == list(range(48))


def test_words_that_know_better_stay_alone_and_pictures_that_do_outweigh_words() -> None:
    pictures, right = made(4, noise=0.3)
    shuffled = Labelled(pictures.features, np.random.default_rng(1).permutation(pictures.labels), 8)
    words = 5 * np.eye(8, dtype=np.float32)[shuffled.labels]
    assert blend(words, shuffled, 10.0).weight < 1, "labels at random: only the words know them"
    assert blend(-5 * right, pictures, 10.0).weight > 1, "words that are always wrong"


def test_one_picture_a_class_is_added_once_as_a_unit_mean() -> None:
    pictures, right = made(1)
    found = blend(right, pictures, 10.0)
    assert (found.way, found.weight, found.held) == ("class mean", 1.0, None)
    assert found.added.rows == pytest.approx(10 * (pictures.features - pictures.features.mean(axis=0)), abs=1e-5)


def test_what_is_kept_comes_back_and_damage_is_refused() -> None:
    pictures, right = made(4)
    found = blend(right, pictures, 10.0)
    kept = Kept.of(found, 10.0, ())
    assert kept.matrix(8, 24) == pytest.approx(found.added.rows / 10, rel=1e-5)
    for damaged in (kept.model_copy(update={"rows": "AAAA"}), kept.model_copy(update={"rows": "no base64"})):
        with pytest.raises(InputError, match="optimise again"):
            damaged.matrix(8, 24)
