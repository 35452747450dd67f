"""Comparisons over seeds and data sets: hand-worked cases, and coverage in simulations with a known truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipo.metrics.evidence import (
    SAME,
    Effect,
    Part,
    Spread,
    Variance,
    accuracy_over_seeds,
    combine,
    effect_of,
    holm,
    over_data_sets,
    paired_effect,
    spread,
    verdict,
)
from ipo.metrics.statistics import accuracy_interval, mean_interval, paired_difference

GROUPS = [g for g in range(20) for _ in range(5)]


DIFFICULTY = np.random.default_rng(0).normal(size=20).repeat(5)


def _hits(rng, seeds, p=0.6):
    """Hits (seeds, 100) that are about p right; the groups are as hard for every method and seed."""
    return (rng.normal(size=(seeds, 100)) + DIFFICULTY < 1.4 * (p - 0.5) * 2.5).astype(float)


def test_one_seed_is_the_comparison_without_seeds():
    rng = np.random.default_rng(1)
    a, b = _hits(rng, 1)[0], _hits(rng, 1)[0]
    found, expected = paired_effect([Part(np.array([b - a]), GROUPS)]), paired_difference(a, b, GROUPS)
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert found.p >= expected.p


def test_one_seed_is_the_accuracy_interval_without_seeds():
    hits = _hits(np.random.default_rng(2), 1)
    assert accuracy_over_seeds(Part(hits, GROUPS)) == pytest.approx(accuracy_interval(hits[0], GROUPS))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_under_every_seed_is_not_certain(right):
    hits = np.full((3, 100), right)
    assert accuracy_over_seeds(Part(hits, GROUPS)) == pytest.approx(accuracy_interval(hits[0], GROUPS))


def test_repeating_a_seed_adds_no_fact():
    """Three equal seeds prove no more than one: the pictures are the same."""
    rng = np.random.default_rng(3)
    difference = _hits(rng, 1, 0.8) - _hits(rng, 1)
    once, thrice = paired_effect([Part(difference, GROUPS)]), paired_effect([Part(difference.repeat(3, 0), GROUPS)])
    assert thrice[:4] == pytest.approx(once[:4])


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(4)
    base = _hits(rng, 1, 0.7) - _hits(rng, 1, 0.5)
    agreeing = Part(base.repeat(4, 0), GROUPS)
    shifted = Part(base.repeat(4, 0) + np.array([[-0.2], [0.2], [-0.1], [0.1]]), GROUPS)
    wide, narrow = paired_effect([shifted], mean=0.0), paired_effect([agreeing], mean=0.0)
    seeds = 3.182446305 * np.std([-0.2, 0.2, -0.1, 0.1], ddof=1) / 2  # t(3)
    assert wide.high == pytest.approx(math.hypot(narrow.high, seeds))


def test_the_variance_of_pictures_is_that_of_their_averages_over_seeds():
    values = np.random.default_rng(5).normal(size=(3, 100))
    found = spread([Part(values, GROUPS)])
    low, high = mean_interval(values.mean(0), GROUPS)
    assert found.pictures.degrees == 19
    assert 2 * 2.093024054 * math.sqrt(found.pictures.value) == pytest.approx(high - low)
    assert found.seeds == pytest.approx((values.mean(1).var(ddof=1) / 3, 2))


def test_satterthwaite_by_hand():
    assert combine([Variance(2.0, 4), Variance(1.0, 2)]) == pytest.approx((3.0, 9 / (4 / 4 + 1 / 2)))
    assert combine([Variance(2.0, 4), Variance(0.0, 2)]) == pytest.approx((2.0, 4))
    assert combine([Variance(2.0, 4), Variance(2.0, 4)], divisor=2) == pytest.approx((1.0, 8))


def test_no_difference_is_no_evidence():
    found = paired_effect([Part(np.zeros((3, 100)), GROUPS)])
    assert (found.mean, found.p) == (0.0, 1.0)
    assert found.low == -found.high < 0
    assert verdict("the anchor", found, 1.0, 3).startswith("no evidence of a gain over the anchor: +0.00 points")


def test_a_clear_winner_is_found():
    rng = np.random.default_rng(6)
    found = paired_effect([Part(_hits(rng, 3, 0.95) - _hits(rng, 3, 0.4), GROUPS)])
    assert found.p < 0.01 and found.low > 0.2


def test_five_groups_cannot_make_a_small_p():
    difference = np.ones((3, 10)) - np.eye(10)[:3]
    assert paired_effect([Part(difference, [i // 2 for i in range(10)])]).p >= 2 / 2**5


def test_one_group_proves_nothing():
    found = paired_effect([Part(np.ones((2, 4)), ["a"] * 4)])
    assert (found.low, found.high, found.p, found.detectable) == (-1.0, 1.0, 1.0, math.inf)


def test_swapping_turns_the_sign_only():
    rng = np.random.default_rng(7)
    values = _hits(rng, 4, 0.7) - _hits(rng, 4)
    one, other = paired_effect([Part(values, GROUPS)]), paired_effect([Part(-values, GROUPS)])
    assert (other.mean, other.low, other.high, other.p) == pytest.approx((-one.mean, -one.high, -one.low, one.p))


def _crossed(rng, seeds, groups, truth, seed_sd, joint_sd, size=4):
    """Values (seeds, pictures) with effects of the group, the seed, both jointly, and the picture."""
    values = truth + rng.normal(size=(1, groups, 1)) * 0.3 + rng.normal(size=(seeds, 1, 1)) * seed_sd
    values = values + rng.normal(size=(seeds, groups, 1)) * joint_sd + rng.normal(size=(seeds, groups, size)) * 0.5
    return values.reshape(seeds, -1), [g for g in range(groups) for _ in range(size)]


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "joint_sd"), [(3, 0.0, 0.1), (3, 0.05, 0.1), (5, 0.05, 0.3), (3, 0.2, 0.0), (5, 0.1, 0.0)]
)
def test_interval_over_seeds_covers_as_it_says(seeds, seed_sd, joint_sd):
    rng = np.random.default_rng(8)
    covered, naive = [], []
    for _ in range(1000):
        values, groups = _crossed(rng, seeds, 30, 0.1, seed_sd, joint_sd)
        found = paired_effect([Part(values, groups)], mean=float(values.mean()))
        covered.append(found.low <= 0.1 <= found.high)
        low, high = mean_interval(values.ravel())  # as if seeds x pictures were independent facts
        naive.append(low <= 0.1 <= high)
    assert 0.93 <= np.mean(covered) <= 0.995
    assert np.mean(naive) < 0.88


@pytest.mark.parametrize(("data_sets", "between"), [(4, 0.05), (11, 0.0), (11, 0.05)])
def test_intervals_over_data_sets_cover_as_they_say(data_sets, between):
    rng = np.random.default_rng(9)
    general, given_these = [], []
    for _ in range(600):
        truths = 0.1 + rng.normal(size=data_sets) * between
        spreads = [spread([Part(*_crossed(rng, 3, 15, truth, 0.05, 0.1, size=2))]) for truth in truths]
        found = over_data_sets(spreads, float(np.mean([one.mean for one in spreads])))
        general.append(found.like_these.low <= 0.1 <= found.like_these.high)
        given_these.append(found.these.low <= truths.mean() <= found.these.high)
    assert np.mean(general) >= 0.93  # on the wide side where data sets differ less than their pictures and seeds
    assert 0.93 <= np.mean(given_these) <= 0.995


def test_shared_seeds_do_not_average_out():
    rng = np.random.default_rng(10)
    apart, together = [], []
    for _ in range(400):
        luck = rng.normal(size=(3, 1)) * 0.1
        spreads = [spread([Part(luck + rng.normal(size=(1, 40)) * 0.2, None)]) for _ in range(6)]
        mean = float(np.mean([one.mean for one in spreads]))
        for shared, found in ((True, together), (False, apart)):
            these = over_data_sets(spreads, mean, shared_seeds=shared).these
            found.append(these.low <= 0 <= these.high)
    assert np.mean(apart) < 0.85
    assert np.mean(together) >= 0.93


def test_a_chance_agreement_of_data_sets_does_not_narrow_the_interval():
    one = Spread(np.array([0.1]), Variance(0.01, 20), Variance(0.0, 1))
    found = over_data_sets([one, one, one], 0.1)
    error = 0.1 / math.sqrt(3)
    assert found.these.high == pytest.approx(0.1 + 2.000298 * error)  # t(60)
    assert found.like_these.high == pytest.approx(0.1 + 4.302653 * error)  # t(2)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_keeps_order_and_never_lowers(p_values, random):
    corrected = holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [corrected[i] for i in order]


@given(st.lists(st.floats(0.001, 0.2), min_size=2, max_size=8))
def test_holm_rejects_with_bonferroni_at_least(p_values):
    corrected = holm(p_values)
    assert all(corrected[i] <= min(1.0, len(p_values) * p) + 1e-12 for i, p in enumerate(p_values))
    assert min(corrected) == pytest.approx(min(1.0, len(p_values) * min(p_values)))


def _effect(mean, p):
    return Effect(mean, mean - 0.02, mean + 0.02, p, "t", 0.029)


@pytest.mark.parametrize(
    ("effect", "corrected", "words"),
    [
        (
            _effect(0.05, 0.001),
            0.003,
            "a gain over CoOp of +5.00 points [+3.00, +7.00], p = 0.003 after correction for 3",
        ),
        (
            _effect(-0.05, 0.001),
            0.003,
            "worse than CoOp by -5.00 points [-7.00, -3.00], p = 0.003 after correction for 3",
        ),
        (_effect(0.03, 0.03), 0.09, "no evidence of a gain over CoOp: +3.00 points [+1.00, +5.00], p = 0.09 after"),
        (_effect(0.05, 1e-9), 1e-9, "a gain over CoOp of +5.00 points [+3.00, +7.00], p < 0.0001 after correction"),
        (SAME, 1.0, "the same templates as CoOp, so no gain over it"),
    ],
)
def test_verdicts_in_words(effect, corrected, words):
    assert verdict("CoOp", effect, corrected, 3).startswith(words)


def test_no_evidence_says_what_could_have_been_found():
    found = effect_of(0.0, [Variance(0.0001, 30)])
    assert found.detectable == pytest.approx(0.01 * (2.0423 + 0.8538), rel=1e-3)
    assert "a true difference of 2.9 points would be found four times in five" in verdict("x", found, 1.0, 1)


def test_p_is_where_the_interval_ends_at_zero():
    variances = [Variance(0.0004, 30), Variance(0.0002, 2)]
    half = effect_of(0.0, variances).high
    assert half == pytest.approx(math.sqrt(2.042272**2 * 0.0004 + 4.302653**2 * 0.0002))
    assert effect_of(half, variances).p == pytest.approx(0.05)
    assert effect_of(-half, variances).p == pytest.approx(0.05)
    assert effect_of(0.9, variances).p < effect_of(0.1, variances).p < 0.05
