"""The engine around every language model. It asks the ledger before it asks the model, and records each reply.

`dspy.LM(engine=Recorded(…))` calls `complete` for each question. If that raises an error after which another try may
help, DSPy itself calls it again, up to `RETRIES` times. So each attempt is booked, and keeps the limits.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import dspy
import httpx
from dspy import lm15

from ipo_prompts.metrics.clock import NoAnswer, Wait, answer_within
from ipo_prompts.metrics.errors import InputError, causes
from ipo_prompts.programs.lm.ledger import TOKENS_PER_IMAGE, Ledger, Question
from ipo_prompts.programs.lm.replies import whole_characters

RETRIES = 3
"""The most attempts after the first. There is a further attempt after a rate limit, a server error, a broken connection
or a timeout."""
LONGEST_PAUSE_SECONDS = 60.0
"""The longest pause between two attempts, even if the server asks for more."""
LONGEST_TEXT = 16_384
"""The most characters of a reply that are kept, from its end: a model that thinks aloud does so before it answers. The
time of DSPy's parsers grows with the square of the length. Forty templates of the greatest length have 12,000."""
MOST_TOKENS = 4096
"""The number of tokens assumed as the most of a reply if the request sets no limit."""

logger = logging.getLogger(__name__)

Price = Callable[[int, int], "float | None"]
"""A function from (tokens in, tokens out) to US dollars; it returns None if the price is unknown."""


def response_of(question: Question, model: str) -> lm15.Response:
    """Return an answered question as DSPy expects the reply of the language model `model`."""
    return lm15.Response(
        id=None,
        model=model,
        message=lm15.Message.assistant(question.text),
        finish_reason=question.finish,
        usage=lm15.Usage(input_tokens=question.tokens_in, output_tokens=question.tokens_out),
    )


@dataclass(eq=False)
class Recorded:
    """A DSPy engine that answers from the ledger. If it cannot, it asks a language model, and records the reply.

    DSPy's adapters ask in plain words, since the engine names no further abilities: many servers refuse what they say
    they can do.

    Attributes:
        lm: the language model; None refuses a question without a recorded reply.
        role: `optimizer` or `describer`.
        ledger: the questions and limits of the run.
        price: the prices of the language model.
        timeout: the longest wait for one whole reply, in seconds; None waits without end. The wait is shorter if the
            run's time limit ends earlier.
        others: options for the server that a DSPy request has no place for.
        cut_off: whether the last reply ended at its limit of tokens.
    """

    lm: dspy.BaseLM | None
    role: str
    ledger: Ledger
    price: Price
    timeout: float | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    cut_off: bool = False

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Return the reply to one question.

        Raises:
            BudgetReached: the question could pass a limit.
            InputError: the question is not in the run that is replayed; or it cannot be written.
            dspy.LMError: there is no answer.
        """
        question = self.ledger.take(self._question(request))
        if question.state == "asked":
            question = self._answered(request, question)
        self.cut_off = question.finish == "length"
        return response_of(question, request.model)

    def _question(self, request: lm15.Request) -> Question:
        """Return a request with the most that its answer can cost.

        A byte-level tokenizer makes at most one token of each byte of UTF-8, so the bytes of the request as JSON are
        counted. The tokens that a chat format adds are fewer than the bytes of the names and brackets of the JSON.
        """
        content = asdict(request, dict_factory=_set_only)
        body = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str).encode(errors="replace")
        images = [part for message in request.messages for part in message.parts if part.type == "image"]
        plain = len(body) - sum(len(str(part.data)) for part in images)
        most = plain + TOKENS_PER_IMAGE * len(images), request.config.max_tokens or MOST_TOKENS
        return Question(
            key=hashlib.sha256(self.role.encode() + body).hexdigest()[:32],
            role=self.role,
            model=request.model,
            messages=tuple(_messages(request)),
            settings={k: v for k, v in content.get("config", {}).items() if isinstance(v, (int, float, str))},
            tokens_in=most[0],
            tokens_out=most[1],
            usd=self.price(*most),
        )

    def _answered(self, request: lm15.Request, question: Question) -> Question:
        """Ask the language model; record and return the answer."""
        started = time.monotonic()
        try:
            reply = self._reply(request)
        except Exception as error:
            shown = _shown(error, request.model)
            state = "refused" if _is_unbilled(error) else "lost"
            free = {"tokens_in": 0, "tokens_out": 0, "usd": 0.0} if state == "refused" else {}
            self.ledger.settle(question, state=state, error=f"{type(shown).__name__}: {shown}"[:400], **free)
            left = self.ledger.clock.left()
            if isinstance(shown, dspy.LMError) and shown.retry_after is not None:
                shown.retry_after = min(shown.retry_after, LONGEST_PAUSE_SECONDS, *([] if left is None else [left]))
                said = "the server of %s asks to wait; it is not asked again for %.0f s"
                logger.warning(said, request.model, shown.retry_after, extra={"progress": True})
            if shown is error:
                raise
            raise shown from error
        finally:
            self.ledger.on_wait(None)
        text = whole_characters((reply.text or "")[-LONGEST_TEXT:])
        tokens_in, tokens_out = _spent(reply, question, text)
        return self.ledger.settle(
            question,
            state="answered",
            text=text,
            finish=reply.finish_reason,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            usd=self.price(tokens_in, tokens_out),
            waited=round(time.monotonic() - started, 3),
        )

    def _reply(self, request: lm15.Request) -> lm15.Response:
        if self.lm is None:
            raise InputError(
                f"the recorded run has no reply to this request of the {self.role}; replay it with the same "
                "configuration, or name a language model with --lm."
            )
        lm = self.lm
        extensions = {**(request.config.extensions or {}), **self.others}
        if self.others:
            request = replace(request, config=replace(request.config, extensions=extensions))
        left = self.ledger.clock.left()
        limits = [limit for limit in (self.timeout, left) if limit is not None]
        seconds = min(limits, default=None)

        def ask() -> lm15.Response:
            with dspy.context(disable_history=True, callbacks=[], usage_tracker=None):
                return lm(request)

        def tell(waited: float) -> None:
            until = None if seconds is None else max(0.0, seconds - waited)
            self.ledger.on_wait(Wait(request.model, waited, until, limited=seconds == left))

        return answer_within(ask, seconds, tell)


def _set_only(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Leave out what is not set. So a later DSPy with one more field makes the same key."""
    return {name: value for name, value in pairs if value is not None and value != ()}


