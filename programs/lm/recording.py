"""The engine that wraps every other: it journals requests and replies, replays known ones, and keeps the budget.

DSPy calls an engine object for each attempt and owns retries above it. Wrapping the engine, rather than the modules,
means that nothing reaches a language model unrecorded: not a retry, not an adapter's second try.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from dspy._vendor.lm15.serde import request_to_dict, response_from_dict, response_to_dict
from dspy.lm15 import Request, Response

from ipo.metrics.errors import InputError
from ipo.programs.lm.ledger import Ledger, Usage
from ipo.programs.record.journal import Event, Journal

TOKENS_PER_PICTURE = 1500
"""A generous bound for one 512-pixel picture; providers charge 85 to about 1,300 tokens."""


class Engine(Protocol):
    """A DSPy engine: one request, one reply or a `dspy.lm15` error."""

    def complete(self, request: Request) -> Response:
        """Answer one request."""
        ...


class Price(Protocol):
    """What tokens cost: (tokens in, tokens out) → US dollars, or None when the price is unknown."""

    def __call__(self, tokens_in: int, tokens_out: int) -> float | None:
        """Return US dollars."""
        ...


class ReplyCache(Protocol):
    """Replies of earlier runs; `dspy.clients.cache.Cache` is one."""

    def get(self, request: dict[str, Any]) -> Any:
        """Return the stored reply or None."""
        ...

    def put(self, request: dict[str, Any], value: Any) -> None:
        """Store a reply."""
        ...


class Recorder:
    """What all engines of a run share: the journal, the ledger, the replies that are already known.

    Args:
        journal: where replies are recorded.
        ledger: where their cost is added; its limits are checked before each call.
        replies: events of another run to answer from.
        replay: whether a request without a reply in them is an error, never a call; by default so when they are given.
    """

    def __init__(
        self,
        journal: Journal,
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
        self._ours = {(event["key"], event["index"]): event for event in journal.events if event["type"] == "lm"}
        theirs = {(event["key"], event["index"]): event for event in replies or () if event["type"] == "lm"}
        self._known = {**theirs, **self._ours}

    def wrap(
        self, engine: Engine | None, *, role: str, name: str, price: Price, cache: ReplyCache | None = None
    ) -> RecordedEngine:
        """Return an engine that records, for one role (`optimizer` or `describer`)."""
        usage = self.ledger.roles.setdefault(role, Usage(name))
        return RecordedEngine(self, engine, role, usage, price, cache)

    def _take(self, key: str) -> tuple[int, Event | None]:
        """Return how often this very request was answered before, and its recorded reply."""
        index = self._asked[key]
        return index, self._known.get((key, index))


class RecordedEngine:
    """A DSPy engine object that answers from the record, then the cache, then the engine it wraps.

    The same request may be made twice in a run (a retry after a useless reply); the n-th time has its own reply.
    """

    def __init__(
        self, recorder: Recorder, engine: Engine | None, role: str, usage: Usage, price: Price, cache: ReplyCache | None
    ) -> None:
        self._recorder = recorder
        self._engine = engine
        self._role = role
        self._usage = usage
        self._price = price
        self._cache = cache
        # Read by DSPy's adapters.
        self.supports_response_schema = bool(getattr(engine, "supports_response_schema", False))
        self.supported_params = tuple(getattr(engine, "supported_params", ()))

    def complete(self, request: Request) -> Response:
        """Answer one request; DSPy retries the errors that are worth it.

        Raises:
            BudgetReached: the call could pass a limit.
            InputError: in a replay, for a request that the recorded run never made.
        """
        recorder = self._recorder
        body = request_to_dict(request)
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
        with recorder._lock:
            index, event = recorder._take(key)
            if event is not None:
                recorder._asked[key] += 1
                self._book(event)
                if (key, index) not in recorder._ours:
                    recorder.journal.append("lm", **{k: v for k, v in event.items() if k not in ("type", "seconds")})
                return response_from_dict(event["reply"])
        if recorder.replay or self._engine is None:
            raise InputError(
                f"the recorded run has no reply to this request of the {self._role}; replay it with the same "
                "configuration, or name a language model with --lm."
            )
        tokens_in = _bound_tokens(body)
        most_out = request.config.max_tokens or 4096
        with recorder.ledger.reserve(tokens=tokens_in + most_out, usd=self._price(tokens_in, most_out)):
            return self._ask(request, body, key, index)

    def _ask(self, request: Request, body: dict[str, Any], key: str, index: int) -> Response:
        """Get a reply that the record lacks, from the cache or the engine, and record it."""
        recorder = self._recorder
        assert self._engine is not None
        started = time.monotonic()
        cached = self._cache.get({"request": body, "index": index}) if self._cache is not None else None
        if cached is not None:
            response = response_from_dict(cached)
        else:
            try:
                response = self._engine.complete(request)
            except Exception as error:
                recorder.journal.append("lm_error", role=self._role, key=key, error=f"{type(error).__name__}: {error}")
                raise
        waited = time.monotonic() - started
        used = response.usage
        spent_in, spent_out = (0, 0) if cached is not None else (used.input_tokens or 0, used.output_tokens or 0)
        with recorder._lock:
            # Another thread may have asked the same in the meantime; each answer keeps its own place.
            index, _ = recorder._take(key)
            recorder._asked[key] += 1
            event = recorder.journal.append(
                "lm",
                role=self._role,
                key=key,
                index=index,
                request=_without_pictures(body),
                reply=response_to_dict(response),
                cached=cached is not None,
                tokens_in=spent_in,
                tokens_out=spent_out,
                usd=0.0 if cached is not None else self._price(spent_in, spent_out),
                waited=round(waited, 3),
            )
            self._book(event)
        if self._cache is not None and cached is None:
            self._cache.put({"request": body, "index": index}, event["reply"])
        # As written, not as received: a resumed run must see the same, and a secret in the reply goes no further.
        return response_from_dict(event["reply"])

    def _book(self, event: Event) -> None:
        self._usage.add(
            tokens_in=event["tokens_in"],
            tokens_out=event["tokens_out"],
            usd=event["usd"],
            seconds=event["waited"],
            cached=event["cached"],
        )


def open_reply_cache(folder: Path) -> ReplyCache:
    """Open the cache of paid replies: DSPy's disk cache, restricted to plain data."""
    from dspy.clients.cache import Cache

    cache: ReplyCache = Cache(
        enable_disk_cache=True, enable_memory_cache=False, disk_cache_dir=str(folder), restrict_pickle=True
    )
    return cache


def _bound_tokens(body: dict[str, Any]) -> int:
    """Bound the prompt's tokens from above: no tokenizer makes more than one token of three bytes of English."""
    pictures = json.dumps(body).count('"image"')
    text = len(json.dumps(_without_pictures(body), ensure_ascii=False).encode())
    return text // 3 + pictures * TOKENS_PER_PICTURE


def _without_pictures(body: Any) -> Any:
    """Replace inline picture data by its digest, so that people can read the journal."""
    if isinstance(body, dict):
        data = body.get("data")
        if isinstance(data, str) and body.get("type") == "image":
            digest = hashlib.sha256(data.encode()).hexdigest()
            return {**{k: v for k, v in body.items() if k != "data"}, "sha256_of_base64": digest, "length": len(data)}
        return {name: _without_pictures(value) for name, value in body.items()}
    if isinstance(body, list):
        return [_without_pictures(value) for value in body]
    return body
