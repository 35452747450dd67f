"""Macro-F1; runs with it are in `tests/end_to_end/test_own_classes.py`."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from examples.macro_f1 import MacroF1
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.reward import pseudo_values


def test_it_is_scikit_learns_and_its_spread_the_jackknifes(clip: Clip) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 300, p=[0.6, 0.2, 0.15, 0.05])
    told = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 5, 300))  # the fifth class has no picture
    logits = np.eye(5, dtype=np.float32)[told]
    judged = MacroF1(clip, ["cat", "dog", "bus", "tree", "moon"]).judge(
        logits, EncodedPictures(np.zeros((300, 1), np.float32), labels)
    )

    def value(some: np.ndarray) -> float:
        return float(f1_score(labels[some], told[some], labels=np.unique(labels[some]), average="macro"))

    assert judged.hits.mean() == pytest.approx(value(np.arange(300)))
    assert judged.predictions is not None and judged.predictions.tolist() == told.tolist()
    assert judged.hits.std(ddof=1) == pytest.approx(pseudo_values(value, 300).std(ddof=1), rel=0.03)
