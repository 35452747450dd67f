"""One clock: what is left of a limit, and when it is in force."""

from __future__ import annotations

import pytest

from ipo_prompts.metrics import clock
from ipo_prompts.metrics.clock import BudgetReached, Clock, check_clock, keeping


@pytest.fixture()
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test moves it."""
    at = [0.0]
    monkeypatch.setattr(clock, "now", lambda: at[0])
    return at


def test_what_is_left_is_less_what_was_used(seconds: list[float]) -> None:
    one = Clock(2, before=30)
    assert one.left() == 120 - 30
    seconds[0] = 89
    one.check_time()
    assert one.left() == 1
    seconds[0] = 91
    assert one.left() == 0
    with pytest.raises(BudgetReached, match="2 minutes is reached"):
        one.check_time()
    assert Clock(None).left() is None


def test_batches_stop_while_the_clock_is_in_force(seconds: list[float]) -> None:
    with keeping(Clock(1)):
        check_clock()
        seconds[0] = 61
        with pytest.raises(BudgetReached):
            check_clock()
    check_clock()
