"""Intervals cover, and tests find, as often as they say: small simulations in which the truth is known.

`benchmarks/coverage.py` has the large ones.
"""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from ipo_prompts.metrics.evidence import UnitResults, effect_of, score_interval, spread
from ipo_prompts.metrics.sampling import Sampling


@cache
def _in_classes(size, each):
    """`size` units, `each` a class: made once, for what a sampling knows of itself takes longer than an interval."""
    return Sampling.of(size, [i // each for i in range(size)])


@cache
def _in_draws(size, each):
    """`size` units, `each` a draw."""
    return Sampling.of(size, draws=[i // each for i in range(size)])


def test_an_accuracy_interval_with_variants_covers_as_it_says():
    """Variants of an image share its chance to be right; without draws the interval is too narrow."""
    rng, draws, alone = np.random.default_rng(4), _in_draws(200, 5), Sampling(200)
    covered, naive = [], []
    for _ in range(1000):
        hits = (rng.random((40, 5)) < rng.beta(0.7 * 1.5, 0.3 * 1.5, (40, 1))).ravel()
        for found, sampling in ((covered, draws), (naive, alone)):
            low, high = score_interval(hits, sampling)
            found.append(low <= 0.7 <= high)
    assert 0.93 <= np.mean(covered) <= 0.975
    assert np.mean(naive) < 0.87


def _of(*searches):
    """The effect of a mean over data sets, each with the differences of one set of units."""
    parts = [part._replace(weight=1 / len(searches)) for part in searches]
    return effect_of(float(np.mean([part.values.mean() for part in parts])), spread([[part] for part in parts]))


def _paired(rng, classes, size, advantage, gains):
    """Differences of hits (classes * size,): images are as hard for both, each class has a gain of its own."""
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
    found = [_of(UnitResults(_paired(rng, classes, size, 0.35, gains)[None], sampling)) for _ in range(1500)]
    assert 0.93 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.972
    assert np.mean([one.p <= 0.05 for one in found]) > power


@pytest.mark.parametrize("differing", [0.05, 0.2, 0.6])
def test_nothing_is_found_where_nothing_is(differing):
    rng, found = np.random.default_rng(8), []
    chances = [differing / 2, 1 - differing, differing / 2]
    for _ in range(1500):
        values = rng.choice([-1.0, 0.0, 1.0], p=chances, size=(1, 120))
        found.append(_of(UnitResults(values, _in_classes(120, 6))).p <= 0.05)
    assert np.mean(found) <= 0.065


def _crossed(rng, seeds, draws, truth, seed_sd, joint_sd, size=4):
    """Values (seeds, units) with effects of the draw, the seed, both jointly, and the unit."""
    values = truth + rng.normal(size=(1, draws, 1)) * 0.3 + rng.normal(size=(seeds, 1, 1)) * seed_sd
    values = values + rng.normal(size=(seeds, draws, 1)) * joint_sd + rng.normal(size=(seeds, draws, size)) * 0.5
    return UnitResults(values.reshape(seeds, -1), _in_draws(draws * size, size))


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "joint_sd", "most"),
    [(3, 0.0, 0.1, 0.985), (3, 0.05, 0.1, 0.985), (5, 0.05, 0.3, 0.985), (3, 0.2, 0.0, 0.97), (5, 0.1, 0.0, 0.97)],
)
def test_an_interval_over_seeds_covers_as_it_says(seeds, seed_sd, joint_sd, most):
    rng = np.random.default_rng(8)
    covered, naive = [], []
    for _ in range(1000):
        part = _crossed(rng, seeds, 30, 0.1, seed_sd, joint_sd)
        found = _of(part)
        covered.append(found.low <= 0.1 <= found.high)
        one = part.values.ravel()  # as if seeds x units were independent facts
        naive.append(abs(one.mean() - 0.1) <= 2 * stats.sem(one))
    assert 0.93 <= np.mean(covered) <= most
    assert np.mean(naive) < 0.88


@pytest.mark.parametrize("data_sets", [4, 11])
def test_intervals_over_data_sets_cover_as_they_say(data_sets):
    rng, covered = np.random.default_rng(9), []
    for _ in range(600):
        truths = 0.1 + rng.normal(size=data_sets) * 0.05
        found = _of(*(_crossed(rng, 3, 15, truth, 0.05, 0.1, size=2) for truth in truths))
        covered.append(found.low <= truths.mean() <= found.high)
    assert np.mean(covered) >= 0.93  # on the wide side: what is joint counts twice in each set


def test_shared_seeds_do_not_average_out():
    rng, images = np.random.default_rng(10), Sampling(40)
    apart, together = [], []
    for _ in range(400):
        luck = rng.normal(size=(3, 1)) * 0.1
        parts = [UnitResults(luck + rng.normal(size=(1, 40)) * 0.2, images, 1 / 6) for _ in range(6)]
        mean = float(np.mean([part.values.mean() for part in parts]))
        for searches, found in (([parts], together), ([[part] for part in parts], apart)):
            these = effect_of(mean, spread(searches))
            found.append(these.low <= 0 <= these.high)
    assert np.mean(apart) < 0.85
    assert np.mean(together) >= 0.93
