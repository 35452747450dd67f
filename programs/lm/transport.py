"""Language models over HTTP, through litellm or DSPy: replies bounded in bytes, and read as far as they can be read.

A server is not trusted: its reply may be endless, not JSON, or JSON that litellm cannot read. What may have been paid
for is told apart from what was not: what litellm cannot read is read here instead, what cannot be read there
either is not asked for again, and a reply that was lost on its way says so.
"""

from __future__ import annotations

import contextvars
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.request import getproxies

import httpx
from dspy import lm15
from dspy._vendor.lm15.transports import ReadTimeout, StdlibTransport, TransportRequest, TransportResponse
from dspy.clients._http import retry_after_seconds
from dspy.clients.engines import LiteLLMEngine

from ipo_prompts.metrics.clock import given_up

MAX_REPLY_BYTES = 1 << 20
"""Of a whole HTTP reply; 200 times a reply of 1,024 tokens."""
MAX_REQUESTS = 4
"""For one attempt: a server that redirects is followed three times, and each time it gets the question anew."""

_ADVICE = re.compile(r"(To fix:|Traceback).*", re.DOTALL)
"""What DSPy and litellm append: advice for the programmer who calls them, and their own tracebacks."""


class LostReply(lm15.ServerError):  # type: ignore[misc,unused-ignore]
    """The server accepted the question, but its reply was lost on its way; it may be billed."""


class UnreadableReply(lm15.ProviderError):  # type: ignore[misc,unused-ignore]
    """The server answered, but not with what can be read; it may be billed, and would be again if asked again."""


@dataclass
class _Exchange:
    """What the transport saw of one question."""

    requests: int = 0
    status: int | None = None
    retry_after: float | None = None
    body: bytearray = field(default_factory=bytearray)
    unread: str | None = None
    """Why a reply is not read, whole as it may be; None where it is."""
    is_whole: bool = False
    elsewhere: tuple[httpx.URL, httpx.URL] | None = None
    """What was asked, and the address of another server that it was to be sent on to."""

    def begin(self) -> None:
        """Count a request."""
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise httpx.TooManyRedirects("too many redirects")

    def check(self, reply: Any, status: int, headers: httpx.Headers, asked: httpx.URL, *, follows: bool) -> None:
        """Note how a reply begins; refuse it, and close it, where it is not to be read.

        `follows`: whether the client asks again at another address of the same server, to which it may take keys.
        """
        self.status, self.is_whole = status, False
        self.retry_after = retry_after_seconds(headers.get("retry-after"))
        self.body.clear()
        target, where = None, headers.get("location")
        if where is not None and 300 <= status < 400:
            with suppress(httpx.InvalidURL, ValueError):  # which httpx refuses, too
                target = asked.join(where)
        # Httpx would take along the keys that other headers hold.
        if target is not None and not (follows and _origin(target) == _origin(asked)):
            self.elsewhere = asked, target
            reply.close()
            raise httpx.RequestError("redirected to another server")
        if headers.get("content-encoding", "identity").lower() != "identity":
            self.unread = "its reply is compressed, which was not asked for"
            reply.close()
            raise httpx.DecodingError(self.unread)

    def bounded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes of a reply as they come, and keep them."""
        for chunk in chunks:
            self.body += chunk
            if len(self.body) > MAX_REPLY_BYTES:
                self.unread = f"its reply is longer than {MAX_REPLY_BYTES:,} bytes"
                raise httpx.ReadError(self.unread)
            if given_up():
                raise httpx.ReadTimeout("nobody waits for the reply any more")
            yield chunk
        self.is_whole = True


_exchange: contextvars.ContextVar[_Exchange | None] = contextvars.ContextVar("_exchange", default=None)
_send = httpx.HTTPTransport.handle_request
_stream = StdlibTransport.stream


def _send_bounded(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    """Send a request. The reply to one of ours is read up to `MAX_REPLY_BYTES`, and while somebody waits for it."""
    exchange = _exchange.get()
    if exchange is None:
        return _send(transport, request)
    exchange.begin()
    request.headers["accept-encoding"] = "identity"  # a compressed reply has no size before it is read
    response = _send(transport, request)
    exchange.check(response, response.status_code, response.headers, request.url, follows=True)
    stream = _BoundedStream(response, exchange)
    return httpx.Response(response.status_code, headers=response.headers, stream=stream, extensions=response.extensions)


def _stream_bounded(transport: StdlibTransport, request: TransportRequest) -> TransportResponse:
    """Do the same for the client that DSPy has of its own."""
    exchange = _exchange.get()
    if exchange is None:
        return _stream(transport, request)
    exchange.begin()
    try:
        response = _stream(transport, request)
    except ReadTimeout as error:  # told apart from a broken connection: the answer may be made, and billed
        raise lm15.TimeoutError(str(error)) from error
    headers, asked = httpx.Headers(response.headers), httpx.URL(request.url)
    exchange.check(response, response.status, headers, asked, follows=False)
    return TransportResponse(
        status=response.status,
        reason=response.reason,
        headers=response.headers,
        http_version=response.http_version,
        chunks=exchange.bounded(response),
        release=lambda whole: response.close(),
    )


# What DSPy and litellm's providers send with, whichever client they use; requests that are not asked through `readable`
# pass through as they are. litellm has hooks, but what goes around one goes around the bounds, too, and its key goes
# where it is redirected. `sync_transport` and `client_session` are as global as this, clients made earlier stay in
# use, `force_ipv4` comes first, and with a transport no proxies are mounted. `client=` of one call is ignored by a
# provider that wants the other of its two kinds, and by some whatever it is.
httpx.HTTPTransport.handle_request = _send_bounded  # type: ignore[assignment,method-assign]
StdlibTransport.stream = _stream_bounded


def _origin(url: httpx.URL) -> str:
    """Return scheme, host and port, the usual port left out."""
    return str(url.copy_with(path="/", query=None, fragment=None, userinfo=b"")).rstrip("/")


@dataclass(frozen=True)
class _BoundedStream(httpx.SyncByteStream):
    response: httpx.Response
    exchange: _Exchange

    def __iter__(self) -> Iterator[bytes]:
        return self.exchange.bounded(self.response.stream)  # type: ignore[arg-type]

    def close(self) -> None:
        self.response.close()


class HttpEngine:
    """A DSPy engine: one attempt through litellm, never a retry.

    Args:
        timeout: seconds for one whole reply.
        api_base: the address of the server; the provider's where None.
        setting: what the address is called where users type it.
    """

    def __init__(self, timeout: float, api_base: str | None = None, setting: str = "lm_api_base") -> None:
        self.timeout = timeout
        self._api_base = api_base
        self._setting = setting
        # litellm serialises replies that break its own types, and pydantic would show their content.
        warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
        self._inner = LiteLLMEngine(model_type="chat", timeout=timeout, **({"api_base": api_base} if api_base else {}))

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request.

        Raises:
            LostReply: the server accepted the request, but the connection broke before the end of its reply.
            UnreadableReply: the server answered, but what came back is no chat completion.
            dspy.lm15.LM15Error: the server refused it, or cannot be reached.
        """
        return readable(lambda: self._inner.complete(request), request, self._api_base, f"{self._setting}=")


