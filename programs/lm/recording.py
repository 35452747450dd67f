"""The engine that wraps every other engine. It records requests and replies, replays known replies and keeps limits.

A DSPy engine is an object with `complete`, which takes one request and returns one reply or raises a `dspy.lm15` error.

DSPy calls an engine object for each question. We wrap the engine and not the modules: in this way every request to a
language model is recorded, also a retry and the second try of an adapter.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dspy._vendor.lm15.serde import request_to_dict, response_from_dict, response_to_dict
from dspy.lm15 import LM15Error, RateLimitError, Request, Response, ServerError, TimeoutError, TransportError

from ipo_prompts.metrics import clock
from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.ledger import (
    DEFAULT_MAX_TOKENS,
    Ledger,
    Usage,
    bound_tokens,
    without_pictures,
)
from ipo_prompts.programs.lm.replies import by_request, whole_characters
from ipo_prompts.programs.lm.transport import LostReply, UnreadableReply
from ipo_prompts.programs.record.journal import Event, Journal
from ipo_prompts.programs.record.redaction import redact

logger = logging.getLogger(__name__)

ABILITIES = ("supports_function_calling", "supports_reasoning", "supports_response_schema", "supported_params")
"""The attributes of an engine that DSPy's adapters read."""


Price = Callable[[int, int], "float | None"]
"""A function from (tokens in, tokens out) to US dollars; it returns None if the price is unknown."""


class Recorder:
    """The journal, the ledger and the known replies of a run. All engines of the run share one recorder.

    Args:
        journal: the journal that replies are written to. None: nothing is recorded, but the limits still hold.
        ledger: the ledger that costs are added to; its limits are checked before each call.
        replies: the events of another run; its recorded replies answer the requests.
        replay: whether a request without a recorded reply is an error. If not, the engine is called. None means True if
            `replies` is given, else False.
    """

    def __init__(
        self,
        journal: Journal | None,
        ledger: Ledger,
        replies: Iterable[Event] | None = None,
        *,
        replay: bool | None = None,
    ) -> None:
        self.journal = journal
        self.ledger = ledger
        self.replay = replies is not None if replay is None else replay
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._ours = by_request(self.events)
        self._known = by_request(replies or ()) | self._ours

    @property
    def events(self) -> Sequence[Event]:
        """The events that the journal held before this session."""
        return self.journal.events if self.journal else ()

    def append(self, type_: str, **content: Any) -> Event:
        """Write an event to the journal, if there is one; return the event as it was written."""
        if self.journal:
            return self.journal.append(type_, **content)
        return {"type": type_, **content}

    def _take(self, key: str) -> tuple[int, Event | None]:
        """Return how many answers this session gave to a request, and the recorded reply that comes next, if any."""
        index = self._asked[key]
        return index, self._known.get((key, index))


@dataclass(eq=False)
class RecordedEngine:
    """A DSPy engine object that answers from the record, then the cache, then the engine that it wraps.

    A run may make the same request twice, as when it asks again after a useless reply. Each request has its own reply.

    Attributes:
        recorder: the recorder of the run.
        engine: the engine that answers a request without a known reply; None refuses such a request.
        role: `optimizer` or `describer`; a role may have several language models.
        name: the name of the language model.
        price, cache, scope: see `connect.Backend`.
    """

    recorder: Recorder
    engine: Any
    role: str
    name: str
    price: Price
    cache: Any = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    _has_warned: bool = False

    def __post_init__(self) -> None:
        roles = self.recorder.ledger.roles
        before = () if self.role in roles else self.recorder.events
        self._usage = roles.setdefault(self.role, Usage(self.name))
        for event in before:
            if event["type"] == "lm_error" and event["role"] == self.role:  # earlier sessions may have paid, too
                self._usage.add(event)

    def __getattr__(self, name: str) -> Any:
        if name in ABILITIES:
            return getattr(self.engine, name, False)
        raise AttributeError(name)

    def complete(self, request: Request) -> Response:
        """Return the reply to one request. Failed attempts are repeated here; DSPy itself repeats nothing.

        Raises:
            BudgetReached: the call could pass a limit, or the run's time was over before the answer came.
            InputError: the recorded run, which is replayed, never made this request; or the run directory is gone.
            dspy.lm15.LM15Error: the last attempt failed, or another attempt would be of no use.
        """
        recorder = self.recorder
        body = request_to_dict(request)
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
        with recorder._lock:
            index, event = recorder._take(key)
            if event is not None:
                recorder._asked[key] += 1
                self._usage.add(event)
                if (key, index) not in recorder._ours:
                    recorder.append("lm", **{k: v for k, v in event.items() if k not in ("type", "seconds")})
                return response_from_dict(event["reply"])
        if recorder.replay or self.engine is None:
            raise InputError(
                f"the recorded run has no reply to this request of the {self.role}; replay it with the same "
                f"configuration, or name a language model with --lm."
            )
        most = (bound_tokens(body), request.config.max_tokens or DEFAULT_MAX_TOKENS)
        attempts = Attempts(recorder.ledger, self.name, getattr(self.engine, "retries", None))
        try:
            while True:
                if recorder.journal:  # before the reply is paid for
                    recorder.journal.check_there()
                try:
                    with recorder.ledger.reserve(tokens=sum(most), usd=self.price(*most)):
                        return self._ask(request, body, key, index, most, attempts)
                except RETRIED as error:
                    attempts.wait_after(error)
        except BudgetReached as reached:
            recorder.ledger.reached = reached
            raise
        finally:
            recorder.ledger.on_wait(None)

    def _ask(
        self,
        request: Request,
        body: dict[str, Any],
        key: str,
        index: int,
        most: tuple[int, int],
        attempts: Attempts,
    ) -> Response:
        """Return a reply that is not in the record: take it from the cache or the engine, and record it."""
        recorder, engine = self.recorder, self.engine
        started = time.monotonic()
        cached = self.cache.get({"request": body, "index": index, **self.scope}) if self.cache is not None else None
        if cached is not None:
            response = response_from_dict(cached)
        else:
            try:
                response = attempts.ask(lambda: engine.complete(request), getattr(engine, "timeout", None))
            except Exception as error:
                self._note_failure(error, key, most)
                raise
        spent, is_bound = ((0, 0), False) if cached is not None else _spent(response, most)
        if is_bound and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s does not say how many tokens its answers used: the most that each can have used is counted",
                self.name,
            )
        with recorder._lock:
            # Another thread may have made the same request in the meantime, so the number of answers is read again.
            index, _ = recorder._take(key)
            recorder._asked[key] += 1
            event = recorder.append(
                "lm",
                role=self.role,
                key=key,
                index=index,
                request=without_pictures(body),
                reply=whole_characters(response_to_dict(response)),
                cached=cached is not None,
                tokens_in=spent[0],
                tokens_out=spent[1],
                usd=0.0 if cached is not None else self.price(*spent),
                **({"bound": True} if is_bound else {}),
                waited=round(time.monotonic() - started, 3),
            )
            self._usage.add(event)
        if self.cache is not None and cached is None:
            self.cache.put({"request": body, "index": index, **self.scope}, event["reply"])
        # Return the reply as it was written, not as it was received: a resumed run must see the same reply, and a
        # secret in the reply must not go further.
        return response_from_dict(event["reply"])

    def _note_failure(self, error: Exception, key: str, most: tuple[int, int]) -> None:
        """Record a failed attempt. If the lost answer may be billed, book the most that it can cost."""
        booked: dict[str, Any] = {}
        if isinstance(error, MAYBE_BILLED):
            booked = {"tokens_in": most[0], "tokens_out": most[1], "usd": self.price(*most)}
            logger.warning(
                "an answer of %s was lost (%s) and may be billed: its bound of %s tokens is counted",
                *(self.name, redact(str(error))[:200], f"{sum(most):,}"),
            )
        reason = f"{type(error).__name__}: {error}"
        with self.recorder._lock:
            event = self.recorder.append("lm_error", role=self.role, key=key, error=reason, **booked)
            self._usage.add(event)


