from __future__ import annotations

import numpy as np
import pytest

from ipo.metrics.calibration import cross_entropies, expected_calibration_error, fit_temperature, softmax


def drawn(n: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits); the logits returned are `scale` times as sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 5)).astype(np.float32)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in softmax(logits).astype(np.float64)])
    return np.float32(scale) * logits, labels


@pytest.mark.parametrize("scale", [3.0, 0.4])
def test_the_temperature_undoes_the_scale(scale: float) -> None:
    logits, labels = drawn(4000, scale)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(scale, rel=0.1)
    assert cross_entropies(logits, labels, temperature).mean() < cross_entropies(logits, labels).mean()
    before = expected_calibration_error(softmax(logits), labels)
    after = expected_calibration_error(softmax(logits, temperature), labels)
    assert after < before / 3
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


def test_expected_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [1.0, 0.0]], dtype=np.float32)
    labels = np.array([0, 1, 1, 0])
    # 0.9: accuracy 0.5, gap 0.4, two pictures; 0.7: gap 0.3, one; 1.0: gap 0, one
    assert expected_calibration_error(probabilities, labels) == pytest.approx((2 * 0.4 + 0.3) / 4, abs=1e-6)
    assert expected_calibration_error(probabilities[:0], labels[:0]) == 0.0
    # in one bin the gaps of opposite sign cancel: accuracy 0.75, confidence 0.875
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(0.125, abs=1e-6)
