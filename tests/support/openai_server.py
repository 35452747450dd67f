"""A server on 127.0.0.1 that speaks OpenAI chat completions over real HTTP, well or badly, as a test wants it.

Its good answers follow from the request alone, so the same request gets the same answer in every process.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MEDIA = ("photo", "drawing", "icon", "sketch", "painting", "print", "render", "image", "symbol", "outline", "sticker")
LOOKS = ("flat", "blurry", "bright", "dark", "small", "colourful", "plain", "grainy", "bold", "simple", "clean", "pale")
PLACES = ("on white", "on black", "outdoors", "on a table", "seen from above", "in the rain", "at night", "up close")


@dataclass
class Asked:
    """One request that the server received.

    Attributes:
        number: from 0, in order of arrival; the reply's `id` holds it, so a journal says which replies it has.
        headers: names in lower case.
    """

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def same(self) -> str:
        """What two requests for the same thing share."""
        return json.dumps(self.body, sort_keys=True)

    @property
    def text(self) -> str:
        """All text of the request."""
        return "\n".join(part["text"] for part in self._parts() if part["type"] == "text")

    @property
    def images(self) -> list[str]:
        """The data URIs of its images."""
        return [part["image_url"]["url"] for part in self._parts() if part["type"] == "image_url"]

    @property
    def count(self) -> int:
        """How many templates it wants."""
        return int(re.findall(r"\[\[ ## count ## \]\]\n(\d+)", self.text)[-1])

    def _parts(self) -> Iterator[dict[str, Any]]:
        for message in self.body["messages"]:
            content = message["content"]
            yield from [{"type": "text", "text": content}] if isinstance(content, str) else content


@dataclass
class Reply:
    """What the server sends.

    Attributes:
        content: the text of the language model; None sends `body` instead.
        body: the raw body when it is no chat completion.
        finish: the finish reason.
        wait: seconds before the reply.
        usage: what is reported instead of the tokens; None reports nothing.
        drip: seconds between two bytes of the body.
        cut: bytes of the body that are announced and not sent.
        times: how often the body is sent, one after the other.
        raw: what is written to the socket, which is then closed, instead of a response of HTTP.
        reset: whether the connection is then reset rather than closed.
    """

    content: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    finish: str = "stop"
    wait: float = 0.0
    usage: Any = "tokens"
    drip: float = 0.0
    cut: int = 0
    times: int = 1
    raw: bytes | None = None
    reset: bool = False


Behaviour = Callable[[Asked], Reply]


def templates(asked: Asked, count: int | None = None) -> list[str]:
    """Write the templates that follow from the request."""
    rng = random.Random(hashlib.sha256(asked.same.encode()).digest())
    return [
        f"a {rng.choice(LOOKS)} {rng.choice(LOOKS)} {rng.choice(MEDIA)} of a <CLASS> {rng.choice(PLACES)}."
        for _ in range(asked.count if count is None else count)
    ]


def listed(asked: Asked, answer: list[str]) -> str:
    """Format templates as the request asks for them: as chat fields, or as JSON."""
    wants_json = "response_format" in asked.body or "JSON object" in asked.text
    if wants_json:
        return json.dumps({"templates": answer})
    return f"[[ ## templates ## ]]\n{json.dumps(answer)}\n\n[[ ## completed ## ]]"


def description(asked: Asked) -> str:
    """Describe the image of the request: the text names its digest."""
    digest = hashlib.sha256("".join(asked.images).encode()).hexdigest()[:8]
    return f"A flat image with the look {digest}."


def good(asked: Asked) -> Reply:
    """Answer as a well-behaved model does."""
    if asked.images:
        if "response_format" in asked.body or "JSON object" in asked.text:
            return Reply(json.dumps({"description": description(asked)}))
        return Reply(f"[[ ## description ## ]]\n{description(asked)}\n\n[[ ## completed ## ]]")
    if "[[ ## kinds ## ]]" in asked.text:
        return Reply('[[ ## kinds ## ]]\n["oddment"]\n\n[[ ## images ## ]]\n[]\n\n[[ ## completed ## ]]')
    return Reply(listed(asked, templates(asked)))


def error(status: int, message: str, **headers: str) -> Reply:
    """Refuse as OpenAI does."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": None, "param": None}})
    return Reply(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class OpenAIServer:
    """The server. Replies come from `script` while it lasts, then from `behave`.

    Attributes:
        asked: every request, in order of arrival.
        script: replies, or functions that make one, for the next requests.
        behave: makes all other replies.
        on_request, on_reply: called before a reply is made, and after it was sent.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: deque[Reply | Behaviour] = deque()
        self.behave: Behaviour = good
        self.on_request: Callable[[Asked], None] = lambda asked: None
        self.on_reply: Callable[[Asked], None] = lambda asked: None
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that gave up is no news
        self._http.block_on_close = False
        self.released = threading.Event()
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def base(self) -> str:
        """The address for `lm_api_base`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def fresh(self) -> OpenAIServer:
        """Forget requests and behaviour, for the next test."""
        self.asked.clear()
        self.script.clear()
        self.behave = good
        self.on_request = self.on_reply = lambda asked: None
        return self

    def stop(self) -> None:
        """Close the port."""
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def receive(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Asked:
        """Note a request."""
        with self._lock:
            asked = Asked(len(self.asked), path, headers, body)
            self.asked.append(asked)
        return asked

    def answer(self, asked: Asked) -> Reply:
        """Make the reply to a request."""
        self.on_request(asked)
        with self._lock:
            scripted = self.script.popleft() if self.script else self.behave
        return scripted if isinstance(scripted, Reply) else scripted(asked)


def _handler(server: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = server.receive(self.path, headers, json.loads(data))
            reply = server.answer(asked)
            server.released.wait(reply.wait)
            body = (reply.body if reply.content is None else _completion(asked, reply)).encode("utf-8", "surrogatepass")
            try:
                if reply.raw is not None:
                    self._send_raw(reply)
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) * reply.times))
                self.end_headers()
                self._send(body[: len(body) - reply.cut], reply)
            except OSError:  # the client was killed, or gave up
                self.close_connection = True
                return
            server.on_reply(asked)

        def _send_raw(self, reply: Reply) -> None:
            self.close_connection = True
            self._send(reply.raw or b"", reply)
            if reply.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())

        def _send(self, body: bytes, reply: Reply) -> None:
            for _ in range(reply.times):
                for start in range(0, len(body), 1 if reply.drip else len(body) or 1):
                    self.wfile.write(body[start : start + 1] if reply.drip else body)
                    self.wfile.flush()
                    if reply.drip and server.released.wait(reply.drip):
                        return
            if reply.cut:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _completion(asked: Asked, reply: Reply) -> str:
    content = reply.content or ""
    tokens_in, tokens_out = len(asked.text) // 4 + 800 * len(asked.images), max(1, len(content) // 4)
    usage: Any = reply.usage
    if usage == "tokens":
        usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return json.dumps(
        {
            "id": f"chatcmpl-{asked.number}",
            "object": "chat.completion",
            "created": 0,
            "model": asked.body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": reply.finish,
                    "message": {"role": "assistant", "content": content},
                }
            ],
            **({} if usage is None else {"usage": usage}),
        }
    )


@contextmanager
def running() -> Iterator[OpenAIServer]:
    """Run a server for the length of a block."""
    server = OpenAIServer()
    try:
        yield server
    finally:
        server.stop()
