"""The recorded engine on a real HTTP server: what is asked, what is booked, and what is never asked twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest

from ipo_prompts.metrics.clock import BudgetReached, Clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm import connect
from ipo_prompts.programs.lm.connect import Backend, find_backend
from ipo_prompts.programs.lm.ledger import FILE_NAME, Ledger, Question, explain, read_questions
from ipo_prompts.programs.lm.replies import was_cut_off
from support.openai_server import OpenAIServer, Reply, error, running

KEY = "sk-a-key-of-the-tests-0123456789"
TEXT = "a sketch of a <CLASS>."


@pytest.fixture()
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    for name in ("OPENAI", "ANTHROPIC", "GEMINI", "HOSTED_VLLM", "TOGETHER_AI", "TOGETHERAI"):
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
    with running() as found:
        found.behave = lambda asked: Reply(TEXT)
        yield found


def lm_of(server: OpenAIServer, ledger: Ledger, name: str = "openai/gpt-4o-mini", most: int = 50) -> dspy.LM:
    return find_backend(name, role="optimizer", api_base=server.base).connect(ledger, "optimizer", 1.0, most)


def ask(lm: dspy.LM, text: str = "Say something.") -> str:
    try:
        return str(lm(text)[0])
    except dspy.LMError as failed:
        raise explain(failed) from failed


def states(folder: Path) -> list[str]:
    return [question.state for question in read_questions(folder)]


def test_a_question_is_booked_before_it_is_sent_and_its_reply_is_kept(server: OpenAIServer, tmp_path: Path) -> None:
    then: list[Question] = []
    server.on_request = lambda asked: then.extend(read_questions(tmp_path))
    assert ask(lm_of(server, Ledger(tmp_path))) == TEXT
    (before,), (after,) = then, read_questions(tmp_path)
    assert (before.state, before.tokens_out, before.messages) == ("asked", 50, (("user", "Say something."),))
    assert before.tokens_in >= len("Say something.") and (before.usd or 0) > 0
    assert (after.state, after.text, after.finish) == ("answered", TEXT, "stop")
    assert (after.tokens_in, after.tokens_out) == (3, 5)
    assert after.settings == {"temperature": 1.0, "max_tokens": 50}
    assert KEY not in (tmp_path / FILE_NAME).read_text()


def test_a_reply_that_comes_after_its_directory_was_moved_goes_along(server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    server.on_request = lambda asked: (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"moved or deleted .* move it back and resume"):
        ask(lm_of(server, Ledger(tmp_path / "run")))
    assert states(tmp_path / "moved") == ["answered"]


def test_a_resumed_run_asks_nothing_twice_at_whatever_byte_it_was_killed(server: OpenAIServer, tmp_path: Path) -> None:
    numbers = iter(range(100))
    server.behave = lambda asked: Reply(f"answer {next(numbers)}")
    lm = lm_of(server, Ledger(tmp_path))
    told = [ask(lm), ask(lm), ask(lm, "Another question.")]  # the same question twice has two answers
    whole = (tmp_path / FILE_NAME).read_bytes()
    for end in [*range(0, len(whole), 97), len(whole)]:
        (tmp_path / FILE_NAME).write_bytes(whole[:end])
        known = states(tmp_path).count("answered")
        server.asked.clear()
        ledger = Ledger(tmp_path)
        lm = lm_of(server, ledger)
        again = [ask(lm), ask(lm), ask(lm, "Another question.")]
        assert len(server.asked) == 3 - known
        assert again[:known] == told[:known]
        assert states(tmp_path).count("answered") == 3
        assert sum(usage.calls for usage in ledger.roles.values()) == 3


@pytest.mark.parametrize(
    ("given", "least", "threads"),
    [
        ({"limit_tokens": 600}, 1, 1),
        ({"limit_usd": 0.0002}, 3, 1),
        ({"limit_tokens": 1_000}, 1, 12),
    ],
)
def test_no_limit_is_passed(
    server: OpenAIServer, tmp_path: Path, given: dict[str, Any], least: int, threads: int
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    server.behave = lambda asked: Reply(TEXT, usage=usage)
    ledger = Ledger(tmp_path, **given)
    lm = lm_of(server, ledger)

    def one(number: int) -> bool:
        try:
            ask(lm, f"Question {number}.")
        except BudgetReached:
            return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        answered = sum(pool.map(one, range(12)))
    assert least <= answered < 12 and answered == len(server.asked)
    assert ledger.reached is not None
    assert ledger.tokens <= given.get("limit_tokens", 10_000)
    assert (ledger.usd or 0) <= given.get("limit_usd", 1)
    if threads == 1:
        with pytest.raises(BudgetReached):  # also in the next session
            ask(lm_of(server, Ledger(tmp_path, **given)), "One more.")


def broken(**reply: Any) -> Reply:
    return Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", reset=True, **reply)


def listed(text: Any, **usage: Any) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    whole = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], **usage}
    return Reply(body=json.dumps(whole))


FAILING = {
    "401": (error(401, "Incorrect API key provided."), "Incorrect API key provided", 1, "refused"),
    "429 for ever": (error(429, "slow down"), "slow down", 4, "refused"),
    "500 for ever": (error(500, "broken"), "broken", 4, "refused"),
    "HTML": (Reply(body="<html>It works!</html>"), "It works!", 1, "lost"),
    "a hang": (Reply("late", wait=9), "no answer within 1 s", 4, "lost"),
    "a trickle": (Reply("late", drip=0.3), "no answer within 1 s", 4, "lost"),
    "a broken connection": (broken(), "", 4, "lost"),
    "a redirect": (Reply(status=307, headers={"Location": "http://127.0.0.1:9/v1"}), "", 1, None),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_reply_that_does_not_come_is_one_sentence_and_booked_if_it_may_be_billed(
    case: str, server: OpenAIServer, tmp_path: Path, quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "TIMEOUT_SECONDS", 1.0)
    reply, said, requests, state = FAILING[case]
    server.behave = lambda asked: reply
    ledger = Ledger(tmp_path)
    with pytest.raises(dspy.LMError) as caught:
        ask(lm_of(server, ledger))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert len(server.asked) == requests
    questions = read_questions(tmp_path)
    assert len(questions) == requests and all(question.error for question in questions)
    if state:
        assert states(tmp_path) == [state] * requests
        assert (ledger.tokens > 0) == (state == "lost")
    assert KEY not in (tmp_path / FILE_NAME).read_text()


def test_nobody_there(tmp_path: Path, server: OpenAIServer, quick: list[float]) -> None:
    ledger = Ledger(tmp_path)
    lm = lm_of(server, ledger)
    server.stop()
    with pytest.raises(dspy.LMTransportError):
        ask(lm)
    assert states(tmp_path) == ["refused"] * 4 and ledger.tokens == 0


@pytest.mark.parametrize("off", [False, True])
def test_only_the_last_reply_says_what_was_cut_off(off: bool, server: OpenAIServer) -> None:
    lm = lm_of(server, Ledger())
    server.script.append(Reply(TEXT, finish="length"))
    found = []
    for question in ("One.", "Two."):
        with dspy.context(lm=lm, disable_history=off):
            ask(lm, question)
            found.append(was_cut_off())
    assert found == [True, False]


@pytest.mark.parametrize("name", ["openai/gpt-4o-mini", "hosted_vllm/m"])
def test_a_rate_limit_is_waited_out_but_not_for_a_day(
    name: str, server: OpenAIServer, tmp_path: Path, quick: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.script.extend([error(429, "slow down", Retry_After="7"), error(429, "slow down", Retry_After="86400")])
    assert ask(lm_of(server, Ledger(tmp_path), name)) == TEXT
    assert [pause for pause in quick if pause > 1] == [7, 60]
    said = [one.getMessage() for one in caplog.records if one.name.startswith("ipo_prompts")]
    assert [line[-4:] for line in said] == [" 7 s", "60 s"] and f"{name} asks to wait" in said[0]
    assert states(tmp_path) == ["refused", "refused", "answered"]


READ = {
    "a list of parts": (listed([{"type": "text", "text": TEXT}]), TEXT),
    "no usage": (Reply(TEXT, usage=None), TEXT),
    "half a character": (Reply("a \ud83d <CLASS>"), "a \ufffd <CLASS>"),
    "brackets": (Reply("[" * 200_000), "[" * 16_384),
}


@pytest.mark.parametrize("case", READ)
def test_odd_replies_are_read(case: str, server: OpenAIServer, tmp_path: Path) -> None:
    reply, text = READ[case]
    server.behave = lambda asked: reply
    ledger = Ledger(tmp_path)
    assert ask(lm_of(server, ledger)) == text
    assert len(server.asked) == 1
    (question,) = read_questions(tmp_path)
    if case in ("a list of parts", "no usage"):
        assert question.tokens_in > 50 and question.tokens_out == 50, "the bound is booked"
    assert ask(lm_of(server, Ledger(tmp_path))) == text


def bedrock(asked: Any) -> Reply:
    message = {"role": "assistant", "content": [{"text": TEXT}]}
    usage = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}
    whole = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
    return Reply(body=json.dumps(whole))


def test_a_provider_with_a_form_and_a_key_of_its_own_is_asked(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    monkeypatch.setenv("AWS_REGION_NAME", "us-east-1")
    server.behave = bedrock
    address = server.base.removesuffix("/v1")
    backend = find_backend("bedrock/amazon.nova-lite-v1:0", role="optimizer", api_base=address)
    ledger = Ledger(tmp_path)
    assert ask(backend.connect(ledger, "optimizer", 1.0, 50)) == TEXT
    assert KEY in server.asked[0].headers["authorization"] and ledger.tokens == 8 and ledger.usd


@pytest.mark.parametrize("name", ["hosted_vllm/m", "together_ai/m"])
def test_every_provider_of_litellm_is_asked(name: str, server: OpenAIServer, tmp_path: Path) -> None:
    """DSPy itself does not know the last of them."""
    assert ask(lm_of(server, Ledger(tmp_path), name)) == TEXT
    assert server.asked[0].body["model"] == "m"
    assert KEY in server.asked[0].headers["authorization"]
    server.behave = lambda asked: Reply(body="<html>It works!</html>")
    with pytest.raises(dspy.LMError):
        ask(lm_of(server, Ledger(tmp_path)), "Another question.")
    assert len(server.asked) == 2, "an answer that nobody can read is paid for once"


def test_the_time_limit_ends_a_wait(server: OpenAIServer, tmp_path: Path) -> None:
    server.behave = lambda asked: Reply("late", wait=9)
    waits: list[Any] = []
    ledger = Ledger(tmp_path, clock=Clock(minutes=0.02))
    ledger.on_wait = waits.append
    lm = lm_of(server, ledger)
    with pytest.raises(BudgetReached, match="minutes"):
        ask(lm)
    assert "the limit ends the wait" in str(waits[0]) and waits[-1] is None


def test_another_run_answers_what_it_was_asked_and_nothing_else(server: OpenAIServer, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    ask(lm_of(server, Ledger(tmp_path / "a")))
    for _ in range(2):
        replayed = find_backend(f"replay/{tmp_path / 'a'}", role="optimizer")
        ledger = Ledger(tmp_path / "b")
        lm = replayed.connect(ledger, "optimizer", 1.0, 50)
        assert ask(lm) == TEXT
        assert states(tmp_path / "b").count("answered") == 1
        with pytest.raises(InputError, match="no reply to this request of the optimizer"):
            ask(lm)
    assert len(server.asked) == 1
    with pytest.raises(InputError, match="recorded no reply of the describer"):
        find_backend(f"replay/{tmp_path / 'a'}", role="describer")


def test_a_damaged_line_in_the_middle_and_a_link_are_refused(server: OpenAIServer, tmp_path: Path) -> None:
    lm = lm_of(server, Ledger(tmp_path))
    ask(lm)
    file = tmp_path / FILE_NAME
    whole = file.read_text()
    for line in ("{}", "[", '{"id": 0, "tokens_in": "many"}', '{"id": 0, "finish": 3}'):
        file.write_text(f"{whole}{line}\n{whole}")
        with pytest.raises(InputError, match=r"replies\.jsonl is damaged in line 3"):
            Ledger(tmp_path)
    file.unlink()
    (tmp_path / "elsewhere").write_text("")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"):
        Ledger(tmp_path)


def test_a_model_of_the_users_own_keeps_its_options_history_and_callbacks(server: OpenAIServer, tmp_path: Path) -> None:
    own = dspy.LM("openai/m", api_base=server.base, api_key="none", temperature=0.3, max_tokens=77, num_retries=0)
    lm = Backend.of(own).connect(Ledger(tmp_path), "optimizer", 1.0, 1024)
    assert ask(lm) == TEXT
    assert server.asked[0].body["temperature"] == 0.3
    assert own.history and read_questions(tmp_path)[0].tokens_in == 3
    server.behave = lambda asked: error(500, "broken")
    with pytest.raises(dspy.LMError):
        ask(lm, "Another question.")
    assert len(server.asked) == 2, "it wants no retries"


def test_the_same_question_of_two_threads_is_asked_twice(server: OpenAIServer, tmp_path: Path) -> None:
    barrier = threading.Barrier(2, timeout=20)
    server.on_request = lambda asked: barrier.wait()  # type: ignore[assignment,return-value]
    lm = lm_of(server, Ledger(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda number: ask(lm), range(2))) == [TEXT, TEXT]
    assert states(tmp_path) == ["answered", "answered"]
