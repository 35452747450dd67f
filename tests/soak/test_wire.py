"""Whole replies that are odd, of each kind of server: asked for once, read where they hold a text, booked as told.

Real litellm, over real HTTP. A reply that is cut on its way may be asked for again; one that came whole never is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.clients.engines import LM15Engine
from dspy.lm15 import RouterConfig, Timeouts

from ipo_prompts.programs.lm.connect import Backend, find_backend
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.record.journal import Journal
from support import soak
from support.openai_server import OpenAIServer, Reply, running

TEXT, TOKENS_IN, TOKENS_OUT = "a sketch of a <CLASS>.", 11, 7
MOST_OUT = 50
"""What is asked for at most."""
BOUND = MOST_OUT + len("Say something.")
"""The least that is booked for a reply whose tokens nobody told."""


@dataclass(frozen=True)
class Provider:
    """How one kind of server writes.

    Attributes:
        counts: the names of the tokens in and out.
        whole: the reply with a text and this usage, which may be `ABSENT`.
        stream: the same in pieces, as a body and its type.
    """

    model: str
    counts: tuple[str, str]
    whole: Callable[[Any, Any], dict[str, Any]]
    stream: Callable[[Any], tuple[str, str]]


ABSENT = object()


def given(**content: Any) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not ABSENT}


def sent(*pieces: Any) -> tuple[str, str]:
    lines = [f"data: {piece if isinstance(piece, str) else json.dumps(piece)}\n\n" for piece in pieces]
    return "".join(lines), "text/event-stream"


def openai(text: Any, usage: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return given(id="x", object="chat.completion", created=0, model="m", choices=[choice], usage=usage)


def openai_stream(usage: Any) -> tuple[str, str]:
    def piece(delta: Any, end: Any = None) -> Any:
        choices = [{"index": 0, "delta": delta, "finish_reason": end}]
        return {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": choices}

    half = len(TEXT) // 2
    pieces = piece({"role": "assistant", "content": TEXT[:half]}), piece({"content": TEXT[half:]}), piece({}, "stop")
    return sent(*pieces, given(id="x", object="chat.completion.chunk", choices=[], usage=usage), "[DONE]")


def anthropic(text: Any, usage: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": text}]
    return given(
        id="x", type="message", role="assistant", model="m", content=parts, stop_reason="end_turn", usage=usage
    )


def anthropic_stream(usage: Any) -> tuple[str, str]:
    whole = anthropic(TEXT, usage) | {"content": []}
    return sent(
        {"type": "message_start", "message": whole},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}
            for part in (TEXT[:5], TEXT[5:])
        ),
        given(type="message_delta", delta={"stop_reason": "end_turn"}, usage=usage),
        {"type": "message_stop"},
    )


def gemini(text: Any, usage: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}
    return given(candidates=[candidate], modelVersion="m", usageMetadata=usage)


def gemini_stream(usage: Any) -> tuple[str, str]:
    return json.dumps([gemini(TEXT[:5], ABSENT), gemini(TEXT[5:], usage)]), "application/json"


def ollama(text: Any, usage: Any) -> dict[str, Any]:
    counts = usage if isinstance(usage, dict) else {}
    return {"model": "m", "message": {"role": "assistant", "content": text}, "done": True, **counts}


def ollama_stream(usage: Any) -> tuple[str, str]:
    first = {"model": "m", "message": {"role": "assistant", "content": TEXT[:5]}, "done": False}
    return "".join(f"{json.dumps(piece)}\n" for piece in (first, ollama(TEXT[5:], usage))), "application/x-ndjson"


PROVIDERS = {
    "openai": Provider("openai/gpt-4o-mini", ("prompt_tokens", "completion_tokens"), openai, openai_stream),
    "anthropic": Provider(
        "anthropic/claude-3-haiku-20240307", ("input_tokens", "output_tokens"), anthropic, anthropic_stream
    ),
    "gemini": Provider("gemini/gemini-2.0-flash", ("promptTokenCount", "candidatesTokenCount"), gemini, gemini_stream),
    "ollama": Provider("ollama_chat/m", ("prompt_eval_count", "eval_count"), ollama, ollama_stream),
}
USAGES: dict[str, Callable[[Any], Any]] = {
    "told": lambda told: told,
    "missing": lambda told: ABSENT,
    "null": lambda told: None,
    "empty": lambda told: {},
    "a text": lambda told: "many",
    "a list": lambda told: [1, 2],
    "numbers as text": lambda told: dict.fromkeys(told, "12"),
    "numbers that are null": lambda told: dict.fromkeys(told),
    "numbers that are lists": lambda told: {name: [3] for name in told},
    "halves": lambda told: dict.fromkeys(told, 0.5),
    "negative": lambda told: dict.fromkeys(told, -5),
    "of 400 digits": lambda told: dict.fromkeys(told, 10**400),
    "infinite": lambda told: dict.fromkeys(told, float("inf")),
}
TEXTS = {"null": None, "a number": 7, "an object": {"a": 1}, "a list": ["a"]}
NO_COMPLETIONS = {
    "an error": '{"error": {"message": "overloaded"}}',
    "nothing": "",
    "HTML": "<html>It works!</html>",
    "null": "null",
    "a list": "[]",
    "half a JSON": '{"choices": [{"mess',
    "no events": "data: {}\n\ndata: [DONE]\n\n",
    "deep": '{"a":' * 100_000,
}


def cases() -> Iterator[tuple[str, str, str]]:
    """Yield the provider, what is odd, and how."""
    for provider in PROVIDERS:
        for kind, ways in (("usage", USAGES), ("streamed", USAGES), ("text", TEXTS), ("none", NO_COMPLETIONS)):
            yield from ((provider, kind, way) for way in ways)
        yield provider, "cut", "short"


AMONG_TESTS = [
    ("openai", "streamed", "told"),
    ("openai", "none", "an error"),
    ("anthropic", "usage", "null"),
    ("gemini", "usage", "missing"),
    ("ollama", "usage", "negative"),
    ("ollama", "cut", "short"),
]


def reply_to(provider: Provider, kind: str, way: str) -> tuple[Reply, dict[str, Any] | None]:
    """Return what the server sends, and the usage that it tells where it tells one."""
    told = dict(zip(provider.counts, (TOKENS_IN, TOKENS_OUT), strict=True))
    if kind == "none":
        return Reply(body=NO_COMPLETIONS[way]), None
    if kind == "text":
        return Reply(body=json.dumps(provider.whole(TEXTS[way], told))), told
    if kind == "cut":
        return Reply(body=json.dumps(provider.whole(TEXT, told)), cut=10), None
    usage = USAGES[way](told)
    body, form = provider.stream(usage) if kind == "streamed" else (json.dumps(provider.whole(TEXT, usage)), "")
    return Reply(body=body, headers={"Content-Type": form} if form else {}), told if way == "told" else None


@pytest.fixture(scope="module")
def serving() -> Iterator[OpenAIServer]:
    with running() as server:
        yield server


@pytest.mark.parametrize(("name", "kind", "way"), list(cases()) if soak.BY_HAND else AMONG_TESTS)
def test_a_whole_reply_is_asked_for_once_read_and_booked(
    name: str,
    kind: str,
    way: str,
    serving: OpenAIServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    provider, server = PROVIDERS[name], serving.fresh()
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("ipo_prompts.metrics.clock.pause", lambda seconds, tell: None)
    for maker in ("OPENAI", "ANTHROPIC", "GEMINI"):
        monkeypatch.setenv(f"{maker}_API_KEY", "sk-a-key-of-the-tests-0123456789")
    reply, told = reply_to(provider, kind, way)
    server.behave = lambda asked: reply
    base = server.base if name == "openai" else server.base.removesuffix("/v1")
    journal, ledger = Journal(tmp_path / "run"), Ledger()
    backend = find_backend(provider.model, role="optimizer", api_base=base)
    lm = backend.connect(Recorder(journal, ledger), "optimizer", 1.0, MOST_OUT)
    text, used = None, ledger.roles["optimizer"]
    try:
        text = lm("Say something.")[0]
    except dspy.LMError as error:
        assert kind in ("none", "cut"), error
        assert len(str(error)) < 1_000
    journal.close()

    record_property("note", kind)
    if kind == "cut":
        assert 1 <= len(server.asked) <= 4
        return
    assert len(server.asked) == 1, "a whole reply was asked for again"
    if kind in ("usage", "streamed"):
        assert text == TEXT
    if told and kind != "text":
        assert (used.tokens_in, used.tokens_out) == (TOKENS_IN, TOKENS_OUT)
    elif kind == "none":
        assert used.tokens_in >= len("Say something.")
        assert used.tokens_out == MOST_OUT, "what was lost is booked with its bound"
    elif way != "of 400 digits":
        assert used.tokens_in > 0
        assert 0 < used.tokens_out <= MOST_OUT


ENGINES: dict[str, Callable[[str], dict[str, Any]]] = {
    "auto": lambda base: {"api_base": base, "api_key": "sk-0123456789", "timeout": 1},
    "litellm": lambda base: {"engine": "litellm", "api_base": base, "api_key": "sk-0123456789", "timeout": 1},
    "an object": lambda base: {
        "engine": LM15Engine(
            RouterConfig(
                api_keys={"openai-chat": "sk-0123456789"}, base_urls={"openai-chat": base}, timeouts=Timeouts(read=1)
            )
        )
    },
}
"""How a user connects a language model of DSPy."""
OWN_CASES: dict[str, tuple[Callable[[str], Reply], int, int, str]] = {
    "streamed": (lambda other: reply_to(PROVIDERS["openai"], "streamed", "told")[0], 1, 18, ""),
    "a usage that is a text": (lambda other: reply_to(PROVIDERS["openai"], "usage", "a text")[0], 1, BOUND, ""),
    "an error": (lambda other: Reply(body=NO_COMPLETIONS["an error"]), 1, BOUND, "not a chat completion"),
    "endless": (lambda other: Reply("x" * 2**21), 1, BOUND, "longer than"),
    "compressed": (lambda other: Reply("x", headers={"Content-Encoding": "gzip"}), 1, BOUND, "compressed"),
    "redirected": (
        lambda other: Reply(status=307, headers={"Location": other}),
        1,
        0,
        r"start with dspy.LM\(…, api_base",
    ),
    "late": (lambda other: Reply("x", wait=1.5), 2, 2 * BOUND, "."),
    "cut": (lambda other: Reply("x", cut=9), 2, 2 * BOUND, "broke before the end"),
}
"""A reply (given another server's address), how often it is asked for, the tokens booked, and what is said."""


@pytest.mark.parametrize(
    ("engine", "case"),
    [(engine, case) for engine in ENGINES for case in OWN_CASES]
    if soak.BY_HAND
    else [
        *(("auto", case) for case in OWN_CASES if case != "late"),
        ("litellm", "redirected"),
        ("an object", "an error"),
    ],
)
def test_so_is_one_to_a_language_model_of_a_users_own(
    engine: str, case: str, serving: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.metrics.clock.pause", lambda seconds, tell: None)
    server, ledger = serving.fresh(), Ledger()
    make, asked, tokens, says = OWN_CASES[case]
    server.behave = lambda asked: make("http://localhost:9/v1/chat/completions")
    own = dspy.LM("openai/gpt-4o-mini", **ENGINES[engine](server.base), cache=False, num_retries=1, max_tokens=MOST_OUT)
    lm = Backend.of(own).connect(Recorder(None, ledger), "optimizer", 1.0, MOST_OUT)
    if says:
        with pytest.raises(dspy.LMError, match=says):
            lm("Say something.")
    else:
        assert lm("Say something.") == [TEXT]
    assert len(server.asked) == asked
    assert ledger.tokens == tokens if tokens < BOUND else ledger.tokens >= tokens
