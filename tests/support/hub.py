"""A hub of the test's own in place of the real one."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.repocard import RepoCard


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hub's client ask a server of ours: it reads HF_ENDPOINT only when it is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)


class Hub:
    """The part of the hub's API by which a folder is pushed and a file is fetched again.

    Each file is sent inside the commit. The real hub lets its client send large and binary files by another way.

    Attributes:
        token: the token that may write.
        asked: the requests: method, path and body.
        private: the repositories, and whether each is private.
        files: the content of each file, by repository and path.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.asked: list[tuple[str, str, bytes]] = []
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.address = ""

    def answer(self, method: str, path: str, body: bytes, bearer: str) -> tuple[int, bytes]:
        """Answer a request: the status, and the content."""
        self.asked.append((method, path, body))
        if method in ("GET", "HEAD"):
            name = path.strip("/").replace("/resolve/main/", "/")
            return (200, self.files[name]) if name in self.files else (404, b"")
        if bearer != f"Bearer {self.token}":
            return 401, b'{"error": "Invalid username or password."}'
        told: dict[str, Any] = {}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.private[name] = asked["visibility"] == "private" if "visibility" in asked else asked["private"]
            told = {"url": f"{self.address}/{name}"}
        elif path == "/api/validate-yaml":
            RepoCard(json.loads(body)["content"])  # raises if the metadata cannot be read
            told = {"errors": [], "warnings": []}
        elif "/preupload/" in path:
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            told = {"files": [{"path": file["path"], **modes} for file in json.loads(body)["files"]]}
        elif path.endswith("/commit/main"):
            name = path.removeprefix("/api/models/").removesuffix("/commit/main")
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[f"{name}/{line['value']['path']}"] = base64.b64decode(line["value"]["content"])
            told = {"commitUrl": f"{self.address}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40}
        return 200, json.dumps(told).encode()


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, token: str) -> Iterator[Hub]:
    """Have the hub's client talk to a new, empty hub on this machine."""
    hub = Hub(token)

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code, content = hub.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
            self.send_response(code)
            for name, value in (("ETag", f'"{hashlib.sha256(content).hexdigest()}"'), ("X-Repo-Commit", "0" * 40)):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = _any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_to(hub.address, monkeypatch)
    yield hub
    server.shutdown()
    server.server_close()
