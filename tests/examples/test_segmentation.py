"""Mean IoU, its linearised values, where features come from, and the scenes of a run."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
from PIL import Image

from examples.segmentation import (
    LEAST,
    SIDE,
    Scene,
    Scenes,
    SegmentationReward,
    compose,
    encode_windows,
    interpolation,
    mean_iou,
)
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.run.prepared import prepare
from ipo_prompts.experiments.tasks import REWARDS
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.images import LazyImage
from support.runs import copy_images

rng = np.random.default_rng(0)


def image(height: int, width: int) -> LazyImage:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(buffer, format="PNG")
    return LazyImage.from_bytes("noise", buffer.getvalue())


def counts(truth: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[np.ndarray, ...]:
    each = np.arange(classes)
    is_class, called = truth[..., None] == each, predicted[..., None] == each
    return tuple(a.sum(axis=1).astype(np.int64) for a in (is_class & called, is_class | called, is_class))


def test_mean_iou_is_over_the_classes_that_occur() -> None:
    truth, predicted = np.array([[0, 0, 1, 1]]), np.array([[0, 2, 1, 1]])
    # Class 0: 1 of 2; class 1: 2 of 2; class 2 does not occur, and costs class 0 a pixel.
    assert mean_iou(*counts(truth, predicted, 3))[0] == pytest.approx(0.75)


def test_values_have_the_mean_iou_as_their_mean_and_the_jackknifes_error() -> None:
    truth = rng.integers(0, 4, (200, 30))
    predicted = np.where(rng.random((200, 30)) < rng.random((200, 1)), truth, rng.integers(0, 4, (200, 30)))
    both, either, there = counts(truth, predicted, 4)
    mean, values = mean_iou(both, either, there)
    assert values.mean() == pytest.approx(mean)
    n = len(truth)
    without = np.array([mean_iou(*(np.delete(a, i, axis=0) for a in (both, either, there)))[0] for i in range(n)])
    jackknife = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    assert values.std(ddof=1) / np.sqrt(n) == pytest.approx(jackknife, rel=0.02)


def test_scores_are_those_of_a_segmentation_done_by_hand(clip: Clip) -> None:
    names = ["cat", "dog", "bus"]
    texts = clip.encode_texts([f"a {name}" for name in names])
    # A scene of 2 x 2 places that look like texts, and a mask that agrees but for one quarter.
    features = texts[[0, 1, 2, 0]].reshape(2, 2, -1)
    centres = np.array([1.0, 3.0])
    mask = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 1, 1], [2, 2, 1, -1]])
    scene = Scene(features, interpolation(centres, 4), interpolation(centres, 4), mask)
    reward = SegmentationReward(clip, names, window=48)
    score = reward.score(["a <CLASS>"], Scenes((scene,)))[0]

    weight = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    pixels = np.einsum("yi,xj,ijd->yxd", weight, weight, clip.logit_scale * features @ texts.T)
    predicted, counted = pixels.argmax(axis=2), mask >= 0
    iou = [
        ((predicted == c) & (mask == c) & counted).sum() / (((predicted == c) | (mask == c)) & counted).sum()
        for c in range(3)
    ]
    assert score.value == pytest.approx(np.mean(iou))
    assert 0.3 < score.value < 1
    chance = np.exp(pixels - pixels.max(axis=2, keepdims=True))
    chance /= chance.sum(axis=2, keepdims=True)
    right = np.take_along_axis(chance, np.maximum(mask, 0)[..., None], axis=2)[..., 0]
    assert score.loss == pytest.approx(-np.log(right[counted]).mean(), rel=1e-4)
    assert score.n == 1
    assert reward.score([], Scenes((scene,))) == []


def test_a_window_is_an_image_of_its_own(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.segmentation.BATCH", 5)  # two whole ones and a rest
    whole = image(96, 120).rgb()
    patches = encode_windows(clip, whole, 48)
    assert patches.features.shape == (3, 4, 128)
    assert patches.y.tolist() == [24, 48, 72]
    assert patches.x[[0, -1]].tolist() == [24, 96]
    buffer = io.BytesIO()
    whole.crop((0, 24, 48, 72)).save(buffer, format="PNG")
    alone = clip.encode_images([LazyImage.from_bytes("crop", buffer.getvalue())])[0]
    np.testing.assert_allclose(patches.features[1, 0], alone, atol=1e-5)


def test_a_window_as_large_as_the_image_sees_it_whole(clip: Clip) -> None:
    given = image(48, 48)
    patches = encode_windows(clip, given.rgb(), 48)
    assert patches.features.shape == (1, 1, 128)
    np.testing.assert_allclose(patches.features[0, 0], clip.encode_images([given])[0], atol=1e-5)


def test_interpolation_is_linear_and_constant_outside() -> None:
    weights = interpolation(np.array([2.0, 6.0]), 8)
    assert weights[:2].tolist() == [[1, 0], [1, 0]]
    assert weights[3].tolist() == [0.625, 0.375]
    np.testing.assert_allclose(weights.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((48, 40), int), r"int64 \(48, 40\); it must be whole numbers \(48, 48\)"),
        (np.zeros((48, 48)), "float64"),
        (np.full((48, 48), 255, np.uint8), "holds 255, and the classes are 0 to 1; write -1"),
        (np.full((48, 48), -2), "holds -2"),
        (np.full((48, 48), -1), "no pixel counts"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask: Any, message: str, clip: Clip) -> None:
    reward = SegmentationReward(clip, ["cat", "dog"], window=48)
    with pytest.raises(InputError, match=message):
        reward.examples([dspy.Example(image=image(48, 48), mask=mask)])


def test_scenes_that_belong_together_stay_so(clip: Clip) -> None:
    scene = dspy.Example(image=image(48, 48), mask=np.zeros((48, 48), int))
    scenes = SegmentationReward(clip, ["cat"], window=48).examples([scene.copy(group=name) for name in "aab"])
    assert scenes.groups == ("a", "a", "b")


def test_missing_masks_and_windows_that_do_not_fit_are_refused(clip: Clip) -> None:
    reward = SegmentationReward(clip, ["cat"], window=60)
    with pytest.raises(InputError, match="needs an image and a mask"):
        reward.examples([dspy.Example(image=image(48, 48))])
    with pytest.raises(InputError, match="window of 60 pixels does not fit into an image of 48 x 48"):
        reward.examples([dspy.Example(image=image(48, 48), mask=np.zeros((48, 48), int))])


def test_a_tower_without_patch_tokens_asks_for_windows(clip: Clip) -> None:
    with pytest.raises(InputError, match=r"TimmModel.* has no patch tokens.*give a window"):
        SegmentationReward(clip, ["cat"])


def test_a_wide_image_has_rows_by_its_height_and_columns_by_its_width(clip: Clip) -> None:
    given, mask = image(48, 96), np.zeros((48, 96), int)
    mask[:, 48:], mask[:5] = 1, -1
    reward = SegmentationReward(clip, ["cat", "dog"], window=48)
    scenes = reward.examples([dspy.Example(image=given, mask=mask)])
    (scene,) = scenes.scenes
    assert scene.features.shape[:2] == (1, 3)
    assert scene.rows.tolist() == [[1]] * 48
    assert scene.columns.tolist() == interpolation(np.array([24.0, 48, 72]), 96).tolist()
    texts = clip.encode_texts(["a cat", "a dog"])
    called = (scene.columns @ (scene.features[0] @ texts.T)).argmax(axis=1)  # of each column, the same in all rows
    truth = np.repeat([0, 1], 48)
    iou = [((called == c) & (truth == c)).sum() / ((called == c) | (truth == c)).sum() for c in (0, 1)]
    assert reward.score(["a <CLASS>"], scenes)[0].value == pytest.approx(np.mean(iou))


def test_the_values_of_two_scenes_by_hand() -> None:
    # Class 0: 3 of 4 pixels, class 1: 3 of 6. The first scene has (1 - 3/4 · 2) / 4 and (3 - 1/2 · 4) / 6 over that.
    mean, values = mean_iou(np.array([[1, 3], [2, 0]]), np.array([[2, 4], [2, 2]]), np.array([[2, 3], [2, 2]]))
    assert mean == 0.625
    over = (-1 / 8 + 1 / 6) / 2
    assert values == pytest.approx([0.625 + 2 * over, 0.625 - 2 * over])


def test_scenes_hold_each_image_once_with_its_exact_mask() -> None:
    items = load_data("embedded", seed=0).val[:22]
    scenes = compose(items, 3)
    assert len(scenes) == 5
    again = compose(items, 3)
    assert [s.image.bytes() for s in scenes] == [s.image.bytes() for s in again]
    assert [s.image.bytes() for s in scenes] != [s.image.bytes() for s in compose(items, 4)]
    labels = []
    for scene in scenes:
        pixels = np.asarray(scene.image.rgb())
        assert pixels.shape == (SIDE, SIDE, 3)
        for y, x in ((0, 0), (0, SIDE - 1), (SIDE - 1, 0), (SIDE - 1, SIDE - 1)):
            label = scene.mask[y, x]
            labels.append(label)
            rows, columns = np.nonzero(scene.mask == label)
            if (scene.mask[[0, 0, -1, -1], [0, -1, 0, -1]] == label).sum() == 1:
                height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
                assert min(height, width) >= LEAST
                assert len(rows) == height * width
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                own = [np.asarray(item.image.rgb().resize((width, height), 3)) for item in items if item.label == label]
                part = np.asarray(scene.image.rgb().crop(box))
                assert any((part == one).all() for one in own)
    left = [item.label for item in items]
    for label in labels:
        left.remove(label)  # fails when an image was used twice
    assert len(left) == 2
    twins = [replace(item, group=items[i % 8].group) for i, item in enumerate(items)]
    alone = [*items[16:], *items[14:16]]
    assert [s.image.bytes() for s in compose(twins, 3)] == [s.image.bytes() for s in compose(alone, 3)]


def test_scenes_of_the_parts_do_not_mix(cache: Path, tmp_path: Path) -> None:
    """Each part is composed of its own images, and the test scenes are the same for every seed."""
    REWARDS.allow("examples.segmentation:Segmentation")
    ui = Ui(0, quiet=True)
    few = (f"data=folder:{copy_images(tmp_path / 'images')}", "shots=2", "val_shots=1")
    held_out = []
    for seed in (0, 1):
        words = ["reward=examples.segmentation:Segmentation", "describer=none", *few, f"seed={seed}"]
        found = plan(load_config(None, words), ready=False)
        prepared = prepare(found, ui)
        assert prepared.val is not None
        for encoded, items in ((prepared.train, found.drawn.train), (prepared.val, found.drawn.val)):
            assert [p.bytes() for p in encoded.images] == [e.image.bytes() for e in compose(items, seed)]
        test = found.task.encode(prepared.reward, found.drawn.test, seed=0)
        held_out.append([image.bytes() for image in test.images])
    assert held_out[0] == held_out[1] == [e.image.bytes() for e in compose(found.drawn.test, 0)]
