"""Offsets against plain NumPy: the mean feature taken off, and probabilities that are uniform on average."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, fitted_on, logits_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.offsets import (
    CentringOffsets,
    PriorOffsets,
    Refitted,
    class_weights,
    fitted,
    from_state,
    state_of,
    uniform_offsets,
)

BASELINE = "a photo of a <CLASS>."


@pytest.fixture(scope="module")
def reward(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> ClipReward:
    return ClipReward(clip, load_data("embedded", seed=0).class_names, FeatureStore(clip, tmp_path_factory.mktemp("c")))


@pytest.fixture(scope="module")
def pictures(reward: ClipReward) -> EncodedPictures:
    items = load_data("embedded", seed=0).test
    return reward.encode([item.picture for item in items], [item.label for item in items])


def test_mean_offsets_are_features_less_their_mean(reward: ClipReward, pictures: EncodedPictures) -> None:
    offsets = CentringOffsets.from_pictures(pictures.features)
    scored = reward.score([BASELINE], replace(pictures, offsets=offsets))[0]
    classes = reward.texts.encode([BASELINE], reward.class_names)[0].astype(np.float64)
    features = pictures.features.astype(np.float64)
    by_hand = reward.clip.logit_scale * (features - features.mean(axis=0)) @ classes.T + reward.clip.logit_bias
    highest = np.sort(by_hand, axis=1)
    clear = highest[:, -1] - highest[:, -2] > 1e-3
    assert scored.predictions[clear].tolist() == by_hand.argmax(axis=1)[clear].tolist() and clear.mean() > 0.9
    wanted = -np.log(softmax(by_hand.astype(np.float32))[np.arange(len(by_hand)), pictures.labels])
    np.testing.assert_allclose(scored.losses, wanted, atol=2e-3)
    assert scored.losses.tolist() != reward.score([BASELINE], pictures)[0].losses.tolist()


def test_the_mean_of_base_pictures_serves_new_classes(reward: ClipReward, pictures: EncodedPictures) -> None:
    half = len(reward.class_names) // 2
    base = pictures.labels < half
    offsets = CentringOffsets.from_pictures(pictures.features[base])
    new = ClipReward(reward.clip, reward.class_names[half:], reward.store)
    units = EncodedPictures(pictures.features[~base], pictures.labels[~base] - half, offsets=offsets)
    assert new.score([BASELINE], units)[0].n == (~base).sum()
    classes = reward.texts.encode([BASELINE], new.class_names)[0]
    wanted = -reward.clip.logit_scale * classes @ pictures.features[base].mean(axis=0)
    np.testing.assert_allclose(offsets.of(reward.clip, classes), wanted, atol=1e-4)


def test_a_prior_makes_all_classes_equally_probable(reward: ClipReward, pictures: EncodedPictures) -> None:
    classes = reward.texts.encode([BASELINE], reward.class_names)[0]
    prior = Refitted(pictures.features)
    plain = softmax(logits_of(reward.clip, pictures.features, classes)).mean(axis=0)
    numbers = prior.of(reward.clip, classes)
    found = softmax(logits_of(reward.clip, pictures.features, classes, numbers)).mean(axis=0)
    count = len(classes)
    assert np.abs(count * found - 1).max() < 1e-3 < np.abs(count * plain - 1).max()
    assert abs(numbers.mean()) < 1e-5
    some = pictures.part(range(0, len(pictures), 2))  # which have no say of their own
    scored = reward.score([BASELINE], replace(some, offsets=prior))[0]
    kept = reward.score([BASELINE], replace(some, offsets=prior.settled(reward.clip, classes)))[0]
    assert scored.losses.tolist() == kept.losses.tolist()


@pytest.mark.parametrize(
    ("n", "count", "scale"),
    [(408, 68, 20), (30, 100, 30), (400, 60, 100), (6, 3, 50), (1, 5, 10), (40, 1, 3)],
    ids=["usual", "fewer pictures than classes", "very sure", "three classes", "one picture", "one class"],
)
def test_a_prior_is_found_for_any_logits(n: int, count: int, scale: float) -> None:
    rng = np.random.default_rng(0)
    logits = (scale * rng.standard_normal((n, count))).astype(np.float32)
    logits[:, 0] += scale  # one class is guessed much too often
    offsets = uniform_offsets(logits)
    found = softmax(logits + offsets).astype(np.float64).mean(axis=0)
    assert np.abs(count * found - 1).max() < 1e-3
    assert abs(offsets.mean()) < 1e-4


def test_prior_numbers_refuse_other_classes(clip: Clip) -> None:
    with pytest.raises(InputError, match="for 3 classes, and there are 2; use offsets=centring"):
        PriorOffsets(np.zeros(3, dtype=np.float32)).of(clip, clip.encode_texts(["a cat", "a dog"]))


@pytest.mark.parametrize("kind", ["centring", "prior"])
def test_what_is_saved_is_read_with_the_same_bits(kind: str, clip: Clip, pictures: EncodedPictures) -> None:
    classes = clip.encode_texts(["a cat", "a dog"])
    offsets = fitted("centring" if kind == "centring" else "prior", pictures.features).settled(clip, classes)
    again = from_state(state_of(offsets), clip.width, 2)
    assert type(again) is type(offsets)
    assert again.of(clip, classes).tobytes() == offsets.of(clip, classes).tobytes()


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {},
        {"kind": "other", "values": [0.0, 0.0]},
        {"kind": ["prior"], "values": [0.0, 0.0]},
        {"kind": "prior"},
        {"kind": "prior", "values": [0.0]},
        {"kind": "prior", "values": [0.0, "1"]},
        {"kind": "prior", "values": [0.0, True]},
        {"kind": "prior", "values": [0.0, float("nan")]},
        {"kind": "prior", "values": [0.0, 10**400]},
        {"kind": "centring", "values": [0.0, 0.0]},
    ],
)
def test_other_states_are_refused(state: object) -> None:
    with pytest.raises(
        InputError, match="of the kind centring, with 128 numbers, or prior, with one for each of 2 classes"
    ):
        from_state(state, 128, 2)


LOPSIDED = np.repeat(np.arange(3), [1, 3, 8])


def test_weights_give_each_class_the_same() -> None:
    weights = class_weights(LOPSIDED)
    assert weights is not None
    assert weights.tolist() == [1 / 3] + [1 / 9] * 3 + [1 / 24] * 8
    assert class_weights(np.repeat(np.arange(3), 4)) is None


def test_weighed_pictures_are_as_if_each_class_had_equally_many() -> None:
    """Each picture as often as it takes for all classes to have 24."""
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((12, 3)).astype(np.float32) * 3
    times = np.array([24, 8, 3])[LOPSIDED]
    weighed, repeated = uniform_offsets(logits, class_weights(LOPSIDED)), uniform_offsets(np.repeat(logits, times, 0))
    assert np.abs(weighed - repeated).max() < 1e-4
    assert np.abs(weighed - uniform_offsets(logits)).max() > 0.1, "this folder is lopsided enough to tell"
    features = rng.standard_normal((12, 5)).astype(np.float32)
    mean = CentringOffsets.from_pictures(features, class_weights(LOPSIDED)).mean
    assert np.allclose(mean, np.repeat(features, times, 0).mean(axis=0), atol=1e-6)


def test_offsets_of_encoded_pictures_weigh_classes_where_the_labels_are_known() -> None:
    features = np.random.default_rng(2).standard_normal((12, 5)).astype(np.float32)
    parts = EncodedPictures(features[:5], LOPSIDED[:5]), EncodedPictures(features[5:], LOPSIDED[5:])
    found = fitted_on("centring", *parts, None)
    assert isinstance(found, CentringOffsets)
    assert np.array_equal(found.mean, CentringOffsets.from_pictures(features, class_weights(LOPSIDED)).mean)
    plain = fitted_on("centring", parts[0], EncodedPictures(features[5:], None))
    assert isinstance(plain, CentringOffsets) and np.array_equal(
        plain.mean, CentringOffsets.from_pictures(features).mean
    )


def test_a_prior_on_pictures_with_labels_weighs_classes_alike() -> None:
    features = np.random.default_rng(2).standard_normal((12, 5)).astype(np.float32)
    found, weights = fitted("prior", features, LOPSIDED), class_weights(LOPSIDED)
    assert isinstance(found, Refitted) and found.weights is not None and weights is not None
    assert found.weights.tolist() == weights.tolist()