def _spent(response: Response, most: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """Return the tokens in and out to book, and whether any of the two numbers is only a bound.

    A number that the server did not report is replaced by its bound in `most`.
    """
    used = response.usage
    tokens_in = used.input_tokens or None  # no question has 0 tokens, so 0 means not reported
    tokens_out = used.output_tokens if used.output_tokens or not response.text else None
    booked = (most[0] if tokens_in is None else tokens_in, most[1] if tokens_out is None else tokens_out)
    return booked, tokens_in is None or tokens_out is None


# The attempts to get one answer: how long an attempt may take, how long to wait between attempts, and when to give up.

T = TypeVar("T")

RETRIES = 3
"""The most attempts after the first. There is a further attempt after a rate limit, a server error, a broken connection
or a timeout."""
LONGEST_PAUSE_SECONDS = 60.0
"""The longest pause between two attempts if the server does not say how long to wait."""
QUESTION_SECONDS = 600.0
"""The longest time for one question, with all its attempts and pauses, in a run without a time limit."""

RETRIED = (RateLimitError, ServerError, TimeoutError, TransportError)
MAYBE_BILLED = (LostReply, UnreadableReply, TimeoutError)
"""The errors after which the answer may be billed: the server may have made it."""


class Attempts:
    """The attempts of one question.

    Args:
        ledger: the ledger of the run. Every wait ends at its time limit, and its `on_wait` is called during a wait.
        name: the name of the language model.
        retries: the most attempts after the first; None means `RETRIES`.
    """

    def __init__(self, ledger: Ledger, name: str, retries: int | None = None) -> None:
        self._ledger = ledger
        self._name = name
        self._retries = RETRIES if retries is None else retries
        self._failed = 0
        self._started = time.monotonic()

    def ask(self, complete: Callable[[], T], timeout: float | None) -> T:
        """Return the answer of one attempt. The attempt ends after `timeout` seconds, or at the time limit of the run.

        Raises:
            dspy.lm15.TimeoutError: no answer came in time.
        """
        left = self._ledger.clock.left()
        limited = left is not None and (timeout is None or left < timeout)
        seconds = left if limited else timeout
        try:
            return clock.answer_within(complete, seconds, self._teller(seconds, limited, ""))
        except clock.NoAnswer as error:
            raise TimeoutError(str(error)) from error

    def wait_after(self, error: LM15Error) -> None:
        """Wait before the next attempt: as long as the server asked, or else 1 s, 2 s, 4 s and so on.

        Raises:
            BudgetReached: the run's time is over before the next attempt.
            dspy.lm15.LM15Error: the given error, because no further attempt is allowed.
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
            error.message = f"{error.message} ({why}; --max-minutes allows longer waits)"
            error.args = (error.message,)
            raise error
        limited = left is not None and left < seconds
        seconds = left if limited and left is not None else seconds
        clock.pause(seconds, self._teller(seconds, limited, why))
        self._ledger.clock.check_time()

    def _teller(self, seconds: float | None, limited: bool, why: str) -> Callable[[float], None]:
        def tell(waited: float) -> None:
            until = None if seconds is None else max(0.0, seconds - waited)
            self._ledger.on_wait(clock.Wait(self._name, waited, until if limited or not why else None, why, limited))

        return tell
