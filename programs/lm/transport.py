"""Language models over HTTP, through litellm or DSPy: replies bounded in bytes, and read as far as they can be read.

A server is not trusted: its reply may be endless, not JSON, or JSON that litellm cannot read. A reply that may have
been paid for is told apart from one that was not. If litellm cannot read a reply, this module reads it. If it cannot
be read here either, it is not asked for again. If a reply was lost on its way, the error says so.
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
"""The most bytes of a whole HTTP reply: 200 times a reply of 1,024 tokens."""
MAX_REQUESTS = 4
"""The most requests of one attempt: redirects are followed three times, and each time the question is sent again."""

_ADVICE = re.compile(r"(To fix:|Traceback).*", re.DOTALL)
"""What DSPy and litellm append to a message: advice for the programmer who calls them, and their own tracebacks."""


class LostReply(lm15.ServerError):  # type: ignore[misc,unused-ignore]
    """The server accepted the question, but its reply was lost on its way. The reply may be billed."""


class UnreadableReply(lm15.ProviderError):  # type: ignore[misc,unused-ignore]
    """The server answered, but the reply cannot be read. It may be billed, and asking again may be billed again."""


@dataclass
class _Exchange:
    """What the transport has seen of one question and its replies.

    Attributes:
        requests: the number of requests so far.
        status: the status of the latest reply.
        retry_after: the seconds to wait before another attempt, as the server asked.
        body: the bytes of the latest reply so far.
        unread: why a reply is not read although it may be whole; None if it is read.
        is_whole: whether the latest reply was read to its end.
        elsewhere: the address that was asked, and the address that it redirected to, if that is not followed.
    """

    requests: int = 0
    status: int | None = None
    retry_after: float | None = None
    body: bytearray = field(default_factory=bytearray)
    unread: str | None = None
    is_whole: bool = False
    elsewhere: tuple[httpx.URL, httpx.URL] | None = None

    def begin(self) -> None:
        """Count a request; refuse it if there were too many."""
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise httpx.TooManyRedirects("too many redirects")

    def check(self, reply: Any, status: int, headers: httpx.Headers, asked: httpx.URL, *, follows: bool) -> None:
        """Note how a reply begins. Close and refuse a reply that must not be read.

        `follows` says whether the client follows redirects within the same server, which may see its keys.
        """
        self.status, self.is_whole = status, False
        self.retry_after = retry_after_seconds(headers.get("retry-after"))
        self.body.clear()
        target, where = None, headers.get("location")
        if where is not None and 300 <= status < 400:
            with suppress(httpx.InvalidURL, ValueError):  # httpx refuses such an address, too
                target = asked.join(where)
        # Httpx would send along the keys that other headers hold.
        if target is not None and not (follows and _origin(target) == _origin(asked)):
            self.elsewhere = asked, target
            reply.close()
            raise httpx.RequestError("redirected to another server")
        if headers.get("content-encoding", "identity").lower() != "identity":
            self.unread = "its reply is compressed, which was not asked for"
            reply.close()
            raise httpx.DecodingError(self.unread)

    def bounded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes of a reply as they arrive, and keep them."""
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
    """Send a request. If it is ours, read the reply up to `MAX_REPLY_BYTES` and only while somebody waits for it."""
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
    """Do the same as `_send_bounded` for DSPy's own HTTP client."""
    exchange = _exchange.get()
    if exchange is None:
        return _stream(transport, request)
    exchange.begin()
    try:
        response = _stream(transport, request)
    except ReadTimeout as error:  # unlike after a broken connection, the answer may be made and billed
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


# DSPy and litellm's providers send all requests through these two methods, whichever client they use. A request that is
# not made through `readable` passes through unchanged. litellm's hooks are no substitute. A request that misses a hook
# has no bounds, and a redirect takes its key along. The hooks `sync_transport` and `client_session` are as global as
# this patch; clients made earlier stay in use, `force_ipv4` takes precedence, and with a transport no proxies are
# mounted. A provider ignores the `client=` of a call if it wants litellm's other kind of client, and some ignore any.
httpx.HTTPTransport.handle_request = _send_bounded  # type: ignore[assignment,method-assign]
StdlibTransport.stream = _stream_bounded


