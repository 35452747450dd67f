"""`ipo optimize` with the providers of litellm that speak in forms and with keys of their own, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import litellm
import pytest
from soak import test_wire as wire

from ipo_prompts.programs.lm import connect
from ipo_prompts.programs.lm.recording import RETRIES
from support import soak
from support.openai_server import Asked, OpenAIServer, Reply, running
from support.runs import Ended, events

KEY = "a-key-of-the-tests-0123456789"
TOKENS_IN, TOKENS_OUT = 1_000, 100
NAMED = "http://named.invalid"
"""A server that only a proxy can reach."""


def converse(text: Any, usage: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"text": text}]}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}


@dataclass(frozen=True)
class Provider:
    """How one is named and connected.

    Attributes:
        environment: variables that it needs.
        path: where it is asked, below the address.
        sends: the header that holds the key; "" where there is none.
        counts, whole: as in `test_wire.Provider`.
    """

    model: str
    environment: dict[str, str]
    path: str
    sends: str
    counts: tuple[str, str] = ("prompt_tokens", "completion_tokens")
    whole: Callable[[Any, Any], dict[str, Any]] = field(default=wire.openai)


PROVIDERS = {
    "mistral": Provider(
        "mistral/mistral-small-latest", {"MISTRAL_API_KEY": KEY}, "/v1/chat/completions", "authorization"
    ),
    "azure": Provider(
        "azure/gpt-4o-mini",
        {"AZURE_API_KEY": KEY, "AZURE_API_VERSION": "2024-10-21"},
        "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21",
        "api-key",
    ),
    "bedrock": Provider(
        "bedrock/amazon.nova-lite-v1:0",
        {"AWS_BEARER_TOKEN_BEDROCK": KEY, "AWS_REGION_NAME": "us-east-1"},
        "/model/amazon.nova-lite-v1%3A0/converse",
        "authorization",
        ("inputTokens", "outputTokens"),
        converse,
    ),
    "ollama": Provider("ollama_chat/m", {}, "/api/chat", "", ("prompt_eval_count", "eval_count"), wire.ollama),
}
Start = Callable[..., Ended]


def templates(provider: Provider) -> Callable[[Asked], Reply]:
    def behave(asked: Asked) -> Reply:
        written = json.dumps([f"a {look} photo {asked.number} of a <CLASS>." for look in ("dark", "flat", "small")])
        usage = dict(zip(provider.counts, (TOKENS_IN, TOKENS_OUT), strict=True))
        text = f"[[ ## templates ## ]]\n{written}\n\n[[ ## completed ## ]]"
        return Reply(body=json.dumps(provider.whole(text, usage)))

    return behave


@pytest.fixture(params=PROVIDERS if soak.BY_HAND else ["bedrock"])
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, server: OpenAIServer) -> Provider:
    found = PROVIDERS[request.param]
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    server.behave = templates(found)
    litellm.in_memory_llm_clients_cache.flush_cache()  # as in a process of its own: a client knows its proxy once
    return found


@pytest.mark.parametrize("by_proxy", [False, True] if soak.BY_HAND else [True])
def test_it_is_asked_where_it_was_named_and_booked_as_it_counts(
    provider: Provider, run: Start, server: OpenAIServer, out: Path, monkeypatch: pytest.MonkeyPatch, by_proxy: bool
) -> None:
    address = server.base.removesuffix("/v1")
    monkeypatch.setenv("HTTP_PROXY" if by_proxy else "NO_PROXY", address if by_proxy else "127.0.0.1")
    ended = run(f"lm_api_base={NAMED if by_proxy else address}", lm=provider.model)
    assert ended.code == 0, ended.err
    assert {asked.path for asked in server.asked} == {(NAMED if by_proxy else "") + provider.path}
    assert not provider.sends or all(KEY in asked.headers[provider.sends] for asked in server.asked)
    used = json.loads((out / "result.json").read_text())["lm"]["optimizer"]
    calls = len(server.asked)
    assert calls == used["calls"] >= 2
    assert (used["tokens_in"], used["tokens_out"]) == (calls * TOKENS_IN, calls * TOKENS_OUT)
    assert bool(used["usd"]) == bool(provider.sends), "its price is known, or it costs nothing"
    assert KEY not in ended.err + "".join(file.read_text("utf-8", "replace") for file in out.iterdir())


def test_a_late_reply_ends_and_may_be_billed(
    provider: Provider, run: Start, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, quick: None, out: Path
) -> None:
    monkeypatch.setattr(connect, "TIMEOUT_SECONDS", 0.2)
    server.behave = lambda asked: Reply(body="{}", wait=0.5)
    ended = run(f"lm_api_base={server.base.removesuffix('/v1')}", lm=provider.model)
    assert ended.code == 1 and "no answer within" in ended.err
    assert len(server.asked) == len(events(out, "lm_error")) == 1 + RETRIES
    assert all(event["tokens_in"] > 0 for event in events(out, "lm_error")), "it may be billed, and is booked"


def test_no_other_server_gets_the_question(provider: Provider, run: Start, server: OpenAIServer) -> None:
    with running() as other:
        there = other.base.removesuffix("/v1")
        server.behave = lambda asked: Reply(status=307, headers={"Location": there + asked.path})
        ended = run(f"lm_api_base={server.base.removesuffix('/v1')}", lm=provider.model)
    assert (len(server.asked), len(other.asked)) == (1, 0)
    assert f"start with lm_api_base={there}" in ended.err
