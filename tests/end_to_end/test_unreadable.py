"""Replies that were made to break whoever reads them: each costs one question at most, and no run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer, Reply
from support.runs import Ended, check_whole, events, result, scored

Run = Callable[..., Ended]

CHAT = "[[ ## templates ## ]]\n"
UNREADABLE = {
    "nested": CHAT + "[" * 20_000,
    "nested objects": CHAT + '{"a":' * 3_000,
    "a long string that is cut": CHAT + '["' + "a b " * 100_000,
    "quotes": CHAT + '"' * 300_000,
    "braces": "{" * 300_000,
    "half a character": CHAT + r'["a \ud83d photo of a <CLASS>.",]',
    "half a character as it is": CHAT + '["a \ud83d photo of a <CLASS>."]',
    "a number of 5,000 digits": CHAT + "9" * 5_000,
}


def with_content(content: object, **more: object) -> Callable[[Asked], Reply]:
    def reply(asked: Asked) -> Reply:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        whole = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "x",
            "choices": [choice],
            "usage": usage,
        }
        return Reply(body=json.dumps({**whole, **more}))

    return reply


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_cannot_be_read_costs_one_question(
    run: Run, resume: Run, server: OpenAIServer, out: Path, content: str
) -> None:
    server.script.extend([Reply(content), Reply(content)])  # as chat, and again as JSON
    assert run().code == 0
    check_whole(out)
    assert len(scored(out)) >= 4
    if content not in (UNREADABLE["nested"], UNREADABLE["half a character as it is"]):
        return  # from the journal they are read as these are
    before, asked = result(out), len(server.asked)
    (out / "result.json").unlink()
    lines = (out / "journal.jsonl").read_text().splitlines(keepends=True)
    (out / "journal.jsonl").write_text("".join(lines[:-1]))  # as if it had been killed before the end
    assert resume().code == 0
    assert result(out) == before
    assert len(server.asked) == asked, "no reply that reached the disk is asked for twice"


@pytest.mark.parametrize("content", [7, ["a"]], ids=repr)
def test_a_content_that_is_no_text_costs_one_question(
    run: Run, server: OpenAIServer, out: Path, quick: list[float], content: object
) -> None:
    server.script.extend([with_content(content), with_content(content)])
    ended = run()
    assert ended.code == 0, ended.err
    check_whole(out)
    assert "litellm" not in ended.err


BROKEN = {
    "longer than any reply": lambda asked: Reply("a" * 200_000, times=50),
    "cut off": lambda asked: Reply("[[ ## templates ## ]]", cut=30),
    "no JSON": Reply(body="<html>It works!</html>"),
    "compressed": Reply("hello", headers={"Content-Encoding": "gzip"}),
}


REASONS = {
    "longer than any reply": "longer than 1,048,576 bytes",
    "cut off": "broke before the end",
    "no JSON": "not a chat completion: '<html>It works!</html>'",
    "compressed": "compressed",
}


@pytest.mark.parametrize("lm", ["openai/gpt-4o-mini", "hosted_vllm/x"])
def test_a_reply_that_is_lost_on_its_way_is_asked_for_again_and_counted(
    run: Run, server: OpenAIServer, out: Path, quick: list[float], lm: str
) -> None:
    server.script.append(BROKEN["cut off"])
    ended = run("max_tokens=200", lm=lm)
    assert ended.code == 0, ended.err
    found = check_whole(out)["lm"]["optimizer"]
    assert found["calls"] == 2
    (lost,) = events(out, "lm_error")
    assert lost["tokens_out"] == 200
    assert found["tokens_out"] == sum(event["tokens_out"] for event in events(out, "lm")) + 200
    assert REASONS["cut off"] in lost["error"]
