"""What is known of the sealed test without a search."""

from __future__ import annotations

import numpy as np
import pytest

from ipo_prompts.experiments.run.beside import how_weak, means_of_classes
from ipo_prompts.experiments.run.scores import Baselines, Measured
from ipo_prompts.experiments.run.told import baselines_in_words, warning_of
from ipo_prompts.metrics.classification import EncodedPictures


@pytest.mark.parametrize(
    ("best", "guessing", "class_mean", "weak"),
    [
        (0.091, 0.05, None, "near guessing"),
        (0.11, 0.05, None, None),
        (0.9, 0.5, 0.95, None),  # twice guessing is everything where there are two classes
        (0.55, 0.5, None, "near guessing"),
        (0.4, 0.05, 0.59, None),
        (0.4, 0.05, 0.61, "far below the class mean"),
    ],
    ids=["low", "above", "two classes", "two classes, low", "mean near", "mean far"],
)
def test_what_makes_templates_a_poor_answer(
    best: float, guessing: float, class_mean: float | None, weak: str | None
) -> None:
    assert how_weak(best, guessing, class_mean) == weak


@pytest.mark.parametrize(
    ("best", "class_mean", "warning", "advice"),
    [
        (
            0.484,
            0.859,
            "This CLIP sees far more here than words tell it: templates are right on 48.4 % at best, "
            "the nearest class mean on 85.9 %.",
            "Class names that this CLIP knows better, or another CLIP,",
        ),
        (
            0.09,
            0.859,
            "This CLIP is near guessing on these pictures: templates are right on 9.0 % at best, guessing on 5.0 %.",
            "Class names that this CLIP knows better, or another CLIP,",
        ),
        (
            0.09,
            0.1,
            "This CLIP is near guessing on these pictures: templates are right on 9.0 % at best, guessing on 5.0 %.",
            "Another CLIP is likely",
        ),
        (0.8, 0.859, "", ""),
    ],
)
def test_the_warning_is_a_short_sentence_and_the_advice_stands_with_the_numbers(
    best: float, class_mean: float, warning: str, advice: str
) -> None:
    mean = Measured(value=class_mean, loss=1.0, n=100, ci95=(0.0, 1.0))
    weak = how_weak(best, 0.05, class_mean)
    found = Baselines(guessing=0.05, class_mean=mean, labelled=5, ensemble=None, weak=weak)
    told = baselines_in_words(found, best)
    assert warning_of(found, best) == warning
    assert advice in told
    assert ("likely to help" in told) == bool(advice)


def test_class_means_are_unit_and_of_every_class() -> None:
    features = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    means = means_of_classes([EncodedPictures(features, np.array([0, 1, 1]))], 2)
    assert means is not None and np.allclose(means, [[1, 0], [0.316228, 0.948683]])
    assert means_of_classes([EncodedPictures(features, np.array([0, 1, 1]))], 3) is None
