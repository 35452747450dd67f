"""The mean over classes that differ in size, and its interval: by hand, and in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ipo_prompts.metrics.evidence import NO_SEEDS, Spread, class_mean_interval, difference_over_classes, effect_of
from ipo_prompts.metrics.sampling import Sampling, Variance, t_quantile, wilson

SIZES = [1, 1, 1, 1, 6, 6, 12, 12, 40, 120]


def test_the_variance_by_hand() -> None:
    """a: 1 1 1 0, b: 1 0, c: 1. Within a the squares are 3/4, within b 1/2: pooled, 5/4 over 3 + 1 degrees."""
    sampling = Sampling.of(7, classes=list("aaaabbc"))
    hits = np.array([1.0, 1, 1, 0, 1, 0, 1])
    assert sampling.class_means(hits).tolist() == [0.75, 0.5, 1.0]
    found = sampling.over_classes(hits)
    a, b, c = 0.75 / 3 / 4, 0.5 / 1 / 2, 1.25 / 4
    assert found.value == pytest.approx((a + b + c) / 9)
    assert found.degrees == pytest.approx((a + b + c) ** 2 / (a**2 / 3 + b**2 / 1 + c**2 / 4))


def test_variants_of_an_image_are_one_draw() -> None:
    sampling = Sampling.of(6, classes=list("aaaabb"), draws=["p", "p", "q", "q", "r", "s"])
    hits = np.array([1.0, 0, 1, 1, 0, 1])
    found = sampling.over_classes(hits)  # a: means of draws 1/2 and 1, b: 0 and 1
    assert sampling.class_means(hits).tolist() == [0.75, 0.5]
    assert found.value == pytest.approx((0.125 / 2 + 0.5 / 2) / 4)
    alone = Sampling.of(4, classes=list("aabb"), draws=["p", "p", "r", "s"])
    assert alone.over_classes(np.array([1.0, 0, 0, 1])).value == pytest.approx((0.5 + 0.5 / 2) / 4)  # p varies as r, s


def test_what_is_added_is_shared_by_the_draws() -> None:
    sampling = Sampling.of(6, classes=list("aaaabb"))
    zeros = np.zeros(6)
    assert sampling.over_classes(zeros, added=3.0).value == pytest.approx((2 / 3 / 4 + 1 / 1 / 2) / 4)


def test_classes_of_one_image_alone_vary_as_all_of_them_do() -> None:
    sampling = Sampling.of(3, classes=list("abc"))
    found = sampling.over_classes(np.array([1.0, 0, 1]))
    assert (found.value, found.degrees) == (pytest.approx(2 / 3 / 2 / 3), 2.0)
    assert Sampling.of(1, classes=["a"]).over_classes(np.array([1.0])).value == math.inf


def test_queries_without_a_class_have_no_mean_over_classes() -> None:
    with pytest.raises(ValueError, match="one class each"):
        Sampling(3).class_means(np.ones(3))


def test_the_mean_is_of_classes_and_the_interval_lies_around_it() -> None:
    sampling = Sampling.of(12, classes=[0] * 10 + [1] * 2)
    hits = np.array([True] * 10 + [False] * 2)
    mean, ends = class_mean_interval(hits, sampling)
    assert mean == 0.5 and 0 < ends.low < 0.5 < ends.high < 1
    mean, ends = class_mean_interval(np.ones(12, dtype=bool), sampling)
    assert mean == ends.high == 1.0 and ends.low < 0.7, "twelve images, most of one class, prove little"


def test_templates_that_agree_are_not_shown_to_be_equal() -> None:
    sampling = Sampling.of(12, classes=[0] * 10 + [1] * 2)
    hits = np.ones(12, dtype=bool)
    found = difference_over_classes(hits, hits, sampling)
    assert found.mean == 0 and found.low < -0.1 < 0.1 < found.high


def test_two_draws_are_added_where_some_differ_too() -> None:
    """One of four images of a is gained: squares of 3/4; of the two draws a has 4/6, b 2/6."""
    found = difference_over_classes(np.zeros(6), np.array([1.0, 0, 0, 0, 0, 0]), Sampling.of(6, list("aaaabb")))
    a, b = (3 / 4 + 2 * 4 / 6) / 3 / 4, 2 * 2 / 6 / 1 / 2
    degrees = (a + b) ** 2 / (a**2 / 3 + b**2 / 1)
    assert found.mean == 1 / 8 and found[:4] == pytest.approx(
        effect_of(1 / 8, Spread(Variance((a + b) / 4, degrees), NO_SEEDS))[:4]
    )


def simulated(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return the hits of two templates on an imbalanced test, and the true means over classes: the 1st's, the gain."""
    before = draw.uniform(0.4, 0.95, len(SIZES))
    better, worse = draw.uniform(0, 1 - before), draw.uniform(0, 0.3, len(SIZES)) * before
    of = np.repeat(np.arange(len(SIZES)), SIZES)
    first = draw.random(len(of)) < before[of]
    again = draw.random(len(of))
    second = np.where(first, again >= (worse / before)[of], again < (better / (1 - before))[of])
    return first, second, float(before.mean()), float((better - worse).mean())


