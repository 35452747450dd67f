from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
import numpy as np
import pytest
from scipy import special

from ipo_prompts.experiments.data import Item, load_data
from ipo_prompts.metrics import classification
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import (
    ClipReward,
    EncodedImages,
    features_of,
    logits_of,
    losses_of,
    places_of,
    scores_accuracy,
)
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.reward import EmbeddingReward, Judged, Score, by_embeddings, pseudo_values, scale_of
from ipo_prompts.metrics.scale import FRACTION
from ipo_prompts.metrics.template import BASELINE


@pytest.fixture()
def reward(clip: Clip, tmp_path: Path) -> ClipReward:
    return ClipReward(clip, ["cat", "dog", "hot_dog"], FeatureStore(clip, tmp_path))


def images(clip: Clip, labels: list[int]) -> EncodedImages:
    """Images that look exactly like the texts: their features are the texts' own."""
    rows = clip.encode_texts(["a cat", "a dog", "a hot dog"])
    return EncodedImages(rows[labels], np.asarray(labels))


def test_the_loss_is_the_cross_entropy_over_the_classes(reward: ClipReward, clip: Clip) -> None:
    """Against scipy, on more images than are scored in one piece."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2500, clip.encode_texts(["a"]).shape[1])).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = rng.integers(0, 3, 2500)
    cosines = rows.astype(np.float64) @ clip.encode_texts(["a cat", "a dog", "a hot dog"]).astype(np.float64).T
    expected = -special.log_softmax(clip.logit_scale * cosines, axis=1)[np.arange(2500), labels]
    score = reward.score(["a <CLASS>"], EncodedImages(rows, labels))[0]
    np.testing.assert_allclose(score.losses, expected, atol=1e-4)
    assert score.loss == pytest.approx(expected.mean(), abs=1e-5)
    assert score.predictions.tolist() == cosines.argmax(axis=1).tolist()
    assert score.hits.tolist() == (score.predictions == labels).tolist()
    assert score.places is not None and ((score.places == 1) == score.hits).all()
    assert score.value == np.mean(score.hits) and 0 < score.value < 1
    assert (score.hits.dtype, score.losses.dtype, score.predictions.dtype) == (bool, np.float64, np.int64)


def test_a_device_judges_as_numpy_does(reward: ClipReward, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "DEVICE_BLOCK", 1000)
    rows = np.random.default_rng(0).normal(size=(2500, clip.width)).astype(np.float32)
    units = EncodedImages(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.arange(2500) % 3)
    classes = list(reward.texts.encode(["a <CLASS>", "one dark <CLASS>"], reward.class_names))
    found = classification.judge_on("cpu", clip, classes, units)
    for one, known in zip(found, reward.judge_embeddings(classes, units), strict=True):
        assert [one.hits.tolist(), one.places.tolist()] == [known.hits.tolist(), known.places.tolist()]
        assert one.predictions.tolist() == known.predictions.tolist() and one.losses.min() >= 0
        np.testing.assert_allclose(one.losses, known.losses, atol=1e-4)
    sent, again = (next(iter(units.on("cpu")))[0] for _ in range(2))
    assert again.data_ptr() == sent.data_ptr()  # once for all calls
    assert [len(block) for block, _ in units.part([0, 1]).on("cpu")] == [2]


def test_logits_are_scaled_cosines_plus_the_bias() -> None:
    model: Any = SimpleNamespace(logit_scale=10.0, logit_bias=-2.5)
    rows = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    classes = np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
    found = logits_of(model, rows, classes)
    np.testing.assert_allclose(found, [[-2.5, 7.5, -12.5], [5.5, 3.5, -8.5]], rtol=1e-6)
    assert found.dtype == np.float32


def test_the_place_of_the_right_class_is_counted_from_the_highest_logit() -> None:
    logits = np.array([[3, 1, 2], [3, 1, 2], [3, 1, 2], [5, 5, 5]], dtype=np.float32)
    labels = np.array([0, 2, 1, 2])
    assert places_of(logits, labels).tolist() == [1, 2, 3, 1]
    assert places_of(logits / 7 - 2, labels).tolist() == [1, 2, 3, 1]  # an order has no scale


def test_places_are_those_of_accuracy_alone(reward: ClipReward, clip: Clip) -> None:
    class Missed(ClipReward):
        def judge(self, logits: Floats, units: EncodedImages) -> Judged:
            judged = super().judge(logits, units)
            return replace(judged, hits=~judged.hits)

    units = images(clip, [0, 1, 2, 1])
    (found,) = reward.score([BASELINE], units)
    assert found.places is not None
    assert ((found.places == 1) == found.hits).all()
    assert Missed(clip, reward.class_names, reward.store).score([BASELINE], units)[0].places is None


def test_pseudo_values_by_hand() -> None:
    """The highest of 1, 2, 4: 4 with all, 4, 4, 2 without each; 4 + 2 (10/3 - 4), twice, and 4 + 2 (10/3 - 2)."""
    values = np.array([1.0, 2.0, 4.0])
    found = pseudo_values(lambda units: float(values[units].max()), 3)
    assert found == pytest.approx([8 / 3, 8 / 3, 20 / 3])


def test_the_higher_value_ranks_first_then_the_lower_loss() -> None:
    nothing = np.zeros(0)
    scores = [
        Score(name, value, loss, nothing, nothing) for name, value, loss in (("a", 1, 3), ("b", 2, 2), ("c", 2, 1))
    ]
    assert [score.template for score in sorted(scores, key=lambda score: score.rank)] == ["a", "b", "c"]


def test_two_methods_make_a_reward() -> None:
    assert EmbeddingReward.__abstractmethods__ == {"examples", "judge_embeddings"}


@pytest.mark.parametrize("times", [0, 2])
def test_a_hook_judges_each_candidate_once(times: int, reward: ClipReward, clip: Clip) -> None:
    class Other(ClipReward):
        def judge_embeddings(self, classes: Sequence[Floats], units: EncodedImages) -> Iterable[Judged]:
            return [*super().judge_embeddings(classes, units)] * times

    with pytest.raises(InputError, match="it must give one Judged for each"):
        Other(clip, reward.class_names, reward.store).score([BASELINE], images(clip, [0, 1]))


def test_a_measure_that_names_no_class_has_the_highest_logits(reward: ClipReward, clip: Clip) -> None:
    class Other(ClipReward):
        def judge(self, logits: Floats, units: EncodedImages) -> Judged:
            return Judged(logits[:, 0])

    units = images(clip, [0, 1, 2, 1])
    (plain,) = reward.score([BASELINE], units)
    (found,) = Other(clip, reward.class_names, reward.store).score([BASELINE], units)
    assert found.predictions.tolist() == plain.predictions.tolist()


def test_the_features_of_all_parts_follow_each_other() -> None:
    features = np.array([[1, 0], [0, 1], [0, -1], [0, -1]], dtype=np.float32)
    parts = [EncodedImages(features[:1], None), None, EncodedImages(features[2:], None)]
    assert features_of(*parts).tolist() == features[[0, 2, 3]].tolist()


def test_a_record_of_hits_is_ones_and_noughts() -> None:
    score = Score("a <CLASS>", 2 / 3, 1.0, np.array([True, False, True]), np.ones(3))
    assert (score.bits, score.n) == ("101", 3)
    assert score.predictions.shape == (0,)
    with pytest.raises(FrozenInstanceError):
        score.value = 1.0  # type: ignore[misc]


def test_ties_go_to_the_lowest_label(clip: Clip, tmp_path: Path) -> None:
    # Case and outer spaces are lost in the tokenizer, so these names are one text and all logits tie.
    reward = ClipReward(clip, ["cat", "CAT", "Cat"], FeatureStore(clip, tmp_path))
    score = reward.score(["a <CLASS>"], images(clip, [0, 1, 2]))[0]
    assert score.predictions.tolist() == [0, 0, 0]
    assert score.hits.tolist() == [True, False, False]
    assert score.losses == pytest.approx(np.log(3), abs=1e-5)


def test_groups_and_features_of_ones_own_are_kept(clip: Clip) -> None:
    features = np.eye(2, clip.width, dtype=np.float32)
    without = [dspy.Example(features=row, label=name) for row, name in zip(features, ("cat", "dog"), strict=True)]
    grouped = [one.copy(group=name) for one, name in zip(without, ("a", "b"), strict=True)]
    reward = ClipReward(clip, ["cat", "dog"])
    assert reward.examples(without).groups is None
    assert reward.examples(grouped).groups == ("a", "b")
    assert reward.examples(grouped).features.tobytes() == features.tobytes()


def test_rounding_makes_no_loss_negative() -> None:
    logits = np.random.default_rng(0).normal(0, [[8], [80]] * 1000, (2000, 5)).astype(np.float32)
    assert losses_of(logits, logits.argmax(axis=1)).min() == 0


def test_looking_gives_each_template_its_own_score_in_order(
    reward: ClipReward, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against texts that are encoded one by one, over several parts and with lengths that mix in a batch."""
    monkeypatch.setattr("ipo_prompts.metrics.text_tower.TOGETHER", 9)  # three templates of three classes a part
    words = [
        "red",
        "blue",
        "very old and rather long",
        "dark",
        "dog's",
        "tiny",
        "blurry black and white",
        "upside-down",
    ]
    templates = [f"a {word} <CLASS>{'.' * (i % 3)}" for i, word in enumerate(words)] + ["<CLASS> beside a <CLASS>"]
    given = images(clip, [0, 1, 2, 2, 0])
    screened = reward.score_batch(templates, given)
    assert [score.template for score in screened] == templates
    for template, score in zip(templates, screened, strict=True):
        rows = np.concatenate(
            [clip.encode_texts([template.replace("<CLASS>", name)]) for name in ("cat", "dog", "hot dog")]
        )
        chances = special.log_softmax(clip.logit_scale * (given.features @ rows.T).astype(np.float64), axis=1)
        np.testing.assert_allclose(score.losses, -chances[np.arange(5), given.labels], atol=1e-4)
        assert score.predictions.tolist() == chances.argmax(axis=1).tolist()
        assert score.hits.tolist() == (score.predictions == given.labels).tolist()
    assert len({tuple(np.round(score.losses, 3)) for score in screened}) == len(templates), "a swap would show"


