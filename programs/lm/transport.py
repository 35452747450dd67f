"""Language models over HTTP, through litellm: replies bounded in bytes, and read as far as they can be read.

A server is not trusted: its reply may be endless, not JSON, or JSON that litellm cannot read. What may have been paid
for is told apart from what was not: what litellm cannot read is read in `reading.py` instead, what cannot be read there
either is not asked for again, and a reply that was lost on its way says so.
"""

from __future__ import annotations

import contextvars
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.request import getproxies

import httpx
from dspy.clients._http import retry_after_seconds
from dspy.lm15 import InvalidRequestError, LM15Error, ProviderError, Request, Response, ServerError, TimeoutError

from ipo_prompts.programs.lm.reading import read_completion
from ipo_prompts.programs.lm.waiting import given_up

MAX_REPLY_BYTES = 1 << 20
"""Of a whole HTTP reply; 200 times a reply of 1,024 tokens."""
MAX_REQUESTS = 4
"""For one attempt: a server that redirects is followed three times, and each time it gets the question anew."""

_ADVICE = re.compile(r"(To fix:|Traceback).*", re.DOTALL)
"""What DSPy and litellm append: advice for the programmer who calls them, and their own tracebacks."""


class LostReply(ServerError):  # type: ignore[misc,unused-ignore]
    """The server accepted the question, but its reply was lost on its way; it may be billed."""


class UnreadableReply(ProviderError):  # type: ignore[misc,unused-ignore]
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


_exchange: contextvars.ContextVar[_Exchange | None] = contextvars.ContextVar("_exchange", default=None)
_send = httpx.HTTPTransport.handle_request


def _send_bounded(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    """Send a request. The reply to one of ours is read up to `MAX_REPLY_BYTES`, and while somebody waits for it."""
    exchange = _exchange.get()
    if exchange is None:
        return _send(transport, request)
    exchange.requests += 1
    if exchange.requests > MAX_REQUESTS:
        raise httpx.TooManyRedirects("too many redirects", request=request)
    request.headers["accept-encoding"] = "identity"  # a compressed reply has no size before it is read
    response = _send(transport, request)
    exchange.status, exchange.is_whole = response.status_code, False
    exchange.retry_after = retry_after_seconds(response.headers.get("retry-after"))
    exchange.body.clear()
    target = _redirected(request, response)
    if target is not None and _origin(target) != _origin(request.url):
        response.close()
        exchange.elsewhere = request.url, target
        raise httpx.RequestError("redirected to another server", request=request)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        response.close()
        exchange.unread = "its reply is compressed, which was not asked for"
        raise httpx.DecodingError(exchange.unread)
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        stream=_BoundedStream(response, exchange),
        extensions=response.extensions,
    )


# What litellm's providers send with, whichever client they use; requests that are not asked through `HttpEngine` pass
# through as they are. litellm has hooks, but what goes around one goes around the bounds, too, and its key goes where
# it is redirected. `sync_transport` and `client_session` are as global as this, clients made earlier stay in
# use, `force_ipv4` comes first, and with a transport no proxies are mounted. `client=` of one call is ignored by a
# provider that wants the other of its two kinds, and by some whatever it is.
httpx.HTTPTransport.handle_request = _send_bounded  # type: ignore[assignment,method-assign]


def _redirected(request: httpx.Request, response: httpx.Response) -> httpx.URL | None:
    """Return where a reply sends the question on to. Httpx would take along the keys that other headers hold."""
    where = response.headers.get("location")
    if where is None or not 300 <= response.status_code < 400:
        return None
    try:
        return request.url.join(where)
    except (httpx.InvalidURL, ValueError):
        return None  # httpx refuses it, too


def _origin(url: httpx.URL) -> str:
    """Return scheme, host and port, the usual port left out."""
    return str(url.copy_with(path="/", query=None, fragment=None, userinfo=b"")).rstrip("/")


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, response: httpx.Response, exchange: _Exchange) -> None:
        self._response = response
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        for chunk in self._response.stream:  # type: ignore[union-attr]
            exchange.body += chunk
            if len(exchange.body) > MAX_REPLY_BYTES:
                exchange.unread = f"its reply is longer than {MAX_REPLY_BYTES:,} bytes"
                raise httpx.ReadError(exchange.unread)
            if given_up():
                raise httpx.ReadTimeout("nobody waits for the reply any more")
            yield chunk
        exchange.is_whole = True

    def close(self) -> None:
        self._response.close()


