"""What is independent of what: variances worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipo_prompts.metrics.sampling import Sampling, Variance, combine


def test_images_alone_have_the_variance_of_a_mean():
    values = np.array([0.0, 1.0, 2.0, 5.0])  # around 2: squares 14 over 3 over 4
    assert Sampling(4).these(values) == pytest.approx((14 / 12, 3))


def test_within_classes_only_what_differs_within_them_counts():
    # Classes of 2 and 3 around 1.5 and 6: squares 0.5, times 2/1, and 2, times 3/2; over 5².
    values = np.array([1.0, 2.0, 5.0, 6.0, 7.0])
    assert Sampling.of(5, list("aabbb")).these(values) == pytest.approx(((0.5 * 2 + 2 * 1.5) / 25, 3))


def test_variants_of_an_image_are_one_draw():
    # In one class, images 1, 1, 2, 2 around 1.5: sums -1 and 1; 2/1 * 2 over 4².
    values = np.array([1.0, 1.0, 2.0, 2.0])
    for sampling in (Sampling.of(4, draws=list("aabb")), Sampling.of(4, list("xxxx"), list("aabb"))):
        assert sampling.these(values) == pytest.approx((0.25, 1))
    assert Sampling.of(4, list("xxxx"), list("aabb")).size == 2


def test_classes_of_one_image_are_one_stratum():
    """Their variance holds what the classes differ by: rather too large than too small."""
    sampling = Sampling.of(4, list("aabc"))
    # a: squares 2 around 1, times 2/1; b and c: squares 8 around 5, times 2/1.
    assert sampling.these(np.array([0.0, 2.0, 3.0, 7.0])) == pytest.approx(((2 * 2 + 8 * 2) / 16, 2))


def test_a_lone_class_of_one_image_varies_as_the_others_do():
    sampling = Sampling.of(5, list("aabbc"))
    # a and b: squares 2 around 1 and 8 around 5, times 2/1; five draws for four.
    assert sampling.these(np.array([0.0, 2.0, 3.0, 7.0, 9.0])) == pytest.approx(((4 + 16) / 25 * 5 / 4, 2))


def test_one_image_a_class_is_one_stratum_of_all():
    values = np.array([0.0, 1.0, 2.0, 5.0])
    assert Sampling.of(4, list("abcd")).these(values) == Sampling(4).these(values)


def test_a_draw_with_images_of_several_classes_leaves_no_strata():
    crossing = Sampling.of(4, list("abab"), list("xxyy"))
    assert crossing.strata.tolist() == [0, 0, 0, 0]
    assert crossing.these(np.array([0.0, 1.0, 2.0, 5.0])) == pytest.approx((2 * (9 + 9) / 16, 1))


def test_one_draw_bounds_nothing():
    assert Sampling.of(2, draws=["a", "a"]).these(np.array([0.0, 1.0])) == (math.inf, 1.0)


def test_labels_that_are_not_one_a_unit_are_no_classes():
    assert Sampling.of(3, list("ab")).classes is None  # two queries, three images
    with pytest.raises(ValueError, match="3 units and 2 names of draws"):
        Sampling.of(3, draws=list("ab"))


def test_names_that_all_differ_are_independent_draws():
    assert Sampling.of(3, draws=list("abc")) == Sampling(3)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), min_size=3, max_size=40), st.randoms())
def test_order_and_names_do_not_matter(rows, random):
    def variance(rows, name):
        sampling = Sampling.of(len(rows), [name(c) for c, _, _ in rows], [name((c, d)) for c, d, _ in rows])
        values = np.array([float(hit) for _, _, hit in rows])
        return sampling.these(values).value

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert variance(rows, str) == pytest.approx(variance(shuffled, lambda name: ("other", name)))


def test_what_is_added_is_added_to_the_squares():
    values, sampling = np.array([1.0, 2.0, 5.0, 6.0, 7.0]), Sampling.of(5, list("aabbb"))
    assert sampling.these(values, 2.0).value == pytest.approx(sampling.these(values).value + 2 / 25)


def test_nothing_to_combine():
    assert combine([Variance(0.0, 4), Variance(0.0, 7)], divisor=2) == (0.0, 7)
    assert combine([Variance(math.inf, 1), Variance(1.0, 9)]) == (math.inf, 9)
    assert combine([]) == (0.0, 1.0)


def test_satterthwaite_by_hand():
    assert combine([Variance(2.0, 4), Variance(1.0, 2)]) == pytest.approx((3.0, 9 / (4 / 4 + 1 / 2)))
    assert combine([Variance(2.0, 4), Variance(0.0, 2)]) == pytest.approx((2.0, 4))
    assert combine([Variance(2.0, 4), Variance(2.0, 4)], divisor=2) == pytest.approx((1.0, 8))
