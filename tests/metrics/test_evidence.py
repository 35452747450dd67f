"""Comparisons over seeds and data sets: cases worked by hand, and against other ways to the same number."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from ipo.metrics.evidence import (
    Crossed,
    Effect,
    Spread,
    Variance,
    accuracy_over_seeds,
    combine,
    effect_of,
    over_data_sets,
    paired_effect,
    spread,
    verdict,
)
from ipo.metrics.statistics import accuracy_interval, mean_interval, paired_difference, wilson

GROUPS = [g for g in range(20) for _ in range(5)]


DIFFICULTY = np.random.default_rng(0).normal(size=20).repeat(5)


def _hits(rng, seeds, p=0.6):
    """Hits (seeds, 100) that are about p right; the groups are as hard for every method and seed."""
    return (rng.normal(size=(seeds, 100)) + DIFFICULTY < 1.4 * (p - 0.5) * 2.5).astype(float)


def test_one_seed_is_the_comparison_without_seeds():
    rng = np.random.default_rng(1)
    a, b = _hits(rng, 1)[0], _hits(rng, 1)[0]
    found, expected = paired_effect([Crossed(np.array([b - a]), GROUPS)]), paired_difference(a, b, GROUPS)
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert found.p >= expected.p


def test_one_seed_is_the_accuracy_interval_without_seeds():
    hits = _hits(np.random.default_rng(2), 1)
    assert accuracy_over_seeds(Crossed(hits, GROUPS)) == pytest.approx(accuracy_interval(hits[0], GROUPS))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_under_every_seed_is_not_certain(right):
    hits = np.full((3, 100), right)
    assert accuracy_over_seeds(Crossed(hits, GROUPS)) == pytest.approx(accuracy_interval(hits[0], GROUPS))


def test_an_accuracy_over_seeds_by_hand():
    # Averages over two seeds 1, 1, 1/2, 0, 1/2, 1/2 around 7/12. Pictures: squares (25 + 25 + 1 + 49 + 1 + 1) / 144
    # over 5 * 6; seeds: 4/6 and 3/6, squares 2/144 over 1 * 2. t(5) = 2.570582, t(1) = 12.706205.
    hits = np.array([[1, 1, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1]], dtype=float)
    pictures, seeds = 102 / 144 / 30, 2 / 144 / 2
    quantile = math.sqrt((2.570581836**2 * pictures + 12.706204736**2 * seeds) / (pictures + seeds))
    expected = wilson(7 / 12, 7 / 12 * 5 / 12 / (pictures + seeds), quantile)
    assert accuracy_over_seeds(Crossed(hits, None)) == pytest.approx(expected)


def test_groups_that_balance_themselves_do_not_narrow_an_accuracy():
    # Each of five groups holds one right and one wrong: no variance over groups, 1/4 / 10 over pictures; t(4).
    hits = np.array([[1.0, 0.0] * 5])
    found = accuracy_over_seeds(Crossed(hits, [i // 2 for i in range(10)]))
    assert found == pytest.approx(wilson(0.5, 10, 2.776445105))


def test_an_accuracy_without_any_spread_has_the_groups_as_sample():
    hits = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])  # every picture right under one seed of two
    assert accuracy_over_seeds(Crossed(hits, None)) == pytest.approx(wilson(0.5, 4, 3.182446305))


def test_one_group_says_nothing_about_an_accuracy():
    for hits in ([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], np.ones((2, 3))):
        assert accuracy_over_seeds(Crossed(np.array(hits), ["a"] * 3)) == (0.0, 1.0)


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_the_level_is_that_of_the_accuracy_interval(level):
    hits = _hits(np.random.default_rng(11), 1)
    for one in (hits, np.ones_like(hits)):
        expected = accuracy_interval(one[0], GROUPS, level)
        assert accuracy_over_seeds(Crossed(one, GROUPS), level) == pytest.approx(expected)


def test_repeating_a_seed_adds_no_fact():
    """Three equal seeds prove no more than one: the pictures are the same."""
    rng = np.random.default_rng(3)
    difference = _hits(rng, 1, 0.8) - _hits(rng, 1)
    once, thrice = (
        paired_effect([Crossed(difference, GROUPS)]),
        paired_effect([Crossed(difference.repeat(3, 0), GROUPS)]),
    )
    assert thrice[:4] == pytest.approx(once[:4])


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(4)
    base = _hits(rng, 1, 0.7) - _hits(rng, 1, 0.5)
    agreeing = Crossed(base.repeat(4, 0), GROUPS)
    shifted = Crossed(base.repeat(4, 0) + np.array([[-0.2], [0.2], [-0.1], [0.1]]), GROUPS)
    wide, narrow = paired_effect([shifted], mean=0.0), paired_effect([agreeing], mean=0.0)
    seeds = 3.182446305 * np.std([-0.2, 0.2, -0.1, 0.1], ddof=1) / 2  # t(3)
    assert wide.high == pytest.approx(math.hypot(narrow.high, seeds))


def test_the_variance_of_pictures_is_that_of_their_averages_over_seeds():
    values = np.random.default_rng(5).normal(size=(3, 100))
    found = spread([Crossed(values, GROUPS)])
    low, high = mean_interval(values.mean(0), GROUPS)
    assert found.pictures.degrees == 19
    assert 2 * 2.093024054 * math.sqrt(found.pictures.value) == pytest.approx(high - low)
    assert found.seeds == pytest.approx((values.mean(1).var(ddof=1) / 3, 2))


def test_parts_add_up():
    """A sum of means over two sets of pictures, as the linearised H is one. Each has its own pictures, not seeds."""
    rng = np.random.default_rng(12)
    base, new = rng.normal(size=(3, 20)), rng.normal(size=(3, 30))
    found = spread([Crossed(base, None), Crossed(new, [i // 2 for i in range(30)])])
    apart = [spread([Crossed(base, None)]).pictures, spread([Crossed(new, [i // 2 for i in range(30)])]).pictures]
    assert [one.degrees for one in apart] == [19, 14]
    sums = base.mean(1) + new.mean(1)
    assert found.per_seed == pytest.approx(sums)
    assert found.mean == pytest.approx(sums.mean())
    assert found.pictures == pytest.approx(combine(apart))
    assert found.seeds == pytest.approx((sums.var(ddof=1) / 3, 2))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_agreement_everywhere_counts_as_if_two_groups_had_differed(scale):
    # Four groups of equal averages m, and two of ±scale: around the mean 4m/6, (4 m² + 2 scale² - 16 m² / 6) / 6 / 6.
    for m in (0.0, scale / 2):
        found = spread([Crossed(np.full((1, 8), m), [i // 2 for i in range(8)], scale)])
        assert found.pictures == pytest.approx(((4 * m**2 + 2 * scale**2 - 16 * m**2 / 6) / 36, 3))


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e-8])
def test_a_small_spread_is_a_spread_in_whatever_unit(scale):
    values = np.array([[1e-7, -1e-7, 1e-7, -1e-7]]) * scale
    found = spread([Crossed(values, None, scale)])
    assert found.pictures == pytest.approx((1e-14 / 3 * scale**2, 3), rel=1e-6, abs=0)


def test_one_group_bounds_nothing_and_one_seed_adds_nothing():
    found = spread([Crossed(np.array([[0.5, 0.25]]), ["a", "a"])])
    assert found.pictures == (math.inf, 1)
    assert found.seeds == (0.0, 1)


def test_seeds_that_agree_but_for_rounding_vary_by_nothing():
    values = np.full((3, 4), 0.1) + np.array([[0.0], [1e-16], [-1e-16]])
    assert spread([Crossed(values, None)]).seeds == (0.0, 2)


def test_nothing_to_combine():
    assert combine([Variance(0.0, 4), Variance(0.0, 7)], divisor=2) == (0.0, 7)
    assert combine([Variance(math.inf, 1), Variance(1.0, 9)]) == (math.inf, 9)
    assert combine([]) == (0.0, 1.0)


def test_satterthwaite_by_hand():
    assert combine([Variance(2.0, 4), Variance(1.0, 2)]) == pytest.approx((3.0, 9 / (4 / 4 + 1 / 2)))
    assert combine([Variance(2.0, 4), Variance(0.0, 2)]) == pytest.approx((2.0, 4))
    assert combine([Variance(2.0, 4), Variance(2.0, 4)], divisor=2) == pytest.approx((1.0, 8))


def test_no_difference_is_no_evidence():
    found = paired_effect([Crossed(np.zeros((3, 100)), GROUPS)])
    assert (found.mean, found.p) == (0.0, 1.0)
    assert found.low == -found.high < 0
    assert verdict("the anchor", found, 1.0, 3).startswith("no evidence of a gain over the anchor: +0.00 points")


def test_the_larger_p_of_two_tests_counts():
    # Alike in every group but one: by t almost certain, by signs 2 of 32 patterns.
    few = paired_effect([Crossed(np.array([[1, 1, 1, 1, 1, 1, 1, 1, 0, 1]], dtype=float), [i // 2 for i in range(10)])])
    assert few.p == 2 / 2**5
    assert few.test == "larger p of exact sign-flip over picture groups and t over picture groups and seeds"
    # Pictures agree but seeds do not: sums over seeds are all of one sign, and two seeds prove little.
    values = np.full((2, 12), 1.0)
    values[1, ::2] = 0
    both = paired_effect([Crossed(values, None)])
    assert 2 / 2**12 < both.p == effect_of(both.mean, [(s := spread([Crossed(values, None)])).pictures, s.seeds]).p


def test_signs_are_those_of_sums_over_seeds_in_groups():
    values = np.array([[1, 0, 1, 0, 1, -1], [1, 1, 0, 0, 1, 0]], dtype=float)  # sums 3, 1, 1 in three groups
    assert paired_effect([Crossed(values, ["a", "a", "b", "b", "c", "c"])]).p >= 2 / 2**3


def test_what_is_not_linear_in_the_hits_is_tested_by_t_alone():
    part = Crossed(np.ones((1, 10)) - np.eye(10)[:1], [i // 2 for i in range(10)])
    found = spread([part, part])
    assert paired_effect([part, part]) == effect_of(found.mean, [found.pictures, found.seeds])
    assert paired_effect([part], mean=0.25) == effect_of(0.25, list(spread([part])[1:]))
    assert paired_effect([part], mean=0.25).test == "t over picture groups and seeds"


def test_a_clear_winner_is_found():
    rng = np.random.default_rng(6)
    found = paired_effect([Crossed(_hits(rng, 3, 0.95) - _hits(rng, 3, 0.4), GROUPS)])
    assert found.p < 0.01 and found.low > 0.2


def test_five_groups_cannot_make_a_small_p():
    difference = np.ones((3, 10)) - np.eye(10)[:3]
    assert paired_effect([Crossed(difference, [i // 2 for i in range(10)])]).p >= 2 / 2**5


def test_one_group_proves_nothing():
    found = paired_effect([Crossed(np.ones((2, 4)), ["a"] * 4)])
    assert (found.low, found.high, found.p, found.detectable) == (-1.0, 1.0, 1.0, math.inf)


def test_swapping_turns_the_sign_only():
    rng = np.random.default_rng(7)
    values = _hits(rng, 4, 0.7) - _hits(rng, 4)
    one, other = paired_effect([Crossed(values, GROUPS)]), paired_effect([Crossed(-values, GROUPS)])
    assert (other.mean, other.low, other.high, other.p) == pytest.approx((-one.mean, -one.high, -one.low, one.p))


def test_a_chance_agreement_of_data_sets_does_not_narrow_the_interval():
    one = Spread(np.array([0.1]), Variance(0.01, 20), Variance(0.0, 1))
    found = over_data_sets([one, one, one], 0.1)
    error = 0.1 / math.sqrt(3)
    assert found.these.high == pytest.approx(0.1 + 2.000298 * error)  # t(60)
    assert found.like_these.high == pytest.approx(0.1 + 4.302653 * error)  # t(2)


def _about(mean, variances, test="t over picture groups and seeds"):
    """An effect with these variances, but for rounding."""
    *numbers, name, detectable = effect_of(mean, variances, test)
    return (*map(pytest.approx, numbers), name, pytest.approx(detectable))


def test_data_sets_by_hand():
    one = Spread(np.array([0.1, 0.3]), Variance(0.0004, 10), Variance(0.0001, 1))
    two = Spread(np.array([0.5, 0.5]), Variance(0.0012, 20), Variance(0.0, 1))
    pictures = combine([one.pictures, two.pictures], 2)
    # Means 0.2 and 0.5: their variance 0.045 over 2, more than pictures and seeds have.
    found = over_data_sets([one, two], 0.35)
    assert found.these == _about(0.35, [pictures, Variance(0.0001 / 4, 1)])
    assert found.like_these == _about(0.35, [Variance(0.0225, 1)], "t over data sets")
    # Under shared seeds 0.3 and 0.4: their variance 0.005 over 2.
    shared = over_data_sets([one, two], 0.35, shared_seeds=True)
    assert shared.these == _about(0.35, [pictures, Variance(0.0025, 1)])
    assert shared.like_these == _about(0.35, [Variance(0.0225, 1), Variance(0.0025, 1)], "t over data sets")
    # Where the means agree the pictures' variance counts, with the data sets' degrees of freedom.
    alike = over_data_sets([one, one, one], 0.2, shared_seeds=True)
    expected = [Variance(0.0004 / 3, 2), Variance(0.01, 1)]
    assert alike.like_these == _about(0.2, expected, "t over data sets")


def test_two_sources_of_variance_by_hand():
    found = effect_of(0.01, [Variance(0.0004, 30), Variance(0.0002, 2)])
    half = math.sqrt(stats.t.ppf(0.975, 30) ** 2 * 0.0004 + stats.t.ppf(0.975, 2) ** 2 * 0.0002)
    seen = [(stats.t.ppf(0.975, d) + stats.t.ppf(0.8, d)) ** 2 * v for v, d in ((0.0004, 30), (0.0002, 2))]
    assert found[:3] == pytest.approx((0.01, 0.01 - half, 0.01 + half))
    assert found.detectable == pytest.approx(math.sqrt(sum(seen)))
    assert found.test == "t over picture groups and seeds"


def test_with_one_source_p_is_that_of_the_t_test():
    sample = np.random.default_rng(13).normal(0.02, 0.05, 15)
    expected = stats.ttest_1samp(sample, 0).pvalue
    assert effect_of(sample.mean(), [Variance(sample.var(ddof=1) / 15, 14)]).p == pytest.approx(expected)


def test_p_is_where_the_interval_ends_at_zero():
    variances = [Variance(0.0004, 30), Variance(0.0002, 2)]
    half = effect_of(0.0, variances).high
    assert effect_of(half, variances).p == pytest.approx(0.05)
    assert effect_of(-half, variances).p == pytest.approx(0.05)

    def reach(p):
        return math.sqrt(sum(stats.t.isf(p / 2, d) ** 2 * v for v, d in variances))

    for mean in (0.001, 0.03, 0.4):
        expected = optimize.brentq(lambda p: reach(p) - mean, 1e-12, 1)  # noqa: B023
        assert effect_of(mean, variances).p == pytest.approx(expected, rel=1e-4)


def test_p_at_its_ends():
    some, none = [Variance(0.0001, 50)], [Variance(0.0, 3), Variance(0.0, 1)]
    assert effect_of(0.0, some).p == 1.0
    assert effect_of(0.0, none) == Effect(0.0, 0.0, 0.0, 1.0, "t over picture groups and seeds", 0.0)
    assert effect_of(0.1, none).p == 0.0
    assert effect_of(0.9, some).p == 1e-12  # never said to be smaller


def test_an_interval_holds_no_more_than_all_differences():
    half = 4.302652730 * math.sqrt(0.1)  # t(2)
    assert effect_of(0.5, [Variance(0.1, 2)])[1:3] == (pytest.approx(0.5 - half), 1.0)
    assert effect_of(-0.5, [Variance(0.1, 2)])[1:3] == (-1.0, pytest.approx(-0.5 + half))
    assert effect_of(0.5, [Variance(math.inf, 1)]) == (0.5, -1.0, 1.0, 1.0, "t over picture groups and seeds", math.inf)
