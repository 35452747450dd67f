"""The one runner below `IPO.compile` and the command: limits, and any language model, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
import pytest
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.clients.cache import Cache
from dspy.utils import DummyLM
from dspy.utils.callback import BaseCallback

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs import IPO, ImageDescriber, TemplateClassifier, naming
from ipo_prompts.programs.lm.ledger import bound_tokens
from ipo_prompts.programs.record.journal import Journal, line_of, read
from ipo_prompts.programs.strategies.base import Known
from ipo_prompts.programs.strategies.compose import Compose
from ipo_prompts.programs.strategies.history import HistoryStrategy, NoHistory
from ipo_prompts.programs.templates.admission import Desk
from support.dspy_cache import forget
from support.openai_server import Asked, OpenAIServer, Reply, error, good, running
from support.template_lm import filled_in

Compiled = Callable[..., Any]


def answer(asked: Asked) -> Reply:
    """Answer what we ask, and what a module of someone's own asks."""
    ours = "[[ ## count ## ]]" in asked.text or asked.pictures
    return good(asked) if ours else Reply(filled_in(asked.text, "a flat thing"))


@pytest.fixture()
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with running() as server:
        server.behave = answer
        monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        yield server


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cache:
    """A cache of DSPy that remembers nothing of other tests."""
    return forget(monkeypatch, tmp_path)


@pytest.fixture()
def compiled(clip: Clip) -> Compiled:
    """Compile on ten classes, in four steps that ask a language model."""
    whole = load_data("embedded", seed=0)
    parts = {part: tuple(i for i in whole.part(part) if i.label < 10) for part in ("train", "val", "test")}
    drawn = draw(replace(whole, class_names=whole.class_names[:10], **parts), 1, 1, 0)
    sets = {"trainset": drawn.examples("search"), "valset": drawn.examples("selection")}
    student = TemplateClassifier(clip, drawn.class_names)

    def compile_(**words: Any) -> Any:
        ipo = IPO(**{"strategy": "history", "describer": None, "steps": 4, "candidates_per_step": 2, **words})
        return ipo.compile(student, **sets)

    return compile_


@pytest.fixture()
def lm(server: OpenAIServer) -> Callable[..., dspy.LM]:
    """Make a language model as users do; it asks the local server."""

    def make(model: str = "openai/gpt-4o-mini", **words: Any) -> dspy.LM:
        asks = {"api_base": server.base, "api_key": "none", "cache": False, "temperature": 1.0, "max_tokens": 300}
        return dspy.LM(model, **{**asks, **words})

    return make


def found(program: Any) -> tuple[Any, ...]:
    """Return what two searches share that found the same."""
    return program.template, program.trial_logs, program.search.descriptions, program.search.ended


def sent(asked: Asked) -> dict[str, Any]:
    """Return the options of a request. The limit of a reply has two names, and litellm is given the newer one."""
    body = {key: value for key, value in asked.body.items() if key not in ("messages", "n")}
    most = body.pop("max_tokens", None) or body.pop("max_completion_tokens", None)
    return {**body, "most": most}