def readable(ask: Callable[[], lm15.Response], request: lm15.Request, base: str | None, setting: str) -> lm15.Response:
    """Return what a client answers, read here where it cannot, and never from a server that nobody named.

    Args:
        base: the address that the user gave.
        setting: what stands before an address where users type it.

    Raises:
        UnreadableReply, LostReply, LM15Error: as `HttpEngine.complete`.
        Exception: what the client raised before it asked a server.
    """
    exchange = _Exchange()
    _exchange.set(exchange)
    try:
        return ask()
    except Exception as error:
        if exchange.elsewhere is not None:
            raise lm15.InvalidRequestError(_sent_on(*exchange.elsewhere, (base or "").rstrip("/"), setting)) from error
        return _after_failure(error, exchange, request)
    finally:
        _exchange.set(None)


def _sent_on(asked: httpx.URL, target: httpx.URL, own: str, setting: str) -> str:
    """Say that a server wanted the question sent elsewhere, and what to type if that is where it belongs."""
    base = _origin(target)
    rest = str(asked)[len(own) :].partition("?")[0]
    if own and str(asked).startswith(own) and target.path.endswith(rest):
        base += target.path[: len(target.path) - len(rest)]
    other = "another one" if _origin(target) != _origin(asked) else "another address"
    return (
        f"the server at {_origin(asked)} redirects to {other}, {_origin(target)}, which was sent nothing; if you trust "
        f"that one, start with {setting}{base}"
    )


def _after_failure(error: Exception, exchange: _Exchange, request: lm15.Request) -> lm15.Response:
    """Read what litellm could not, or raise what is to be said about it."""
    if exchange.status is not None and 200 <= exchange.status < 300:
        if exchange.unread:
            raise UnreadableReply(f"the server accepted the question, but {exchange.unread}") from error
        if not exchange.is_whole:
            if isinstance(error, lm15.TimeoutError):
                raise error
            raise LostReply(
                "the server accepted the question, but its connection broke before the end of the reply"
            ) from error
        if read := read_completion(bytes(exchange.body), request.model):
            return read
        start = " ".join(exchange.body[:200].decode("utf-8", "replace").split())
        raise UnreadableReply(f"the server's reply is no chat completion: {start!r}") from error
    if exchange.requests > MAX_REQUESTS:
        raise lm15.InvalidRequestError(
            "the server redirects the question again and again; check its address"
        ) from error
    if isinstance(error, lm15.LM15Error):
        if error.retry_after is None:
            error.retry_after = exchange.retry_after
        error.message = _ADVICE.sub("", str(error)).strip(" \n,-")
        if exchange.status is None and {"http", "https", "all"} & getproxies().keys():
            error.message += " (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a proxy; NO_PROXY=HOST goes around it)"
        error.args = (error.message,)
    raise error


