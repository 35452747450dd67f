"""The key of the environment is nowhere: not in the run directory, not in the cache, not on the screen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer, Reply, error, listed
from support.runs import KEY, Ended, check_whole, result


def echo(asked: Asked) -> Reply:
    """Give the key back in every way a server can."""
    key = asked.headers["authorization"].removeprefix("Bearer ")
    assert key == KEY
    if asked.images:
        return Reply(f"[[ ## description ## ]]\nA image signed {key}.\n\n[[ ## completed ## ]]")
    answer = [f"a photo {key} of a <CLASS>.", f"no slot {key}", f"{'very ' * 60}{key} <CLASS>"]
    return Reply(listed(asked, [*answer, "a print of a <CLASS>."]))


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What would go to the screen as log lines is caught by pytest; more of it than the command shows."""
    caplog.set_level(logging.INFO, "ipo_prompts")
    return caplog


def check_nowhere(*places: str | Path) -> None:
    for place in places:
        texts = (
            [place.encode()] if isinstance(place, str) else [f.read_bytes() for f in place.rglob("*") if f.is_file()]
        )
        assert texts
        for text in texts:
            assert KEY.encode() not in text
            assert KEY[3:].encode() not in text


def test_a_key_that_comes_back_goes_no_further(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    server: OpenAIServer,
    out: Path,
    cache: Path,
    quick: list[float],
    log: pytest.LogCaptureFixture,
) -> None:
    server.script.extend([error(500, f"cannot use {KEY}"), error(400, f"the key {KEY} is odd")])
    server.behave = echo
    vision = ("--describer=openai/vision-model", f"describer_api_base={server.base}", "described_images=3")
    ended = run(*vision, "--json", "steps=1")
    assert ended.code == 0
    check_whole(out)
    check_nowhere(out, cache, ended.out, ended.err, log.text)
    assert "[redacted]" in (out / "journal.jsonl").read_text()
    assert not any(KEY in asked.text for asked in server.asked), "nor is it sent as text"

    before = result(out)
    asked = len(server.asked)
    again = resume()
    assert again.code == 0
    assert result(out) == before
    assert len(server.asked) == asked
    check_nowhere(out, cache, again.out, again.err, log.text)


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_a_key_in_an_error_is_blanked(
    run: Callable[..., Ended],
    server: OpenAIServer,
    out: Path,
    cache: Path,
    quick: list[float],
    status: int,
    log: pytest.LogCaptureFixture,
) -> None:
    server.behave = lambda asked: error(status, f"Incorrect API key provided: {KEY}. " * 20)
    ended = run()
    assert ended.code == 1
    assert ended.sentence
    check_nowhere(out, cache, ended.out, ended.err, log.text)


@pytest.mark.parametrize("setting", ["lm_api_base", "describer_api_base"])
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--lm=local",)])
def test_a_key_in_the_address_is_refused(
    run: Callable[..., Ended], out: Path, setting: str, more: tuple[str, ...]
) -> None:
    ended = run(f"{setting}=http://127.0.0.1:9/v1?key={KEY}", *more)
    assert ended.code == 2 and "in the environment only" in ended.sentence
    check_nowhere(ended.out, ended.err)
    assert not out.exists()