def _origin(url: httpx.URL) -> str:
    """Return scheme, host and port of an address; the usual port is left out."""
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
    """A DSPy engine that makes one attempt through litellm, and never retries.

    Args:
        timeout: the limit for one whole reply, in seconds.
        api_base: the address of the server; None uses the provider's.
        setting: the name of the setting in which users type the address.
    """

    def __init__(self, timeout: float, api_base: str | None = None, setting: str = "lm_api_base") -> None:
        self.timeout = timeout
        self._api_base = api_base
        self._setting = setting
        # litellm serialises replies that violate its own types, and pydantic would show their content in warnings.
        warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
        self._inner = LiteLLMEngine(model_type="chat", timeout=timeout, **({"api_base": api_base} if api_base else {}))

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request.

        Raises:
            LostReply: the server accepted the request, but the connection broke before the end of the reply.
            UnreadableReply: the server answered, but the answer is not a chat completion.
            dspy.lm15.LM15Error: the server refused the request, or cannot be reached.
        """
        return readable(lambda: self._inner.complete(request), request, self._api_base, f"{self._setting}=")


def readable(ask: Callable[[], lm15.Response], request: lm15.Request, base: str | None, setting: str) -> lm15.Response:
    """Return the reply that a client gets; if the client cannot read the reply, read it here.

    No reply comes from a server that the user has not named.

    Args:
        ask: the function that lets the client ask.
        request: the request that the client makes.
        base: the address that the user gave.
        setting: the text before an address where users type it.

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
    """Say that a server redirects the question, and what to type if the user trusts the other address."""
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
    """Return the reply that the client could not read, or raise the error that says what went wrong."""
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
        raise UnreadableReply(f"the server's reply is not a chat completion: {start!r}") from error
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


# Read a reply that litellm could not read: it was paid for, and every text that can be read is of use.
#
# The text is searched where each kind of server writes it: whole, or in the pieces of a stream that nobody asked for.

Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class _Form:
    """Where one kind of server writes the parts of a reply; of several places, the first that exists counts.

    Attributes:
        texts: the places of the text, in a reply and in a piece of a stream.
        tokens_in, tokens_out: the places of the token counts; in a stream the last number counts.
        finish: the places of the reason why the reply ended.
        cut: the reason of a reply that was cut off at its limit of tokens.
        thoughts: the place of the tokens out that are not among `tokens_out`; () if all are.
    """

    texts: tuple[Steps, ...]
    tokens_in: tuple[Steps, ...]
    tokens_out: tuple[Steps, ...]
    finish: tuple[Steps, ...]
    cut: str = "length"
    thoughts: Steps = ()


_FORMS = (
    _Form(  # OpenAI, and all servers with its protocol
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
    """Read a completion leniently; return None if the body is not a completion.

    The first of several choices is taken. The texts of the parts of a text are joined. A text of a wrong type becomes
    empty, and a number of tokens of a wrong type is left out.
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
    """Return the JSON values of a reply: one, or those of a stream (server-sent events, lines, or a list)."""
    with suppress(ValueError, RecursionError):
        text = body.decode("utf-8")
        lines = [line for line in text.splitlines() if line.strip()]
        data = [line[5:].strip() for line in lines if line.startswith("data:")]
        for parts in ([text], [part for part in data if part != "[DONE]"] if data else lines):
            with suppress(ValueError):  # Python refuses numbers of 5,000 digits, too
                values = [json.loads(part) for part in parts]
                return values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return []


_NOTHING = object()


def _first(value: Any, paths: Sequence[Steps]) -> Any:
    """Return the value at the first path that exists, else `_NOTHING`."""
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
    """Return the last valid number of tokens; None if there is none."""
    counts = [_first(piece, paths) for piece in pieces]
    return next((n for n in reversed(counts) if type(n) is int and n >= 0), None)


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        said = [part for part in content if isinstance(part, dict) and not part.get("thought")]
        return "".join(_text_of(part.get("text")) for part in said)
    return content if isinstance(content, str) else ""
