"""Ask language models over HTTP, through litellm or DSPy. The bytes of a reply are bounded.

A server is not trusted: its reply may be endless, not JSON, or JSON that litellm cannot read. If litellm cannot read a
reply, this module reads it. If this module cannot read it either, the question is not asked again, because the reply
may have been paid for. If a reply was lost on its way, the error says so: it may have been paid for, too.
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
"""The most bytes of a whole HTTP reply: 200 times the bytes of a reply of 1,024 tokens."""
MAX_REQUESTS = 4
"""The most requests of one attempt: the first request, and three redirects. Each redirect sends the question again."""

_ADVICE = re.compile(r"(To fix:|Traceback).*", re.DOTALL)
"""The end of a message of DSPy or litellm that users are not shown: advice for programmers, or a traceback."""


class LostReply(lm15.ServerError):  # type: ignore[misc,unused-ignore]
    """An error: the server accepted the question, but its reply was lost on its way. The reply may be billed."""


class UnreadableReply(lm15.ProviderError):  # type: ignore[misc,unused-ignore]
    """An error: the server answered, but the reply cannot be read. It may be billed, and a second reply may be, too."""


@dataclass
class _Exchange:
    """The state of one question and its replies, as the transport has seen them.

    Attributes:
        requests: the number of requests so far.
        status: the HTTP status of the latest reply; None before the first reply.
        retry_after: the seconds that the server asked us to wait before another attempt; None if it did not ask.
        body: the bytes of the latest reply that have arrived so far.
        unread: the reason for refusing the reply, as part of a sentence; None if the reply is not refused.
        is_whole: whether the latest reply was read to its end.
        elsewhere: a redirect that was refused, as (the address that was asked, the address to go to); None if there was
            no such redirect.
    """

    requests: int = 0
    status: int | None = None
    retry_after: float | None = None
    body: bytearray = field(default_factory=bytearray)
    unread: str | None = None
    is_whole: bool = False
    elsewhere: tuple[httpx.URL, httpx.URL] | None = None

    def begin(self) -> None:
        """Count a request; raise an error if there were more than `MAX_REQUESTS`."""
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise httpx.TooManyRedirects("too many redirects")

    def check(self, reply: Any, status: int, headers: httpx.Headers, asked: httpx.URL, *, follows: bool) -> None:
        """Store the status and headers of a reply. Close and refuse a reply that must not be read.

        `follows` says whether the client may follow a redirect to an address of the same server. Another server must
        not see the keys in the headers.
        """
        self.status, self.is_whole = status, False
        self.retry_after = retry_after_seconds(headers.get("retry-after"))
        self.body.clear()
        target, where = None, headers.get("location")
        if where is not None and 300 <= status < 400:
            with suppress(httpx.InvalidURL, ValueError):  # httpx refuses such an address, too
                target = asked.join(where)
        # To the other server, httpx would send the keys that headers other than `Authorization` hold.
        if target is not None and not (follows and _origin(target) == _origin(asked)):
            self.elsewhere = asked, target
            reply.close()
            raise httpx.RequestError("redirected to another server")
        if headers.get("content-encoding", "identity").lower() != "identity":
            self.unread = "its reply is compressed, which was not asked for"
            reply.close()
            raise httpx.DecodingError(self.unread)

    def bounded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes of a reply as they arrive, and add them to `body`."""
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
    """Send a request and return the reply, in place of `httpx.HTTPTransport.handle_request`.

    If the request was made through `readable`, the reply is read up to `MAX_REPLY_BYTES`, and only while somebody waits
    for it.
    """
    exchange = _exchange.get()
    if exchange is None:
        return _send(transport, request)
    exchange.begin()
    request.headers["accept-encoding"] = "identity"  # the size of a compressed reply is not known before it is read
    response = _send(transport, request)
    exchange.check(response, response.status_code, response.headers, request.url, follows=True)
    stream = _BoundedStream(response, exchange)
    return httpx.Response(response.status_code, headers=response.headers, stream=stream, extensions=response.extensions)


def _stream_bounded(transport: StdlibTransport, request: TransportRequest) -> TransportResponse:
    """Send a request as `_send_bounded` does, in place of `StdlibTransport.stream`: DSPy's own HTTP client."""
    exchange = _exchange.get()
    if exchange is None:
        return _stream(transport, request)
    exchange.begin()
    try:
        response = _stream(transport, request)
    except ReadTimeout as error:  # the server may still make and bill the answer
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


