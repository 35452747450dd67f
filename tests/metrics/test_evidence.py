"""Comparisons over units, seeds and data sets: cases worked by hand, and against other ways to the same number."""

import math

import numpy as np
import pytest
from scipy import stats

from ipo_prompts.metrics.evidence import (
    Effect,
    Spread,
    UnitResults,
    accuracy_interval,
    effect_of,
    paired_difference,
    score_interval,
    spread,
)
from ipo_prompts.metrics.sampling import Sampling, Variance, combine, wilson

CLASSES = [c for c in range(20) for _ in range(5)]
BY_CLASS = Sampling.of(100, CLASSES)
DIFFICULTY = np.random.default_rng(0).normal(size=20).repeat(5)


def _hits(rng, seeds, p=0.6):
    """Hits (seeds, 100) that are about p right; the classes are as hard for every method and seed."""
    return (rng.normal(size=(seeds, 100)) + DIFFICULTY < 1.4 * (p - 0.5) * 2.5).astype(float)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (499, 500)])
def test_an_accuracy_of_independent_images_has_scipys_wilson(right, n):
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
    assert score_interval(np.full(12, 0.5), Sampling(12)) != (0.5, 0.5)


def test_copies_of_images_have_wilson_of_the_draws_with_t():
    # 4 draws of 5 copies, 2 right: their variance is 1/4 / 3, so n_eff = 3; Wilson with t(3) = 3.18245
    found = score_interval(np.array([True] * 10 + [False] * 10), Sampling.of(20, draws=[i // 5 for i in range(20)]))
    assert found == pytest.approx(wilson(0.5, 3, 3.182446305))


def test_draws_that_balance_themselves_do_not_narrow_an_accuracy():
    # Each of five draws holds one right and one wrong: no variance over draws, 1/4 / 10 over images; t(4).
    found = score_interval(np.array([True, False] * 5), Sampling.of(10, draws=[i // 2 for i in range(10)]))
    assert found == pytest.approx(wilson(0.5, 10, 2.776445105))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_under_every_seed_is_not_certain(right):
    draws = Sampling.of(100, draws=[i // 10 for i in range(100)])
    found = accuracy_interval(UnitResults(np.full((3, 100), right), draws))
    assert found == pytest.approx(wilson(right, 10, stats.t.ppf(0.975, 9)))


def test_one_draw_says_nothing_about_an_accuracy():
    assert accuracy_interval(UnitResults(np.array([[1.0, 0.0, 1.0]]), Sampling.of(3, draws=["a"] * 3))) == (0.0, 1.0)


def test_seeds_that_differ_widen_an_accuracy():
    rng = np.random.default_rng(11)
    hits = rng.random((5, 200)) < np.array([[0.5], [0.6], [0.7], [0.6], [0.5]])
    low, high = accuracy_interval(UnitResults(hits.astype(float), Sampling(200)))
    assert low < hits.mean() < high
    assert high - low > 2 * 1.96 * math.sqrt(np.var(hits.mean(1), ddof=1) / 5)


def test_an_accuracy_without_any_spread_has_the_draws_as_sample():
    hits = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])  # every image right under one seed of two
    assert accuracy_interval(UnitResults(hits, Sampling(4))) == pytest.approx(wilson(0.5, 4, 1.959963985))


def _of(values, sampling, mean=None):
    """The effect of differences (seeds, units) on one set of units."""
    return effect_of(float(values.mean()) if mean is None else mean, spread([[UnitResults(values, sampling)]]))


@pytest.mark.parametrize(("better", "worse", "same"), [(7, 3, 20), (0, 0, 100), (30, 0, 0), (1, 0, 9)])
def test_one_seed_of_independent_images_by_hand(better, worse, same):
    """Bonett & Price: one difference of either kind more in the sum of squares; t."""
    values, n = np.array([1.0] * better + [-1.0] * worse + [0.0] * same), better + worse + same
    half = stats.t.ppf(0.975, n - 1) * math.sqrt((n / (n - 1) * ((values - values.mean()) ** 2).sum() + 2) / n**2)
    found = paired_difference(values < 0, values > 0, Sampling(n))
    assert (found.mean, found.high - found.mean) == (values.mean(), pytest.approx(min(half, 1 - found.mean)))
    assert found.covers == "these classes"


def test_what_is_added_is_of_the_size_that_differences_have():
    """However they are averaged over seeds."""
    values = np.random.default_rng(1).integers(-1, 2, (1, 60)).astype(float)
    one = spread([[UnitResults(values, Sampling(60))]])
    for factor in (0.2, 7.0):
        found = spread([[UnitResults(factor * values, Sampling(60))]])
        assert found.whole.value == pytest.approx(factor**2 * one.whole.value)
        assert spread([[UnitResults(values, Sampling(60), factor)]]).whole == pytest.approx(found.whole)


def test_agreement_everywhere_counts_as_if_two_images_had_differed():
    assert spread([[UnitResults(np.zeros((1, 8)), Sampling(8))]]).whole == pytest.approx((2 / 64, 7))
    pairs = Sampling.of(8, draws=[i // 2 for i in range(8)])
    assert spread([[UnitResults(np.zeros((1, 8)), pairs, 0.5)]]).whole == pytest.approx((2 * 4 / 4 / 64, 3))


def test_classes_are_given():
    """All of class a is gained and all of class b lost: nothing within classes."""
    found = _of(np.array([[1.0] * 10 + [-0.5] * 10]), Sampling.of(20, [0] * 10 + [1] * 10))
    assert found.low > 0.1 and found.p < 0.01


def test_repeating_a_seed_adds_no_fact():
    """Three equal seeds prove no more than one: the images are the same."""
    rng = np.random.default_rng(3)
    values = _hits(rng, 1, 0.8) - _hits(rng, 1)
    assert _of(values.repeat(3, 0), BY_CLASS)[:4] == pytest.approx(_of(values, BY_CLASS)[:4])


def test_two_variances_by_hand():
    """Two images under three seeds: the whole variance with Satterthwaite's degrees, or the seeds' with t(2)."""
    values = np.array([[0.0, 3.0], [0.0, 0.0], [3.0, 0.0]])
    found = spread([[UnitResults(values, Sampling(2))]], added=0)
    seeds = Variance(np.var([1.5, 0.0, 1.5], ddof=1) / 3, 2)
    assert found.seeds == pytest.approx(seeds)
    units = UnitResults(values, Sampling(2)).sampling.these(
        values.mean(0), 2 * 1.0
    )  # both means are 1: they do not vary
    assert found.whole == pytest.approx(combine([units, seeds]))


def test_few_seeds_that_differ_decide_alone():
    shifts = np.array([[-0.2], [0.2], [-0.1], [0.1]])
    rng = np.random.default_rng(4)
    found = _of(np.round(rng.normal(size=(1, 100))) * 0.01 + shifts, Sampling(100), mean=0.0)
    assert found.high == pytest.approx(3.182446305 * np.std(shifts, ddof=1) / 2)  # t(3)


def test_parts_add_up():
    """A sum of means over two sets of images, as the linearised H is one. Each has its own images, not seeds."""
    rng = np.random.default_rng(12)
    parts = [
        UnitResults(rng.normal(size=(2, 20)), Sampling(20), 0.5),
        UnitResults(rng.normal(size=(2, 30)), Sampling.of(30, draws=[i // 2 for i in range(30)]), 2.0),
    ]
    found = spread([parts], added=0)
    base, new = (one.sampling.these(one.values.mean(0)) for one in parts)
    sums = 0.5 * parts[0].values.mean(1) + 2 * parts[1].values.mean(1)
    seeds = Variance(sums.var(ddof=1) / 2, 1)
    assert found.seeds == pytest.approx(seeds)
    units = [Variance(base.value / 4, base.degrees), Variance(new.value * 4, new.degrees)]
    assert found.whole == pytest.approx(combine([*units, seeds]))


def test_searches_on_two_data_sets_are_independent():
    rng = np.random.default_rng(12)
    one, other = (UnitResults(rng.normal(size=(3, 20)), Sampling(20), 0.5) for _ in range(2))
    apart = [spread([[part]]) for part in (one, other)]
    found = spread([[one], [other]])
    assert found.seeds == pytest.approx(combine([each.seeds for each in apart]))
    assert found.whole.value == pytest.approx(sum(each.whole.value for each in apart))
    shared = (one.values.mean(1) + other.values.mean(1)) / 2
    assert spread([[one, other]]).seeds == pytest.approx((shared.var(ddof=1) / 3, 2))


def test_one_draw_bounds_nothing():
    effect = _of(np.ones((2, 4)), Sampling.of(4, draws=["a"] * 4))
    assert effect[:4] == (1.0, -1.0, 1.0, 1.0)


def test_clear_winners_are_found():
    rng = np.random.default_rng(6)
    found = _of(_hits(rng, 3, 0.95) - _hits(rng, 3, 0.4), BY_CLASS)
    assert found.p < 0.01 and found.low > 0.2
    few = rng.choice([1.0, 0.0, -1.0], p=[0.3, 0.55, 0.15], size=(1, 400))
    assert _of(few, Sampling.of(400, [i % 2 for i in range(400)])).p < 0.001


def test_swapping_turns_the_sign_only():
    rng = np.random.default_rng(7)
    values = _hits(rng, 4, 0.7) - _hits(rng, 4)
    one, other = (_of(by * values, BY_CLASS) for by in (1, -1))
    assert (other.mean, other.low, other.high, other.p) == pytest.approx((-one.mean, -one.high, -one.low, one.p))


def test_with_one_source_p_is_that_of_the_t_test():
    sample = np.random.default_rng(13).normal(0.02, 0.05, 15)
    found = Spread(Variance(sample.var(ddof=1) / 15, 14), Variance(0.0, 1))
    assert effect_of(sample.mean(), found).p == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)


@pytest.mark.parametrize("seeds", [Variance(0.0, 1), Variance(0.0002, 2), Variance(0.0004, 4)])
def test_p_is_where_the_interval_ends_at_zero(seeds):
    found = Spread(combine([Variance(0.0004, 30), seeds]), seeds)
    half = effect_of(0.0, found).high
    assert effect_of(half, found).p == effect_of(-half, found).p == pytest.approx(0.05)


def test_p_at_its_ends():
    some, none = (Spread(Variance(value, 50), Variance(0.0, 1)) for value in (0.0001, 0.0))
    assert effect_of(0.0, some).p == 1.0
    assert effect_of(0.0, none) == Effect(0.0, 0.0, 0.0, 1.0, "these classes")
    assert effect_of(0.1, none).p == 0.0


def test_an_interval_holds_no_more_than_all_differences():
    found = Spread(Variance(0.1, 2), Variance(0.0, 1))
    half = 4.302652730 * math.sqrt(0.1)  # t(2)
    assert effect_of(0.5, found)[1:3] == (pytest.approx(0.5 - half), 1.0)
    assert effect_of(-0.5, found)[1:3] == (-1.0, pytest.approx(-0.5 + half))


def test_a_score_on_a_scale_of_its_own_has_an_interval_within_that_scale() -> None:
    values = np.array([-3.0, -2.0, -4.5, -2.5])
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert score_interval(values, Sampling(4), bounds=(-math.inf, math.inf)) == pytest.approx(expected)
    assert score_interval(values, Sampling(4), bounds=(-3.5, -2.5)) == (-3.5, -2.5)
    assert score_interval(values[:1], Sampling(1), bounds=(-5.0, 2.0)) == (-5.0, 2.0)


def test_classes_that_differ_do_not_narrow_an_accuracy_with_variants() -> None:
    """All of one class is right and all of the other wrong, five variants an image."""
    hits, draws = np.array([True] * 10 + [False] * 10), [i // 5 for i in range(20)]
    found = score_interval(hits, Sampling.of(20, ["a"] * 10 + ["b"] * 10, draws))
    assert found == score_interval(hits, Sampling.of(20, draws=draws))
