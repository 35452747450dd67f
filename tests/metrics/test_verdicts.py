"""What is said of a comparison: corrected for how many there are, in words, with what could have been found."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipo.metrics.evidence import SAME, Effect, Variance, effect_of, format_p, holm, points, verdict


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


def test_a_verdict_turns_at_five_hundredths():
    assert verdict("x", _effect(0.05, 0.05), 0.05, 1).startswith("a gain over x")
    assert verdict("x", _effect(-0.05, 0.05), 0.05, 1).startswith("worse than x")
    for mean in (0.05, -0.05):
        assert verdict("x", _effect(mean, 0.0501), 0.0501, 1).startswith("no evidence of a gain over x")
    assert verdict("x", _effect(0.0, 0.01), 0.01, 1).startswith("no evidence of a gain over x")


def test_a_verdict_counts_its_comparisons():
    one, two = (verdict("x", _effect(0.05, 0.001), 0.001, count) for count in (1, 2))
    assert one == "a gain over x of +5.00 points [+3.00, +7.00], p = 0.001 after correction for 1 comparison"
    assert two == one.replace("1 comparison", "2 comparisons")


def test_what_could_have_been_found_is_said_in_points():
    said = verdict("x", Effect(0.1, -0.4, 0.6, 0.7, "t", 0.4567), 0.7, 1)
    assert said.endswith("; a true difference of 45.7 points would be found four times in five")


@pytest.mark.parametrize("detectable", [1.0, math.inf])
def test_a_comparison_that_could_show_nothing_says_so(detectable):
    said = verdict("x", Effect(0.1, -1.0, 1.0, 1.0, "t", detectable), 1.0, 1)
    assert said.endswith("; no difference could have been shown with so few groups of pictures, seeds or data sets")


def test_the_same_templates_leave_nothing_to_doubt():
    assert (SAME.mean, SAME.low, SAME.high, SAME.p, SAME.detectable) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("value", "worded"),
    [(0.12345, "+12.35"), (-0.0123, "-1.23"), (0.0, "+0.00"), (-0.00001, "+0.00"), (1.0, "+100.00")],
)
def test_points_in_words(value, worded):
    assert points(value) == worded


@pytest.mark.parametrize(
    ("p", "worded"),
    [(1.0, "p = 1"), (0.0501, "p = 0.05"), (0.01349, "p = 0.013"), (0.0001, "p = 0.0001"), (0.000099, "p < 0.0001")],
)
def test_p_in_words(p, worded):
    assert format_p(p) == worded


def test_no_evidence_says_what_could_have_been_found():
    found = effect_of(0.0, [Variance(0.0001, 30)])
    assert found.detectable == pytest.approx(0.01 * (2.0423 + 0.8538), rel=1e-3)
    assert "a true difference of 2.9 points would be found four times in five" in verdict("x", found, 1.0, 1)
