"""What is said of a comparison: corrected for how many there are, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipo_prompts.metrics.evidence import SAME, Effect, holm
from ipo_prompts.metrics.verdict import format_p, judge, no_test, points


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
    return Effect(mean, mean - 0.02, mean + 0.02, p, "these classes")


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
            " (the interval is not corrected)",
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
    assert found["a"].p_corrected == 1.0
    assert judge({"a": SAME}, "tests")["a"].comparisons == 1


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