class Two(dspy.Module):  # type: ignore[misc]
    """A describer with two predictors, each with a language model of its own; the second is inside a list."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__()
        self.look, self.more = dspy.Predict("task -> look"), [dspy.Predict("task -> words")]
        self.look.lm, self.more[0].lm = first, second

    def forward(self, pictures: Any, labels: Any, class_names: Any, task: str) -> dspy.Prediction:
        return dspy.Prediction(descriptions=[self.look(task=task).look, self.more[0](task=task).words])


class AtOnce(Two):
    """Asks from many threads; DSPy cancels the others where one of them fails, and says no more than that."""

    def forward(self, pictures: Any, labels: Any, class_names: Any, task: str) -> dspy.Prediction:
        asked = [(self.look, dspy.Example(task=f"{task} {i}").with_inputs("task")) for i in range(20)]
        answers = dspy.Parallel(num_threads=2, disable_progress_bar=True, max_errors=3)(asked)
        return dspy.Prediction(descriptions=[one.look for one in answers])


class Replaces(Two):
    """Replaces what arises below it by an error of its own."""

    def forward(self, pictures: Any, labels: Any, class_names: Any, task: str) -> dspy.Prediction:
        try:
            return super().forward(pictures, labels, class_names, task)
        except Exception:
            raise RuntimeError("no description") from None


class Own:
    """A strategy of someone's own, with a predictor that asks its own language model or that of the context."""

    def __init__(self, lm: Any = None) -> None:
        self.write = dspy.Predict("task -> template")
        self.write.lm = lm

    def ask(self, known: Known, desk: Desk) -> None:
        desk.admit(f"a picture of <CLASS>, number {known.step}.")
        self.write(task=known.task, config={"rollout_id": known.seed})


# Limits


