"""Comparisons over units, seeds and data sets: cases worked by hand, and against other ways to the same number."""

import math
from functools import cache

import numpy as np
import pytest
from scipy import optimize, stats

from ipo_prompts.metrics.evidence import (
    SAME,
    Crossed,
    Effect,
    Spread,
    effect_of,
    half_width,
    over_data_sets,
    paired_effect,
    split_variance,
)
from ipo_prompts.metrics.sampling import Sampling, Variance, combine, wilson
from ipo_prompts.metrics.verdict import accuracy_interval, score_interval

CLASSES = [c for c in range(20) for _ in range(5)]
BY_CLASS = Sampling.of(100, CLASSES)
DIFFICULTY = np.random.default_rng(0).normal(size=20).repeat(5)


def _hits(rng, seeds, p=0.6):
    """Hits (seeds, 100) that are about p right; the classes are as hard for every method and seed."""
    return (rng.normal(size=(seeds, 100)) + DIFFICULTY < 1.4 * (p - 0.5) * 2.5).astype(float)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (499, 500)])
def test_an_accuracy_of_independent_pictures_has_scipys_wilson(right, n):
    expected = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    hits = np.array([True] * right + [False] * (n - right))
    for sampling in (Sampling(n), Sampling.of(n, [i % 2 for i in range(n)])):
        assert score_interval(hits, sampling) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_numbers_have_scipys_t_interval_within_fractions():
    values = np.random.default_rng(1).uniform(size=30)
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert score_interval(values, Sampling(30)) == pytest.approx(expected)
    assert score_interval(np.array([0.9, 1.0, 1.0]), Sampling(3)).high == 1.0
    assert score_interval(np.array([0.9]), Sampling(1)) == (0.0, 1.0)


