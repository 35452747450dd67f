"""What is said of a comparison: corrected for how many there are, in words, with what could have been found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipo_prompts.metrics.evidence import SAME, Effect, effect_of, holm
from ipo_prompts.metrics.sampling import Variance
from ipo_prompts.metrics.verdict import format_p, judge, no_test, points, spends


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
    return Effect(mean, mean - 0.02, mean + 0.02, p, (Variance(1e-4, 1000),), "these classes")


def _one(effect, comparisons=1):
    """Its verdict beside others of p = 1."""
    others = {str(i): _effect(0.0, 1.0) for i in range(comparisons - 1)}
    return judge({"it": effect, **others}, "tests")["it"]


@pytest.mark.parametrize(
    ("effect", "outcome", "words"),
    [
        (
            _effect(0.05, 0.001),
            "gain",
            "a gain over CoOp of +5.00 points [+3.00, +7.00], p = 0.003 after correction for 3 comparisons",
        ),
        (
            _effect(-0.05, 0.001),
            "loss",
            "a loss against CoOp of -5.00 points [-7.00, -3.00], p = 0.003 after correction for 3 comparisons",
        ),
        (
            _effect(0.03, 0.03),
            "not shown",
            "no evidence of a gain over CoOp: +3.00 points [+1.00, +5.00], p = 0.09 after correction for 3 comparisons"
            " (the interval is not corrected)"
            "; a true difference of 3.2 points would be shown four times in five, "
            "and this one is shown to be within ±5.1",
        ),
        (_effect(0.05, 1e-9), "gain", "a gain over CoOp of +5.00 points [+3.00, +7.00], p < 0.0001 after correction"),
        (SAME, "same templates", "the same templates as CoOp, so no gain over it"),
    ],
)
def test_verdicts_in_words(effect, outcome, words):
    found = _one(effect, 3)
    assert found.outcome == outcome
    assert found.against("CoOp").startswith(words)


def test_a_verdict_turns_at_five_hundredths_of_the_corrected_p():
    assert _one(_effect(0.05, 0.05)).outcome == "gain"
    assert _one(_effect(-0.05, 0.05)).outcome == "loss"
    for mean in (0.05, -0.05):
        assert _one(_effect(mean, 0.0501)).outcome == "not shown"
        assert _one(_effect(mean, 0.025), 2).outcome in ("gain", "loss")
        assert _one(_effect(mean, 0.0251), 2).outcome == "not shown"
    assert _one(_effect(0.0, 0.01)).outcome == "not shown"


def test_one_comparison_is_not_called_corrected():
    assert _one(_effect(0.05, 0.001)).numbers == "+5.00 points [+3.00, +7.00], p = 0.001"


def test_equal_templates_are_no_comparison():
    found = judge({"a": SAME, "b": _effect(0.05, 0.04), "c": SAME}, "tests")
    assert (found["b"].outcome, found["b"].comparisons, found["b"].p_corrected) == ("gain", 1, 0.04)
    assert (found["a"].p_corrected, found["a"].detectable) == (1.0, 0.0)
    assert judge({"a": SAME}, "tests")["a"].comparisons == 1


def test_all_openings_together_spend_five_hundredths():
    """By hand: 0.15 / (k (k - 1)) = 0.15 (1 / (k - 1) - 1 / k), which add up to 0.15 (1 - 1 / n)."""
    assert [spends(k) for k in (None, 1, 2, 3, 4)] == pytest.approx([1, 0.85, 0.075, 0.025, 0.0125])
    assert sum(spends(k) for k in range(1, 1001)) == pytest.approx(1 - 0.15 / 1000)


@pytest.mark.parametrize(("opening", "largest"), [(None, 0.05), (1, 0.0425), (2, 0.00375), (3, 0.00125)])
def test_a_later_opening_needs_a_smaller_p(opening, largest):
    def outcome(p):
        return judge({"it": _effect(0.05, p)}, "tests", opening)["it"].outcome

    assert (outcome(largest - 1e-9), outcome(largest + 1e-9)) == ("gain", "not shown")


def test_openings_correct_beside_comparisons():
    found = judge({"a": _effect(0.05, 1e-4), "b": _effect(0.05, 0.5)}, "tests", 3)["a"]
    assert found.p_corrected == pytest.approx(2e-4 / 0.025)
    assert found.numbers.endswith("p = 0.008 after correction for 2 comparisons and 3 openings")
    assert found.detectable == pytest.approx(_effect(0.0, 1.0).detectable(80), abs=1e-6)
    assert found.within == pytest.approx(_effect(0.05, 1.0).within(80), abs=1e-6)


def test_a_first_opening_says_what_it_kept_where_that_decides():
    close, clear = (judge({"it": _effect(0.05, p)}, "tests", 1)["it"] for p in (0.047, 0.01))
    assert close.outcome == "not shown"
    assert close.numbers.endswith("p = 0.055 after correction for openings to come (the interval is not corrected)")
    assert clear.outcome == "gain" and clear.numbers.endswith("p = 0.012")


def test_what_could_have_been_shown_counts_the_comparisons():
    alone, beside = _one(_effect(0.0, 1.0)), _one(_effect(0.0, 1.0), 8)
    assert alone.detectable == pytest.approx(0.0281, abs=1e-4)
    assert beside.detectable == pytest.approx(_effect(0.0, 1.0).detectable(8), abs=1e-6)
    assert beside.detectable > alone.detectable


def test_a_comparison_that_could_show_nothing_says_so():
    found = _one(effect_of(0.1, [Variance(0.1, 1)]))
    assert found.detectable is None
    assert found.against("x").endswith("; no difference could have been shown with so few units, seeds or data sets")


def test_units_that_shaped_the_template_give_no_test():
    found = no_test(_effect(0.05, 1e-9), "they chose it")
    assert (found.outcome, found.p, found.p_corrected, found.mean) == ("no test", None, None, 0.05)
    assert found.family == "they chose it"
    assert found.numbers == "+5.00 points [+3.00, +7.00]"
    assert no_test(SAME, "they chose it").outcome == "same templates"


def test_a_verdict_is_read_back_as_it_was_written():
    for found in (_one(_effect(1 / 3, 1 / 7), 3), no_test(_effect(-1e-9, 1.0), "why")):
        assert type(found).model_validate_json(found.model_dump_json()) == found
    assert str(no_test(_effect(-1e-9, 1.0), "why").mean) == "0.0"


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


def test_a_corrected_p_is_at_most_one() -> None:
    effect = Effect(0.0, -0.02, 0.02, 0.9, (Variance(1e-4, 1000),), "x")
    assert judge({"it": effect}, "a family", 3)["it"].p_corrected == 1
