from __future__ import annotations

import numpy as np
import pytest

from ipo_prompts.metrics.calibration import cross_entropies, fit_temperature, softmax


def drawn(n: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits); the logits returned are `scale` times as sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 5)).astype(np.float32)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in softmax(logits).astype(np.float64)])
    return np.float32(scale) * logits, labels


@pytest.mark.parametrize("scale", [3.0, 0.4, 12.0, 0.1])
def test_the_temperature_undoes_the_scale(scale: float) -> None:
    logits, labels = drawn(4000, scale)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(scale, rel=0.1)
    assert cross_entropies(logits, labels, temperature).mean() < cross_entropies(logits, labels).mean()
    right = (logits.argmax(1) == labels).mean()
    before, after = (abs(softmax(logits, t).max(1).mean() - right) for t in (1.0, temperature))
    assert after < before / 3  # it is as sure as it is right
    assert (softmax(logits).argmax(1) == softmax(logits, temperature).argmax(1)).all()


def test_nothing_is_fitted_where_the_pictures_cannot_tell() -> None:
    logits, labels = drawn(4000, 3.0)
    assert fit_temperature(logits[:19], labels[:19]) == 1.0  # too few
    assert fit_temperature(logits, logits.argmax(axis=1)) == 1.0  # all right: no temperature is low enough
    assert fit_temperature(logits[:40], labels[:40]) > 1.5
    assert fit_temperature(logits[:40], labels[:40], ["one"] * 40) == 1.0  # one group proves nothing


def test_a_calibrated_classifier_is_mostly_left_alone() -> None:
    fitted = [fit_temperature(*drawn(60, 1.0, seed)) for seed in range(40)]
    assert sum(temperature == 1.0 for temperature in fitted) >= 25


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