@pytest.mark.parametrize(
    ("template", "reason"),
    [("a photo", "no <CLASS> slot"), ("<CLASS>" + " word" * 50, r"tokens, more than the"), ("a <CLASS>\n", "one line")],
)
def test_what_cannot_be_scored_has_a_reason(reward: ClipReward, template: str, reason: str) -> None:
    assert re.search(reason, reward.problem(template) or "")


def test_new_classes_must_fit_but_do_not_compete(clip: Clip, tmp_path: Path) -> None:
    store = FeatureStore(clip, tmp_path)
    reward = ClipReward(clip, ["cat", "dog"], store, also_fit=["word " * 50])
    assert "tokens" in (reward.problem("a <CLASS>") or "")
    assert reward.class_names == ("cat", "dog")


def test_features_are_kept_in_the_users_cache_by_default(clip: Clip, cache: Path) -> None:
    reward = ClipReward(clip, ["cat"])
    assert reward.store.path.is_relative_to(cache)


def test_copies_share_the_reward(reward: ClipReward) -> None:
    import copy

    assert copy.deepcopy([reward])[0] is reward


def test_every_reward_answers_alike(clip: Clip) -> None:
    from ipo_prompts.metrics.retrieval import RetrievalReward
    from ipo_prompts.metrics.reward import Reward

    rewards: list[Reward] = [
        ClipReward(clip, ["cat"]),
        RetrievalReward(clip, ["a cat"]),
    ]
    for reward in rewards:
        assert reward.problem("no slot") == "it has no <CLASS> slot"
        assert reward.problem("a <CLASS>") is None
        assert reward.score([], None) == []


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return [item for item in load_data("embedded", seed=0).test if item.label < 3]


