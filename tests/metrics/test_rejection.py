"""Margins and lines, by numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.head import SHARES, Calibrated, highest
from ipo_prompts.metrics.rejection import (
    auroc,
    below,
    calibrated,
    draws,
    halves_left_out,
    line_through,
    share_below,
    sizes_of,
    strangers_found,
    threshold,
)

ONES = np.ones(99, dtype=np.int64)


def known(n: int, **more: object) -> Calibrated:
    return Calibrated(fingerprint="f", none=(), margins=tuple(i / 1000 for i in range(n)), **more)


@pytest.mark.parametrize(("n", "share", "k"), [(19, 0.05, 1), (38, 0.05, 1), (39, 0.05, 2), (99, 0.29, 29)])
def test_the_line_has_the_place_that_split_conformal_says(n: int, share: float, k: int) -> None:
    found = threshold(known(n), share)
    assert (found.k, found.n, found.margin) == (k, n, (k - 1) / 1000)
    assert found.promise == k / (n + 1)


def test_the_bound_is_that_of_the_beta_distribution() -> None:
    # The lowest of n: the chance b of a lower one is exceeded with (1 - b)^n.
    assert threshold(known(59), 0.02).bound == pytest.approx(1 - 0.05 ** (1 / 59))
    assert threshold(known(59), 0.05).k == 3


def test_equal_margins_are_never_rejected_beyond_the_promise() -> None:
    margins = np.array([0.1] * 10 + [0.2] * 89)
    assert line_through(margins, ONES, 0.05).margin == 0.1  # what equals the line is kept: none of the ten is below it
    assert line_through(margins, ONES, 0.11).margin == 0.2  # the ten are below it, of eleven that may be
    assert line_through(margins, ONES, 0.1).margin == 0.1


def test_variants_of_a_picture_weigh_as_one_draw() -> None:
    sizes = np.array([4, 4, 4, 4] + [1] * 18)  # four variants have the lowest margins
    margins = np.arange(22) / 100
    assert line_through(margins, sizes, 0.05) == line_through(np.r_[0.0, margins[4:]], ONES[:19], 0.05)
    half = line_through(margins, sizes, 0.1)  # k = 2: below it lies one draw, which is all four
    assert (half.k, half.n, half.margin) == (2, 19, 0.04)
    assert sizes_of(["a", "b", "a", "c"], 4).tolist() == [2, 1, 2, 1]
    assert sizes_of(None, 2).tolist() == [1, 1]


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(InputError, match=r"with 18 independent pictures, too few .* it takes 19: add pictures"):
        threshold(known(18), 0.3)
    with pytest.raises(InputError, match=r"to reject 0.01 of the known pictures takes 99 independent .* had 98"):
        threshold(known(98), 0.01)
    assert threshold(known(99), 0.01).k == 1
    with pytest.raises(InputError, match="with 10 independent pictures"):  # twenty variants of ten
        threshold(known(20, sizes=(2,) * 20), 0.05)


def test_what_is_read_is_checked() -> None:
    for wrong in (
        {"margins": (0.2, 0.1)},
        {"margins": (float("nan"),)},
        {"sizes": (1,)},
        {"classes": (1,)},
        {"found": (0.5,)},
    ):
        with pytest.raises(ValidationError):
            Calibrated.model_validate({**known(3).model_dump(), **wrong})


def test_the_margin_is_the_highest_cosine_less_that_of_others() -> None:
    features = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]], dtype=np.float32)
    classes, others = np.eye(3, dtype=np.float32)[:2], np.eye(3, dtype=np.float32)[2:]
    assert highest(features, classes).tolist() == pytest.approx([1, 0.8, 0])
    found = calibrated("f", ["hole"], features, np.array([0, 1, 1]), ["a", "b", "b"], classes, others)
    assert found.margins == pytest.approx((-1, 0.8, 1))
    assert (found.sizes, draws(found), found.none) == ((2, 2, 1), 2, ("hole",))
    assert (found.classes, found.held_back) == ((1, 1, 0), ())
    assert (found.auroc, strangers_found(found, 0.05)) == (None, None)  # of two classes none can be left out


def test_the_line_is_drawn_through_held_back_pictures_where_they_are_enough() -> None:
    """Those that were searched on have the lower margins or the higher ones: they have no say."""
    for held_back in ((False,) * 60 + (True,) * 39, (True,) * 39 + (False,) * 60):
        margins = known(99, held_back=held_back)
        assert draws(margins) == 99 and draws(margins, held_back=True) == 39
        line = threshold(margins, 0.05)
        first = held_back.index(True)
        assert (line.k, line.n, line.margin, line.held_back) == (2, 39, (first + 1) / 1000, True)
        fewer = threshold(margins, 0.02)  # takes 49
        assert (fewer.k, fewer.n, fewer.margin, fewer.held_back) == (2, 99, 0.001, False)
    variants = known(80, held_back=(True,) * 40 + (False,) * 40, sizes=(2,) * 40 + (1,) * 40)
    assert threshold(variants, 0.05).n == 20 and threshold(variants, 0.02).n == 60


def test_classes_are_told_by_the_share_of_their_pictures_below_the_line() -> None:
    margins = known(40, classes=(0, 0, 1, 2, 2, 3) + (3,) * 34, held_back=(True, False) + (True,) * 38)
    line = threshold(margins, 0.15)
    assert (line.k, line.n, line.margin, line.held_back) == (6, 39, 0.006, True)
    assert below(margins, line) == [(2, 2, 2), (0, 1, 1), (1, 1, 1), (3, 1, 35)]
    assert below(known(40), line) == []  # of an earlier version


def test_auroc_and_shares_count_pairs() -> None:
    assert auroc(np.array([3.0, 1.0]), np.array([2.0, 1.0, 0.0])) == pytest.approx((3 + 1.5) / 6)
    assert share_below(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.5])).tolist() == pytest.approx([0, 2 / 3])


def test_strangers_are_told_of_the_share_that_is_asked_for() -> None:
    found = known(99, found=tuple((SHARES**2).tolist()))
    assert strangers_found(found, 0.3) == pytest.approx(0.09)
    assert strangers_found(found, 0.305) == pytest.approx((0.09 + 0.31**2) / 2)


def test_leaving_classes_out_finds_strangers_where_they_are_far_from_the_others() -> None:
    classes = np.eye(8, dtype=np.float32)
    labels = np.repeat(np.arange(8), 5)
    features, near = classes[labels], np.full((40, 8), 8**-0.5, dtype=np.float32)
    area, found = halves_left_out(features, labels, classes, np.zeros(40, dtype=np.float32))
    assert (area, set(found), len(found)) == (1.0, {1.0}, len(SHARES))
    area, found = halves_left_out(near, labels, classes, np.zeros(40, dtype=np.float32))
    assert (area, set(found)) == (0.5, {0.0})  # all pictures alike: nothing tells them apart
    # Half of each class is as near to another thing as to its class: known ones have 1 or 0, strangers 0 or -1.
    features, others = np.repeat(classes, 4, axis=0), np.tile([0.0, 1.0], 16)
    area, _ = halves_left_out(features, np.repeat(np.arange(8), 4), classes, others)
    assert area == 0.875  # of four kinds of pairs one ties


def test_so_many_draws_as_a_share_has_parts_are_enough_but_one() -> None:
    for n in range(19, 200):
        assert threshold(known(n), 1 / (n + 1)).k == 1


def test_four_classes_are_the_fewest_of_which_some_are_left_out() -> None:
    for count, told in ((3, False), (4, True)):
        classes, labels = np.eye(count, dtype=np.float32), np.repeat(np.arange(count), 3)
        area, found = halves_left_out(classes[labels], labels, classes, np.zeros(len(labels), dtype=np.float32))
        assert (area is not None, len(found) > 0) == (told, told)


def test_classes_without_pictures_have_no_part_in_what_is_left_out() -> None:
    rng, present = np.random.default_rng(1), np.array([1, 5, 6, 12])
    classes, place = rng.normal(size=(16, 6)).astype(np.float32), np.repeat(np.arange(4), 5)
    features = classes[present[place]] + rng.normal(size=(20, 6)).astype(np.float32)
    elsewhere = rng.normal(size=20).astype(np.float32)
    found = halves_left_out(features, present[place], classes, elsewhere)
    assert found == halves_left_out(features, place, classes[present], elsewhere)
    assert found[0] is not None and 0.5 < found[0] < 1


def test_the_highest_cosine_is_that_of_each_picture_however_many_there_are() -> None:
    rng = np.random.default_rng(0)
    features, rows = rng.normal(size=(2500, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    assert highest(features, rows) == pytest.approx((features @ rows.T).max(axis=1), rel=1e-5, abs=1e-6)
    assert highest(features[:0], rows).shape == (0,)
