"""Intervals cover, and tests find, as often as they say: small simulations in which the truth is known.

`benchmarks/coverage.py` has the large ones.
"""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from ipo_prompts.metrics.evidence import Crossed, over_data_sets, paired_effect, split_variance
from ipo_prompts.metrics.sampling import Sampling, mean_interval
from ipo_prompts.metrics.verdict import score_interval


@cache
def _in_classes(size, each):
    """`size` units, `each` a class: made once, for what a sampling knows of itself takes longer than an interval."""
    return Sampling.of(size, [i // each for i in range(size)])


@cache
def _in_draws(size, each):
    """`size` units, `each` a draw."""
    return Sampling.of(size, draws=[i // each for i in range(size)])


def test_an_accuracy_interval_with_variants_covers_as_it_says():
    """Variants of a picture share its chance to be right; without draws the interval is too narrow."""
    rng, draws, alone = np.random.default_rng(4), _in_draws(200, 5), Sampling(200)
    covered, naive = [], []
    for _ in range(1000):
        hits = (rng.random((40, 5)) < rng.beta(0.7 * 1.5, 0.3 * 1.5, (40, 1))).ravel()
        for found, sampling in ((covered, draws), (naive, alone)):
            low, high = score_interval(hits, sampling)
            found.append(low <= 0.7 <= high)
    assert 0.93 <= np.mean(covered) <= 0.975
    assert np.mean(naive) < 0.87


def _paired(rng, classes, size, advantage, gains):
    """Differences of hits (classes * size,): pictures are as hard for both, each class has a gain of its own."""
    hard = rng.normal(size=(classes, size))
    a = hard + rng.normal(size=(classes, size)) > 0
    b = hard + rng.normal(size=(classes, size)) + advantage + gains[:, None] > 0
    return (b.astype(float) - a).ravel()


@pytest.mark.parametrize(("classes", "size", "power"), [(2, 100, 0.5), (20, 10, 0.5), (67, 3, 0.5)])
def test_these_classes_are_covered_and_their_gain_is_found(classes, size, power):
    rng = np.random.default_rng(6)
    gains = rng.normal(size=classes) * 0.5
    truth = float(stats.norm.cdf((0.35 + gains) / np.sqrt(2)).mean() - 0.5)
    sampling = _in_classes(classes * size, size)
    found = [paired_effect([Crossed(_paired(rng, classes, size, 0.35, gains)[None], sampling)]) for _ in range(1500)]
    assert 0.93 <= np.mean([one.these.low <= truth <= one.these.high for one in found]) <= 0.972
    assert np.mean([one.these.p <= 0.05 for one in found]) > power


def test_classes_like_these_are_covered():
    rng = np.random.default_rng(7)
    truth = float(stats.norm.cdf(0.35 / np.sqrt(2 + 0.25)) - 0.5)
    sampling = _in_classes(200, 5)
    covered = []
    for _ in range(1500):
        values = _paired(rng, 40, 5, 0.35, rng.normal(size=40) * 0.5)
        general = paired_effect([Crossed(values[None], sampling)]).like_these
        covered.append(general.low <= truth <= general.high)
    assert 0.93 <= np.mean(covered) <= 0.975


@pytest.mark.parametrize("differing", [0.05, 0.2, 0.6])
def test_nothing_is_found_where_nothing_is(differing):
    rng, found = np.random.default_rng(8), []
    chances = [differing / 2, 1 - differing, differing / 2]
    for _ in range(1500):
        values = rng.choice([-1.0, 0.0, 1.0], p=chances, size=(1, 120))
        found.append(paired_effect([Crossed(values, _in_classes(120, 6))]).these.p <= 0.05)
    assert np.mean(found) <= 0.065


def _crossed(rng, seeds, draws, truth, seed_sd, joint_sd, size=4):
    """Values (seeds, units) with effects of the draw, the seed, both jointly, and the unit."""
    values = truth + rng.normal(size=(1, draws, 1)) * 0.3 + rng.normal(size=(seeds, 1, 1)) * seed_sd
    values = values + rng.normal(size=(seeds, draws, 1)) * joint_sd + rng.normal(size=(seeds, draws, size)) * 0.5
    return Crossed(values.reshape(seeds, -1), _in_draws(draws * size, size))


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "joint_sd", "most"),
    [(3, 0.0, 0.1, 0.985), (3, 0.05, 0.1, 0.985), (5, 0.05, 0.3, 0.972), (3, 0.2, 0.0, 0.985), (5, 0.1, 0.0, 0.972)],
)
def test_an_interval_over_seeds_covers_as_it_says(seeds, seed_sd, joint_sd, most):
    rng, alone = np.random.default_rng(8), Sampling(seeds * 30 * 4)
    covered, naive = [], []
    for _ in range(1000):
        part = _crossed(rng, seeds, 30, 0.1, seed_sd, joint_sd)
        found = paired_effect([part]).these
        covered.append(found.low <= 0.1 <= found.high)
        low, high = mean_interval(part.values.ravel(), alone)  # as if seeds x units were independent facts
        naive.append(low <= 0.1 <= high)
    assert 0.93 <= np.mean(covered) <= most
    assert np.mean(naive) < 0.88


@pytest.mark.parametrize(("data_sets", "between"), [(4, 0.05), (11, 0.0), (11, 0.05)])
def test_intervals_over_data_sets_cover_as_they_say(data_sets, between):
    rng = np.random.default_rng(9)
    general, given_these = [], []
    for _ in range(600):
        truths = 0.1 + rng.normal(size=data_sets) * between
        spreads = [split_variance([_crossed(rng, 3, 15, truth, 0.05, 0.1, size=2)]) for truth in truths]
        found = over_data_sets(spreads, float(np.mean([one.mean for one in spreads])))
        general.append(found.like_these.low <= 0.1 <= found.like_these.high)
        given_these.append(found.these.low <= truths.mean() <= found.these.high)
    assert np.mean(general) >= 0.93  # on the wide side where data sets differ less than their units and seeds
    assert 0.93 <= np.mean(given_these) <= 0.985


def test_shared_seeds_do_not_average_out():
    rng, pictures = np.random.default_rng(10), Sampling(40)
    apart, together = [], []
    for _ in range(400):
        luck = rng.normal(size=(3, 1)) * 0.1
        spreads = [split_variance([Crossed(luck + rng.normal(size=(1, 40)) * 0.2, pictures)]) for _ in range(6)]
        mean = float(np.mean([one.mean for one in spreads]))
        for shared, found in ((True, together), (False, apart)):
            these = over_data_sets(spreads, mean, shared_seeds=shared).these
            found.append(these.low <= 0 <= these.high)
    assert np.mean(apart) < 0.85
    assert np.mean(together) >= 0.93
