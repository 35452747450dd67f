"""One clock: what is left of a limit, what gives way, and what is due all the same."""

from __future__ import annotations

import pytest

from ipo_prompts.metrics import clock
from ipo_prompts.metrics.clock import BudgetReached, Clock, check_clock, due, keeping, optional


@pytest.fixture()
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test moves it."""
    at = [0.0]
    monkeypatch.setattr(clock, "now", lambda: at[0])
    return at


def test_what_is_left_is_less_what_was_used_and_what_is_kept_for_later(seconds: list[float]) -> None:
    one = Clock.of(2, before=30)
    one.reserve = 20
    assert one.left() == 120 - 30 - 20
    seconds[0] = 69
    one.check_time()
    assert (one.left(), one.seconds) == (1, 99)
    seconds[0] = 71
    assert one.left() == 0
    with pytest.raises(BudgetReached, match="2 minutes is reached but for 20 s"):
        one.check_time()
    assert Clock.of(None).left() is None


def test_what_is_due_goes_on_and_what_is_not_gives_way_in_the_middle(seconds: list[float]) -> None:
    def half() -> str:
        seconds[0] += 40
        check_clock()
        return "whole"

    with keeping(Clock.of(1)) as one:
        assert optional("first", half) == "whole"
        assert optional("second", half) is None
        with due():
            check_clock()
            assert optional("third", half) is None, "what is optional does not begin within what is due either"
        with pytest.raises(BudgetReached):
            check_clock()
        assert one.left_out == ["second", "third"]
    check_clock()  # nothing limits what no clock is kept for


def test_a_budget_that_is_used_up_is_no_want_of_time(seconds: list[float]) -> None:
    def ask() -> None:
        raise BudgetReached("no more tokens", "budget_tokens")

    with keeping(Clock.of(1)) as one, pytest.raises(BudgetReached):
        optional("a question", ask)
    assert one.left_out == []


def test_what_is_due_within_what_is_due_ends_alone(seconds: list[float]) -> None:
    with keeping(Clock.of(1)):
        seconds[0] = 61
        with due():
            with due():
                check_clock()
            check_clock()
        with pytest.raises(BudgetReached):
            check_clock()
