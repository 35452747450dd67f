"""What is changed under a run that goes on: its images, its directory, and a run that begins in the same second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer
from support.runs import Ended, arguments, copy_images, events, ipo, result, resuming


def test_exchanged_images_are_refused_before_the_test_is_opened(
    run: Callable[..., Ended], server: OpenAIServer, out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = copy_images(tmp_path / "images")
    cats, cars = (sorted((images / name).iterdir()) for name in ("cat", "car"))
    data = [cat.read_bytes() for cat in cats]

    def exchange(asked: Asked) -> None:
        for cat, car in zip(cats, cars, strict=True):
            cat.write_bytes(car.read_bytes())

    server.on_request = exchange
    words = arguments(images, server)
    ended = ipo(capfd, *words, "--out", str(out))
    assert ended.code == 2
    assert "was exchanged: it is not what was read before; put it back" in ended.sentence
    assert not events(out, "test", "end")
    server.on_request = lambda asked: None
    for cat, content in zip(cats, data, strict=True):
        cat.write_bytes(content)
    asked = len(server.asked)
    assert ipo(capfd, *resuming(out)).code == 0
    assert len(server.asked) == asked, "what was paid is paid"
    assert ipo(capfd, *words, "--out", str(tmp_path / "again")).code == 0
    assert result(out)["data"]["fingerprint"] == result(tmp_path / "again")["data"]["fingerprint"]
