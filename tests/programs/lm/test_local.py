"""The engine over the real small model (98 MB, pulled once into the user's cache)."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.lm15 import (
    Config,
    ContextLengthError,
    FunctionTool,
    ImagePart,
    InvalidRequestError,
    Message,
    Request,
    ServerError,
    TextPart,
    UnsupportedFeatureError,
)
from dspy.lm15 import TimeoutError as GivenUp

from ipo_prompts.metrics.clock import NoAnswer, answer_within
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
    shared = LocalEngine(path, context=1024)
    yield shared
    shared.close()


def ask(text: str, system: str | None = None, **config: Any) -> Request:
    settings = {"max_tokens": 12, "temperature": 1.0, "seed": 1, **config}
    return Request(model="local/x", messages=(Message.user(text),), system=system, config=Config(**settings))


def test_a_reply_depends_on_the_request_only(path: Path) -> None:
    """Replies must not depend on what was asked before, so that a run can be resumed."""
    prompts = {"A": FORTY_WORDS + "Say more.", "B": FORTY_WORDS + "Say less, with care.", "C": "Name an animal."}
    orders = ["A1 A2 B1 B2 A3 C1 A1", "B2 A3 A1 B1", "C1 B1 B1 A2"]
    replies: dict[str, set[str]] = {}
    for order in orders:
        engine = LocalEngine(path, context=1024)
        for one in order.split():
            text = engine.complete(ask(prompts[one[0]], seed=int(one[1]))).text
            replies.setdefault(one, set()).add(text or "")
        engine.close()
    assert {one: len(texts) for one, texts in replies.items()} == dict.fromkeys(replies, 1)
    assert len(set().union(*replies.values())) == len(replies)  # and every seed says something else


def test_a_runtime_that_cannot_reuse_a_prompt_is_asked_cold(path: Path) -> None:
    """As with sliding windows: then each reply comes from a whole evaluation, never from the cache."""
    seen = []

    class Forgetful:
        def handle_chat_completions(self, body: dict[str, Any], receive: Any = lambda chunk: None) -> None:
            seen.append(body["cache_prompt"])
            answer = {"content": "cold" if not body["cache_prompt"] else "warm"}
            receive({"id": "1", "choices": [{"delta": answer, "finish_reason": None}]})
            usage = {"prompt_tokens": 9, "completion_tokens": 1}
            receive({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage, "timings": {"prompt_n": 9}})

    engine = LocalEngine(path)
    engine._server = Forgetful()
    assert [engine.complete(ask("x")).text for _ in range(2)] == ["cold", "cold"]
    assert seen == [False, True, False] * 2


def test_usage_and_finish_reason(engine: LocalEngine) -> None:
    cut = engine.complete(ask("Count from one to a hundred.", max_tokens=5))
    assert cut.finish_reason == "length"
    assert cut.usage.output_tokens == 5 and (cut.usage.input_tokens or 0) > 5
    whole = engine.complete(ask("Say it.", max_tokens=50, extensions={"grammar": 'root ::= "yes."'}))
    assert (whole.text, whole.finish_reason) == ("yes.", "stop")


def test_a_ban_moves_the_choice(engine: LocalEngine) -> None:
    grammar = 'root ::= "a" (" cat" | " dog")'

    def count(bias: float) -> int:
        extensions = {"grammar": grammar, "logit_bias": [[" cat", bias]], "min_p": 0.0}
        return sum(engine.complete(ask("Name one.", seed=s, extensions=extensions)).text == "a cat" for s in range(4))

    # Not to 0: under a grammar this narrow the word is also spelled with other tokens.
    assert count(30.0) == 4 > count(-30.0)


def test_stop_system_and_schema_reach_the_model(engine: LocalEngine) -> None:
    stopped = engine.complete(ask("x", stop=("b",), extensions={"grammar": 'root ::= "aaba"'}))
    assert stopped.text == "aa"
    short, long = (engine.complete(ask("x", system=s)).usage.input_tokens or 0 for s in ("Hi.", FORTY_WORDS))
    assert long > short + 20
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    shape = {"type": "json_schema", "name": "r", "schema": schema}
    reply = engine.complete(ask("Give n = 7 as JSON.", max_tokens=60, response_format=shape))
    if reply.finish_reason == "stop":
        assert isinstance(json.loads(reply.text or "")["n"], int)


def test_as_a_dspy_lm_with_typed_output(engine: LocalEngine) -> None:
    lm = dspy.LM("local/small@test", engine=engine, cache=False, temperature=0.0, max_tokens=100)
    assert lm.supports_response_schema
    assert lm("Say hello.")[0]
    assert lm.history[-1]["usage"]["completion_tokens"] > 0


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
    with pytest.raises(ContextLengthError, match="exceeds the available context size"):
        engine.complete(ask("a b " * 1000))
    with pytest.raises(UnsupportedFeatureError, match="takes no mirostat"):
        engine.complete(ask("x", extensions={"mirostat": 2}))
    picture = Message.user([TextPart(text="x"), ImagePart(media_type="image/png", data="AAAA")])
    with pytest.raises(UnsupportedFeatureError, match="text only"):
        engine.complete(Request(model="m", messages=(picture,)))
    with pytest.raises(UnsupportedFeatureError, match="tools"):
        engine.complete(Request(model="m", messages=(Message.user("x"),), tools=(FunctionTool(name="f"),)))
    assert engine.complete(ask("x")).text is not None  # and the engine still works
    capfd.readouterr()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": {"code": 500, "message": "boom", "type": "server_error"}}, ServerError),
        ({"error": {"code": 400, "message": "bad", "type": "invalid_request_error"}}, InvalidRequestError),
        (ValueError("no such key"), InvalidRequestError),
        (RuntimeError("broken"), ServerError),
    ],
)
def test_runtime_errors_are_mapped(path: Path, answer: Any, error: type[Exception]) -> None:
    class Failing:
        def handle_chat_completions(self, body: dict[str, Any]) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    engine = LocalEngine(path)
    engine._server = Failing()
    with pytest.raises(error):
        engine.complete(ask("x"))


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_is_named(path: Path, tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.gguf"
    with path.open("rb") as file:
        bad.write_bytes({"cut": file.read(4_000_000), "text": b"hello", "empty": b""}[damage])
    with pytest.raises(InputError, match=r"bad\.gguf' is damaged or not a GGUF language model"):
        LocalEngine(bad).load()
    capfd.readouterr()


def test_a_missing_file_and_a_missing_runtime_are_explained(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="there is no model file"):
        LocalEngine(tmp_path / "none.gguf").load()
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(InputError, match=re.escape(to_install("local"))):
        LocalEngine(path).load()


def test_a_missing_libgomp_is_explained(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "raise ImportError('libgomp.so.1: cannot open shared object file')"
    (tmp_path / "xllamacpp.py").write_text(broken)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"libgomp\.so\.1.*apt-get install libgomp1"):
        LocalEngine(path).load()


def test_names_stand_for_installed_weights(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "find", lambda name: path if name == "small" else None)
    for name in ("local", "local/small"):
        engine, model = local_lm(name)
        assert (engine.path, model) == (path, "local/SmolLM2-135M-Instruct.Q4_1@b179c9523d0e")
    with pytest.raises(InputError, match=r"'large' is not installed; run `ipo models pull large` \(1117 MB\)"):
        local_lm("local/large")
    monkeypatch.setattr(weights, "find", lambda name: None)
    with pytest.raises(InputError, match="run `ipo models pull base`"):
        local_lm("local")
    with pytest.raises(InputError, match="there is no local model 'huge'"):
        local_lm("local/huge")
    with pytest.raises(InputError, match=r"there is no model file '.*none\.gguf'"):
        local_lm(f"local/{tmp_path}/none.gguf")


def test_an_own_file_is_named_by_its_hash_which_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPO_CACHE_DIR", str(tmp_path / "cache"))
    own = tmp_path / "my.model.gguf"
    own.write_bytes(b"abc")
    assert local_lm(f"local/{own}")[1] == "local/my.model@ba7816bf8f01"
    own.write_bytes(b"abcd")
    engine, model = local_lm(f"local/{own}")
    assert (engine.path, model) == (own, "local/my.model@88d4266fd4e6")


def test_a_reply_that_nobody_waits_for_ends_at_its_next_token(engine: LocalEngine) -> None:
    engine.load()
    ended: list[BaseException] = []

    def long() -> Any:
        try:
            return engine.complete(ask("Count.", max_tokens=900, extensions={"grammar": "root ::= [a-z ]{400,}"}))
        except BaseException as error:
            ended.append(error)
            raise

    with pytest.raises(NoAnswer):
        answer_within(long, 0.5, lambda seconds: None)
    assert engine.complete(ask("Say hi.", max_tokens=2)).text, "the model is free again"
    assert isinstance(ended[0], GivenUp), "it did not write all of its 900 tokens"