def covered(without_variance_of_singles: bool) -> tuple[float, float]:
    """Return how often the intervals of the mean and of the gain hold the truth."""
    draw, of = np.random.default_rng(0), np.repeat(np.arange(len(SIZES)), SIZES)
    sampling = Sampling.of(len(of), classes=of.tolist())
    held = []
    for _ in range(1500):
        first, second, mean, gain = simulated(draw)
        if without_variance_of_singles:
            pairs = ((first.astype(float), mean), (second.astype(float) - first, gain))
            held.append([abs(class_mean(v, of) - true) <= naive_half_width(v, of) for v, true in pairs])
            continue
        one, two = class_mean_interval(first, sampling)[1], difference_over_classes(first, second, sampling)
        held.append([one.low <= mean <= one.high, two.low <= gain <= two.high])
    return tuple(np.mean(held, axis=0).tolist())


def class_mean(values: np.ndarray, of: np.ndarray) -> float:
    return float(np.mean([values[of == c].mean() for c in range(len(SIZES))]))


def naive_half_width(values: np.ndarray, of: np.ndarray) -> float:
    """Independent of ours: classes of one image are taken not to vary at all."""
    variances = [values[of == c].var(ddof=1) / n for c, n in enumerate(SIZES) if n > 1]
    return t_quantile(sum(SIZES) - len(SIZES)) * math.sqrt(sum(variances)) / len(SIZES)


def test_the_intervals_cover_what_they_promise() -> None:
    mean, gain = covered(False)
    assert 0.92 <= mean <= 0.98 and 0.92 <= gain <= 0.98, (mean, gain)


def test_counting_single_images_as_certain_would_not() -> None:
    assert max(covered(True)) < 0.8


def test_what_is_added_counts_where_every_class_has_one_image() -> None:
    assert Sampling.of(3, classes=list("abc")).over_classes(np.zeros(3), added=2.0).value == pytest.approx(2 / 2 / 3)


def test_what_is_added_is_shared_by_draws_and_not_by_their_variants() -> None:
    sampling = Sampling.of(6, classes=list("aaaabb"), draws=["p", "p", "q", "q", "r", "s"])  # two draws of four each
    assert sampling.over_classes(np.zeros(6), added=3.0).value == pytest.approx(2 * (3 * 2 / 4 / 1 / 2) / 4)


def test_a_image_with_more_variants_weighs_no_more_in_the_mean_of_its_class() -> None:
    sampling = Sampling.of(5, classes=list("aaabb"), draws=["p", "p", "q", "r", "s"])
    assert sampling.class_means(np.array([1.0, 1, 0, 1, 0])).tolist() == [0.5, 0.5]


def test_a_mean_over_classes_has_wilsons_interval() -> None:
    hits, sampling = np.array([1.0, 1, 1, 0, 1, 0]), Sampling.of(6, classes=list("aaaabb"))
    p, variance = 0.625, sampling.over_classes(hits)
    _, found = class_mean_interval(hits, sampling)
    assert found == pytest.approx(wilson(p, p * (1 - p) / variance.value, t_quantile(variance.degrees)))


def test_classes_that_are_all_right_have_the_degrees_of_freedom_of_what_is_added() -> None:
    # Two draws are added: of twelve a has 2, b 10. Satterthwaite; the sample is 2² / (1/2 + 1/10).
    _, found = class_mean_interval(np.ones(12, dtype=bool), Sampling.of(12, classes=["a"] * 2 + ["b"] * 10))
    a, b = 2 * 2 / 12 / 1 / 2, 2 * 10 / 12 / 9 / 10
    degrees = (a + b) ** 2 / (a**2 / 1 + b**2 / 9)
    assert found.low == pytest.approx(wilson(1.0, 4 / 0.6, t_quantile(degrees)).low)