@pytest.mark.parametrize("limit", [{"budget_tokens": 3_700}, {"budget_usd": 0.00078}])
def test_a_limit_returns_the_best_so_far_and_a_larger_one_goes_on(
    limit: dict[str, Any], compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    describer = Two(lm(), lm())
    whole = compiled(lm=lm(), describer=describer, log_dir=tmp_path / "whole")
    asked = [one.same for one in server.asked]
    server.asked.clear()
    name, value = next(iter(limit.items()))
    stopped = compiled(lm=lm(), describer=describer, log_dir=tmp_path / "log", **limit)
    assert stopped.search.stopped and ("tokens" if name == "budget_tokens" else "$") in stopped.search.stopped
    assert 1 < len(stopped.search.steps) < 5
    assert stopped.template in {one.template for one in stopped.search.history}
    used = stopped.usage["optimizer"], stopped.usage["describer"]
    assert sum(one.tokens_in + one.tokens_out for one in used) <= 3_700
    assert sum(one.usd for one in used) <= 0.00078
    paid = len(server.asked)
    again = compiled(lm=lm(), describer=describer, log_dir=tmp_path / "log", **limit)
    assert (found(again)[:3], len(server.asked)) == (found(stopped)[:3], paid), "the same limit gives the same"
    more = compiled(lm=lm(), describer=describer, log_dir=tmp_path / "log", **{name: 100 * value})
    assert found(more) == found(whole)
    assert [one.same for one in server.asked] == asked, "nothing is asked twice"


def test_limits_hold_without_a_log(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    program = compiled(lm=lm(), budget_tokens=3_200)
    assert 0 < len(server.asked) < 4 and "3,200 tokens" in program.search.stopped
    server.asked.clear()
    assert compiled(lm=lm(), budget_tokens=100).search.stopped and not server.asked


def test_dollars_need_a_price_of_every_language_model(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    unknown = lm("openai/my-model")
    for words in (
        {"lm": unknown},
        {"lm": lm(), "describer": ImageDescriber(unknown, limit=1)},
        {"lm": lm(), "describer": Two(lm(), unknown)},
        {"strategy": HistoryStrategy(unknown)},
        {"lm": lm(), "strategy": Own(unknown)},
    ):
        with pytest.raises(
            InputError, match=r"^the price of openai/my-model is not known, so --budget-usd cannot be kept"
        ):
            compiled(budget_usd=1.0, **words)
        assert not server.asked
    assert compiled(lm=unknown, budget_tokens=100_000).search.stopped is None


def test_the_time_is_kept_with_a_slow_describer_and_by_steps_that_ask_nothing(compiled: Compiled) -> None:
    def slow(**_: Any) -> dspy.Prediction:
        time.sleep(0.4)
        return dspy.Prediction(descriptions=["grey"])

    program = compiled(strategy=["a dark <CLASS>."], describer=slow, max_minutes=0.3 / 60)
    assert program.search.stopped == "the time limit of 0.005 minutes is reached"
    assert (len(program.search.steps), program.search.descriptions) == (1, ("grey",))


def test_the_time_is_kept_with_a_language_model_that_hangs(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    server.behave = lambda asked: Reply("x", wait=60)
    for words in ({"lm": lm()}, {"lm": lm(), "describer": ImageDescriber(limit=1)}):
        started = time.monotonic()
        program = compiled(max_minutes=1 / 60, **words)
        assert "time limit" in program.search.stopped and time.monotonic() - started < 20


def test_seconds_of_all_earlier_sessions_count(compiled: Compiled, lm: Any, tmp_path: Path) -> None:
    for session in range(3):
        compiled(lm=lm(), log_dir=tmp_path, budget_tokens=2_000)
        (tmp_path / "journal.jsonl").open("ab").write(line_of({"type": "note", "seconds": 50.0 + session}))
    program = compiled(lm=lm(), log_dir=tmp_path, max_minutes=2.5)
    assert program.search.stopped == "the time limit of 2.5 minutes is reached"
    assert compiled(lm=lm(), log_dir=tmp_path, max_minutes=5).search.stopped is None


def test_what_earlier_sessions_did_is_done_again_though_the_time_is_up(compiled: Compiled, tmp_path: Path) -> None:
    looking: dict[str, Any] = {"strategy": {"name": "compose", "scored_templates": 20}, "log_dir": tmp_path, "steps": 3}
    whole = compiled(**looking)
    (tmp_path / "journal.jsonl").open("ab").write(line_of({"type": "note", "seconds": 100.0}))
    again = compiled(**looking, max_minutes=1)
    assert found(again) == found(whole)


@pytest.mark.parametrize("describer", [Two, AtOnce, Replaces])
def test_a_limit_inside_someones_own_describer_ends_the_search(
    describer: Any, compiled: Compiled, lm: Any, server: OpenAIServer
) -> None:
    program = compiled(lm=lm(), describer=describer(lm(), lm()), budget_tokens=600)
    assert "limit of 600 tokens" in program.search.stopped and len(program.search.history) == 1
    assert not server.asked or len(server.asked) < 4


def test_a_limit_inside_someones_own_strategy_keeps_what_it_handed_in(compiled: Compiled, lm: Any) -> None:
    program = compiled(strategy=Own(), lm=lm(), budget_tokens=1_300)
    assert "limit of 1,300 tokens" in program.search.stopped
    assert len(program.search.history) == len(program.search.steps) > 1


def test_a_fault_before_any_limit_stays_one(compiled: Compiled, lm: Any) -> None:
    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        compiled(lm=lm(), describer=broken, budget_tokens=100)


# Any language model


def test_options_reach_the_server_as_they_were(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    options = {"top_p": 0.5, "seed": 3, "stop": ["END"], "user": "me"}
    others = {"repetition_penalty": 1.1, "chat_template_kwargs": {"thinking": False}}
    for words, expected in (
        (options, {**options, "temperature": 1.0}),
        (others, {**others, "temperature": 1.0}),
        ({"extra_body": {"top_k": 5}}, {"top_k": 5, "temperature": 1.0}),
        ({"temperature": None, "max_tokens": None}, {}),
    ):
        asking = lm("hosted_vllm/any" if words is others else "openai/gpt-4o-mini", **words)
        asking("directly")
        direct = sent(server.asked[-1])
        assert compiled(lm=asking, steps=1).search.proposed > 0
        body = sent(server.asked[-1])
        assert body == direct and all(body[key] == value for key, value in expected.items())
        assert not {"drop_params", "extra_body"} & body.keys()
        assert server.asked[-1].headers["authorization"] == "Bearer none"


def test_models_that_reason_are_asked_as_dspy_asks_them(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    for most, expected in ((20_000, 20_000), (None, None)):
        program = compiled(lm=lm("openai/o3-mini", max_tokens=most), steps=1)
        assert server.asked[-1].body.get("max_completion_tokens") == expected
        assert "max_tokens" not in server.asked[-1].body
        assert program.usage["optimizer"].usd > 0


def test_a_second_compile_is_answered_by_the_cache_of_dspy(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    first = compiled(lm=lm(cache=True))
    asked = len(server.asked)
    second = compiled(lm=lm(cache=True), log_dir=tmp_path)
    assert (len(server.asked), found(second)) == (asked, found(first))
    usage = second.usage["optimizer"]
    assert (usage.calls, usage.cached, usage.tokens_in, usage.usd) == (asked, asked, 0, 0.0)
    assert all(event["cached"] and event["usd"] == 0 for event in read(tmp_path) if event["type"] == "lm")
    assert compiled(lm=lm(cache=True, chat_template_kwargs={"a": 1})).usage["optimizer"].cached == 0
    assert compiled(lm=lm(cache=True), seed=1).usage["optimizer"].cached == 0
    before = len(server.asked)
    compiled(lm=lm())
    assert len(server.asked) == before + asked, "cache=False"


def test_what_dspy_keeps_no_replies_of_is_asked_again(compiled: Compiled) -> None:
    models = [DummyLM([{"templates": f'["a {word} <CLASS>.", "one {word} <CLASS>."]'}] * 9) for word in ("big", "odd")]
    for dummy, word in zip(models, ("big", "odd"), strict=True):
        program = compiled(lm=dummy, steps=1)
        assert f"a {word} <CLASS>." in [one.template for one in program.search.history]
        assert dummy.history


class Legacy(dspy.BaseLM):  # type: ignore[misc]
    """A language model with a `forward` of its own, as DSPy allowed before engines."""

    def forward(self, prompt: Any = None, messages: Any = None, **options: Any) -> Any:
        self.asked = [*getattr(self, "asked", []), options]
        text = f'[[ ## templates ## ]]\n["a fine <CLASS> {len(str(messages))}."]\n\n[[ ## completed ## ]]'
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage, "model": "l"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_class_with_its_own_forward_is_recorded(compiled: Compiled, tmp_path: Path) -> None:
    program = compiled(lm=Legacy("legacy/model", temperature=0.5, max_tokens=50, top_q=3), steps=1, log_dir=tmp_path)
    assert program.usage["optimizer"].tokens_in > 0
    assert [event["reply"]["model"] for event in read(tmp_path) if event["type"] == "lm"]
    asked = Legacy("legacy/model", temperature=0.5, max_tokens=50, top_q=3)
    compiled(lm=asked, steps=1, log_dir=tmp_path)
    assert asked.history and not hasattr(asked, "asked"), "answered by the log"


def test_a_model_that_completes_texts_is_one_sentence(compiled: Compiled, lm: Any) -> None:
    with pytest.raises(InputError, match=r"^openai/gpt-4o-mini has model_type='text' and completes texts; give"):
        compiled(lm=lm(model_type="text"))


def test_dspy_notes_each_question_once(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    class Watch(BaseCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            self.seen.append(inputs)

    ours, its = Watch(), Watch()
    asking, before = lm(callbacks=[its]), len(GLOBAL_HISTORY)
    with dspy.context(callbacks=[ours]), dspy.track_usage() as usage:
        compiled(lm=asking)
    asked = len(server.asked)
    assert asked == len(asking.history) == len(GLOBAL_HISTORY) - before == len(ours.seen) == len(its.seen)
    tokens = sum(entry["prompt_tokens"] for entries in usage.usage_data.values() for entry in entries)
    assert tokens == sum(len(one.text) // 4 for one in server.asked)


def test_errors_keep_their_kind_and_the_words_of_the_server(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    server.behave = lambda asked: error(401, "that key is from yesterday")
    for words in ({"lm": lm()}, {"lm": lm(), "describer": ImageDescriber(limit=2)}, {"strategy": Own(lm())}):
        with pytest.raises(dspy.LMError, match="that key is from yesterday") as caught:
            compiled(**words)
        assert type(caught.value).__name__ == "LMAuthError"
    server.asked.clear()
    server.behave = lambda asked: error(500, "out of order")
    for retries in (0, 1):
        with pytest.raises(dspy.LMError, match="out of order"):
            compiled(lm=lm(num_retries=retries), log_dir=tmp_path / str(retries))
        assert len(server.asked) == 1 + retries
        assert sum(event["type"] == "lm_error" for event in read(tmp_path / str(retries))) == 1 + retries
        server.asked.clear()


def test_pictures_that_come_too_fast_are_asked_one_by_one(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    lock, at_once = threading.Lock(), [0]

    def busy(asked: Asked) -> Reply:
        with lock:
            at_once[0] += 1
            many = at_once[0] > 1
        time.sleep(0.1)
        with lock:
            at_once[0] -= 1
        return error(429, "slow down", retry_after="0") if many and asked.pictures else answer(asked)

    server.behave = busy
    program = compiled(lm=lm(num_retries=0), describer=ImageDescriber(limit=6), steps=1)
    assert len(program.search.descriptions) == 6


# Wherever it is held


@pytest.mark.parametrize(
    "words",
    [
        lambda lm: {"strategy": HistoryStrategy(lm())},
        lambda lm: {"strategy": NoHistory(HistoryStrategy(lm()))},
        lambda lm: {"strategy": Compose(writer=HistoryStrategy(lm())), "steps": 2},
        lambda lm: {"strategy": Own(lm())},
        lambda lm: {"strategy": Own(lm("openai/gpt-4o")), "lm": lm(), "describer": Two(lm("openai/gpt-4.1"), lm())},
        lambda lm: {"lm": lm(), "describer": ImageDescriber(lm("openai/gpt-4o"), limit=3)},
        lambda lm: {"lm": lm(), "describer": Two(None, None)},
        lambda lm: {"in_context": lm(), "describer": ImageDescriber(limit=2)},
    ],
    ids=["strategy", "no history", "compose", "own", "three", "describer", "described by the optimizer's", "context"],
)
def test_a_language_model_is_recorded_bounded_and_replayed_wherever_it_is_held(
    words: Any, compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    def once(**more: Any) -> Any:
        given = {**words(lm), **more}
        context = given.pop("in_context", None)
        with dspy.context(**({"lm": context} if context else {})):
            return compiled(**given)

    first = once(log_dir=tmp_path / "log")
    asked = len(server.asked)
    recorded = [event for event in read(tmp_path / "log") if event["type"] == "lm"]
    assert len(recorded) == asked == sum(usage.calls for usage in first.usage.values()) > 0
    assert {event["request"]["model"] for event in recorded} == {f"openai/{one.body['model']}" for one in server.asked}
    assert found(once(log_dir=tmp_path / "log")) == found(first)
    assert len(server.asked) == asked
    bounded = once(budget_tokens=50)
    assert "50 tokens" in bounded.search.stopped and len(server.asked) == asked


def test_what_one_compile_lost_is_counted_once(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    strategy = {"strategy": Own(lm()), "lm": lm()}  # two language models in one role
    server.behave = lambda asked: Reply("x", wait=30)
    lost = compiled(**strategy, max_minutes=1 / 60, log_dir=tmp_path).usage["optimizer"]
    server.behave = answer
    again = compiled(**strategy, budget_tokens=1, log_dir=tmp_path).usage["optimizer"]
    assert again.tokens_out == lost.tokens_out == 300


def test_none_asks_nothing_though_the_context_has_a_model(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    with dspy.context(lm=lm()):
        program = compiled(lm="none", strategy={"name": "compose", "scored_templates": 5}, steps=1)
        assert program.search.proposed > 0 and program.usage == {} and not server.asked
        for words, said in (
            ({"strategy": "history"}, "the strategy 'history' asks a language model and none is set"),
            (
                {"describer": ImageDescriber(), "strategy": ["a <CLASS>"]},
                "ImageDescriber asks a language model and none is set",
            ),
        ):
            with pytest.raises(InputError, match=said):
                compiled(lm="none", **words)
    assert not server.asked


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonee", r"litellm knows no provider for 'nonee' \(did you mean none\?\)"),
        ("local/tiny", "there is no local model 'tiny'; choose one of small"),
        ("replay/nowhere", "nowhere is not a run directory"),
        ("", "litellm knows no provider for ''"),
    ],
)
def test_a_bad_name_is_one_sentence(name: str, said: str, compiled: Compiled) -> None:
    with pytest.raises(InputError, match=said):
        compiled(lm=name)


def test_a_log_answers_under_the_name_of_a_replay(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    usual, describer = lm(max_tokens=1024), ImageDescriber(lm(), limit=2)  # as names are asked
    first = compiled(lm=usual, describer=describer, log_dir=tmp_path / "log")
    asked = len(server.asked)
    again = compiled(lm=f"replay/{tmp_path / 'log'}", describer=describer)
    assert found(again) == found(first) and len(server.asked) == asked


# Journals


def test_a_log_dir_is_of_one_process_and_is_resumed(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    first = compiled(lm=lm(), log_dir=tmp_path / "log")
    with (
        closing(Journal(tmp_path / "log")),
        pytest.raises(InputError, match=r"another process is working in .*log; wait for it, or choose another folder"),
    ):
        compiled(lm=lm(), log_dir=tmp_path / "log")
    asked = len(server.asked)
    assert found(compiled(lm=lm(), log_dir=tmp_path / "log")) == found(first)
    assert len(server.asked) == asked


def test_two_compiles_at_once(compiled: Compiled, lm: Any, tmp_path: Path) -> None:
    alone = [found(compiled(lm=lm(), seed=seed)) for seed in (0, 1)]
    together: dict[int, Any] = {}

    def work(seed: int) -> None:
        with dspy.context(lm=lm()):
            together[seed] = found(compiled(seed=seed, log_dir=tmp_path / str(seed)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in (0, 1)] == alone
    assert len([event for event in read(tmp_path / "0") if event["type"] == "lm"]) == 4


def test_the_adapter_and_the_trace_of_the_context_are_kept(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    class Shouting(dspy.ChatAdapter):  # type: ignore[misc]
        def format_task_description(self, signature: Any) -> str:
            return f"SHOUTING {super().format_task_description(signature)}"

    with dspy.context(adapter=Shouting(), trace=[]):
        compiled(lm=lm(), describer=Two(None, None), steps=1)
        assert {type(entry[0]).__name__ for entry in dspy.settings.trace} == {"Predict"}
        assert dspy.settings.lm is None
    assert all("SHOUTING" in one.text for one in server.asked)


def test_the_log_of_the_command_is_none_of_a_compile(
    compiled: Compiled, lm: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], cache: Path
) -> None:
    from support.runs import ipo

    words = ["--clip", "embedded", "--lm", "none", "steps=1", "strategy.scored_templates=5"]
    assert ipo(capfd, "optimize", "embedded", *words, "--out", str(tmp_path / "run")).code == 0
    with pytest.raises(InputError, match="run holds a search that was begun in another way, by `ipo optimize`"):
        compiled(lm=lm(), log_dir=tmp_path / "run")
    compiled(strategy=["a <CLASS>"], log_dir=tmp_path / "log")
    ended = ipo(capfd, "optimize", "embedded", *words, "--out", str(tmp_path / "log"))
    assert ended.code != 0 and "log" in ended.sentence


def test_an_engine_of_ones_own_is_asked(compiled: Compiled, as_list: Any, scripted: Any) -> None:
    lm, engine = scripted(as_list("a big <CLASS>.", "a small <CLASS>."))
    program = compiled(lm=lm, steps=1)
    assert program.search.proposed == 2 and len(engine.requests) == 1
    assert isinstance(program.usage["optimizer"].usd, float) is False


def test_a_describer_that_only_classifies_asks_nothing(compiled: Compiled, clip: Clip) -> None:
    class Labels(dspy.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.classify = TemplateClassifier(clip, ["cat", "dog"])

        def forward(self, pictures: Any, labels: Any, class_names: Any, task: str) -> dspy.Prediction:
            return dspy.Prediction(descriptions=[self.classify(image=pictures[0]).label])

    program = compiled(strategy=["a <CLASS>"], describer=Labels())
    assert program.search.descriptions[0] in ("cat", "dog")
    assert compiled(strategy=["a <CLASS>"], describer=SimpleNamespace(__call__=None).__call__).search.descriptions == ()


def test_a_program_has_the_names_found_and_answers_with_those_of_its_examples(
    compiled: Compiled, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming.Held, "opens", True)  # so few pictures decide either way
    first = compiled(strategy=["a <CLASS>."])
    names = first.class_names
    program = compiled(strategy=["a <CLASS>."], names="search", name_candidates={names[0]: ["xylophone"]})
    assert program.labels == names and first.named is None
    assert program.named.candidates > 20 and program.class_names == program.named.class_names
    program.rename(["aircraft", *names[1:]])
    program.save(str(tmp_path / "saved.json"))
    loaded, student = TemplateClassifier.from_file(tmp_path / "saved.json", clip), TemplateClassifier(clip, names)
    student.load(str(tmp_path / "saved.json"))
    for one in (loaded, student):
        assert (one.labels, one.class_names[0]) == (names, "aircraft") and one.dump_state() == program.dump_state()
    picture = load_data("embedded", seed=0).test[0].picture
    assert set(loaded(image=picture).scores) == set(names)
    with pytest.raises(InputError, match="is for the accuracy of pictures with one label each, and not for ClipReward"):
        compiled(strategy=["a <CLASS>."], names="search", reward=ClipReward(clip, ["cat", "dog"]))


def test_a_language_model_is_asked_for_names_once_and_what_it_says_is_checked(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    def answers(asked: Asked) -> Reply:
        if "confusions" not in asked.text:
            return good(asked)
        lines = json.dumps([f"{name}: <b>thing</b>, gizmo of {name}" for name in ("cat", "apple", "no class")])
        return Reply(f"[[ ## lines ## ]]\n{lines}\n\n[[ ## completed ## ]]")

    server.behave = answers
    first = compiled(lm=lm(), steps=1, names="search", log_dir=tmp_path)
    (asked,) = [one for one in server.asked if "confusions" in one.text]
    assert "is taken for" in asked.text
    (told,) = [event for event in read(tmp_path) if event["type"] == "names"]
    assert told["asked"] == first.named.asked == 2
    before = len(server.asked)
    again = compiled(lm=lm(), steps=1, names="search", log_dir=tmp_path)
    assert len(server.asked) == before and again.dump_state() == first.dump_state()
    # A limit that leaves no room for that question marks the run as stopped, and a larger one asks it.
    few = {"lm": lm(), "steps": 1, "names": "search", "log_dir": tmp_path / "limited"}
    first_asked, _ = [event for event in read(tmp_path) if event["type"] == "lm"]
    limit = bound_tokens(first_asked["request"]) + 300
    stopped = compiled(**few, budget_tokens=limit)
    reached = stopped.search.reached
    assert reached.limit == "budget_tokens" and f"the limit of {limit:,} tokens" in str(reached)
    assert stopped.named.asked == 0 and stopped.search.steps[-1].number == 0
    whole = compiled(**few, budget_tokens=10 * limit)
    assert whole.search.stopped is None and whole.dump_state() == first.dump_state()
