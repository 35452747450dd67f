"""Whether words can help, on real pictures and the real CLIP; no accuracy of today's weights is expected."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.data import DataSet, Item, draw, load_data
from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.run import beforehand as module
from ipo_prompts.experiments.run.beforehand import CLASSES, PICTURES, TEXTS, few, headroom_among, of_data
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture

pytestmark = pytest.mark.usefixtures("cache")
Folder = Callable[..., DataSet]


@pytest.fixture()
def folder(tmp_path: Path) -> Folder:
    """Make a data set of some pictures of some classes; of domain a."""

    def make(**classes: int) -> DataSet:
        for name, count in classes.items():
            (tmp_path / "data" / name).mkdir(parents=True)
            for picture in sorted((PICTURES_DIR / "a" / name).iterdir())[:count]:
                shutil.copy(picture, tmp_path / "data" / name)
        return load_data(f"folder:{tmp_path / 'data'}", seed=0)

    return make


def test_what_a_run_would_draw_is_looked_at_and_no_more(clip: Any) -> None:
    data, config = load_data("embedded:b", seed=0), RunConfig()
    drawn = draw(data, config.shots, config.selection_shots, config.seed)

    def sealed() -> bytes:
        raise AssertionError("a picture was opened that the run does not draw")

    allowed = {item.picture.name for item in (*drawn.search, *drawn.selection)}

    def guarded(items: tuple[Item, ...]) -> tuple[Item, ...]:
        bad = Picture("sealed", sealed)
        return tuple(item if item.picture.name in allowed else replace(item, picture=bad) for item in items)

    closed = replace(data, train=guarded(data.train), val=guarded(data.val), test=guarded(data.test))
    seen = of_data(closed, clip, config)
    assert seen.headroom is not None
    assert seen.headroom == of_data(data, clip, config).headroom
    assert seen.headroom.pictures == seen.searched + seen.held_back == PICTURES
    assert (seen.headroom.classes, seen.headroom.of_classes) == (CLASSES, 68)
    assert seen.headroom.classes * seen.headroom.phrases <= TEXTS
    assert seen.headroom.initial.ci95[0] > seen.headroom.guessing  # these pictures are what the CLIP knows


def test_noise_is_near_guessing(clip: Any) -> None:
    """Pictures in which there is nothing of their class: whatever the weights, class means do not find it."""
    data = load_data("embedded:b", seed=0)
    drawn = draw(data, 4, 2, 0)
    items = [*drawn.search, *drawn.selection]
    chosen = few(items)
    features = np.random.default_rng(0).standard_normal((len(chosen), clip.width)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    seen = EncodedPictures(features, np.array([items[i].label for i in chosen]))
    found = headroom_among(ClipReward(clip, drawn.class_names), "a photo of a <CLASS>.", seen)
    assert found is not None
    assert found.outcome == "near guessing"


def test_a_blank_picture_for_all_is_guessed_as_one_class(clip: Any, folder: Folder) -> None:
    data = folder(cat=10, bus=10, key=10)
    blank = data.train[0].picture
    same = {part: tuple(replace(item, picture=blank) for item in data.part(part)) for part in ("train", "val", "test")}
    seen = of_data(replace(data, **same), clip, RunConfig())
    assert seen.headroom is not None
    assert seen.headroom.guessed.value == 1
    assert seen.headroom.initial.value == pytest.approx(1 / 3, abs=1e-6)
    assert seen.headroom.words is not None and abs(seen.headroom.words.value) <= 1
    assert seen.headroom.outcome in ("cannot tell", "near guessing")


def test_two_classes_and_few_pictures_end_in_a_sentence(clip: Any, folder: Folder) -> None:
    seen = of_data(folder(cat=10, dog=10), clip, RunConfig())
    assert seen.headroom is not None
    assert (seen.headroom.classes, seen.headroom.guessing) == (2, 0.5)
    assert 1 <= seen.headroom.guessed.value <= 2
    assert seen.headroom.verdict.endswith(".")
    assert (seen.searched, seen.held_back) == (6, 4)  # five of ten are sealed


def test_a_small_class_gives_what_it_has(clip: Any, folder: Folder) -> None:
    seen = of_data(folder(cat=10, bus=9, key=4), clip, RunConfig())
    assert seen.headroom is not None
    assert (seen.searched, seen.held_back) == (3 + 4 + 1, 2 + 1 + 1)
    assert seen.headroom.pictures == seen.searched + seen.held_back
    with_one = of_data(folder(book=10, dog=9, apple=1), clip, RunConfig())
    assert with_one.headroom is not None and with_one.headroom.words is not None
    assert (with_one.headroom.classes, with_one.headroom.of_classes) == (5, 6)
    assert of_data(folder(fish=10, car=10), clip, RunConfig(shots=1, selection_shots=0)).headroom is not None


def test_too_few_pictures_are_one_sentence(clip: Any) -> None:
    data = load_data("embedded:b", seed=0)
    with pytest.raises(InputError, match="test pictures only"):
        of_data(replace(data, train=(), val=()), clip, RunConfig())


def items(*sizes: int, variants: int = 1) -> list[Item]:
    return [
        Item(Picture(f"{label} {base} {variant}", bytes), label, f"{label} {base}")
        for label, size in enumerate(sizes)
        for base in range(size)
        for variant in range(variants)
    ]


def test_few_of_each_class_and_classes_spread_over_all() -> None:
    found = few(items(*[6] * 1000))
    labels = Counter(place // 6 for place in found)
    assert len(found) == PICTURES and len(labels) == CLASSES and set(labels.values()) == {PICTURES // CLASSES}
    assert min(labels) == 0 and max(labels) == 999
    assert few(items(*[6] * 3)) == list(range(18))
    assert few(items(1, 5)) == list(range(6))


def test_one_variant_of_each_base_picture() -> None:
    made = items(4, 4, variants=3)
    assert [made[place].picture.name for place in few(made)] == [
        *("0 0 0", "0 1 1", "0 2 2", "0 3 0"),
        *("1 0 0", "1 1 1", "1 2 2", "1 3 0"),
    ]


def test_pictures_of_one_class_are_left_out(clip: Any) -> None:
    seen = EncodedPictures(np.zeros((3, 128), np.float32), np.zeros(3, np.int64))
    assert module.headroom_among(ClipReward(clip, ["cat", "dog"]), "a <CLASS>", seen) is None
