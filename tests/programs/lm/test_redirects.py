"""A language model's server sends the question on: within its origin it is followed, to another it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dspy.lm15 import Config, InvalidRequestError, Message, Request

from ipo_prompts.programs.lm.connect import find_backend
from ipo_prompts.programs.lm.transport import MAX_REQUESTS
from support.openai_server import OpenAIServer, Reply, good, running

KEY = "sk-a-key-of-the-tests-0123456789"
NAMES = ("openai/m", "anthropic/claude-3-haiku-20240307", "gemini/gemini-2.0-flash", "hosted_vllm/m")


@pytest.fixture()
def server() -> Iterator[OpenAIServer]:
    with running() as found:
        yield found


@pytest.fixture()
def other() -> Iterator[OpenAIServer]:
    with running() as found:
        yield found


@pytest.fixture(autouse=True)
def keys(cache: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC", "GEMINI", "HOSTED_VLLM"):
        monkeypatch.setenv(f"{name}_API_KEY", KEY)


def ask(name: str, address: str, role: str = "optimizer") -> str:
    engine = find_backend(name, role=role, api_base=address).engine
    request = Request(model=name, messages=(Message.user("Say a word."),), config=Config(max_tokens=20))
    return str(engine.complete(request).text)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", NAMES)
def test_another_origin_gets_nothing(name: str, status: int, server: OpenAIServer, other: OpenAIServer) -> None:
    server.behave = lambda asked: Reply(status=status, headers={"Location": other.base[: -len("/v1")] + asked.path})
    with pytest.raises(InvalidRequestError) as caught:
        ask(name, server.base)
    assert len(server.asked) == 1
    assert not other.asked
    assert f"the server at {server.base[:-3]} redirects to another one, {other.base[:-3]}," in str(caught.value)
    assert f"start with lm_api_base={other.base}" in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_key_is_what_would_have_gone_along(server: OpenAIServer) -> None:
    server.behave = lambda asked: Reply(status=400, body="{}")
    for name in NAMES:
        with pytest.raises(Exception, match=r"."):
            ask(name, server.base)
    assert [KEY in " ".join(asked.headers.values()) for asked in server.asked] == [True] * len(NAMES)


@pytest.mark.parametrize(
    "where", ["//localhost:{port}/v1/chat/completions", "https://127.0.0.1:{port}/v1/chat/completions"]
)
def test_another_name_or_scheme_of_the_same_machine_is_another_origin(where: str, server: OpenAIServer) -> None:
    target = where.format(port=server.base.split(":")[2].split("/")[0])
    server.script.append(Reply(status=307, headers={"Location": target}))
    with pytest.raises(InvalidRequestError, match="redirects to another one") as caught:
        ask("openai/m", server.base, "describer")
    assert len(server.asked) == 1
    assert f"start with describer_api_base={'http:' if target[0] == '/' else ''}{target}".removesuffix(
        "/chat/completions"
    ) in str(caught.value)


def test_the_same_origin_is_followed_within_the_bound(server: OpenAIServer) -> None:
    server.script.extend([Reply(status=307, headers={"Location": "/v1/elsewhere"})] * (MAX_REQUESTS - 1))
    server.script.append(lambda asked: Reply("[[ ## word ## ]]\nyes"))
    assert "yes" in ask("openai/m", server.base)
    assert [asked.path for asked in server.asked] == ["/v1/chat/completions", *["/v1/elsewhere"] * (MAX_REQUESTS - 1)]
    server.behave = lambda asked: Reply(status=307, headers={"Location": "/v1/elsewhere"})
    with pytest.raises(InvalidRequestError, match="again and again"):
        ask("openai/m", server.base)
    assert len(server.asked) == 2 * MAX_REQUESTS
    server.behave = good