# Reading a reply that litellm could not: it was paid for, and is worth what can be read of it.
#
# Its text is looked for where each kind of server writes it, whole or in the pieces of a stream that nobody asked for.

Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class _Form:
    """Where one kind of server writes things; of several places the first that is there counts.

    Attributes:
        texts: the text of a reply, and of a piece of a stream.
        tokens_in, tokens_out: what it counted; of a stream the last number counts.
        finish: why it ended; `cut` stands there when it was cut off at its limit of tokens.
        thoughts: tokens out that are not among `tokens_out`; () where all are.
    """

    texts: tuple[Steps, ...]
    tokens_in: tuple[Steps, ...]
    tokens_out: tuple[Steps, ...]
    finish: tuple[Steps, ...]
    cut: str = "length"
    thoughts: Steps = ()


_FORMS = (
    _Form(  # OpenAI, and all that speak like it
        texts=(("choices", 0, "message", "content"), ("choices", 0, "delta", "content")),
        tokens_in=(("usage", "prompt_tokens"),),
        tokens_out=(("usage", "completion_tokens"),),
        finish=(("choices", 0, "finish_reason"),),
    ),
    _Form(  # Gemini
        texts=(("candidates", 0, "content", "parts"), ("candidates", 0, "content")),
        tokens_in=(("usageMetadata", "promptTokenCount"),),
        tokens_out=(("usageMetadata", "candidatesTokenCount"),),
        thoughts=("usageMetadata", "thoughtsTokenCount"),
        finish=(("candidates", 0, "finishReason"),),
        cut="MAX_TOKENS",
    ),
    _Form(  # Anthropic
        texts=(("content",), ("delta", "text")),
        tokens_in=(("usage", "input_tokens"), ("message", "usage", "input_tokens")),
        tokens_out=(("usage", "output_tokens"),),
        finish=(("stop_reason",), ("delta", "stop_reason")),
        cut="max_tokens",
    ),
    _Form(  # Ollama
        texts=(("message", "content"), ("response",)),
        tokens_in=(("prompt_eval_count",),),
        tokens_out=(("eval_count",),),
        finish=(("done_reason",),),
    ),
)


def read_completion(body: bytes, model: str) -> lm15.Response | None:
    """Read a completion leniently; None when it is none.

    Of several choices the first is taken, of a text in parts their texts. A text that is no text is empty, and a number
    of tokens that is none is left out.
    """
    pieces = _pieces(body)
    for form in _FORMS:
        texts = [text for piece in pieces if (text := _first(piece, form.texts)) is not _NOTHING]
        if not texts:
            continue
        reasons = [_first(piece, form.finish) for piece in pieces]
        tokens_in, tokens_out = _count(pieces, form.tokens_in), _count(pieces, form.tokens_out)
        if tokens_out is not None and form.thoughts:
            tokens_out += _count(pieces, (form.thoughts,)) or 0
        return lm15.Response(
            id=None,
            model=model,
            message=lm15.Message.assistant("".join(map(_text_of, texts))),
            finish_reason="length" if form.cut in reasons else "stop",
            usage=lm15.Usage(input_tokens=tokens_in, output_tokens=tokens_out),
        )
    return None


def _pieces(body: bytes) -> list[Any]:
    """Return what a reply holds: one value of JSON, or those of a stream (server-sent events, lines, or a list)."""
    with suppress(ValueError, RecursionError):
        text = body.decode("utf-8")
        lines = [line for line in text.splitlines() if line.strip()]
        data = [line[5:].strip() for line in lines if line.startswith("data:")]
        for parts in ([text], [part for part in data if part != "[DONE]"] if data else lines):
            with suppress(ValueError):  # a number of 5,000 digits is none that is read, too
                values = [json.loads(part) for part in parts]
                return values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return []


_NOTHING = object()


def _first(value: Any, paths: Sequence[Steps]) -> Any:
    """Return what stands at the first path that leads somewhere, else `_NOTHING`."""
    for path in paths:
        found = value
        try:
            for step in path:
                found = found[step]
        except (LookupError, TypeError):
            continue
        return found
    return _NOTHING


def _count(pieces: Sequence[Any], paths: Sequence[Steps]) -> int | None:
    """Return the last number of tokens that is one."""
    counts = [_first(piece, paths) for piece in pieces]
    return next((n for n in reversed(counts) if type(n) is int and n >= 0), None)


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        said = [part for part in content if isinstance(part, dict) and not part.get("thought")]
        return "".join(_text_of(part.get("text")) for part in said)
    return content if isinstance(content, str) else ""
