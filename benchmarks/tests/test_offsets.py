"""The rows of `benchmarks/offsets.py` on made-up features, and what its rule takes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from benchmarks import offsets
from benchmarks.lab.cells import Cells, hits_of, string_of
from benchmarks.offsets import (
    BALANCED,
    BASE,
    CENTRING,
    DRAWS,
    GROUPS,
    ROWS,
    SURE,
    ZIPF,
    ZIPF_TEST,
    Mixture,
    Scores,
    drawn,
    sure_prior,
)
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.sampling import Numbers


def made(n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Numbers]:
    """Return the texts of three classes, and n pictures of each, moved by what all share; and labels."""
    texts = np.eye(3, 8, dtype=np.float32)
    pictures = np.repeat(texts, n, axis=0) + 0.3 * rng.normal(size=(3 * n, 8)) + np.eye(8)[7]
    return (
        texts,
        (pictures / np.linalg.norm(pictures, axis=1, keepdims=True)).astype(np.float32),
        np.repeat(range(3), n),
    )


def test_em_undoes_a_bias_of_the_texts() -> None:
    texts, features, labels = made(40, np.random.default_rng(0))
    logits = (10 * features @ texts.T + np.array([6, 0, 0])).astype(np.float32)
    found = Mixture(texts, features, logits).logits(features, logits)
    before, after = ((one.argmax(axis=1) == labels).mean() for one in (logits, found))
    assert before < 0.75 and after > 0.95


def test_a_sure_prior_is_less_the_log_of_the_mean_posterior_of_sure_pictures() -> None:
    sure = np.array([[30, 0], [30, 0], [30, 0], [0, 30]], dtype=np.float32)
    unsure = np.zeros((50, 2), dtype=np.float32)
    np.testing.assert_allclose(sure_prior(np.concatenate([sure, unsure])), -np.log([0.75, 0.25]), atol=1e-5)


def test_lopsided_draws_and_tests_follow_one_law(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat(np.arange(5), 6)
    balanced, *orders = drawn(labels, labels)
    assert balanced[0] is None and balanced[1].tolist() == list(range(30))
    cell: dict[str, Any] = {"labels": labels.tolist(), BASE: "1" * 30, BALANCED: dict.fromkeys(ROWS, "0" * 30)}
    cell[ZIPF] = [{"ranks": ranks.tolist(), **cell[BALANCED]} for ranks, _, _ in orders if ranks is not None]
    monkeypatch.setattr(offsets, "measured", lambda *_: cell)
    found = offsets.scores(Cells(), "none", small=True)
    weights = next(iter(found["clean", ZIPF_TEST, BASE].values()))["hits"]
    assert weights.mean() == pytest.approx(1) and weights.max() / weights.min() == pytest.approx(5)
    assert set(next(iter(found["clean", ZIPF, BASE].values()))["hits"]) == {1.0}
    counts = np.bincount(orders[0][1] // 6, minlength=5)
    assert orders[0][0] is not None and counts[orders[0][0] == 1] == counts.max()


def test_a_cell_holds_the_hits_that_each_row_gains_and_loses() -> None:
    gained = string_of([1, 0, 1], [0, 1, 1])
    assert gained == "+-0" and hits_of("011", gained).tolist() == [1, 0, 1]


@pytest.mark.parametrize(("lopsided", "wanted"), [(0.2, SURE), (-0.2, CENTRING)])
def test_advice_needs_the_worth_of_centring_where_the_test_is_lopsided(
    lopsided: float, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    cells: Scores = defaultdict(dict)
    level = {BASE: 0.4, SURE: 0.6}
    for group in GROUPS:
        for row in (BASE, *ROWS):
            for draw in (*DRAWS, ZIPF_TEST):
                at = 0.4 + lopsided if (row, draw) == (SURE, ZIPF_TEST) else level.get(row, 0.4)
                for k in range(4):
                    hits = rng.permutation(100) < 100 * at
                    score = {"value": hits.mean(), "hits": hits, "labels": np.arange(100)}
                    cells[group, draw, row][f"folder:{group}{k}", 0] = score
    offsets.decide([cells])
    assert f"The advice: {wanted}." in capsys.readouterr().out