def test_copies_of_pictures_have_wilson_of_the_draws_with_t():
    # 4 draws of 5 copies, 2 right: their variance is 1/4 / 3, so n_eff = 3; Wilson with t(3) = 3.18245
    found = score_interval(np.array([True] * 10 + [False] * 10), Sampling.of(20, draws=[i // 5 for i in range(20)]))
    assert found == pytest.approx(wilson(0.5, 3, 3.182446305))


def test_draws_that_balance_themselves_do_not_narrow_an_accuracy():
    # Each of five draws holds one right and one wrong: no variance over draws, 1/4 / 10 over pictures; t(4).
    found = score_interval(np.array([True, False] * 5), Sampling.of(10, draws=[i // 2 for i in range(10)]))
    assert found == pytest.approx(wilson(0.5, 10, 2.776445105))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_under_every_seed_is_not_certain(right):
    draws = Sampling.of(100, draws=[i // 10 for i in range(100)])
    found = accuracy_interval(Crossed(np.full((3, 100), right), draws))
    assert found == pytest.approx(wilson(right, 10, stats.t.ppf(0.975, 9)))


def test_one_draw_says_nothing_about_an_accuracy():
    assert accuracy_interval(Crossed(np.array([[1.0, 0.0, 1.0]]), Sampling.of(3, draws=["a"] * 3))) == (0.0, 1.0)


def test_seeds_that_differ_widen_an_accuracy():
    rng = np.random.default_rng(11)
    hits = rng.random((5, 200)) < np.array([[0.5], [0.6], [0.7], [0.6], [0.5]])
    low, high = accuracy_interval(Crossed(hits.astype(float), Sampling(200)))
    assert low < hits.mean() < high
    assert high - low > 2 * 1.96 * math.sqrt(np.var(hits.mean(1), ddof=1) / 5)


def test_an_accuracy_without_any_spread_has_the_draws_as_sample():
    hits = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])  # every picture right under one seed of two
    assert accuracy_interval(Crossed(hits, Sampling(4))) == pytest.approx(wilson(0.5, 4, 1.959963985))


def _two_added(values, n):
    """Bonett & Price by hand: one difference of either kind more in the sum of squares; t."""
    return stats.t.ppf(0.975, n - 1) * math.sqrt((n / (n - 1) * ((values - values.mean()) ** 2).sum() + 2) / n**2)


@pytest.mark.parametrize(("better", "worse", "same"), [(7, 3, 20), (0, 0, 100), (30, 0, 0), (1, 0, 9)])
def test_one_seed_of_independent_pictures_by_hand(better, worse, same):
    values = np.array([1.0] * better + [-1.0] * worse + [0.0] * same)
    found, general = paired_effect([Crossed(values[None], Sampling(len(values)))])
    half = _two_added(values, len(values))
    assert (found.mean, found.high - found.mean) == (values.mean(), pytest.approx(min(half, 1 - found.mean)))
    assert (found.covers, general) == ("these classes", None)


def test_what_is_added_is_of_the_size_that_differences_have():
    """Whatever the unit of the differences, and however they are averaged over seeds."""
    values = np.random.default_rng(1).integers(-1, 2, (1, 60)).astype(float)
    one = split_variance([Crossed(values, Sampling(60))])
    for factor in (0.2, 7.0):
        assert split_variance([Crossed(factor * values, Sampling(60))]).units.value == pytest.approx(
            factor**2 * one.units.value
        )


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_agreement_everywhere_counts_as_if_two_pictures_had_differed(scale):
    found = split_variance([Crossed(np.zeros((1, 8)), Sampling(8), scale)])
    assert found.units == pytest.approx((2 * scale**2 / 64, 7))
    pairs = split_variance([Crossed(np.zeros((1, 8)), Sampling.of(8, draws=[i // 2 for i in range(8)]), scale)])
    assert pairs.units == pytest.approx((2 * (2 * scale) ** 2 / 64, 3))


def test_classes_are_given_or_a_sample():
    """All of class a is gained and all of class b lost: nothing within classes, everything between them."""
    values = np.array([1.0] * 10 + [-0.5] * 10)
    here, general = paired_effect([Crossed(values[None], Sampling.of(20, [0] * 10 + [1] * 10))])
    assert here.low > 0.1 and here.p < 0.01
    assert general.low < 0 < general.high and general.p > 0.5
    assert general.covers == "classes like these"


@pytest.mark.parametrize("comparisons", [1, 3])
def test_a_gain_in_each_of_five_classes_is_found_for_classes_like_these(comparisons):
    rng = np.random.default_rng(16)
    differences = rng.choice([1.0, 0.0, -1.0], p=[0.5, 0.45, 0.05], size=200)
    part = Crossed(differences[None], Sampling.of(200, [i % 5 for i in range(200)]))
    assert paired_effect([part]).like_these.p <= 0.05 / comparisons


def test_repeating_a_seed_adds_no_fact():
    """Three equal seeds prove no more than one: the pictures are the same."""
    rng = np.random.default_rng(3)
    difference = _hits(rng, 1, 0.8) - _hits(rng, 1)
    once, thrice = (paired_effect([Crossed(difference.repeat(k, 0), BY_CLASS)]) for k in (1, 3))
    assert thrice.these[:4] == pytest.approx(once.these[:4])
    assert thrice.like_these[:4] == pytest.approx(once.like_these[:4])


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(4)
    base = _hits(rng, 1, 0.7) - _hits(rng, 1, 0.5)
    shifts = np.array([[-0.2], [0.2], [-0.1], [0.1]])
    wide, narrow = (paired_effect([Crossed(base + by, BY_CLASS)], mean=0.0).these for by in (shifts, 0 * shifts))
    seeds = 3.182446305 * np.std(shifts, ddof=1) / 2  # t(3)
    assert wide.high == pytest.approx(math.hypot(narrow.high, seeds))


def test_what_seeds_and_pictures_do_jointly_counts_once():
    """Without any effect of the seed as such its variance is the joint one, which pictures have already."""
    values = np.random.default_rng(5).normal(size=(40, 50))
    found = split_variance([Crossed(values, Sampling(50))])
    joint = values.std() ** 2 / values.size
    assert found.seeds.value < 0.5 * joint
    assert found.units.value == pytest.approx(joint, rel=0.4)


def test_two_seeds_cannot_tell_what_is_joint():
    values = np.random.default_rng(5).normal(size=(2, 50))
    assert split_variance([Crossed(values, Sampling(50))]).seeds == pytest.approx((values.mean(1).var(ddof=1) / 2, 1))


def test_the_joint_part_by_hand():
    # Residuals of the two-way table ((0, 3), (0, 0), (3, 0)): around row means 1.5, 0, 1.5, columns 1, 1, mean 1.
    values = np.array([[0.0, 3.0], [0.0, 0.0], [3.0, 0.0]])
    joint = sum(2 * ((row - values.mean(0)) - (row - values.mean(0)).mean()).var() * 2 / 1 / 4 for row in values) / 6
    seeds = values.mean(1).var(ddof=1) / 3
    assert split_variance([Crossed(values, Sampling(2))]).seeds == (pytest.approx(max(0.0, seeds - joint)), 2)


def test_parts_add_up():
    """A sum of means over two sets of pictures, as the linearised H is one. Each has its own pictures, not seeds."""
    rng = np.random.default_rng(12)
    base, new = rng.normal(size=(2, 20)), rng.normal(size=(2, 30))
    halves = Sampling.of(30, draws=[i // 2 for i in range(30)])
    found = split_variance([Crossed(base, Sampling(20)), Crossed(new, halves)])
    apart = [split_variance([Crossed(base, Sampling(20))]).units, split_variance([Crossed(new, halves)]).units]
    assert [one.degrees for one in apart] == [19, 14]
    sums = base.mean(1) + new.mean(1)
    assert found.per_seed == pytest.approx(sums)
    assert found.mean == pytest.approx(sums.mean())
    assert found.units == pytest.approx(combine(apart))
    assert found.seeds == pytest.approx((sums.var(ddof=1) / 2, 1))
    assert split_variance([Crossed(base, Sampling(20)), Crossed(new, halves)], like_these=True) is None


def test_one_draw_bounds_nothing_and_one_seed_adds_nothing():
    found = split_variance([Crossed(np.array([[0.5, 0.25]]), Sampling.of(2, draws=["a", "a"]))])
    assert found.units == (math.inf, 1)
    assert found.seeds == (0.0, 1)
    effect = paired_effect([Crossed(np.ones((2, 4)), Sampling.of(4, draws=["a"] * 4))]).these
    assert (effect.low, effect.high, effect.p, effect.detectable()) == (-1.0, 1.0, 1.0, math.inf)


def test_seeds_that_agree_but_for_rounding_vary_by_nothing():
    values = np.full((3, 4), 0.1) + np.array([[0.0], [1e-16], [-1e-16]])
    assert split_variance([Crossed(values, Sampling(4))]).seeds == (0.0, 2)


def test_a_clear_winner_is_found():
    rng = np.random.default_rng(6)
    found = paired_effect([Crossed(_hits(rng, 3, 0.95) - _hits(rng, 3, 0.4), BY_CLASS)]).these
    assert found.p < 0.01 and found.low > 0.2


@pytest.mark.parametrize("classes", [2, 5])
def test_few_classes_do_not_hide_a_clear_gain(classes):
    rng = np.random.default_rng(7)
    differences = rng.choice([1.0, 0.0, -1.0], p=[0.3, 0.55, 0.15], size=400)
    found = paired_effect([Crossed(differences[None], Sampling.of(400, [i % classes for i in range(400)]))]).these
    assert found.p < 0.001
    assert found.detectable() < 0.12


def test_swapping_turns_the_sign_only():
    rng = np.random.default_rng(7)
    values = _hits(rng, 4, 0.7) - _hits(rng, 4)
    one, other = (paired_effect([Crossed(by * values, BY_CLASS)]).these for by in (1, -1))
    assert (other.mean, other.low, other.high, other.p) == pytest.approx((-one.mean, -one.high, -one.low, one.p))


def test_what_is_not_linear_in_the_hits_brings_its_own_mean():
    part = Crossed(np.ones((1, 10)) - np.eye(10)[:1], Sampling(10))
    assert paired_effect([part], mean=0.25).these == effect_of(0.25, list(split_variance([part])[1:3]), step=0.1)


def test_a_chance_agreement_of_data_sets_does_not_narrow_the_interval():
    one = Spread(np.array([0.1]), Variance(0.01, 20), Variance(0.0, 1))
    found = over_data_sets([one, one, one], 0.1)
    error = 0.1 / math.sqrt(3)
    assert found.these.high == pytest.approx(0.1 + 2.000298 * error)  # t(60)
    assert found.like_these.high == pytest.approx(0.1 + 4.302653 * error)  # t(2)


def _about(mean, variances, covers):
    """An effect with these variances, but for rounding."""
    *numbers, found, covers, joint, step = effect_of(mean, variances, covers)
    return (*map(pytest.approx, numbers), tuple(map(pytest.approx, found)), covers, joint, step)


def test_what_shared_seeds_and_pictures_do_jointly_counts_once():
    """Without any luck of a search its variance over data sets is the joint one, which pictures have already."""
    rng = np.random.default_rng(15)
    spreads = [split_variance([Crossed(rng.normal(size=(40, 50)), Sampling(50))]) for _ in range(4)]
    found = over_data_sets(spreads, 0.0, shared_seeds=True).these
    assert found.joint == pytest.approx(sum(one.joint for one in spreads) / 16)
    assert found.variances[1].value < 0.5 * found.joint


def test_data_sets_by_hand():
    one = Spread(np.array([0.1, 0.3]), Variance(0.0004, 10), Variance(0.0001, 1))
    two = Spread(np.array([0.5, 0.5]), Variance(0.0012, 20), Variance(0.0, 1))
    units = combine([one.units, two.units], 2)
    # Means 0.2 and 0.5: their variance 0.045 over 2, more than pictures and seeds have.
    found = over_data_sets([one, two], 0.35)
    assert found.these == _about(0.35, [units, Variance(0.0001 / 4, 1)], "these data sets")
    assert found.like_these == _about(0.35, [Variance(0.0225, 1)], "data sets like these")
    # Under shared seeds 0.3 and 0.4: their variance 0.005 over 2.
    shared = over_data_sets([one, two], 0.35, shared_seeds=True)
    assert shared.these == _about(0.35, [units, Variance(0.0025, 1)], "these data sets")
    assert shared.like_these == _about(0.35, [Variance(0.0225, 1), Variance(0.0025, 1)], "data sets like these")
    # Where the means agree the pictures' variance counts, with the data sets' degrees of freedom.
    alike = over_data_sets([one, one, one], 0.2, shared_seeds=True)
    expected = [Variance(0.0004 / 3, 2), Variance(0.01, 1)]
    assert alike.like_these == _about(0.2, expected, "data sets like these")


def test_one_picture_moves_the_mean_over_data_sets_by_its_share():
    ones = [Spread(np.array([0.0]), Variance(1e-6, 50), Variance(0.0, 1), step=step) for step in (0.01, 0.03)]
    found = over_data_sets(ones, 0.0)
    assert found.these.step == pytest.approx(0.01)  # a half of 0.02, the mean
    assert found.like_these is not None and found.like_these.step == 0  # what differs there are data sets


def test_two_sources_of_variance_by_hand():
    found = effect_of(0.01, [Variance(0.0004, 30), Variance(0.0002, 2)])
    half = math.sqrt(stats.t.ppf(0.975, 30) ** 2 * 0.0004 + stats.t.ppf(0.975, 2) ** 2 * 0.0002)
    assert found[:3] == pytest.approx((0.01, 0.01 - half, 0.01 + half))


@pytest.mark.parametrize("comparisons", [1, 3, 8])
@pytest.mark.parametrize("degrees", [2, 3, 30, 1000])
def test_a_detectable_difference_is_found_four_times_in_five(degrees, comparisons):
    """By the noncentral t, for the variance of which the estimate is the median."""
    error = 0.003
    found = effect_of(0.0, [Variance(error**2, degrees)]).detectable(comparisons)
    true = error / math.sqrt(stats.chi2.median(degrees) / degrees)
    critical = stats.t.isf(0.025 / comparisons, degrees)
    assert stats.nct.sf(critical, degrees, found / true) == pytest.approx(0.8, abs=2e-3)


@cache
def _of_three_seeds(luck):
    """What was found 2000 times where there is nothing but noise and the luck of seeds."""
    rng, pictures = np.random.default_rng(14), Sampling(100)
    effects = []
    for _ in range(2000):
        values = rng.normal(size=(1, 100)) * 0.2 + rng.normal(size=(3, 100)) * 0.2 + rng.normal(size=(3, 1)) * luck
        effects.append(paired_effect([Crossed(values, pictures)]).these)
    return effects


@pytest.mark.parametrize("comparisons", [1, 3, 8])
@pytest.mark.parametrize("luck", [0.0, 0.01, 0.04])
def test_what_three_seeds_can_find_counts_how_little_they_say_of_luck(luck, comparisons):
    """The variance of seeds is seldom estimated as it is: mostly as 0, sometimes as far too much."""
    effects = _of_three_seeds(luck)
    promise = np.median([one.detectable(comparisons) for one in effects[:200]])
    # A true difference moves the mean alone; p is below a level where the interval of that level leaves 0 out.
    reached = [half_width(one.variances, 0.05 / comparisons) <= abs(one.mean + promise) for one in effects]
    assert 0.73 <= np.mean(reached) <= 0.88


def test_more_comparisons_need_a_larger_difference():
    effect = effect_of(0.0, [Variance(0.0001, 50), Variance(0.0001, 4)])
    assert effect.detectable(1) < effect.detectable(3) < effect.detectable(8)
    assert effect_of(0.0, [Variance(0.01, 1)]).detectable(8) == math.inf
    assert SAME.detectable(3) == 0.0


def test_a_difference_that_is_not_shown_may_be_shown_to_be_small():
    small = effect_of(0.001, [Variance(0.0001, 200)])
    assert small.p > 0.9
    for comparisons in (1, 4):  # the larger of two one-sided p is just at the corrected level there
        margin = small.within(comparisons)
        assert stats.t.sf((margin - 0.001) / 0.01, 200) == pytest.approx(0.05 / comparisons)
    assert effect_of(-0.001, [Variance(0.0001, 200)]).within() == small.within()
    assert effect_of(0.5, [Variance(1.0, 3)]).within() == effect_of(0.1, [Variance(math.inf, 1)]).within() == 1.0
    assert SAME.within(3) == 0.0


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
    assert effect_of(0.0, none) == Effect(0.0, 0.0, 0.0, 1.0, tuple(none), "these classes")
    assert effect_of(0.1, none).p == 0.0
    assert effect_of(0.9, some).p == 1e-12  # never said to be smaller


def test_an_interval_holds_no_more_than_all_differences():
    half = 4.302652730 * math.sqrt(0.1)  # t(2)
    assert effect_of(0.5, [Variance(0.1, 2)])[1:3] == (pytest.approx(0.5 - half), 1.0)
    assert effect_of(-0.5, [Variance(0.1, 2)])[1:3] == (-1.0, pytest.approx(-0.5 + half))
    assert effect_of(0.5, [Variance(math.inf, 1)])[:4] == (0.5, -1.0, 1.0, 1.0)


@pytest.mark.parametrize(("n", "differing"), [(100, 0), (100, 2), (100, 6), (1000, 0), (272, 10)])
def test_a_promise_is_kept_where_few_pictures_differ(n, differing):
    """So many pictures must differ, all one way, that the difference is the promised one."""
    values = np.array([1.0, -1.0] * (differing // 2) + [0.0] * (n - differing))
    promised = paired_effect([Crossed(values[None], Sampling(n))]).these.detectable()
    found = []
    for one_way in range(1, n):
        gained = np.array([1.0] * one_way + [0.0] * (n - one_way))
        found.append(paired_effect([Crossed(gained[None], Sampling(n))]).these.p <= 0.05)
    fewest = found.index(True) + 1
    assert 0.8 <= stats.binom.sf(fewest - 1, n, promised) < 0.97


def test_weights_do_not_make_equal_pictures_differ():
    """In H each method has slopes of its own: a picture that both get right has another weight, but does not differ."""
    hits = np.zeros((1, 100))
    weighted = np.where(np.arange(100) < 60, 0.02, 0.0)[None]
    agree = split_variance([Crossed(weighted, Sampling(100), 1.0, hits)])
    general = split_variance([Crossed(weighted, BY_CLASS, 1.0, hits)], like_these=True)
    one = hits.copy()
    one[0, 0] = 1.0
    differ = split_variance([Crossed(weighted + one, Sampling(100), 1.0, one)])
    assert agree.units.value < differ.units.value
    assert min(agree.units.value, general.units.value) > 2 / 100**2  # two draws of size 1, not of size 0.02


def test_classes_that_happen_to_agree_prove_no_more_than_their_pictures():
    values = np.array([1.0, 1.0, -1.0, 0.0] * 10)  # each class has the same sum
    here, general = paired_effect([Crossed(values[None], Sampling.of(40, [i // 4 for i in range(40)]))])
    assert general.high - general.low > here.high - here.low
    assert general.p > here.p


def test_scores_that_do_not_vary_are_not_certain():
    assert score_interval(np.array([1.0, 1.0]), Sampling(2)).low < 0.5
    assert score_interval(np.full(12, 0.5), Sampling(12)) != (0.5, 0.5)
    hits = np.eye(3)[np.arange(30) % 3].T  # every picture right under one seed of three
    low, high = accuracy_interval(Crossed(hits, Sampling(30)))
    assert high - low > 0.3


def test_what_seeds_and_units_do_jointly_is_the_least_that_either_scope_says() -> None:
    values = np.array([[1.0] * 4 + [-1.0] * 4, [-1.0] * 4 + [1.0] * 4, [0.0] * 8])
    parts = [Crossed(values, Sampling.of(8, [0] * 4 + [1] * 4))]
    like_these, these = split_variance(parts, like_these=True), split_variance(parts)
    assert like_these is not None and these is not None
    assert like_these.joint == these.joint == 0


def test_the_step_of_several_parts_is_the_largest() -> None:
    few = Crossed(np.array([[1.0, 0, -1, 0]]), Sampling(4))
    many = Crossed(np.array([[1.0, 0] * 20]), Sampling(40))
    one, other = split_variance([few, many]), split_variance([many, few])
    assert one is not None and other is not None
    assert one.step == other.step


def test_data_sets_like_these_have_the_joint_variance_of_these() -> None:
    rng = np.random.default_rng(15)
    spreads = [split_variance([Crossed(rng.normal(size=(40, 50)), Sampling(50))]) for _ in range(4)]
    found = over_data_sets([one for one in spreads if one], 0.0, shared_seeds=True)
    assert found.like_these is not None
    assert found.like_these.joint == found.these.joint > 0


def test_what_differs_counts_at_the_scale_of_the_values() -> None:
    """Differences that a slope halves are, with the slope as their scale, those without it times a half."""
    hits = np.array([[1.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    plain = split_variance([Crossed(hits, Sampling(8))])
    halved = split_variance([Crossed(0.5 * hits, Sampling(8), 0.5, hits)])
    assert plain is not None and halved is not None
    assert halved.units == pytest.approx((plain.units.value / 4, 7))
    assert halved.step == pytest.approx(plain.step / 2)


def test_what_pictures_took_from_the_seeds_is_taken_from_seeds_to_come_as_well() -> None:
    """Against draws of what would be found: the estimate of seeds and joint part together is a chi-squared."""
    value, joint, degrees = 4e-4, 4e-4, 6
    found = effect_of(0.0, [Variance(0.0, 1.0), Variance(value, degrees)], joint=joint).detectable()
    true = (value + joint) * degrees / stats.chi2.median(degrees) - joint
    rng = np.random.default_rng(17)
    estimates = np.maximum(0.0, (true + joint) * rng.chisquare(degrees, 100_000) / degrees - joint)
    reached = found + math.sqrt(true) * rng.normal(size=100_000) >= stats.t.ppf(0.975, degrees) * np.sqrt(estimates)
    assert reached.mean() == pytest.approx(0.8, abs=0.01)


def test_classes_like_these_are_no_surer_than_these_with_what_is_added() -> None:
    values = np.array([1.0, 1.0, -1.0, 0.0] * 10)  # each class has the same sum
    part = Crossed(values[None], Sampling.of(40, [i // 4 for i in range(40)]))
    here, general = split_variance([part]), split_variance([part], like_these=True)
    assert here is not None and general is not None
    assert general.units.value == pytest.approx(here.units.value)


def test_a_score_on_a_scale_of_its_own_has_an_interval_within_that_scale() -> None:
    values = np.array([-3.0, -2.0, -4.5, -2.5])
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert score_interval(values, Sampling(4), bounds=(-math.inf, math.inf)) == pytest.approx(expected)
    assert score_interval(values, Sampling(4), bounds=(-3.5, -2.5)) == (-3.5, -2.5)
    assert score_interval(values[:1], Sampling(1), bounds=(-5.0, 2.0)) == (-5.0, 2.0)


def test_classes_that_differ_do_not_narrow_an_accuracy_with_variants() -> None:
    """All of one class is right and all of the other wrong, five variants a picture."""
    hits, draws = np.array([True] * 10 + [False] * 10), [i // 5 for i in range(20)]
    found = score_interval(hits, Sampling.of(20, ["a"] * 10 + ["b"] * 10, draws))
    assert found == score_interval(hits, Sampling.of(20, draws=draws))


def test_what_seeds_and_pictures_do_jointly_widens_an_accuracy_once() -> None:
    rng = np.random.default_rng(18)
    hits = (rng.random((4, 50)) < np.array([[0.4], [0.6], [0.7], [0.5]])).astype(float)
    averaged, p = hits.mean(axis=0), float(hits.mean())
    units = averaged.var() / 50
    joint = sum((row - averaged).var(ddof=1) / 50 for row in hits) / (4 * 3)
    seeds = hits.mean(axis=1).var(ddof=1) / 4 - joint
    assert seeds > 0
    half = math.sqrt(stats.norm.ppf(0.975) ** 2 * units + stats.t.ppf(0.975, 3) ** 2 * seeds)
    total = units + seeds
    expected = wilson(p, p * (1 - p) / total, half / math.sqrt(total))
    assert accuracy_interval(Crossed(hits, Sampling(50))) == pytest.approx(expected)
