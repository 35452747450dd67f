"""What a comparison says beside its verdict: means over classes, and near copies."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.data import near_copies
from ipo_prompts.experiments.run.comparison import Compared, compare, gained, near_copies_in_words, over_classes
from ipo_prompts.experiments.run.told import over_classes_in_words
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.several import SeveralLabels
from ipo_prompts.metrics.verdict import difference_over_classes, points


def score(hits: list[int], template: str) -> Score:
    right = np.array(hits, dtype=bool)
    return Score(template, float(right.mean()), 0.5, right, np.full(len(hits), 0.5))


def part(classes: str) -> Compared:
    n = len(classes)
    one, other = score([1] * n, "a <CLASS>"), score([0] + [1] * (n - 1), "the <CLASS>")
    made: Any = None
    return Compared((), made, None, made, Sampling.of(n, list(classes)), one, other)


@pytest.mark.parametrize(
    ("classes", "balanced", "told"), [("aaaabb", False, 0), ("aaaaabb", False, 1), ("ab", True, 1)]
)
def test_classes_are_averaged_where_one_has_more_than_twice_another_or_all_count_the_same(
    classes: str, balanced: bool, told: int
) -> None:
    assert len(over_classes({"test": part(classes)}, balanced)) == told


def test_of_several_labels_the_classes_that_one_picture_shows_are_counted(clip: Clip) -> None:
    shown = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 1], [1, 0, 1]], dtype=bool)
    features = clip.encode_texts(["a cat.", "a cat and a dog.", "a cat and a bus.", "a bus."])
    units = EncodedPictures(features, np.array([0, 1, 2, 2]), shown=shown)
    reward = SeveralLabels(clip, ["cat", "dog", "bus"])
    initial, other = reward.score(["a <CLASS>.", "a photo of a <CLASS>."], units)
    made = Compared((), units, None, reward, Sampling.of(4), initial, other)
    assert over_classes({"test": made})["test"].single == 1


def test_a_template_differs_from_itself_by_nothing(clip: Clip) -> None:
    """In the mean over classes, one of which has one picture, in mAP, and in what is told beside the verdict."""
    same = replace(part("aaaab"), optimised=score([1] * 5, "a <CLASS>"))
    found = over_classes({"test": same})["test"]
    assert (found.difference, found.ci95) == (0, (0, 0))
    assert "a difference of +0.00 points [+0.00, +0.00]" in over_classes_in_words(found)
    assert gained(*same.pair) == {"difference": 0, "ci95": (0, 0)}
    balanced = compare({"test": same.pair}, ["test"], balanced=True)["test"]
    assert (balanced.difference.outcome, balanced.difference.ci95, balanced.like_these) == (
        "same templates",
        (0, 0),
        None,
    )

    units = EncodedPictures(clip.encode_texts(["a cat.", "a dog."]), np.array([0, 1]), shown=np.eye(2, dtype=bool))
    reward = SeveralLabels(clip, ["cat", "dog"])
    (one,) = reward.score(["a <CLASS>."], units)
    found = over_classes({"test": Compared((), units, None, reward, Sampling.of(2), one, one)})["test"]
    assert (found.difference, found.ci95) == (0, (0, 0))


def test_a_template_with_offsets_is_not_itself_where_they_change_no_label() -> None:
    one, other = score([1, 0, 1], "a <CLASS>"), score([1, 0, 1], "a <CLASS>")
    other.losses[0] = 0.4
    low, high = gained(one, other, Sampling.of(3))["ci95"]
    assert low < 0 < high


def joined(monkeypatch: pytest.MonkeyPatch, groups: list[int], classes: str) -> Compared:
    """A test whose pictures are found to be near copies as `groups` say, and whose templates differ on a half."""
    monkeypatch.setattr(near_copies, "near_copies", lambda *_: groups)
    n, labels = len(classes), np.array([ord(one) - ord("a") for one in classes])
    items: Any = [SimpleNamespace(group=str(i)) for i in range(n)]
    units = EncodedPictures(np.zeros((n, 2), dtype=np.float32), labels)
    half = [i // 2 % 2 for i in range(n)]
    reward: Any = None
    sampling = Sampling.of(n, labels.tolist())
    return Compared(items, units, labels, reward, sampling, score([0] * n, "a <CLASS>"), score(half, "the <CLASS>"))


def test_one_pair_among_many_pictures_is_not_worth_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [0, 0, *range(1, 39)]
    assert near_copies_in_words(joined(monkeypatch, few, "ab" * 20)) == ""
    pairs = [i // 2 for i in range(40)]
    assert "40 of 40 pictures look like near copies" in near_copies_in_words(joined(monkeypatch, pairs, "aabb" * 10))


def test_near_copies_are_not_looked_for_among_very_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    made = joined(monkeypatch, [i // 2 for i in range(40)], "aabb" * 10)
    monkeypatch.setattr(near_copies, "MOST", 40)
    assert near_copies_in_words(made)
    monkeypatch.setattr(near_copies, "MOST", 39)
    assert near_copies_in_words(made) == ""


def test_the_interval_with_near_copies_is_that_of_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of classes that count the same, where the verdict is."""
    made = joined(monkeypatch, [i // 2 for i in range(40)], "a" * 32 + "b" * 8)
    grouped = Sampling.of(40, list(made.units.labels), [i // 2 for i in range(40)])
    found = difference_over_classes(made.initial.hits, made.optimised.hits, grouped)
    words = near_copies_in_words(made, balanced=True)
    assert words.endswith(f"the interval is [{points(found.low)}, {points(found.high)}].")
    assert words != near_copies_in_words(made)
