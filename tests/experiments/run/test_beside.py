"""What is measured beside the verdict: from pictures that searched and chose, and on test pictures as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.run.beside import baselines
from ipo_prompts.experiments.run.comparison import Compared
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, class_means
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.sampling import Sampling

NAMES = ("cat", "apple", "bus", "key", "book", "fish")
INITIAL, OTHER = "a photo of a <CLASS>.", "a <CLASS>."


def made_up(clip: Clip, counts: list[int], seed: int) -> EncodedPictures:
    """Pictures near the texts of their classes, all of them moved towards the first class."""
    rng = np.random.default_rng(seed)
    texts = clip.encode_texts([f"a photo of a {name}." for name in NAMES])
    labels = np.repeat(np.arange(len(NAMES)), counts)
    rows = texts[labels] + 1.1 * texts[0] + 0.06 * rng.standard_normal((len(labels), texts.shape[1]))
    return EncodedPictures((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels)


@pytest.fixture()
def made(clip: Clip, tmp_path: Path) -> tuple[Any, Compared]:
    """A run with equal classes in the search and others in the selection, and its test."""
    reward = ClipReward(clip, NAMES, FeatureStore(clip, tmp_path))
    search, selection, test = (
        made_up(clip, counts, seed) for seed, counts in enumerate(([4] * 6, [9, 1, 1, 1, 1, 1], [10] * 6))
    )
    parts = [SimpleNamespace(units=units) for units in (search, selection)]
    prepared = SimpleNamespace(
        clip=clip, config=RunConfig(), search=parts[0], selection=parts[1], shown=[search, selection]
    )
    initial, other = reward.score([INITIAL, OTHER], test)
    sampling = Sampling.of(len(test), test.labels.tolist())
    return prepared, Compared((), test, test.labels, reward, sampling, initial, other)


def test_class_means_are_of_all_labelled_pictures_that_are_not_sealed(made: tuple[Any, Compared]) -> None:
    prepared, test = made
    found = baselines(prepared, {"test": test})
    assert found is not None and found.labelled == pytest.approx((24 + 14) / 6)
    features, labels = (np.concatenate([getattr(one, of) for one in prepared.shown]) for of in ("features", "labels"))
    nearest = (test.units.features @ class_means(features, labels, len(NAMES)).T).argmax(axis=1)
    assert found.class_mean is not None
    assert found.class_mean.value == pytest.approx(float((nearest == test.labels).mean()), abs=1e-6)


def test_the_better_template_decides_whether_any_is_a_poor_answer(made: tuple[Any, Compared]) -> None:
    prepared, test = made
    good, poor = replace(test.initial, value=0.99), replace(test.optimised, value=0.01)
    for initial, optimised, weak in ((good, poor, None), (poor, good, None), (poor, poor, "near guessing")):
        found = baselines(prepared, {"test": replace(test, initial=initial, optimised=optimised)})
        assert found is not None and found.weak == weak
