"""Intervals and tests against scipy's, against hand-worked cases, and in simulations with a known truth."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ipo.metrics.statistics import (
    Interval,
    accuracy_interval,
    average_row,
    harmonic_mean,
    mean_interval,
    mean_over_seeds,
    paired_difference,
    smallest_detectable_difference,
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
    hits = [True, False] * 20
    groups = [str(i // 2) for i in range(40)]
    plain, grouped = accuracy_interval(hits), accuracy_interval(hits, groups)
    assert grouped.low <= plain.low and grouped.high >= plain.high


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


def test_no_picture_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        accuracy_interval([])


def test_groups_of_another_length_are_refused():
    with pytest.raises(ValueError, match="3 pictures and 2 group names"):
        accuracy_interval([True, False, True], ["a", "b"])


def test_order_and_names_of_groups_do_not_matter():
    rng = np.random.default_rng(3)
    hits, groups = rng.random(60) < 0.7, rng.integers(0, 9, 60)
    order = rng.permutation(60)
    renamed = [("scene", -int(g)) for g in groups[order]]
    assert accuracy_interval(hits, list(groups)) == pytest.approx(accuracy_interval(hits[order], renamed))


def _clustered(rng, p, groups, size, concentration):
    """Hits (groups, size) with the mean p and the correlation 1/(1+concentration) inside a group."""
    chance = rng.beta(p * concentration, (1 - p) * concentration, groups)
    return rng.random((groups, size)) < chance[:, None]


@pytest.mark.parametrize(("p", "groups", "size"), [(0.5, 20, 6), (0.7, 40, 5), (0.85, 60, 4)])
def test_grouped_accuracy_interval_covers_as_it_says(p, groups, size):
    rng = np.random.default_rng(4)
    names = [g for g in range(groups) for _ in range(size)]
    covered = []
    for _ in range(4000):
        low, high = accuracy_interval(_clustered(rng, p, groups, size, 1.5).ravel(), names)
        covered.append(low <= p <= high)
    assert 0.93 <= np.mean(covered) <= 0.975


def test_wilson_without_groups_is_too_narrow_for_the_same_pictures():
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(1000):
        low, high = accuracy_interval(_clustered(rng, 0.7, 40, 5, 1.5).ravel())
        covered.append(low <= 0.7 <= high)
    assert np.mean(covered) < 0.87


def _pair(rng, groups, size, advantage):
    """Hits of two classifiers (groups * size,) that share the difficulty of the group and each the luck of it."""
    difficulty, a_luck, b_luck = rng.normal(size=(3, groups, 1)) * [[[1.0]], [[0.7]], [[0.7]]]
    a = rng.normal(size=(groups, size)) + difficulty + a_luck > 0
    b = rng.normal(size=(groups, size)) + difficulty + b_luck + advantage > 0
    return a.ravel(), b.ravel()


def test_paired_interval_covers_as_it_says():
    advantage, spread = 0.5, math.sqrt(1 + 1 + 0.49)
    truth = stats.norm.cdf(advantage / spread) - 0.5
    rng = np.random.default_rng(6)
    names = [g for g in range(40) for _ in range(4)]
    found = [paired_difference(*_pair(rng, 40, 4, advantage), names) for _ in range(3000)]
    assert 0.93 <= np.mean([d.low <= truth <= d.high for d in found]) <= 0.975


def test_permutation_p_is_uniform_under_the_null():
    rng = np.random.default_rng(7)
    names = [g for g in range(60) for _ in range(4)]
    p = np.array([paired_difference(*_pair(rng, 60, 4, 0.0), names).p for _ in range(2000)])
    for alpha in (0.01, 0.05, 0.1, 0.25, 0.5):
        tolerance = 3.5 * math.sqrt(alpha * (1 - alpha) / len(p))
        assert 0.7 * alpha - tolerance <= np.mean(p <= alpha) <= alpha + tolerance


def test_ignoring_groups_finds_differences_that_are_not_there():
    rng = np.random.default_rng(8)
    p = np.array([paired_difference(*_pair(rng, 20, 20, 0.0)).p for _ in range(500)])
    assert np.mean(p <= 0.05) > 0.2


@pytest.mark.parametrize(("better", "worse"), [(0, 1), (5, 0), (7, 3), (12, 12), (300, 250)])
def test_ungrouped_p_is_mcnemars(better, worse):
    a = [False] * better + [True] * worse + [True] * 4
    b = [True] * better + [False] * worse + [True] * 4
    found = paired_difference(a, b)
    assert found.test == "exact McNemar"
    assert found.p == pytest.approx(stats.binomtest(better, better + worse).pvalue)


def test_sign_flip_with_one_picture_a_group_is_mcnemars():
    rng = np.random.default_rng(9)
    a, b = rng.random(200) < 0.6, rng.random(200) < 0.7
    grouped = paired_difference(a, b, range(200))
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


@pytest.mark.parametrize("grouped", [True, False])
def test_swapping_a_and_b_turns_the_sign_only(grouped):
    rng = np.random.default_rng(11)
    a, b = rng.random(90) < 0.5, rng.random(90) < 0.65
    groups = [i // 3 for i in range(90)] if grouped else None
    one, other = paired_difference(a, b, groups), paired_difference(b, a, groups)
    assert (other.mean, other.low, other.high, other.p) == pytest.approx((-one.mean, -one.high, -one.low, one.p))


def test_two_classifiers_that_always_agree_may_still_differ_a_little():
    found = paired_difference([True, False] * 50, [True, False] * 50)
    assert (found.mean, found.p) == (0.0, 1.0)
    assert found.low == -found.high
    assert 0.02 < found.high < 0.04


def test_better_on_every_picture_is_not_certain_of_it():
    found = paired_difference([False] * 30, [True] * 30)
    assert found.mean == 1.0
    assert found.low < 1.0 and found.high == 1.0


@pytest.mark.parametrize("n", [1, 3])
def test_one_group_cannot_tell_two_classifiers_apart(n):
    found = paired_difference([False] * n, [True] * n, ["a"] * n)
    assert (found.low, found.high, found.p) == (-1.0, 1.0, 1.0)


def test_pictures_of_another_number_are_refused():
    with pytest.raises(ValueError, match="2 pictures and b has 1"):
        paired_difference([True, False], [True])


@pytest.mark.parametrize(
    ("base", "new", "printed"), [(69.34, 74.22, "71.70"), (71.76, 77.00, "74.29"), (0, 50, "0.00"), (0, 0, "0.00")]
)
def test_harmonic_mean_as_the_papers_print_it(base, new, printed):
    assert f"{harmonic_mean(base, new):.2f}" == printed


def test_average_row_is_the_harmonic_mean_of_the_averages():
    row = average_row([40.0, 80.0], [80.0, 40.0])
    assert row == (60.0, 60.0, 60.0)


def test_mean_over_seeds_by_hand():
    # sd 1, standard error 1/sqrt(3), t(2) = 4.302653
    half = 4.302652730 / math.sqrt(3)
    assert mean_over_seeds([1.0, 2.0, 3.0]) == pytest.approx((2, 1, 2 - half, 2 + half, 3))


def test_one_seed_has_no_spread():
    found = mean_over_seeds([0.5])
    assert math.isnan(found.sd)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_detectable_difference_is_found_as_often_as_it_says():
    size = smallest_detectable_difference(30, sd=2.0)
    samples = np.random.default_rng(12).normal(size, 2.0, (4000, 30))
    p = stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.03)


def test_nothing_is_detectable_with_one_group():
    assert smallest_detectable_difference(1, sd=1.0) == math.inf
