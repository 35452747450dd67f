"""Waiting for a language model: it always ends at a deadline, and always says what it waits for.

No client library keeps a deadline for a whole answer (a server may send one byte every few seconds for ever), and code
in C cannot be interrupted. So each question is asked in a thread of its own, and the waiting is done here.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.5
"""How often the screen hears how long a wait has lasted."""

_given_up: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("_given_up", default=None)


class NoAnswer(Exception):
    """A question was not answered in time. It may be answered, and billed, after nobody listens any more."""


@dataclass(frozen=True)
class Wait:
    """What is waited for, for the screen.

    Attributes:
        what: the language model.
        seconds: how long already.
        until: seconds until the wait is ended; None when nothing ends it.
        why: what the server said, or "".
        limited: whether the limit of the run ends the wait, rather than that of one answer.
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
    """Whether nobody waits any more for the answer that this thread is making; it should end soon."""
    event = _given_up.get()
    return event is not None and event.is_set()


def answer_within(ask: Callable[[], T], seconds: float | None, tell: Callable[[float], None]) -> T:
    """Return what `ask` returns, or raise what it raises.

    Args:
        ask: runs in a thread of its own. When it is given up, `given_up()` is true there.
        seconds: how long to wait; None waits without end.
        tell: called while waiting, with the seconds so far.

    Raises:
        NoAnswer: it took longer.
    """
    outcome: list[tuple[T | None, BaseException | None]] = []
    done, abandoned = threading.Event(), threading.Event()

    def work() -> None:
        _given_up.set(abandoned)
        try:
            outcome.append((ask(), None))
        except BaseException as error:
            outcome.append((None, error))
        done.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="question to a language model", daemon=True).start()
    started = time.monotonic()
    try:
        while not done.is_set():
            waited = time.monotonic() - started
            if seconds is not None and waited >= seconds:
                raise NoAnswer(f"no answer within {seconds:.0f} s")
            done.wait(POLL_SECONDS if seconds is None else min(POLL_SECONDS, seconds - waited))
            tell(time.monotonic() - started)
    finally:
        abandoned.set()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def pause(seconds: float, tell: Callable[[float], None]) -> None:
    """Wait before another try, and say so."""
    started = time.monotonic()
    while (left := started + seconds - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        tell(time.monotonic() - started)
