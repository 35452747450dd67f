"""The gain by two-phase sampling, held against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ipo_prompts.metrics.clicks import ADDED, Disagreements, decided_after, slips_of


def test_the_variances_by_hand() -> None:
    # N = 100, M = 40, k = 10 answers: four 1, one -1, five 0. mean .3, share .4, gain .12.
    found = Disagreements.single(100, 40).gain([1] * 4 + [-1] + [0] * 5)
    assert found.new.mean == found.these.mean == pytest.approx(0.12)
    # The sum of squares about .3 is 5 - 10 * .09 = 4.1; two answers of size 1 are added: 6.1 / 9.
    asked = 0.4**2 * (6.1 / 9) / 10 * (1 - 10 / 40)
    # The mean of squares is (5 + 2) / 10; its share less the square of the gain, over N - 1.
    drawn = (0.4 * 0.7 - 0.12**2) / 99
    assert [one.value for one in found.new.variances] == pytest.approx([asked, drawn])
    assert [one.degrees for one in found.new.variances] == [9, 9]
    half = 2.262157 * math.sqrt(asked + drawn)
    assert (found.new.low, found.new.high) == pytest.approx((0.12 - half, 0.12 + half), abs=1e-6)
    assert found.these.high - found.these.low == pytest.approx(2 * 2.262157 * math.sqrt(asked), abs=1e-6)
    assert (found.new.covers, found.these.covers) == ("pictures like these", "these pictures")


def test_of_pictures_that_all_have_an_answer_the_gain_is_known() -> None:
    found = Disagreements.single(50, 12).gain([1] * 9 + [-1] * 3)
    assert found.these.low == found.these.mean == found.these.high == pytest.approx(6 / 50)
    assert found.new.low < 0 < 0.12 < found.new.high, "new pictures are another sample"


def test_answers_that_all_say_neither_are_no_certainty() -> None:
    found = Disagreements.single(100, 40).gain([0] * 20)
    assert found.new.p == 1 and found.new.high > 0.02
    assert Disagreements.single(1, 1).gain([1]).new.p > 0.05


def test_variants_of_a_picture_are_one_draw() -> None:
    # 20 draws of 2: of the five that disagree, all in both variants. One answer speaks for two pictures.
    design = Disagreements(40, 20, np.full(5, 2.0), np.full(5, 2.0))
    found = design.gain([1, 1, -1, 0, 1])
    alone = Disagreements.single(20, 5).gain([1, 1, -1, 0, 1])
    assert found.new.mean == pytest.approx(alone.new.mean) == pytest.approx(0.1)
    assert found.new.variances[1].value == pytest.approx(alone.new.variances[1].value)
    # That no picture was left to ask about is no certainty where one speaks for another.
    assert alone.new.variances[0].value == 0 < found.new.variances[0].value
    # A draw of which one variant alone disagrees weighs half.
    half = Disagreements(40, 20, np.array([1.0, 2, 2, 2, 2]), np.full(5, 2.0)).gain([1, 1, -1, 0, 1])
    assert half.new.mean == pytest.approx(3 / 40)


def test_half_widths_are_those_of_answers_to_come() -> None:
    design = Disagreements.single(400, 200)
    # As many answers for the one as for the other: the gain is 0, and all answers decide.
    found = design.gain([1, -1] * 30).new
    assert design.half_width(60) == pytest.approx((found.high - found.low) / 2, rel=0.02)
    assert design.half_width(60, decided=0.3) < 0.62 * design.half_width(60)
    k = Disagreements.single(10_000, 3000).needed(0.05)
    big = Disagreements.single(10_000, 3000)
    assert big.half_width(k) <= 0.05 < big.half_width(k - 1)
    assert big.needed(0.05, decided_after(2, 10)) < k / 2
    # Out of reach: so many that the rest would narrow it by less than a tenth.
    assert design.half_width(design.needed(0.001)) == pytest.approx(1.1 * design.half_width(200), rel=0.01)
    assert Disagreements.single(400, 6).needed(0.05) == 6


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Disagreements.single(10, 5).gain([])
    with pytest.raises(ValueError, match="6 answers and 5"):
        Disagreements.single(10, 5).gain([1] * 6)
    assert ADDED == 2


def test_where_any_picture_speaks_for_several_all_answers_leave_something_open() -> None:
    sizes = np.array([1.0, 2, 1])
    assert Disagreements(20, 10, sizes, sizes).gain([1, 0, -1]).these.variances[0].value > 0


def test_the_half_width_grows_with_how_many_pictures_an_answer_speaks_for() -> None:
    two, four = (Disagreements(40, 10, np.full(5, number), np.full(5, 4.0)) for number in (2.0, 4.0))
    assert four.half_width(4) == pytest.approx(2 * two.half_width(4))


def test_the_first_answers_are_of_the_first_draws() -> None:
    design = Disagreements(40, 20, np.array([1.0, 2, 2, 2, 2]), np.full(5, 2.0))
    assert design.gain([1, 1]).new.mean == pytest.approx(5 / 40 * (1 + 2) / 2)


def test_answers_that_all_say_neither_vary_as_if_one_of_the_usual_size_had_been_for_each() -> None:
    # M = 5 draws of both variants, N = 40: two answers of size 2 in three, of which none closes the question.
    found = Disagreements(40, 20, np.full(5, 2.0), np.full(5, 2.0)).gain([0, 0, 0]).these
    assert found.variances[0].value == pytest.approx((5 / 40) ** 2 * (ADDED * 4) / 2 / 3)


def test_one_answer_moves_the_gain_by_its_share_of_the_disagreements() -> None:
    assert Disagreements.single(100, 40).gain([1] * 4 + [-1] + [0] * 5).new.step == pytest.approx(0.4 / 10)


def test_a_half_width_by_hand() -> None:
    # Of 400, 200 disagree, 60 answered, all deciding: t(59) = 2.000995; two are added to 60.
    wanted = 2.000995 * math.sqrt((1 + 2 / 60) * ((1 / 4) / 60 * (1 - 60 / 200) + 200 / 400**2))
    assert Disagreements.single(400, 200).half_width(60) == pytest.approx(wanted, rel=1e-5)


def test_slips_by_hand() -> None:
    # 20 pairs, of 10 decided ones 2 opposite; 4 more with a side once: decided 10 + 4 / 2.
    found = slips_of([[1, 1]] * 5 + [[-1, -1]] * 3 + [[1, -1]] * 2 + [[0, 1]] * 3 + [[-1, 0]] + [[0, 0]] * 6)
    assert found.lost == pytest.approx(2 / 12 + 4 / 2 / 20)
    assert found.uncertain.value == pytest.approx(3 / (12 + 20) ** 2 + 4 / 4 / (20 + 20) ** 2)
    assert found.noise == pytest.approx((4 * 3 + 4) / 2 / 40)
    assert slips_of([[1, -1]] * 30).lost == 0.5, "no more is made up for"


def test_a_gain_is_divided_by_what_slips_leave_of_it() -> None:
    design, answers = Disagreements.single(1000, 400), [1] * 50 + [-1] * 10 + [0] * 20
    slips = slips_of([[1, 1]] * 18 + [[1, -1]] * 2 + [[0, 0]] * 6)
    raw, full = design.gain(answers), design.gain(answers, slips)
    assert slips.lost == pytest.approx(0.1)
    assert full.new.mean == full.these.mean == pytest.approx(raw.new.mean / 0.9)
    lost = slips.uncertain.value * (full.new.mean / 0.9) ** 2
    wanted = [*(one.value / 0.81 for one in raw.new.variances), lost]
    assert [one.value for one in full.new.variances] == pytest.approx(wanted)
    assert design.gain([1] * 10, slips_of([[1, -1]] * 9)).new.mean == 0.4, "no more than all disagreements"
    assert design.gain([1, -1] * 30, slips).new.mean == 0


def test_no_slip_among_a_few_pairs_is_no_certainty() -> None:
    few, many = (Disagreements.single(100, 40).gain([1] * 40, slips_of([[1, 1]] * count)) for count in (0, 200))
    assert few.these.low < many.these.low < 0.4 == many.these.mean == few.these.mean
