"""Macro-F1; runs with it are in `tests/end_to_end/test_own_classes.py`."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from examples.macro_f1 import MacroF1
from ipo_prompts.metrics.classification import EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.reward import pseudo_values


@pytest.mark.parametrize("n", [300, 6])
def test_it_is_scikit_learns_and_its_values_the_jackknifes(clip: Clip, n: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.r_[:4, rng.choice(4, n - 4, p=[0.6, 0.2, 0.15, 0.05])]  # of six images, some are alone in their class
    told = np.where(rng.random(n) < 0.7, labels, rng.integers(0, 5, n))  # the fifth class has no image
    logits = np.eye(5, dtype=np.float32)[told]
    judged = MacroF1(clip, ["cat", "dog", "bus", "tree", "moon"]).judge(
        logits, EncodedImages(np.zeros((n, 1), np.float32), labels)
    )

    def value(some: np.ndarray) -> float:
        return float(f1_score(labels[some], told[some], labels=np.unique(labels[some]), average="macro"))

    assert judged.hits.mean() == pytest.approx(value(np.arange(n)))
    assert judged.predictions is not None and judged.predictions.tolist() == told.tolist()
    assert judged.hits == pytest.approx(pseudo_values(value, n))
