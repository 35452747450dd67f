"""Whatever a server does, the wait for it ends with the time limit, and says so meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer, Reply, error, good, listed, templates
from support.runs import Ended, check_whole, scored

Run = Callable[..., Ended]

SLOW = {
    "a long Retry-After": lambda asked: error(429, "slow down", Retry_After="86400"),
    "a byte now and then": lambda asked: Reply(listed(asked, templates(asked)), drip=0.5),
    "silence": lambda asked: Reply("too late", wait=30),
    "errors for ever": lambda asked: error(503, "busy", Retry_After="1"),
}


@pytest.fixture(autouse=True)
def never_tired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the time limit ends the attempts."""
    monkeypatch.setattr("ipo_prompts.programs.lm.connect.RETRIES", 1000)


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_a_wait_ends_with_the_time_limit(
    run: Run,
    resume: Run,
    server: OpenAIServer,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    slow: Callable[[Asked], Reply],
) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.run.live_view.FIRST_WAIT_SECONDS", 1)
    server.script.append(good)
    server.behave = slow
    ended = run("--max-minutes", "0.2")
    assert ended.code == 3, ended.err
    found = check_whole(out)
    assert "0.2 minutes" in found["stopped"]
    assert len(scored(out)) == 4, "what was found before is kept"
    assert "choosing the winner" in ended.err
    if slow in (SLOW["a byte now and then"], SLOW["silence"]):
        assert "waiting for openai/test-model" in ended.err
        assert "the limit ends the wait in" in ended.err
    server.behave = good
    assert resume("--max-minutes", "60").code == 0
    assert len(scored(out)) == 7
