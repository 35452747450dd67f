"""The engine over the real small model (98 MB, pulled once into the user's cache)."""

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dspy.lm15 import (
    Config,
    FunctionTool,
    ImagePart,
    InvalidRequestError,
    Message,
    Request,
    TextPart,
    UnsupportedFeatureError,
)

from ipo_prompts.metrics.errors import InputError, to_install
from ipo_prompts.programs.lm import weights
from ipo_prompts.programs.lm.local import LocalEngine, local_lm

pytest.importorskip("xllamacpp")

FORTY_WORDS = "One way to look at a thing is to count what it is made of and to say it in words. " * 2
"""Two prompts that begin with this share a prefix, which the runtime would reuse."""


@pytest.fixture(scope="module")
def path() -> Path:
    return weights.pull("small")


@pytest.fixture(scope="module")
def engine(path: Path) -> Iterator[LocalEngine]:
    yield LocalEngine(path)


def ask(text: str, system: str | None = None, **config: Any) -> Request:
    settings = {"max_tokens": 12, "temperature": 1.0, "seed": 1, **config}
    return Request(model="local/x", messages=(Message.user(text),), system=system, config=Config(**settings))


def test_a_reply_depends_on_the_request_only(path: Path) -> None:
    """Replies must not depend on what was asked before, so that a run can be resumed."""
    prompts = {"A": FORTY_WORDS + "Say more.", "B": FORTY_WORDS + "Say less, with care.", "C": "Name an animal."}
    orders = ["A1 A2 B1 B2 A3 C1 A1", "B2 A3 A1 B1", "C1 B1 B1 A2"]
    replies: dict[str, set[str]] = {}
    for order in orders:
        engine = LocalEngine(path)
        for one in order.split():
            text = engine.complete(ask(prompts[one[0]], seed=int(one[1]))).text
            replies.setdefault(one, set()).add(text or "")
    assert {one: len(texts) for one, texts in replies.items()} == dict.fromkeys(replies, 1)
    assert len(set().union(*replies.values())) == len(replies)  # and every seed says something else


def test_a_runtime_that_cannot_reuse_a_prompt_is_asked_cold(path: Path) -> None:
    """As with sliding windows: then each reply comes from a whole evaluation, never from the cache."""

    class Forgetful:
        def handle_chat_completions(self, body: dict[str, Any]) -> dict[str, Any]:
            said = {"message": {"content": f"reused: {body['cache_prompt']}"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 9, "completion_tokens": 1}
            return {"id": "1", "choices": [said], "usage": usage, "timings": {"prompt_n": 9}}

    engine = LocalEngine(path)
    engine._servers.append(Forgetful())
    assert [engine.complete(ask("x")).text for _ in range(2)] == ["reused: False"] * 2


def test_usage_finish_reason_and_what_reaches_the_model(engine: LocalEngine) -> None:
    cut = engine.complete(ask("Count from one to a hundred.", max_tokens=5))
    assert (cut.finish_reason, cut.usage.output_tokens) == ("length", 5)
    whole = engine.complete(ask("Say it.", max_tokens=50, extensions={"grammar": 'root ::= "yes."'}))
    assert (whole.text, whole.finish_reason) == ("yes.", "stop")
    assert engine.complete(ask("x", stop=("b",), extensions={"grammar": 'root ::= "aaba"'})).text == "aa"
    short, long = (engine.complete(ask("x", system=text)).usage.input_tokens or 0 for text in ("Hi.", FORTY_WORDS))
    assert long > short + 20


def test_a_ban_moves_the_choice(engine: LocalEngine) -> None:
    def count(bias: float) -> int:
        extensions = {"grammar": 'root ::= "a" (" cat" | " dog")', "logit_bias": [[" cat", bias]], "min_p": 0.0}
        return sum(engine.complete(ask("Name one.", seed=s, extensions=extensions)).text == "a cat" for s in range(4))

    # Not to 0: under a grammar this narrow the word is also spelled with other tokens.
    assert count(30.0) == 4 > count(-30.0)


def test_threads_get_the_replies_that_one_thread_gets(engine: LocalEngine) -> None:
    requests = [ask(f"{FORTY_WORDS} Name {thing}.", seed=s) for thing in ("a tree", "a city") for s in range(2)]
    alone = [engine.complete(request).text for request in requests]
    together: dict[int, str | None] = {}

    def work(number: int) -> None:
        together[number] = engine.complete(requests[number]).text

    threads = [threading.Thread(target=work, args=(number,)) for number in reversed(range(len(requests)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(len(requests))] == alone


def test_refusals_are_the_errors_that_dspy_knows(engine: LocalEngine, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidRequestError, match="grammar"):
        engine.complete(ask("x", extensions={"grammar": "root ::= ("}))
    with pytest.raises(InvalidRequestError, match="exceeds the available context size"):
        engine.complete(ask("a b " * 4000))
    image = Message.user([TextPart(text="x"), ImagePart(media_type="image/png", data="AAAA")])
    for more in ({"messages": (image,)}, {"messages": (Message.user("x"),), "tools": (FunctionTool(name="f"),)}):
        with pytest.raises(UnsupportedFeatureError, match="text only"):
            engine.complete(Request(model="m", **more))
    assert engine.complete(ask("x")).text is not None  # and the engine still works
    capfd.readouterr()


@pytest.mark.parametrize("content", [4_000_000, b"hello", b""])
def test_a_damaged_file_is_named(
    path: Path, tmp_path: Path, content: int | bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:content])
    with pytest.raises(InputError, match=r"bad\.gguf' is damaged or not a GGUF language model"):
        LocalEngine(bad).load()
    capfd.readouterr()


def test_a_missing_runtime_is_explained(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(InputError, match=f"{re.escape(to_install('local'))}.*apt-get install libgomp1"):
        LocalEngine(path).load()


def test_names_stand_for_installed_weights(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "find", lambda name: path if name == "small" else None)
    for name in ("local", "local/small"):
        engine, model = local_lm(name)
        assert (engine.path, model) == (path, "local/SmolLM2-135M-Instruct.Q4_1@b179c9523d0e")
    monkeypatch.setattr(weights, "find", lambda name: None)
    for name, said in {
        "local/large": r"'large' is not installed; run `ipo models pull large` \(1117 MB\)",
        "local": "run `ipo models pull base`",
        "local/huge": "there is no local model 'huge'",
        f"local/{tmp_path}/none.gguf": r"there is no model file '.*none\.gguf'",
    }.items():
        with pytest.raises(InputError, match=said):
            local_lm(name)


def test_an_own_file_is_named_by_its_hash(tmp_path: Path) -> None:
    own = tmp_path / "my.model.gguf"
    own.write_bytes(b"abc")
    engine, model = local_lm(f"local/{own}")
    assert (engine.path, model) == (own, "local/my.model@ba7816bf8f01")