def _messages(request: lm15.Request) -> Iterator[tuple[str, str]]:
    """Yield each message of a request as its role and its text."""
    if request.system:
        yield "system", _text(request.system)
    for message in request.messages:
        yield message.role, _text(message.parts)


def _text(parts: Any) -> str:
    if isinstance(parts, str):
        return parts
    return "\n".join(part.text if part.type == "text" else f"[{part.type}]" for part in parts)


def _spent(reply: lm15.Response, question: Question, text: str) -> tuple[int, int]:
    """Return the tokens in and out to book. Where the server reports none or 0, that is the bound.

    Some servers leave reasoning out of the tokens out, but not out of the total.
    """
    used = reply.usage
    tokens_in = used.input_tokens or question.tokens_in
    tokens_out = max(used.output_tokens or 0, (used.total_tokens or 0) - tokens_in)
    return tokens_in, tokens_out or (question.tokens_out if text else 0)


# What became of a question that has no answer.


def _is_unbilled(error: Exception) -> bool:
    """Return whether no server can have made an answer: it was not reached, or it refused the question."""
    behind = list(causes(error))
    refused = (httpx.HTTPStatusError, dspy.LMConfigurationError, dspy.LMUnsupportedFeatureError, InputError)
    not_reached = (httpx.ConnectError, ConnectionRefusedError, socket.gaierror)
    if any(isinstance(cause, (*refused, *not_reached)) for cause in behind):
        return True
    # litellm makes errors of its own with the status 500.
    made_up = any(type(cause).__module__.startswith("litellm") for cause in behind)
    return not made_up and (getattr(error, "status", None) or 0) >= 300


def _shown(error: Exception, model: str) -> Exception:
    """Return an error as users and DSPy's retries shall see it."""
    if isinstance(error, NoAnswer):
        return cast("Exception", dspy.LMTimeoutError(str(error), model=model))
    if not isinstance(error, dspy.LMError):
        return error
    # The end of a message is advice for programmers, or a traceback.
    error.message = " ".join(error.message.partition("To fix:")[0].partition("Traceback")[0].split())[:300]
    error.args = (error.message,)
    broken = any(isinstance(cause, httpx.TransportError) for cause in causes(error))
    if isinstance(error, dspy.LMServerError) and not _is_unbilled(error) and not broken:
        # An unreadable reply was paid for: do not ask again.
        return cast("Exception", dspy.LMProviderError(error.message, model=model))
    return cast("Exception", error)
