"""Intervals and tests against scipy's, and against cases worked by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ipo.metrics.statistics import (
    Difference,
    Interval,
    accuracy_interval,
    harmonic_mean,
    mean_interval,
    mean_over_seeds,
    paired_difference,
    sign_flip_p,
    standard_error,
)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (499, 500)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_ungrouped_accuracy_interval_is_scipys_wilson(right, n, level):
    expected = stats.binomtest(right, n).proportion_ci(level, method="wilson")
    found = accuracy_interval([True] * right + [False] * (n - right), level=level)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_ungrouped_mean_interval_is_scipys_t_interval():
    values = np.random.default_rng(1).exponential(size=30)
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)


def test_grouped_mean_interval_of_equal_groups_is_the_t_interval_of_the_group_means():
    values = np.random.default_rng(2).normal(size=(12, 5))
    means = values.mean(1)
    expected = stats.t.interval(0.95, 11, means.mean(), stats.sem(means))
    groups = [str(g) for g in range(12) for _ in range(5)]
    assert mean_interval(values.ravel(), groups) == pytest.approx(expected)


def test_unequal_groups_by_hand():
    # mean 2; sums of residuals: a (1-2)+(2-2) = -1, b 3-2 = 1; variance 2/1 * (1 + 1) / 9; t(1) = 12.7062
    half = 12.706204736 * 2 / 3
    assert mean_interval([1, 2, 3], ["a", "a", "b"]) == pytest.approx((2 - half, 2 + half))


def test_grouped_accuracy_of_identical_copies_is_wilson_of_the_groups_with_t():
    # 4 groups of 5 copies, 2 right: deff 20/4 * 4/3, n_eff = 3; Wilson with t(3) = 3.18245
    found = accuracy_interval([True] * 10 + [False] * 10, [g for g in "abcd" for _ in range(5)])
    t = 3.182446305
    half = t * math.sqrt(0.25 / 3 + t**2 / 36) / (1 + t**2 / 3)
    assert found == pytest.approx((0.5 - half, 0.5 + half))


def test_a_group_that_balances_itself_does_not_narrow_the_interval_below_independence():
    # One right and one wrong in each of 20 groups: Wilson on all 40 pictures, with t(19) = 2.093024
    found = accuracy_interval([True, False] * 20, [str(i // 2) for i in range(40)])
    t = 2.093024054
    half = t * math.sqrt(0.25 / 40 + t**2 / 6400) / (1 + t**2 / 40)
    assert found == pytest.approx((0.5 - half, 0.5 + half))


def test_standard_errors_by_hand():
    # Around 2: -2, -1, 0, 3; squares 14. Alone: 14 / 3 / 4. In pairs: sums -3 and 3, 2/1 * (9 + 9) / 16.
    assert standard_error([0, 1, 2, 5]) == pytest.approx(math.sqrt(14 / 12))
    assert standard_error([0, 1, 2, 5], ["a", "a", "b", "b"]) == pytest.approx(1.5)
    assert standard_error([0, 1], ["a", "a"]) == standard_error([3]) == math.inf


def test_groups_by_number_are_groups_by_name():
    values, names = [0.0, 1.0, 2.0, 5.0, 5.0], ["c", "a", "a", "b", "c"]
    assert standard_error(values, np.array([2, 0, 0, 1, 2])) == pytest.approx(standard_error(values, names))


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_the_level_is_that_of_the_interval(level):
    values = np.random.default_rng(13).normal(size=8)
    t_interval = stats.t.interval(level, 7, values.mean(), stats.sem(values))
    assert mean_interval(values, level=level) == pytest.approx(t_interval)
    assert mean_over_seeds(values, level=level)[2:4] == pytest.approx(t_interval)
    hits = np.array([1, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    low, high = stats.t.interval(level, 7, 0.25, stats.sem(hits))
    assert paired_difference(np.zeros(8), hits, level=level)[1:3] == pytest.approx((low, high))


@pytest.mark.parametrize("right", [True, False])
def test_at_the_extremes_the_groups_are_the_sample(right):
    low, high = accuracy_interval([right] * 100, [str(i // 10) for i in range(100)])
    t2 = stats.t.ppf(0.975, 9) ** 2
    assert (high - low) == pytest.approx(t2 / (10 + t2))
    assert (high if right else low) == float(right)


def test_one_group_says_nothing_about_an_accuracy():
    assert accuracy_interval([True, True, False], ["a"] * 3) == Interval(0.0, 1.0)


def test_one_picture_says_nothing_about_a_loss():
    assert mean_interval([0.3]) == Interval(-math.inf, math.inf)


@pytest.mark.parametrize(("data", "shape"), [([], r"\(0,\)"), ([[True], [False]], r"\(2, 1\)"), (True, r"\(\)")])
def test_anything_but_one_value_per_picture_is_refused(data, shape):
    with pytest.raises(ValueError, match=f"one value per picture, at least one; found the shape {shape}"):
        accuracy_interval(data)


def test_groups_of_another_length_are_refused():
    with pytest.raises(ValueError, match="3 pictures and 2 group names"):
        accuracy_interval([True, False, True], ["a", "b"])


def test_order_and_names_of_groups_do_not_matter():
    rng = np.random.default_rng(3)
    hits, groups = rng.random(60) < 0.7, rng.integers(0, 9, 60)
    order = rng.permutation(60)
    renamed = [("scene", -int(g)) for g in groups[order]]
    assert accuracy_interval(hits, list(groups)) == pytest.approx(accuracy_interval(hits[order], renamed))


@pytest.mark.parametrize(("better", "worse"), [(0, 1), (5, 0), (7, 3), (12, 12), (300, 250)])
def test_ungrouped_p_is_mcnemars(better, worse):
    a = [False] * better + [True] * worse + [True] * 4
    b = [True] * better + [False] * worse + [True] * 4
    found = paired_difference(a, b)
    assert found.test == "exact McNemar"
    assert found.p == pytest.approx(stats.binomtest(better, better + worse).pvalue)


def test_sign_flip_with_one_picture_a_group_is_mcnemars():
    rng = np.random.default_rng(9)
    a, b = rng.random(300) < 0.6, rng.random(300) < 0.7
    grouped = paired_difference(a, b, range(300))
    assert grouped.p == pytest.approx(paired_difference(a, b).p)
    assert grouped.test == "exact sign-flip over groups"


def test_sign_flip_p_is_that_of_all_sign_patterns():
    rng = np.random.default_rng(10)
    a, b = rng.random((11, 6)) < 0.5, rng.random((11, 6)) < 0.7
    sums = b.sum(1).astype(int) - a.sum(1)
    flipped = [abs(np.dot(signs, sums)) for signs in itertools.product((-1, 1), repeat=11)]
    expected = np.mean(np.array(flipped) >= abs(sums.sum()))
    assert paired_difference(a.ravel(), b.ravel(), [g for g in range(11) for _ in range(6)]).p == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        ((1,), 1.0),
        ((1, 1), 0.5),
        ((0, 0), 1.0),
        ((3, 1), 0.5),  # |±3 ± 1| ≥ 4 in two of four
        ((3, -1), 1.0),  # ≥ 2 in all
        ((2, 4, 6), 0.25),
        ((3, 3, -3, 3), 10 / 16),  # four of a size: the total is ±2 of them or more, but for the six balanced
        ((0, 5, 5, 5, 5), 1 / 8),
    ],
)
def test_sign_flip_p_by_hand(sums, expected):
    assert sign_flip_p(np.array(sums)) == expected


@pytest.mark.parametrize("grouped", [True, False])
def test_swapping_a_and_b_turns_the_sign_only(grouped):
    rng = np.random.default_rng(11)
    a, b = rng.random(90) < 0.5, rng.random(90) < 0.65
    groups = [i // 3 for i in range(90)] if grouped else None
    one, other = paired_difference(a, b, groups), paired_difference(b, a, groups)
    assert (other.mean, other.low, other.high, other.p) == pytest.approx((-one.mean, -one.high, -one.low, one.p))


def _two_pairs_added(better, worse, n):
    """Bonett & Price by hand: one pair of either kind more; t with n - 1 degrees of freedom."""
    better, worse = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    half = stats.t.ppf(0.975, n - 1) * math.sqrt((better + worse - (better - worse) ** 2) / (n + 2))
    return better - worse - half, better - worse + half


def test_two_classifiers_that_always_agree_may_still_differ_a_little():
    found = paired_difference([True, False] * 50, [True, False] * 50)
    low, high = _two_pairs_added(0, 0, 100)
    assert found == (0.0, pytest.approx(low), pytest.approx(high), 1.0, "exact McNemar")
    assert 0.02 < high < 0.04


def test_better_on_every_picture_is_not_certain_of_it():
    low, high = _two_pairs_added(30, 0, 30)
    found, turned = paired_difference([False] * 30, [True] * 30), paired_difference([True] * 30, [False] * 30)
    assert high > 1 and found[:3] == (1.0, pytest.approx(low), 1.0)
    assert turned[:3] == (-1.0, -1.0, pytest.approx(-low))


def test_groups_that_differ_alike_are_the_sample():
    # In each of 10 groups b is better on one picture of four and worse on none.
    a, b = [False, False, True, True] * 10, [True, False, True, True] * 10
    found = paired_difference(a, b, [i // 4 for i in range(40)])
    low, high = _two_pairs_added(2.5, 0, 10)
    assert found[:3] == (0.25, pytest.approx(low), pytest.approx(high))
    assert found.p == 2 / 2**10


def test_no_interval_is_wider_than_all_differences():
    assert paired_difference([False, True], [True, True])[1:3] == (-1.0, 1.0)
    assert paired_difference([False] * 2, [True] * 2)[1:3] == (-1.0, 1.0)


@pytest.mark.parametrize("n", [1, 3])
def test_one_group_cannot_tell_two_classifiers_apart(n):
    found = paired_difference([False] * n, [True] * n, ["a"] * n)
    test = "exact sign-flip over groups"
    assert found == Difference(1.0, -1.0, 1.0, 1.0, test)
    assert paired_difference([False] * n, [True] * n).p == 2 / 2**n


def test_pictures_of_another_number_are_refused():
    with pytest.raises(ValueError, match="2 pictures and b has 1"):
        paired_difference([True, False], [True])


@pytest.mark.parametrize(
    ("base", "new", "printed"), [(69.34, 74.22, "71.70"), (71.76, 77.00, "74.29"), (0, 50, "0.00"), (0, 0, "0.00")]
)
def test_harmonic_mean_as_the_papers_print_it(base, new, printed):
    assert f"{harmonic_mean(base, new):.2f}" == printed


def test_harmonic_mean_takes_fractions_as_well_as_percent():
    assert harmonic_mean(0.25, 0.75) == 0.375
    assert harmonic_mean(0.5, 0) == 0.0


def test_mean_over_seeds_by_hand():
    # sd 1, standard error 1/sqrt(3), t(2) = 4.302653
    half = 4.302652730 / math.sqrt(3)
    assert mean_over_seeds([1.0, 2.0, 3.0]) == pytest.approx((2, 1, 2 - half, 2 + half, 3))


def test_two_seeds_have_a_spread_and_one_has_none():
    half = 12.706204736  # t(1); the standard error of 1 and 3 is 1
    assert mean_over_seeds([1.0, 3.0]) == pytest.approx((2, math.sqrt(2), 2 - half, 2 + half, 2))
    found = mean_over_seeds([0.5])
    assert math.isnan(found.sd)
    assert (found.mean, found.low, found.high, found.n) == (0.5, -math.inf, math.inf, 1)