# DSPy and litellm's providers send all requests through the two methods below, whichever client they use. A request
# that is not made through `readable` is sent unchanged.
#
# litellm's own hooks cannot replace this patch. A request that misses a hook has no bounds, and a redirect takes its
# key to the other server. The hooks are:
# - `sync_transport` and `client_session`: they are as global as this patch. Clients that were made earlier stay in use,
#   `force_ipv4` takes precedence, and no proxies are used with a transport of our own.
# - `client=` in a call: some providers ignore it, others do so if they want litellm's other kind of client.
httpx.HTTPTransport.handle_request = _send_bounded  # type: ignore[assignment,method-assign]
StdlibTransport.stream = _stream_bounded


def _origin(url: httpx.URL) -> str:
    """Return the scheme, host and port of an address; the default port of the scheme is left out."""
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
        api_base: the address of the server; None uses the address of the provider.
        setting: the name of the setting that holds the address, to be shown in messages.
    """

    def __init__(self, timeout: float, api_base: str | None, setting: str) -> None:
        self.timeout = timeout
        self._api_base = api_base
        self._setting = setting
        # If a reply violates litellm's own types, pydantic would show the content of the reply in a warning.
        warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
        self._inner = LiteLLMEngine(model_type="chat", timeout=timeout, **({"api_base": api_base} if api_base else {}))

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Return the reply to one request.

        Raises:
            LostReply: the server accepted the request, but the connection broke before the end of the reply.
            UnreadableReply: the server answered, but the answer is not a chat completion.
            dspy.lm15.LM15Error: the server refused the request, or cannot be reached.
        """
        return readable(lambda: self._inner.complete(request), request, self._api_base, f"{self._setting}=")


def readable(ask: Callable[[], lm15.Response], request: lm15.Request, base: str | None, setting: str) -> lm15.Response:
    """Return the reply to a request that a client makes; if the client cannot read the reply, read it here.

    A redirect to another server is refused, so that every reply comes from a server that the user has named.

    Args:
        ask: the function that makes the client send the request, and returns the reply.
        request: the request.
        base: the address of the server that the user gave; None if the user gave no address.
        setting: the text that users type before an address, such as `lm_api_base=`, to be shown in messages.

    Raises:
        UnreadableReply, LostReply, LM15Error: see `HttpEngine.complete`.
        Exception: any error that the client raised before it asked a server.
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
    """Return the message about a refused redirect; it says what to type if the user trusts the other address."""
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
    """Read the reply that the client could not read, and return it; if that fails, raise an error that says why."""
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


# Read a reply that litellm could not read: the reply was paid for, and any text in it is of use.
#
# The text is searched in the places where each kind of server writes it. The reply may also be a stream of pieces, even
# though no stream was asked for.

Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class _Form:
    """The places in a JSON reply where one kind of server writes the text, the token counts and the finish reason.

    A place is a sequence of keys and indices. If there are several places, the first that exists is used.

    Attributes:
        texts: the places of the text, in a whole reply or in a piece of a stream.
        tokens_in, tokens_out: the places of the token counts; in a stream, the last number is used.
        finish: the places of the reason why the reply ended.
        cut: the word that the server writes as the reason if the reply was cut off at its limit of tokens.
        thoughts: the place of the number of reasoning tokens, if `tokens_out` leaves them out; else ().
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
    """Return the completion in the body of a reply, even if it breaks the format; None if there is no completion.

    If there are several choices, the first is taken. If a text has several parts, their texts are joined. A text of a
    wrong type becomes empty. A number of tokens of a wrong type becomes None.
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
    """Return the JSON values in a reply: a list with one value, or with those of a stream; [] if it is not JSON.

    A stream may be server-sent events, lines of JSON, or one JSON list.
    """
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
    """Return the last valid number of tokens at the given places of the pieces; None if there is none."""
    counts = [_first(piece, paths) for piece in pieces]
    return next((n for n in reversed(counts) if type(n) is int and n >= 0), None)


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        said = [part for part in content if isinstance(part, dict) and not part.get("thought")]
        return "".join(_text_of(part.get("text")) for part in said)
    return content if isinstance(content, str) else ""
