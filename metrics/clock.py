"""One clock for a run, from the start of its process to its files, and what a run leaves out when time is short.

Whoever runs a job puts its clock in force (`keeping`). Then no batch of pictures or texts, no question, no scoring and
no optional part begins after the limit: each calls `check_clock` first. The choice, the sealed test and the files are
`due`: they are never cut short. Their time is kept in reserve, and nothing else begins once only the reserve is left.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from ipo_prompts.metrics.errors import in_force

T = TypeVar("T")
Limit = Literal["budget_usd", "budget_tokens", "max_minutes"]
"""The settings that stop a run."""

IMPORTED = time.monotonic()
"""When this file was imported, in the seconds of `now`; the command line imports it before all else."""


class BudgetReached(Exception):
    """The next call could exceed a limit. The run ends with what it has found so far.

    Attributes:
        limit: the setting of the limit.
        needed: the limit that would allow the call: what was used so far, plus the most that the call can use.
    """

    def __init__(self, said: str, limit: Limit = "max_minutes", needed: float = 0.0) -> None:
        super().__init__(said)
        self.limit = limit
        self.needed = needed


def now() -> float:
    """Return the seconds of a clock that never jumps."""
    return time.monotonic()


@dataclass
class Clock:
    """The time of one run.

    Attributes:
        limit: seconds in all; None without a limit.
        started: when this session began, in the seconds of `now`.
        before: seconds that earlier sessions took.
        reserve: seconds kept for what is due later; nothing else may use them.
        left_out: the optional parts for which there was no time, in order.
    """

    limit: float | None = None
    started: float = field(default_factory=lambda: now())
    before: float = 0.0
    reserve: float = 0.0
    left_out: list[str] = field(default_factory=list)
    _due: int = 0

    @classmethod
    def of(cls, minutes: float | None, before: float = 0.0, started: float | None = None) -> Clock:
        """Return a clock that began at `started` (None: now), after earlier sessions of `before` seconds."""
        return cls(None if minutes is None else 60 * minutes, now() if started is None else started, before)

    @property
    def seconds(self) -> float:
        """The seconds that the run has taken so far."""
        return self.before + now() - self.started

    def left(self) -> float | None:
        """Return how many seconds are left before the reserve, at least 0; None without a limit."""
        return None if self.limit is None else max(0.0, self.limit - self.reserve - self.seconds)

    def check_time(self) -> None:
        """Stop where the time is used up, even within `due`.

        Raises:
            BudgetReached: the time is used up.
        """
        if self.limit is not None and self.left() == 0:
            rest = f" but for {self.reserve:.0f} s that the sealed test and the files need" if self.reserve >= 1 else ""
            raise BudgetReached(f"the time limit of {self.limit / 60:g} minutes is reached{rest}")


_UNLIMITED = Clock()
_in_force: ContextVar[Clock] = ContextVar("_in_force", default=_UNLIMITED)
_began: ContextVar[float | None] = ContextVar("_began", default=None)


def clock() -> Clock:
    """Return the clock in force; without one, nothing is limited."""
    return _in_force.get()


@contextmanager
def keeping(one: Clock) -> Iterator[Clock]:
    """Put a clock in force while the block runs."""
    with in_force(_in_force, one):
        yield one


def beginning(at: float) -> AbstractContextManager[None]:
    """Count the time of runs in the block from `at`: a command's run begins with its process."""
    return in_force(_began, at)


def began() -> float:
    """Return when the present run began: the time given to `beginning`, or now."""
    return now() if (at := _began.get()) is None else at


def check_clock() -> None:
    """Stop before another batch if the time is used up and the batch is not due.

    Raises:
        BudgetReached: the time is used up.
    """
    if not (one := clock())._due:
        one.check_time()


@contextmanager
def due() -> Iterator[None]:
    """Finish the block, whatever the time: inside, `check_clock` stops nothing."""
    one = clock()
    one._due += 1
    try:
        yield
    finally:
        one._due -= 1


def optional(what: str, do: Callable[[], T]) -> T | None:
    """Return what `do` returns; if the time is used up before its end, return None and add `what` to `left_out`.

    >>> with keeping(Clock(limit=60)) as one:
    ...     optional("greetings", lambda: "hello"), one.left_out
    ...     one.reserve = 60
    ...     optional("greetings", lambda: "hello"), one.left_out
    ('hello', [])
    (None, ['greetings'])
    """
    one = clock()
    try:
        one.check_time()
        return do()
    except BudgetReached as reached:
        if reached.limit != "max_minutes":
            raise
        one.left_out.append(what)
        return None


# Waiting for a language model or the hub: every wait ends at its deadline, and says what it waits for.
#
# No client library keeps a deadline for a whole answer (a server may send one byte every few seconds for ever, a name
# server none at all), and C code cannot be interrupted. So each question is asked in a thread of its own, and the
# waiting is done here.

POLL_SECONDS = 0.5
"""Seconds between two updates of the screen while waiting."""

_given_up: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("_given_up", default=None)


class NoAnswer(TimeoutError):
    """A question was not answered in time. It may still be answered, and billed, later."""


@dataclass(frozen=True)
class Wait:
    """A wait, as the screen shows it.

    Attributes:
        what: the language model.
        seconds: how long the wait has lasted.
        until: seconds until the wait ends; None when nothing ends it.
        why: what the server said, or "".
        limited: whether the wait ends at the limit of the run, and not at that of one answer.
    """

    what: str
    seconds: float
    until: float | None = None
    why: str = ""
    limited: bool = False

    def __str__(self) -> str:
        end = ""
        if self.until is not None:
            end = (
                f"the limit ends the wait in {self.until:.0f} s" if self.limited else f"given up in {self.until:.0f} s"
            )
        notes = "; ".join(note for note in (self.why, end) if note)
        return f"waiting for {self.what}: {self.seconds:.0f} s{f' ({notes})' if notes else ''}"


def given_up() -> bool:
    """Whether the answer of this thread is no longer waited for; the thread should then end soon."""
    event = _given_up.get()
    return event is not None and event.is_set()


def answer_within(
    ask: Callable[[], T], seconds: float | None, tell: Callable[[float], None] = lambda waited: None
) -> T:
    """Return what `ask` returns, or raise what it raises.

    Args:
        ask: runs in a thread of its own. Once the wait is over, `given_up()` is true in that thread.
        seconds: how long to wait; None waits without end.
        tell: is called while waiting, with the seconds so far.

    Raises:
        NoAnswer: there was no answer within `seconds`.
    """
    answer, abandoned = Future[T](), threading.Event()

    def work() -> None:
        _given_up.set(abandoned)
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="question", daemon=True).start()
    started = time.monotonic()
    try:
        while not answer.done():
            waited = time.monotonic() - started
            if seconds is not None and waited >= seconds:
                raise NoAnswer(f"no answer within {seconds:.0f} s")
            wait([answer], POLL_SECONDS if seconds is None else min(POLL_SECONDS, seconds - waited))
            tell(time.monotonic() - started)
    finally:
        abandoned.set()
    return answer.result()


def pause(seconds: float, tell: Callable[[float], None]) -> None:
    """Wait before another try, and call `tell` with the seconds so far."""
    started = time.monotonic()
    while (left := started + seconds - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        tell(time.monotonic() - started)
