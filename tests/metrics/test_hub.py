"""The hub is asked something small before something large is fetched, and never waited for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError

from ipo_prompts.metrics import device as hub
from ipo_prompts.metrics.errors import InputError
from support.hub import point_to

SIZE = 598_501_024


class Hub(BaseHTTPRequestHandler):
    """Has one file; a repository called `silent` is never answered."""

    def do_HEAD(self) -> None:
        if "/silent/" in self.path:
            silence.wait(10)
        known = self.path.endswith("/there.bin")
        self.send_response(200 if known else 404)
        if known:
            for name, value in (("ETag", '"1"'), ("X-Repo-Commit", "0" * 40), ("X-Linked-Size", str(SIZE))):
                self.send_header(name, value)
        elif "/open/" in self.path:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


silence = threading.Event()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    silence.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_to(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    yield
    silence.set()
    server.shutdown()
    server.server_close()


def test_what_will_be_fetched_is_said_with_its_size(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        hub.announce("the CLIP X", "open/repo", ["gone.safetensors", "there.bin"])
    assert caplog.messages == ["fetching the CLIP X (599 MB) from the Hugging Face hub, once"]


def test_wrong_names_are_left_to_who_fetches(caplog: pytest.LogCaptureFixture) -> None:
    hub.announce("the CLIP X", "not a repository", ["a"])
    hub.announce("the CLIP X", "nobody/nothing", ["a"])
    hub.announce("the CLIP X", "open/repo", ["a"])
    assert not [message for message in caplog.messages if "MB" in message]
    with pytest.raises(HFValidationError):
        hub.reach(_refuses, "it")


def _refuses() -> None:
    raise HFValidationError("no such name")


def test_a_hub_that_does_not_answer_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"it is not on this machine and the Hugging Face hub does not answer \("):
        hub.announce("the CLIP X", "silent/repo", ["there.bin"])
    assert time.monotonic() - started < 5
    point_to("http://127.0.0.1:1", monkeypatch)
    with pytest.raises(InputError, match=r"does not answer .*; check the network"):
        hub.announce("the CLIP X", "open/repo", ["there.bin"])
