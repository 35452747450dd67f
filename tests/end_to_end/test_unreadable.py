"""Replies that were made to break whoever reads them: each costs one question at most, and no run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.openai_server import Asked, OpenAIServer, Reply, listed, templates
from support.runs import Ended, check_whole, events, result, scored

Run = Callable[..., Ended]

CHAT = "[[ ## templates ## ]]\n"
ESCAPES = CHAT + r'["a \ud83d\ude00 photo of a <CLASS>.", "a sketch of a <CLASS>.",]'
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


def test_characters_that_come_as_two_escapes_are_whole_in_the_next_question(
    run: Run, resume: Run, server: OpenAIServer, out: Path
) -> None:
    server.script.append(Reply(ESCAPES))
    assert run().code == 0
    assert "a \U0001f600 photo of a <CLASS>." in scored(out)
    assert "\U0001f600" in server.asked[-1].text
    asked = len(server.asked)
    lines = (out / "journal.jsonl").read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if json.loads(line)["type"] == "lm")
    (out / "journal.jsonl").write_text("".join(lines[: first + 1]))  # where a run that could not read it had ended
    (out / "result.json").unlink()
    assert resume().code == 0
    assert "a \U0001f600 photo of a <CLASS>." in scored(out)
    assert len(server.asked) <= 2 * asked - 1, "the recorded reply was not asked for again"


@pytest.mark.parametrize("content", [7, ["a"]], ids=repr)
def test_a_content_that_is_no_text_costs_one_question(
    run: Run, server: OpenAIServer, out: Path, quick: list[float], content: object
) -> None:
    server.script.extend([with_content(content), with_content(content)])
    ended = run()
    assert ended.code == 0, ended.err
    check_whole(out)
    assert "litellm" not in ended.err


def in_parts(asked: Asked) -> Reply:
    return with_content([{"type": "text", "text": listed(asked, templates(asked))}])(asked)


def three_choices(asked: Asked) -> Reply:
    message = {"role": "assistant", "content": listed(asked, templates(asked))}
    return with_content("", choices=[{"index": i, "message": message} for i in range(3)])(asked)


def negative_usage(asked: Asked) -> Reply:
    return Reply(listed(asked, templates(asked)), usage={"prompt_tokens": -5, "completion_tokens": 1.5})


@pytest.mark.parametrize("odd", [in_parts, three_choices, negative_usage])
def test_an_odd_completion_of_a_server_of_ones_own_is_read(
    run: Run, server: OpenAIServer, out: Path, odd: Callable[[Asked], Reply]
) -> None:
    server.behave = odd
    assert run(lm="hosted_vllm/x").code == 0
    assert check_whole(out)["lm"]["optimizer"]["calls"] == len(server.asked) == 2


def test_such_contents_for_ever_are_one_sentence(run: Run, server: OpenAIServer, quick: list[float]) -> None:
    server.behave = with_content(7)
    ended = run("steps=9")
    assert ended.code == 1
    assert "Traceback" not in ended.sentence
    assert "litellm" not in ended.sentence
    assert "no usable template in 5 steps in a row" in ended.sentence


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


@pytest.mark.parametrize(
    ("kind", "lm"),
    [
        ("longer than any reply", "openai/gpt-4o-mini"),
        ("longer than any reply", "hosted_vllm/x"),
        ("no JSON", "openai/gpt-4o-mini"),
        ("compressed", "hosted_vllm/x"),
    ],
)
def test_a_whole_reply_that_is_none_is_asked_for_once_and_its_bound_is_booked(
    run: Run, resume: Run, server: OpenAIServer, out: Path, quick: list[float], kind: str, lm: str
) -> None:
    server.script.append(BROKEN[kind])
    ended = run("max_tokens=200", lm=lm)
    assert ended.code == 1 and len(server.asked) == 1
    assert "the server" in ended.sentence and "--resume" in ended.sentence
    (lost,) = events(out, "lm_error")
    assert lost["tokens_out"] == 200 and REASONS[kind] in lost["error"]
    assert resume(f"lm_api_base={server.base}").code == 0
    found = check_whole(out)["lm"]["optimizer"]
    assert found["tokens_out"] == sum(event["tokens_out"] for event in events(out, "lm")) + 200


def test_replies_that_break_for_ever_are_one_sentence(
    run: Run, server: OpenAIServer, quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.lm.recording.RETRIES", 1)
    server.behave = BROKEN["cut off"]
    ended = run()
    assert ended.code == 1
    assert "the server" in ended.sentence
    assert "--resume" in ended.sentence
    assert len(server.asked) == 2


def test_a_long_answer_with_its_fields_at_the_end_is_read(run: Run, server: OpenAIServer, out: Path) -> None:
    server.behave = lambda asked: Reply("I think. " * 5_000 + "\n" + CHAT + json.dumps(templates(asked)))
    assert run("steps=1").code == 0
    assert len(scored(out)) == 4