class HttpEngine:
    """A DSPy engine: one attempt through litellm, never a retry.

    Args:
        timeout: seconds for one whole reply.
        api_base: the address of the server; the provider's where None.
        setting: what the address is called where users type it.
    """

    def __init__(self, timeout: float, api_base: str | None = None, setting: str = "lm_api_base") -> None:
        from dspy.clients.engines.litellm_engine import LiteLLMEngine

        self.timeout = timeout
        self._api_base = api_base
        self._setting = setting
        # litellm serialises replies that break its own types, and pydantic would show their content.
        warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
        self._inner = LiteLLMEngine(model_type="chat", timeout=timeout, **({"api_base": api_base} if api_base else {}))

    def complete(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            LostReply: the server accepted the request, but the connection broke before the end of its reply.
            UnreadableReply: the server answered, but what came back is no chat completion.
            dspy.lm15.LM15Error: the server refused it, or cannot be reached.
        """
        exchange = _Exchange()
        _exchange.set(exchange)
        try:
            response: Response = self._inner.complete(request)
        except Exception as error:
            if exchange.elsewhere is not None:
                raise InvalidRequestError(self._sent_on(*exchange.elsewhere)) from error
            return _after_failure(error, exchange, request)
        finally:
            _exchange.set(None)
        return response

    def _sent_on(self, asked: httpx.URL, target: httpx.URL) -> str:
        """Say that a server wanted the question sent elsewhere, and what to type if that is where it belongs."""
        base = _origin(target)
        own = (self._api_base or "").rstrip("/")
        if (
            own
            and str(asked).startswith(own)
            and target.path.endswith(rest := str(asked)[len(own) :].partition("?")[0])
        ):
            base += target.path[: len(target.path) - len(rest)]
        return (
            f"the server at {_origin(asked)} redirects to another one, {_origin(target)}, which was sent nothing; if "
            f"you trust that one, start with {self._setting}={base}"
        )


def readable(ask: Callable[[], Response], request: Request) -> Response:
    """Return what a language model of a user's own answers, read here where its client cannot.

    Raises:
        UnreadableReply, LostReply: as `HttpEngine.complete`.
        Exception: what the client raised where no server accepted the request.
    """
    exchange = _Exchange()
    _exchange.set(exchange)
    try:
        return ask()
    except Exception as error:
        if exchange.status is None or not 200 <= exchange.status < 300:
            raise
        return _after_failure(error, exchange, request)
    finally:
        _exchange.set(None)


def _after_failure(error: Exception, exchange: _Exchange, request: Request) -> Response:
    """Read what litellm could not, or raise what is to be said about it."""
    if exchange.status is not None and 200 <= exchange.status < 300:
        if exchange.unread:
            raise UnreadableReply(f"the server accepted the question, but {exchange.unread}") from error
        if not exchange.is_whole:
            if isinstance(error, TimeoutError):
                raise error
            raise LostReply(
                "the server accepted the question, but its connection broke before the end of the reply"
            ) from error
        read = read_completion(bytes(exchange.body), request.model)
        if read is None:
            start = " ".join(exchange.body[:200].decode("utf-8", "replace").split())
            raise UnreadableReply(f"the server's reply is no chat completion: {start!r}") from error
        return read
    if exchange.requests > MAX_REQUESTS:
        raise InvalidRequestError("the server redirects the question again and again; check its address") from error
    if isinstance(error, LM15Error):
        if error.retry_after is None:
            error.retry_after = exchange.retry_after
        error.message = _ADVICE.sub("", str(error)).strip(" \n,-")
        if exchange.status is None and {"http", "https", "all"} & getproxies().keys():
            error.message += " (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a proxy; NO_PROXY=HOST goes around it)"
        error.args = (error.message,)
    raise error
