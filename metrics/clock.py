"""The clock of a search: it limits the time of the search. The test and the files of a run come on top.

While the bench of a search scores templates, the clock is in force (`keeping`), and each batch of texts calls
`check_clock` first. So after the limit no batch begins. Nor does a question: the ledger asks the clock.
"""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")
Limit = Literal["budget_usd", "budget_tokens", "max_minutes"]
"""The settings that can stop a run."""


class BudgetReached(Exception):
    """Raised when the next call could exceed a limit. The run ends with the templates that it has so far.

    Attributes:
        limit: the name of the setting whose limit is reached.
        needed: the value of this setting that would allow the call: the amount used so far, plus the most that the call
            can use.
    """

    def __init__(self, said: str, limit: Limit = "max_minutes", needed: float = 0.0) -> None:
        super().__init__(said)
        self.limit = limit
        self.needed = needed


def now() -> float:
    """Return the present time in seconds, by a clock that never jumps."""
    return time.monotonic()


class Clock:
    """The deadline of a search.

    Args:
        minutes: the minutes that the search may take in all; None if there is no limit.
        before: the seconds that earlier sessions of the search took.
    """

    def __init__(self, minutes: float | None = None, before: float = 0.0) -> None:
        self.minutes = minutes
        self._ends = math.inf if minutes is None else now() + 60 * minutes - before

    def left(self) -> float | None:
        """Return how many seconds are left: at least 0; None if there is no limit."""
        return None if self.minutes is None else max(0.0, self._ends - now())

    def check_time(self) -> None:
        """Raise an error if the time is used up.

        Raises:
            BudgetReached: the time is used up.
        """
        if now() >= self._ends:
            raise BudgetReached(f"the time limit of {self.minutes:g} minutes is reached")


_UNLIMITED = Clock()
_in_force: ContextVar[Clock] = ContextVar("_in_force", default=_UNLIMITED)


@contextmanager
def keeping(one: Clock) -> Iterator[Clock]:
    """Put a clock in force while the block runs."""
    before = _in_force.set(one)
    try:
        yield one
    finally:
        _in_force.reset(before)


def check_clock() -> None:
    """Raise an error if the time of the clock in force is used up. Call it before each batch.

    Raises:
        BudgetReached: the time is used up.
    """
    _in_force.get().check_time()


# Waiting for a language model or the hub. Every wait ends at its deadline, and the screen shows what is waited for.
#
# No client library keeps a deadline for a whole answer: a server may send one byte every few seconds for ever, and a
# name server may send nothing at all. C code cannot be interrupted. So each question is asked in a thread of its own,
# and this module waits for the answer.

POLL_SECONDS = 0.5
"""Seconds between two updates of the screen while waiting."""


class NoAnswer(TimeoutError):
    """Raised when a question was not answered in time. The answer may still come, and be billed, later."""


@dataclass(frozen=True)
class Wait:
    """A wait, as the screen shows it.

    Attributes:
        what: the name of the language model that is waited for.
        seconds: the seconds that the wait has lasted so far.
        until: the seconds until the wait ends; None if nothing ends it.
        limited: whether the time limit of the run ends the wait; otherwise the time limit of one answer ends it.
    """

    what: str
    seconds: float
    until: float | None = None
    limited: bool = False

    def __str__(self) -> str:
        end = ""
        if self.until is not None:
            end = (
                f" (the limit ends the wait in {self.until:.0f} s)"
                if self.limited
                else f" (given up in {self.until:.0f} s)"
            )
        return f"waiting for {self.what}: {self.seconds:.0f} s{end}"


def answer_within(
    ask: Callable[[], T], seconds: float | None, tell: Callable[[float], None] = lambda waited: None
) -> T:
    """Call `ask` in a thread of its own, and wait for its result. Return the result, or raise the error of `ask`.

    Args:
        ask: the question, a function.
        seconds: the longest time to wait; None waits without end.
        tell: a function that is called while waiting, with the seconds waited so far.

    Raises:
        NoAnswer: there was no answer within `seconds`.
    """
    answer = Future[T]()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="question", daemon=True).start()
    started = time.monotonic()
    while not answer.done():
        waited = time.monotonic() - started
        if seconds is not None and waited >= seconds:
            raise NoAnswer(f"no answer within {seconds:.0f} s")
        wait([answer], POLL_SECONDS if seconds is None else min(POLL_SECONDS, seconds - waited))
        tell(time.monotonic() - started)
    return answer.result()
