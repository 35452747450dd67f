import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.lm15 import RateLimitError, Usage

from ipo_prompts.metrics.clock import BudgetReached, Clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.ledger import Ledger, bound_tokens, explain
from ipo_prompts.programs.lm.recording import Attempts, RecordedEngine, Recorder
from ipo_prompts.programs.lm.replies import ReplyFile
from ipo_prompts.programs.lm.transport import UnreadableReply
from ipo_prompts.programs.record.journal import Journal, read


def two_cents(tokens_in: int, tokens_out: int) -> float:
    return 0.01 * tokens_in + 0.01 * tokens_out


def lm_of(engine: Any, journal: Journal, ledger: Ledger | None = None, **options: Any) -> tuple[Any, Recorder]:
    recorder = Recorder(journal, ledger or Ledger(), options.pop("replies", None))
    price, cache = options.pop("price", two_cents), options.pop("cache", None)
    wrapped = RecordedEngine(recorder, engine, "optimizer", "m", price, cache)
    return dspy.LM("m/m", engine=wrapped, cache=False, num_retries=options.pop("num_retries", 0)), recorder


def test_request_and_reply_are_on_disk(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("hello")
    journal = Journal(tmp_path)
    lm, recorder = lm_of(engine, journal)
    assert lm("hi") == ["hello"]
    event = next(e for e in read(tmp_path) if e["type"] == "lm")
    assert event["request"]["messages"][0]["parts"][0]["text"] == "hi"
    assert event["reply"]["message"]["parts"][0]["text"] == "hello"
    assert (event["tokens_in"], event["tokens_out"], event["usd"]) == (100, 20, pytest.approx(1.2))
    assert recorder.ledger.usd == pytest.approx(1.2)
    journal.close()


def test_a_resumed_run_asks_nothing_twice(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("one", "two", "three")
    journal = Journal(tmp_path)
    lm, first = lm_of(engine, journal)
    assert [lm("q")[0], lm("q")[0]] == ["one", "two"]  # the same question twice: two places
    journal.close()
    journal = Journal(tmp_path)
    lm, second = lm_of(engine, journal)
    assert [lm("q")[0], lm("q")[0], lm("q")[0]] == ["one", "two", "three"]
    assert len(engine.requests) == 3
    assert second.ledger.tokens == first.ledger.tokens + 120
    journal.close()
    assert sum(event["type"] == "lm" for event in read(tmp_path)) == 3


def test_replay_answers_from_another_run_and_never_asks(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("one")
    journal = Journal(tmp_path / "a")
    lm, _ = lm_of(engine, journal)
    lm("q")
    journal.close()
    journal = Journal(tmp_path / "b")
    lm, _ = lm_of(None, journal, replies=read(tmp_path / "a"))
    assert lm("q") == ["one"]
    with pytest.raises(dspy.LMError) as caught:
        lm("something else")
    assert isinstance(explain(caught.value), InputError)
    journal.close()
    assert sum(event["type"] == "lm" for event in read(tmp_path / "b")) == 1


def test_errors_are_recorded_and_retried_by_dspy(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted(RateLimitError("slow down", retry_after=0.01), "fine")
    journal = Journal(tmp_path)
    lm, _ = lm_of(engine, journal, num_retries=1)
    assert lm("q") == ["fine"]
    journal.close()
    assert [event["type"] for event in read(tmp_path)] == ["lm_error", "lm"]


def test_what_is_no_answer_is_asked_for_once_and_counts_though_it_is_free(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted(UnreadableReply("no chat completion"), "one")
    journal = Journal(tmp_path)
    lm, recorder = lm_of(engine, journal, price=lambda tokens_in, tokens_out: 0.0)
    with pytest.raises(dspy.LMError, match="no chat completion"):
        lm("question", max_tokens=50)
    journal.close()
    assert len(engine.requests) == 1
    used = recorder.ledger.roles["optimizer"]
    assert used.tokens_in >= len("question")
    assert (used.tokens_out, used.usd) == (50, 0.0)
    again = Recorder(Journal(tmp_path), Ledger())
    RecordedEngine(again, engine, "optimizer", "m", two_cents)
    assert again.ledger.tokens == recorder.ledger.tokens, "it stays counted"


def test_what_was_lost_is_spent_once_by_the_role_that_asked(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted(UnreadableReply("no chat completion"))
    journal = Journal(tmp_path)
    lm, recorder = lm_of(engine, journal)
    with pytest.raises(dspy.LMError):
        lm("question", max_tokens=50)
    journal.close()
    again = Recorder(Journal(tmp_path), Ledger())
    for role in ("describer", "optimizer", "optimizer"):  # a role may have two language models
        RecordedEngine(again, engine, role, "m", two_cents)
    assert again.ledger.roles["describer"].tokens_in == 0
    assert again.ledger.tokens == recorder.ledger.tokens > 50
    assert again.ledger.usd == recorder.ledger.usd


def test_its_own_record_comes_before_that_of_another_run(tmp_path: Path, scripted: Any) -> None:
    for name, reply in (("theirs", "two"), ("ours", "one")):
        _, engine = scripted(reply)
        journal = Journal(tmp_path / name)
        lm_of(engine, journal)[0]("q")
        journal.close()
    journal = Journal(tmp_path / "ours")
    lm, _ = lm_of(None, journal, replies=read(tmp_path / "theirs"))
    assert lm("q") == ["one"]
    journal.close()


class Watched(threading.Condition):
    """Says that somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.set()
        return super().wait(timeout)


@pytest.mark.parametrize("limit", [{"limit_usd": 1.0}, {"limit_tokens": 100}])
def test_two_calls_that_pass_a_limit_together_are_made_one_after_the_other(limit: dict[str, Any]) -> None:
    watched, order = Watched(), []
    ledger = Ledger(**limit, _change=watched)

    def second() -> None:
        with ledger.reserve(tokens=60, usd=0.6):
            order.append("second")

    other = threading.Thread(target=second)
    with ledger.reserve(tokens=60, usd=0.6):
        other.start()
        assert watched.waiting.wait(5)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    with ledger.reserve(tokens=40, usd=0.4), ledger.reserve(tokens=60, usd=0.6):
        pass  # together they reach the limit, and do not pass it


def test_nothing_is_asked_for_a_run_directory_that_is_gone(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("one", "two")
    journal = Journal(tmp_path / "run")
    lm, _ = lm_of(engine, journal)
    assert lm("q") == ["one"]
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(dspy.LMError) as caught:
        lm("q")
    assert "was moved or deleted" in str(explain(caught.value))
    assert len(engine.requests) == 1
    journal.close()


def test_the_budget_stops_before_the_call_that_could_pass_it(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("one", "two")
    journal = Journal(tmp_path)
    lm, recorder = lm_of(engine, journal, Ledger(limit_tokens=5000))
    lm("q", max_tokens=100)
    with pytest.raises(dspy.LMError) as caught:
        lm("another", max_tokens=5000)
    assert isinstance(explain(caught.value), BudgetReached)
    assert len(engine.requests) == 1
    assert recorder.ledger.tokens == 120
    journal.close()


def test_dollars_are_bounded_over_all_roles(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("one", "two")
    journal = Journal(tmp_path)
    recorder = Recorder(journal, Ledger(limit_usd=3.0))
    models = [
        dspy.LM("m/m", engine=RecordedEngine(recorder, engine, role, "m", two_cents), cache=False, num_retries=0)
        for role in ("optimizer", "describer")
    ]
    models[0]("q", max_tokens=20)
    with pytest.raises(dspy.LMError) as caught:
        models[1]("q", max_tokens=150)
    assert "$3" in str(explain(caught.value))
    journal.close()


def test_an_unknown_price_stays_unknown(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("one")
    journal = Journal(tmp_path)
    lm, recorder = lm_of(engine, journal, price=lambda tokens_in, tokens_out: None)
    lm("q")
    assert recorder.ledger.usd is None
    journal.close()


@pytest.mark.parametrize("told", [(0, 20), (100, 0), (0, 0), (100, 20)])
def test_what_a_server_leaves_out_is_booked_at_its_bound(tmp_path: Path, scripted: Any, told: tuple[int, int]) -> None:
    _, engine = scripted("one")
    answer, usage = engine.complete, Usage(input_tokens=told[0], output_tokens=told[1])
    engine.complete = lambda request: replace(answer(request), usage=usage)
    journal = Journal(tmp_path)
    lm_of(engine, journal)[0]("q", max_tokens=50)
    journal.close()
    (event,) = [event for event in read(tmp_path) if event["type"] == "lm"]
    booked = told[0] or bound_tokens(event["request"]), told[1] or 50
    assert (event["tokens_in"], event["tokens_out"], event.get("bound", False)) == (*booked, told != (100, 20))


def test_an_engine_is_asked_for_its_abilities_and_for_nothing_else(scripted: Any) -> None:
    _, engine = scripted()
    wrapped = RecordedEngine(Recorder(None, Ledger()), engine, "optimizer", "m", two_cents)
    engine.supports_reasoning = engine.other = True
    assert wrapped.supports_reasoning is True and wrapped.supports_function_calling is False
    assert not hasattr(wrapped, "other")


def test_pauses_double_or_are_what_the_server_asks_for_within_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("ipo_prompts.metrics.clock.pause", lambda seconds, tell: paused.append(seconds))
    free, limited = Attempts(Ledger(), "m"), Attempts(Ledger(clock=Clock(limit=1000)), "m")
    for _ in range(3):
        free.wait_after(RateLimitError("busy"))
    for seconds in (7, 700, 5000):
        limited.wait_after(RateLimitError("busy", retry_after=seconds))
    assert paused == [1, 2, 4, 7, 700, pytest.approx(1000, abs=60)]
    for attempts in (free, limited):
        with pytest.raises(RateLimitError, match="busy"):
            attempts.wait_after(RateLimitError("busy"))
    with pytest.raises(RateLimitError, match=r"the server asked for 700 s; .* allows longer waits"):
        Attempts(Ledger(), "m").wait_after(RateLimitError("busy", retry_after=700))


def test_an_attempt_ends_with_its_own_limit_or_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipo_prompts.metrics.clock.answer_within", lambda complete, seconds, tell: seconds)
    limited = Attempts(Ledger(clock=Clock(limit=1000)), "m")
    found = [limited.ask(int, timeout) for timeout in (30, 5000, None)]
    assert found == [30, pytest.approx(1000, abs=60), pytest.approx(1000, abs=60)]
    assert [Attempts(Ledger(), "m").ask(int, timeout) for timeout in (30, None)] == [30, None]


def test_paid_replies_are_used_again_and_cost_nothing(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("one")
    cache = ReplyFile(tmp_path / "cache" / "replies.sqlite")
    for run in ("a", "b"):
        journal = Journal(tmp_path / run)
        lm, recorder = lm_of(engine, journal, cache=cache)
        assert lm("q") == ["one"]
        journal.close()
    assert len(engine.requests) == 1
    usage = recorder.ledger.roles["optimizer"]
    assert (usage.calls, usage.cached, usage.tokens_in, usage.usd) == (1, 1, 0, 0.0)


def test_pictures_are_journaled_by_digest(tmp_path: Path, scripted: Any) -> None:
    _, engine = scripted("[[ ## text ## ]]\na red square")
    journal = Journal(tmp_path)
    lm, _ = lm_of(engine, journal)
    picture = "data:image/png;base64," + "A" * 4000
    with dspy.context(lm=lm):
        dspy.Predict("image: dspy.Image -> text")(image=dspy.Image(picture))
    journal.close()
    text = (tmp_path / "journal.jsonl").read_text()
    assert "AAAA" not in text
    assert "sha256_of_base64" in text


def test_the_time_limit_counts_earlier_sessions() -> None:
    with pytest.raises(BudgetReached, match="2 minutes"):
        Clock(limit=120, before=121).check_time()
    Clock(limit=120, before=60).check_time()


@pytest.mark.parametrize(
    "change", [{"index": "0"}, {"tokens_in": None}, {"reply": {}}, {"reply": {"message": 3}}, {"waited": [1]}]
)
def test_a_recorded_reply_of_another_form_is_one_sentence(tmp_path: Path, scripted: Any, change: Any) -> None:
    _, engine = scripted("one")
    journal = Journal(tmp_path)
    lm_of(engine, journal)[0]("q")
    journal.close()
    changed = [event | change if event["type"] == "lm" else event for event in read(tmp_path)]
    other = Journal(tmp_path / "other")
    with pytest.raises(InputError, match="not as this version writes it"):
        Recorder(other, Ledger(), changed)
    for name in change:
        renamed = [{key: value for key, value in event.items() if key != name} for event in read(tmp_path)]
        with pytest.raises(InputError, match=f"{name}.* is missing"):
            Recorder(other, Ledger(), renamed)
    other.close()


def test_a_damaged_reply_cache_is_not_thrown_away(tmp_path: Path) -> None:
    file = tmp_path / "replies.sqlite"
    file.write_bytes(b"no database" * 500)
    with pytest.raises(InputError, match="then they are paid for again"):
        ReplyFile(tmp_path / "replies.sqlite")
    assert file.read_bytes() == b"no database" * 500


@pytest.mark.parametrize("harm", ["reply = replace(reply, 'one', 'two')", "crc = crc + 1", "reply = x'00'"])
def test_an_edited_reply_is_not_believed(
    harm: str, tmp_path: Path, scripted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, engine = scripted("one", "another")
    for run, expected in (("a", "one"), ("b", "another"), ("c", "another")):
        cache, journal = ReplyFile(tmp_path / "replies.sqlite"), Journal(tmp_path / run)
        lm, _ = lm_of(engine, journal, cache=cache)
        assert lm("q") == [expected]
        journal.close()
        if run == "a":
            cache.use(lambda database: database.execute(f"UPDATE replies SET {harm}") and database.commit())
    assert len(engine.requests) == 2
    assert caplog.text.count("is not as it was written; it is asked for again") == 1


def test_a_reply_that_cannot_be_kept_is_still_an_answer(
    tmp_path: Path, scripted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, engine = scripted("one")
    cache, journal = ReplyFile(tmp_path / "replies.sqlite"), Journal(tmp_path / "run")
    cache.use(lambda database: database.execute("DROP TABLE replies"))
    cache._schema = ""
    cache.get = lambda request: None  # type: ignore[method-assign]
    lm, _ = lm_of(engine, journal, cache=cache)
    assert lm("q") == ["one"]
    journal.close()
    assert "a reply is not kept for other runs" in caplog.text
