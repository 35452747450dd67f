"""The cost of the language models, and the limits that stop a run before it costs more."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ipo_prompts.metrics.clock import BudgetReached, Clock, Wait
from ipo_prompts.metrics.errors import InputError

# An upper bound on the tokens of a question, computed without the model's tokenizer. A budget reserves this bound, and
# books it if the server does not report the number of tokens.


TOKENS_PER_PICTURE = 8_500
"""A bound on the tokens of one 512-pixel picture. OpenAI's `gpt-4o-mini` charges the most: 2,833 + 5,667 tokens for one
tile, according to OpenAI's vision guide. Other models charge 85 to about 1,300 tokens."""
DEFAULT_MAX_TOKENS = 4096
"""The number of tokens assumed as the most of a reply if the request sets no limit."""


def bound_tokens(body: dict[str, Any]) -> int:
    """Return an upper bound on the tokens of a request.

    A byte-level tokenizer makes at most one token of each byte of UTF-8, so the bytes of the request as JSON are
    counted. The tokens that a chat format adds are fewer than the bytes of the names and brackets of the JSON.
    """
    pictures = json.dumps(body).count('"image"')
    return len(json.dumps(without_pictures(body), ensure_ascii=False).encode("utf-8", "replace")) + (
        pictures * TOKENS_PER_PICTURE
    )


def without_pictures(body: Any) -> Any:
    """Return a request with a digest in place of the data of each picture, so that people can read the journal."""
    if isinstance(body, dict):
        data = body.get("data")
        if isinstance(data, str) and body.get("type") == "image":
            digest = hashlib.sha256(data.encode()).hexdigest()
            return {**{k: v for k, v in body.items() if k != "data"}, "sha256_of_base64": digest, "length": len(data)}
        return {name: without_pictures(value) for name, value in body.items()}
    if isinstance(body, list):
        return [without_pictures(value) for value in body]
    return body


def explain(error: BaseException) -> BaseException:
    """Return the error to show: our own error if DSPy has wrapped one, else the given error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (BudgetReached, InputError)):
            return seen
        seen = seen.__cause__
    return error


def total_usd(prices: Iterable[float | None]) -> float | None:
    """Return the sum of prices; None if any of the prices is None, which means not known."""
    known = list(prices)
    return None if None in known else sum(price or 0.0 for price in known)


@dataclass
class Usage:
    """The calls, tokens, dollars and seconds that one role (optimizer or describer) has used.

    Attributes:
        name: the name of the language model.
        calls: the number of replies received, cached ones included.
        cached: the number of replies that came from the cache of earlier runs and cost nothing.
        tokens_in, tokens_out: the tokens of requests and of replies; cached replies are not counted.
        usd: the cost in US dollars; None if the price of any call is not known.
        seconds: the time spent waiting for replies.
    """

    name: str
    calls: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0

    def add(self, event: Mapping[str, Any]) -> None:
        """Add the event of a reply or of a failed attempt. If a lost reply may be billed, its event holds a bound."""
        if "waited" in event:
            self.calls += 1
            self.cached += event["cached"]
            self.seconds += event["waited"]
        if "tokens_in" in event:
            self.tokens_in += event["tokens_in"]
            self.tokens_out += event["tokens_out"]
            self.usd = total_usd([self.usd, event["usd"]])


@dataclass
class Ledger:
    """The usage of all roles of a run, and the limits of the run.

    Attributes:
        limit_usd: the limit in US dollars, over all roles; None means no limit.
        limit_tokens: the limit of tokens in and out, over all roles; None means no limit.
        clock: the clock of the run, with its time limit.
        roles: the usage of each role, by the name of the role.
        reached: the error that was raised when a question could have passed a limit; None before that. The error is
            stored because the program that asked the question may not pass it on.
        on_wait: a function that is called with a `Wait` twice a second while the run waits for a language model, and
            with None when the wait is over. Several threads may call it.
    """

    limit_usd: float | None = None
    limit_tokens: int | None = None
    clock: Clock = field(default_factory=Clock)
    roles: dict[str, Usage] = field(default_factory=dict)
    reached: BudgetReached | None = None
    on_wait: Callable[[Wait | None], None] = lambda wait: None
    _under_way: list[tuple[int, float]] = field(default_factory=list)
    _change: threading.Condition = field(default_factory=threading.Condition)

    @property
    def usd(self) -> float | None:
        """US dollars spent so far; None if a price is unknown."""
        return total_usd(usage.usd for usage in self.roles.values())

    @property
    def tokens(self) -> int:
        """Tokens in and out used so far."""
        return sum(usage.tokens_in + usage.tokens_out for usage in self.roles.values())

    @contextmanager
    def reserve(self, *, tokens: int, usd: float | None) -> Iterator[None]:
        """Inside the block, reserve the most that a call can use, so that parallel calls cannot pass a limit together.

        If the call and the running calls together could pass a limit, it waits until a running call ends: most calls
        use far less than they reserve.

        Raises:
            BudgetReached: see `check_call`.
        """
        held = (tokens, usd or 0.0)
        with self._change:
            while True:
                self.clock.check_time()
                most_tokens = tokens + sum(others for others, _ in self._under_way)
                most_usd = (usd or 0.0) + sum(others for _, others in self._under_way)
                try:
                    self.check_call(tokens=most_tokens, usd=most_usd)
                    break
                except BudgetReached:
                    if not self._under_way:
                        raise
                    self._change.wait(self.clock.left())
            self._under_way.append(held)
        try:
            yield
        finally:
            with self._change:
                self._under_way.remove(held)
                self._change.notify_all()

    def check_call(self, *, tokens: int, usd: float | None) -> None:
        """Raise an error before a call that could pass a limit.

        Args:
            tokens: the most tokens that the call can use, prompt and reply.
            usd: the most dollars that the call can cost; None if the price is unknown.

        Raises:
            BudgetReached: a limit could be passed; the message says which.
        """
        self.clock.check_time()
        if self.limit_tokens is not None and self.tokens + tokens > self.limit_tokens:
            raise BudgetReached(
                f"the next call could pass the limit of {self.limit_tokens:,} tokens ({self.tokens:,} used, and it may "
                f"take {tokens:,})",
                "budget_tokens",
                self.tokens + tokens,
            )
        spent = self.usd
        if self.limit_usd is not None and spent is not None and spent + (usd or 0.0) > self.limit_usd:
            raise BudgetReached(
                f"the next call could pass the limit of ${self.limit_usd:g} (${spent:.4f} spent, and it may cost "
                f"${usd or 0.0:.4f})",
                "budget_usd",
                spent + (usd or 0.0),
            )
