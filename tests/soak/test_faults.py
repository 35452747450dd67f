"""Servers that fail in every way: a run ends well or in one sentence, in time, and can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import soak
from support.openai_server import Behaviour, OpenAIServer, Reply, error, good, listed, templates
from support.runs import Ended, answered, check_whole

LIMIT_SECONDS = 8.0 if soak.BY_HAND else 4.0  # two of them are kept for the files of a run
SLACK_SECONDS = 5.0
CHAT = "[[ ## templates ## ]]\n"


def http(*lines: str, body: bytes = b"") -> bytes:
    """Write a response of HTTP by hand, so that it can be wrong."""
    return "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *lines, "")).encode() + body


def completion(content: Any = "hello", **more: Any) -> str:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    whole = {"id": "x", "object": "chat.completion", "created": 0, "model": "x", "choices": [choice], "usage": usage}
    return json.dumps({**whole, **more})


def usage(**counts: Any) -> Reply:
    return Reply(body=completion(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, **counts}))


FAULTS: dict[str, Reply | Behaviour] = {
    # Waiting.
    "Retry-After of a day": error(429, "slow down", Retry_After="86400"),
    "Retry-After in words": error(429, "slow down", Retry_After="soon"),
    "Retry-After below zero": error(503, "slow down", Retry_After="-5"),
    "Retry-After as a date of long ago": error(503, "slow down", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "Retry-After without end": error(429, "slow down", Retry_After="inf"),
    "a byte now and then": lambda asked: Reply(listed(asked, templates(asked)), drip=0.5),
    "silence": Reply("too late", wait=60),
    "slow headers": Reply(raw=http("Content-Type: application/json", "Content-Length: 2", body=b"{}"), drip=0.5),
    "headers without end": Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X-More: yes\r\n" * 100_000),
    "continue without end": Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    # Connections.
    "closed without a word": Reply(raw=b""),
    "reset without a word": Reply(raw=b"", reset=True),
    "reset in the body": Reply(raw=http("Content-Length: 999", body=b'{"choices'), reset=True),
    "TLS that wants TLS": Reply(raw=b"\x15\x03\x03\x00\x02\x02\x46"),
    "not HTTP": Reply(raw=b"220 mail.example.org ESMTP\r\n"),
    "bytes": Reply(raw=bytes(range(256)) * 100),
    "a length that is too long": Reply(raw=http("Content-Length: 9999", body=completion().encode())),
    "a length that is too short": Reply(raw=http("Content-Length: 9", body=completion().encode())),
    "a length below zero": Reply(raw=http("Content-Length: -1", body=completion().encode())),
    "two lengths": Reply(raw=http("Content-Length: 5", "Content-Length: 6", body=b"hello")),
    "broken chunks": Reply(raw=http("Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n")),
    "chunks that stop": Reply(raw=http("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")),
    "cut": Reply("hello", cut=30),
    # Redirects.
    "redirects in a circle": Reply(status=307, headers={"Location": "/v1/chat/completions"}),
    "a redirect that changes the method": Reply(status=302, headers={"Location": "/v1/chat/completions"}),
    "a redirect to a file": Reply(status=307, headers={"Location": "file:///etc/passwd"}),
    "a redirect to nowhere": Reply(status=307, headers={"Location": "http://127.0.0.1:9/"}),
    "a redirect without a place": Reply(status=307),
    # Bodies.
    "nothing": Reply(body=""),
    "no content": Reply(status=204, body=""),
    "HTML": Reply(body="<html>It works!</html>", headers={"Content-Type": "text/html"}),
    "ten megabytes": Reply("a" * 200_000, times=50),
    "gzip that is none": Reply("hello", headers={"Content-Encoding": "gzip"}),
    "UTF-16 that is none": Reply("hello", headers={"Content-Type": "application/json; charset=utf-16"}),
    "an unknown charset": Reply("hello", headers={"Content-Type": "application/json; charset=klingon"}),
    "not UTF-8": Reply(raw=http("Content-Length: 4", body=b"\xff\xfe\xff\xfe")),
    "a list": Reply(body="[]"),
    "null": Reply(body="null"),
    "a number of 5,000 digits": Reply(body="9" * 5_000),
    "not a number": Reply(body="NaN"),
    "nested without end": Reply(body='{"a":' * 100_000),
    "no choices": Reply(body=completion(choices=[])),
    "choices that are null": Reply(body=completion(choices=None)),
    "a choice that is a text": Reply(body=completion(choices=["hello"])),
    "a message that is null": Reply(body=completion(choices=[{"index": 0, "message": None}])),
    "events": Reply(body="data: {}\n\ndata: [DONE]\n\n", headers={"Content-Type": "text/event-stream"}),
    "an error that is a success": Reply(body=json.dumps({"error": {"message": "overloaded"}})),
    # Contents.
    "an integer": Reply(body=completion(7)),
    "a list of texts": Reply(body=completion(["a"])),
    "null as content": Reply(body=completion(None)),
    "nested arrays": Reply(CHAT + "[" * 20_000),
    "half a character": Reply(CHAT + '["a \ud83d photo of a <CLASS>."]'),
    "half a character, escaped": Reply(CHAT + r'["a \ud83d\ude00 photo of a <CLASS>.", "a \ud83d <CLASS>.",]'),
    "NUL": Reply(CHAT + '["a \0 photo of a <CLASS>.\\u0000"]'),
    "quotes": Reply(CHAT + '"' * 300_000),
    "a finish of its own": lambda asked: Reply(listed(asked, templates(asked)), finish="because"),
    # Usage.
    "usage that is no number": usage(prompt_tokens=float("nan")),
    "usage without end": usage(completion_tokens=float("inf")),
    "usage below zero": usage(prompt_tokens=-5),
    "usage as text": usage(prompt_tokens="many"),
    "usage of 400 digits": usage(prompt_tokens=10**400),
    "usage that is a list": Reply("hello", usage=[1, 2]),
    # Refusals.
    **{f"status {status}": error(status, "no") for status in (401, 402, 403, 404, 408, 413, 422, 429, 500, 529, 999)},
    "an error that is HTML": Reply(status=502, body="<html>Bad Gateway</html>", headers={"Content-Type": "text/html"}),
    "an error without a body": Reply(status=400),
    "an error that is a list": Reply(status=400, body="[[]]"),
    "an error that moves the cursor": error(400, "\x1b[2J\x1b]0;owned\x07\u202e"),
    "a long error": error(400, "no " * 100_000),
    "an error whose message is a number": Reply(status=400, body='{"error": {"message": 7}}'),
}  # fmt: skip
AMONG_TESTS = ("reset in the body", "TLS that wants TLS", "redirects in a circle", "broken chunks", "status 404")


@pytest.mark.parametrize("lm", ["openai/test-model", "hosted_vllm/x"] if soak.BY_HAND else ["hosted_vllm/x"])
@pytest.mark.parametrize("good_before", [0, 1] if soak.BY_HAND else [1])
@pytest.mark.parametrize("name", FAULTS if soak.BY_HAND else AMONG_TESTS)
def test_a_fault_ends_well_or_in_one_sentence_and_the_run_can_be_resumed(
    run: Callable[..., Ended],
    resume: Callable[..., Ended],
    server: OpenAIServer,
    out: Path,
    record_property: Callable[[str, object], None],
    name: str,
    good_before: int,
    lm: str,
) -> None:
    server.script.extend([good] * good_before)
    server.behave = behave = FAULTS[name] if callable(FAULTS[name]) else lambda asked: FAULTS[name]  # type: ignore
    ended = run("--max-minutes", str(LIMIT_SECONDS / 60), lm=lm)
    record_property("tried", int(len(server.asked) > good_before))  # 0: the time was over before the fault
    assert ended.code in (0, 1, 3)
    assert ended.code != 1 or len(ended.sentence) < 1_000
    assert not set(ended.err + ended.out) & {"\x1b", "\x07", "\u202e", "\0"}

    assert server.behave is behave
    server.behave = good
    asked, there = len(server.asked), answered(out)
    again = resume("--max-minutes", "60")
    assert again.code == 0, again.err
    check_whole(out)
    now = answered(out)
    assert len(server.asked) - asked == len(now) - len(there), "a reply that is there was asked for again"


def test_a_plain_port_that_is_spoken_to_in_tls_is_one_sentence(run: Callable[..., Ended], server: OpenAIServer) -> None:
    ended = run("--max-minutes", str(LIMIT_SECONDS / 60), "lm_api_base=" + server.base.replace("http:", "https:"))
    assert ended.code in (1, 3)
    assert ended.code == 3 or "--resume" in ended.sentence
