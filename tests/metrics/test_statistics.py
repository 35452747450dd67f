"""Intervals of a mean against scipy's, and against cases worked by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from ipo_prompts.metrics.sampling import (
    Sampling,
    values_of,
    wilson,
)


def test_the_variance_of_a_mean_over_equal_groups_is_that_of_the_group_means():
    values = np.random.default_rng(2).normal(size=(12, 5))
    found = Sampling.of(60, draws=[str(g) for g in range(12) for _ in range(5)]).these(values.ravel())
    assert (found.value**0.5, found.degrees) == pytest.approx((stats.sem(values.mean(1)), 11))


def test_variances_by_hand():
    # Around 2: -2, -1, 0, 3; squares 14. Alone: 14 / 3 / 4. In pairs: sums -3 and 3, 2/1 * (9 + 9) / 16.
    values = np.array([0.0, 1, 2, 5])
    assert Sampling(4).these(values).value == pytest.approx(14 / 12)
    assert Sampling.of(4, draws=["a", "a", "b", "b"]).these(values).value == pytest.approx(1.5**2)
    assert Sampling.of(2, draws=["a", "a"]).these(values[:2]).value == Sampling(1).these(values[3:]).value == math.inf


@pytest.mark.parametrize(("data", "shape"), [([], r"\(0,\)"), ([[True], [False]], r"\(2, 1\)"), (True, r"\(\)")])
def test_anything_but_one_value_per_image_is_refused(data, shape):
    with pytest.raises(ValueError, match=f"one value per image, at least one; found the shape {shape}"):
        values_of(data)


def test_an_accuracy_lies_within_its_own_interval_at_both_ends():
    for n in range(1, 300):
        assert wilson(0.0, n, 1.96).low == 0.0
        assert wilson(1.0, n, 1.96).high == 1.0
