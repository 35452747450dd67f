"""Intervals cover, and tests find, as often as they say: simulations in which the truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from ipo.metrics.evidence import Crossed, over_data_sets, paired_effect, spread
from ipo.metrics.statistics import (
    accuracy_interval,
    mean_interval,
    paired_difference,
)


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
    """Hits of two classifiers (groups * size,): an effect of the group on both, and one on each."""
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
        found = paired_effect([Crossed(values, groups)], mean=float(values.mean()))
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
        spreads = [spread([Crossed(*_crossed(rng, 3, 15, truth, 0.05, 0.1, size=2))]) for truth in truths]
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
        spreads = [spread([Crossed(luck + rng.normal(size=(1, 40)) * 0.2, None)]) for _ in range(6)]
        mean = float(np.mean([one.mean for one in spreads]))
        for shared, found in ((True, together), (False, apart)):
            these = over_data_sets(spreads, mean, shared_seeds=shared).these
            found.append(these.low <= 0 <= these.high)
    assert np.mean(apart) < 0.85
    assert np.mean(together) >= 0.93
