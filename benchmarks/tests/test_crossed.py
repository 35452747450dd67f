"""Intervals of means over crossed things, worked by hand."""

import math

import pytest
from scipy import stats

from benchmarks.lab.crossed import crossed_interval
from ipo_prompts.metrics.sampling import Variance


def test_the_interval_of_crossed_things_by_hand():
    # A 2 x 3 table around 0 of rows that differ by 2 and columns that do not: values 1, 1, 1, -1, -1, -1. Independent:
    # 6 / 5 · 6 / 36 = .2. Rows: 2 / 1 · (9 + 9) / 36 = 1; columns: sums of 0. What rows add is .8, at t(1), no less.
    t1, t5 = stats.t.ppf(0.975, [1, 5])
    rows, columns = list("aaabbb"), list("xyzxyz")
    low, high = crossed_interval([2, 2, 2, 0, 0, 0], [rows, columns])
    assert (low, high) == pytest.approx((1 - t1, 1 + t1))  # rows alone are wider than sqrt(t5² · .2 + t1² · .8)
    # Beside them what is shared by all: 3 at 4 degrees of freedom.
    wide = math.sqrt(t5**2 * 0.2 + t1**2 * 0.8 + stats.t.ppf(0.975, 4) ** 2 * 30)
    assert crossed_interval([2, 2, 2, 0, 0, 0], [rows, columns], [Variance(30.0, 4.0)]) == pytest.approx(
        (1 - wide, 1 + wide)
    )
    assert crossed_interval([1, 2, 4], [["a"] * 3, list("xyz")]) == pytest.approx((-1.46125, 6.12792), abs=1e-5)


def test_what_two_factors_add_is_added():
    # A 3 x 3 table of rows and columns that are -1, 0, 1 each. Squares of the nine values: 12, so that independent
    # ones have 9 / 8 · 12 / 81 = 1 / 6; rows and columns sum to -3, 0, 3, 3 / 2 · 18 / 81 = 1 / 3: each adds 1 / 6.
    rows, columns = list("aaabbbccc"), list("xyz" * 3)
    t2, t8 = stats.t.ppf(0.975, [2, 8])
    half = math.sqrt(t8**2 / 6 + t2**2 * (1 / 6 + 1 / 6))
    assert half > t2 * math.sqrt(1 / 3)
    assert crossed_interval([-2, -1, 0, -1, 0, 1, 0, 1, 2], [rows, columns]) == pytest.approx((-half, half))