def test_examples_become_what_encode_makes(reward: ClipReward, items: list[Item]) -> None:
    labels = [item.label for item in items]
    examples = [dspy.Example(image=i.image, label=reward.class_names[i.label], group=i.group) for i in items]
    made = reward.examples(examples)
    encoded = reward.encode([item.image for item in items], labels, [item.group for item in items])
    assert made.features.tobytes() == encoded.features.tobytes()
    assert len(made) == len(items)
    assert made.labels.tolist() == labels
    assert made.groups == encoded.groups == tuple(item.group for item in items)
    assert reward.examples([dspy.Example(image=e.image, label=e.label) for e in examples]).groups is None


def test_of_two_classes_with_one_name_the_index_tells(clip: Clip, items: list[Item], tmp_path: Path) -> None:
    reward = ClipReward(clip, ["crane", "crane", "dog"], FeatureStore(clip, tmp_path))
    names = [(reward.class_names[i % 3], i % 3) for i in range(len(items))]
    examples = [
        dspy.Example(image=item.image, label=name, class_index=index)
        for item, (name, index) in zip(items, names, strict=True)
    ]
    assert reward.examples(examples).labels.tolist() == [index for _, index in names]
    examples[-1] = dspy.Example(image=items[0].image, label="dog")  # one without an index: its name must do
    assert reward.examples(examples).labels.tolist() == [*(index for _, index in names[:-1]), 2]


