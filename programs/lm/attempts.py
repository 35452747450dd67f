"""The attempts to get one answer: how long each may take, how long to wait between them, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dspy.lm15 import LM15Error, RateLimitError, ServerError, TimeoutError, TransportError

from ipo_prompts.metrics.errors import flag
from ipo_prompts.programs.lm import waiting
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.lm.transport import LostReply, UnreadableReply

T = TypeVar("T")

RETRIES = 3
"""More attempts after a rate limit, a server error, a broken connection or a timeout."""
LONGEST_PAUSE_SECONDS = 60.0
"""Between two attempts, where the server does not say how long."""
QUESTION_SECONDS = 600.0
"""For one question with all its attempts and pauses, in a run without a time limit."""

RETRIED = (RateLimitError, ServerError, TimeoutError, TransportError)
MAYBE_BILLED = (LostReply, UnreadableReply, TimeoutError)
"""The server may have made the answer."""


class Attempts:
    """The attempts of one question.

    Args:
        ledger: whose time limit ends every wait, and which shows what is waited for.
        name: of the language model.
        retries: how many more there may be; `RETRIES` when None.
    """

    def __init__(self, ledger: Ledger, name: str, retries: int | None = None) -> None:
        self._ledger = ledger
        self._name = name
        self._retries = RETRIES if retries is None else retries
        self._failed = 0
        self._started = time.monotonic()

    def ask(self, complete: Callable[[], T], timeout: float | None) -> T:
        """Make one attempt; `timeout` is its limit in seconds beside that of the run.

        Raises:
            dspy.lm15.TimeoutError: no answer came in time.
        """
        left = self._ledger.clock.left()
        limited = left is not None and (timeout is None or left < timeout)
        seconds = left if limited else timeout
        try:
            return waiting.answer_within(complete, seconds, self._teller(seconds, limited, ""))
        except waiting.NoAnswer as error:
            raise TimeoutError(str(error)) from error
        finally:
            self._ledger.on_wait(None)

    def wait_after(self, error: LM15Error) -> None:
        """Wait until the next attempt, as long as the server asked for, or twice as long as the last time.

        Raises:
            BudgetReached: the run's time is over before that.
            dspy.lm15.LM15Error: the given error; another attempt is not worth it.
        """
        self._ledger.clock.check_time()
        self._failed += 1
        if self._failed > self._retries:
            raise error
        hint = getattr(error, "retry_after", None)
        seconds = min(2.0 ** (self._failed - 1), LONGEST_PAUSE_SECONDS) if hint is None else max(0.0, float(hint))
        why = "after an error" if hint is None else f"the server asked for {seconds:,.0f} s"
        left = self._ledger.clock.left()
        if left is None and time.monotonic() - self._started + seconds > QUESTION_SECONDS:
            error.message = f"{error.message} ({why}; {flag('max_minutes')} allows longer waits)"
            error.args = (error.message,)
            raise error
        limited = left is not None and left < seconds
        seconds = left if limited and left is not None else seconds
        try:
            waiting.pause(seconds, self._teller(seconds, limited, why))
        finally:
            self._ledger.on_wait(None)
        self._ledger.clock.check_time()

    def _teller(self, seconds: float | None, limited: bool, why: str) -> Callable[[float], None]:
        def tell(waited: float) -> None:
            until = None if seconds is None else max(0.0, seconds - waited)
            self._ledger.on_wait(waiting.Wait(self._name, waited, until if limited or not why else None, why, limited))

        return tell
