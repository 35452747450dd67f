from __future__ import annotations

import numpy as np
import pytest

from ipo_prompts.metrics.calibration import cross_entropies, expected_accuracy, matched_temperature, softmax


def drawn(n: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits); the logits returned are `scale` times as sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 5)).astype(np.float32)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in softmax(logits).astype(np.float64)])
    return np.float32(scale) * logits, labels


@pytest.mark.parametrize("scale", [3.0, 0.4, 100.0, 0.1])
def test_the_temperature_undoes_the_scale(scale: float) -> None:
    logits, labels = drawn(4000, scale)
    right = float((logits.argmax(1) == labels).mean())
    temperature = matched_temperature(logits, right)
    assert temperature == pytest.approx(scale, rel=0.1)
    assert softmax(logits, temperature).max(1).mean() == pytest.approx(right, abs=1e-3)
    assert (softmax(logits).argmax(1) == softmax(logits, temperature).argmax(1)).all()


def test_few_images_make_nobody_sure_and_nobody_is_less_sure_than_a_guess() -> None:
    assert expected_accuracy(40, 100, 5) == 0.4
    assert (expected_accuracy(5, 5, 10), expected_accuracy(0, 0, 10)) == (6 / 7, 0.5)
    assert expected_accuracy(0, 100, 4) == 0.25
    logits, _ = drawn(50, 3.0)
    assert softmax(logits, matched_temperature(logits, 0.2)).max(1).mean() == pytest.approx(0.2, abs=1e-3)


def test_cross_entropies_are_torchs() -> None:
    import torch

    logits, labels = drawn(50, 20.0)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).double() / 1.7, torch.from_numpy(labels), reduction="none"
    )
    np.testing.assert_allclose(cross_entropies(logits, labels, 1.7), expected.numpy(), rtol=1e-6, atol=1e-9)


def test_softmax_holds_for_huge_logits() -> None:
    probabilities = softmax(np.array([[1e4, 0.0], [-1e4, -1e4]], dtype=np.float32), 0.1)
    np.testing.assert_allclose(probabilities, [[1, 0], [0.5, 0.5]])