def test_an_index_from_other_classes_does_not_override_the_label(clip: Clip, items: list[Item], tmp_path: Path) -> None:
    reward = ClipReward(clip, ["dog", "cat"], FeatureStore(clip, tmp_path))  # drawn from data with many classes
    examples = [
        dspy.Example(image=items[0].image, label=label, class_index=index)
        for label, index in (("dog", 1), ("cat", 0), ("cat", 67), ("dog", -2))
    ]
    assert reward.examples(examples).labels.tolist() == [0, 1, 1, 0]


def test_a_group_is_for_every_example_or_for_none(reward: ClipReward, items: list[Item]) -> None:
    one = dspy.Example(image=items[0].image, label=reward.class_names[0])
    for examples in ([one, one.copy(group="a")], [one.copy(group="a"), one]):
        with pytest.raises(InputError, match="1 of 2 examples have a group; give a group to every"):
            reward.examples(examples)


def test_encoding_tells_how_far_it_is(reward: ClipReward, items: list[Item]) -> None:
    told: list[tuple[int, int]] = []
    reward.encode([item.image for item in items[:3]], [0, 1, 2], progress=lambda *at: told.append(at))
    assert told[-1] == (3, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "cat"}, "every example needs an image and a label (the class name)."),
        ({"image": None}, "every example needs an image and a label (the class name)."),
        (
            {"image": None, "label": None},
            "an example has the label None, which is not one of the reward's class names.",
        ),
        (
            {"image": None, "label": "unicorn"},
            "an example has the label 'unicorn', which is not one of the reward's class names.",
        ),
    ],
)
def test_examples_that_lack_something_are_refused(reward: ClipReward, fields: dict[str, Any], message: str) -> None:
    good = dspy.Example(image=None, label="cat")
    for examples in ([dspy.Example(**fields), good], [good, dspy.Example(**fields)]):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            reward.examples(examples)


def test_a_part_in_another_order_of_classes_counts_them_in_that_order() -> None:
    features, labels = np.eye(4, dtype=np.float32), np.array([0, 1, 2, 2])
    images = EncodedImages(features, labels, tuple("abcd"), classes=(4, 7, 9))
    found = images.part([3, 0], [2, 0])
    assert (found.labels.tolist(), found.classes, found.groups) == ([0, 1], (9, 4), ("d", "a"))


def test_a_hook_of_one_reward_alone_decides_as_one_of_its_class(reward: ClipReward) -> None:
    assert scores_accuracy(reward) and by_embeddings(reward) is reward
    reward.judge = lambda logits, images: Judged(logits[:, 0])  # type: ignore[method-assign]
    assert not scores_accuracy(reward) and by_embeddings(reward) is reward
    reward.score = lambda templates, units: []  # type: ignore[method-assign]
    assert by_embeddings(reward) is None


def test_other_names_leave_the_reward_as_it_was(reward: ClipReward) -> None:
    other = reward.renamed(["kitten", "puppy", "sausage"])
    assert other.class_names == ("kitten", "puppy", "sausage") and type(other) is ClipReward
    assert reward.class_names == ("cat", "dog", "hot_dog")
    assert other.store is reward.store and other.texts is reward.texts


def test_a_scale_that_is_none_is_refused() -> None:
    assert scale_of(object()) is FRACTION
    with pytest.raises(InputError, match="scale of the reward SimpleNamespace is float and no Scale"):
        scale_of(SimpleNamespace(scale=1.0))
