from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo.metrics.clip import Clip
from ipo.metrics.features import FeatureStore
from ipo.metrics.reward import ClipReward, EncodedPictures, clip_accuracy


@pytest.fixture()
def reward(clip: Clip, tmp_path: Path) -> ClipReward:
    return ClipReward(clip, ["cat", "dog", "hot_dog"], FeatureStore(clip, tmp_path))


def pictures(clip: Clip, labels: list[int]) -> EncodedPictures:
    """Pictures that look exactly like the texts: their features are the texts' own."""
    rows = clip.encode_texts(["a cat", "a dog", "a hot dog"])
    return EncodedPictures(rows[labels], np.asarray(labels))


def test_known_features_give_known_scores(reward: ClipReward, clip: Clip) -> None:
    score = reward.score(["a <CLASS>"], pictures(clip, [0, 1, 2, 2]))[0]
    assert score.accuracy == 1.0
    assert score.n == 4
    assert score.predictions.tolist() == [0, 1, 2, 2]
    wrong = EncodedPictures(pictures(clip, [0, 1, 2]).features, np.asarray([1, 2, 0]))
    score = reward.score(["a <CLASS>"], wrong)[0]
    assert (score.accuracy, score.hits.tolist()) == (0.0, [False] * 3)
    assert score.loss == pytest.approx(score.losses.mean())


def test_ties_go_to_the_lowest_label(clip: Clip, tmp_path: Path) -> None:
    # Case and outer spaces are lost in the tokenizer, so these names are one text and all logits tie.
    reward = ClipReward(clip, ["cat", "CAT", "Cat"], FeatureStore(clip, tmp_path))
    score = reward.score(["a <CLASS>"], pictures(clip, [0, 1, 2]))[0]
    assert score.predictions.tolist() == [0, 0, 0]
    assert score.hits.tolist() == [True, False, False]
    assert score.losses == pytest.approx(np.log(3), abs=1e-5)


def test_a_certain_picture_costs_no_less_than_nothing(reward: ClipReward, clip: Clip) -> None:
    assert (reward.score(["a <CLASS>"], pictures(clip, [0, 1, 2]))[0].losses >= 0).all()


def test_every_slot_is_filled_and_underscores_are_spaces(clip: Clip, tmp_path: Path) -> None:
    given = pictures(clip, [0, 1, 2])
    one = ClipReward(clip, ["cat", "dog", "hot_dog"], FeatureStore(clip, tmp_path)).score(["<CLASS> <CLASS>"], given)
    two = ClipReward(clip, ["cat cat", "dog dog", "hot dog hot dog"], FeatureStore(clip, tmp_path)).score(
        ["<CLASS>"], given
    )
    assert one[0].losses.tobytes() == two[0].losses.tobytes()


def test_one_of_many_scores_as_alone(reward: ClipReward, clip: Clip) -> None:
    given = pictures(clip, [0, 1, 2])
    templates = [f"a {word} <CLASS>" for word in ("red", "blue", "very old and rather long", "{}", "“big”")]
    for template, score in zip(templates, reward.score(templates, given), strict=True):
        assert score.template == template
        np.testing.assert_allclose(score.losses, reward.score([template], given)[0].losses, atol=2e-5)
    assert reward.score([], given) == []


def test_an_ensemble_of_one_is_that_one(reward: ClipReward, clip: Clip) -> None:
    given = pictures(clip, [0, 1, 2])
    alone, ensemble = reward.score(["a <CLASS>"], given)[0], reward.score_ensemble([("a <CLASS>", 3.0)], given)
    assert alone.losses.tobytes() == ensemble.losses.tobytes()
    assert reward.score_ensemble([("a <CLASS>", 1), ("<CLASS>", 1)], given).template == "a <CLASS> + <CLASS>"


@pytest.mark.parametrize(
    ("template", "reason"),
    [("a photo", "no <CLASS> slot"), ("<CLASS>" + " word" * 50, r"tokens, more than the"), ("a <CLASS>\n", "one line")],
)
def test_what_cannot_be_scored_has_a_reason(reward: ClipReward, template: str, reason: str) -> None:
    import re

    assert re.search(reason, reward.problem(template) or "")


def test_new_classes_must_fit_but_do_not_compete(clip: Clip, tmp_path: Path) -> None:
    store = FeatureStore(clip, tmp_path)
    reward = ClipReward(clip, ["cat", "dog"], store, also_fit=["word " * 50])
    assert "tokens" in (reward.problem("a <CLASS>") or "")
    assert reward.class_names == ("cat", "dog")


def test_copies_share_the_reward(reward: ClipReward) -> None:
    import copy

    assert copy.deepcopy([reward])[0] is reward


@pytest.mark.parametrize(("label", "accuracy"), [("cat", 1.0), ("dog", 0.0)])
def test_clip_accuracy_is_one_or_nothing(label: Any, accuracy: float) -> None:
    assert clip_accuracy(SimpleNamespace(label="cat"), SimpleNamespace(label=label)) == accuracy


def test_every_reward_answers_alike(clip: Clip) -> None:
    from ipo.metrics.retrieval import RetrievalReward
    from ipo.metrics.reward import Reward
    from ipo.metrics.segmentation import SegmentationReward

    rewards: list[Reward] = [
        ClipReward(clip, ["cat"]),
        RetrievalReward(clip, ["a cat"]),
        SegmentationReward(clip, ["cat"], window=48),
    ]
    for reward in rewards:
        assert reward.problem("no slot") == "it has no <CLASS> slot"
        assert reward.problem("a <CLASS>") is None
        assert reward.score([], None) == []


def test_examples_become_what_encode_makes(reward: ClipReward) -> None:
    import dspy

    from ipo.experiments.data import load_data

    items = [item for item in load_data("embedded", seed=0).test if item.label < 3]
    labels = [item.label for item in items]
    examples = [dspy.Example(image=i.picture, label=reward.class_names[i.label], group=i.group) for i in items]
    made = reward.examples(examples)
    encoded = reward.encode([item.picture for item in items], labels, [item.group for item in items])
    assert made.features.tobytes() == encoded.features.tobytes()
    assert made.labels.tolist() == labels
    assert made.groups == encoded.groups
    assert reward.examples([dspy.Example(image=e.image, label=e.label) for e in examples]).groups is None
