"""The one runner below `IPO.compile` and the command: limits, and any language model, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.clients.cache import Cache

from ipo_prompts import IPO, TemplateClassifier
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs import naming
from ipo_prompts.programs.bench import Bench
from ipo_prompts.programs.describe import ImageDescriber
from ipo_prompts.programs.journal import Journal, line_of, read
from support.dspy_cache import forget
from support.openai_server import Asked, OpenAIServer, Reply, error, good, running
from support.runs import answered, unanswered
from support.template_lm import filled_in

Compiled = Callable[..., Any]


def answer(asked: Asked) -> Reply:
    """Answer what we ask, and what a module of someone's own asks."""
    ours = "[[ ## count ## ]]" in asked.text or asked.images
    return good(asked) if ours else Reply(filled_in(asked.text, "a flat thing"))


ASKS_NAMES = "Say what else the classes of an image classifier are called"


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
    sets = {"trainset": drawn.examples("train"), "valset": drawn.examples("val")}
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

    def forward(self, images: Any, labels: Any, class_names: Any, task: str) -> dspy.Prediction:
        return dspy.Prediction(descriptions=[self.look(task=task).look, self.more[0](task=task).words])


class Own:
    """A strategy of someone's own, with a predictor that asks the language model of the context."""

    def __init__(self) -> None:
        self.write = dspy.Predict("task -> template")

    def ask(self, bench: Bench) -> None:
        bench.propose([f"a picture of <CLASS>, number {bench.step}."])
        self.write(task=bench.task, config={"rollout_id": bench.seed})


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


def test_what_the_describer_used_has_the_name_of_its_own_model(compiled: Compiled, lm: Any) -> None:
    describer = Two(lm("openai/gpt-4o"), lm("openai/gpt-4o"))
    used = compiled(lm=lm(), describer=describer, steps=1).usage
    assert [used[role].name for role in ("optimizer", "describer")] == ["openai/gpt-4o-mini", "openai/gpt-4o"]


def test_dollars_need_a_price_of_every_language_model(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    unknown = lm("openai/my-model")
    for words in (
        {"lm": unknown},
        {"lm": lm(), "describer": ImageDescriber(unknown, limit=1)},
        {"lm": lm(), "describer": Two(lm(), unknown)},
    ):
        with pytest.raises(
            InputError, match=r"^the price of openai/my-model is not known, so --budget-usd cannot be kept"
        ):
            compiled(budget_usd=1.0, **words)
        assert not server.asked
    assert compiled(lm=unknown, budget_tokens=100_000).search.stopped is None


def test_seconds_of_all_earlier_sessions_count(compiled: Compiled, lm: Any, tmp_path: Path) -> None:
    for session in range(3):
        compiled(lm=lm(), log_dir=tmp_path, budget_tokens=2_000)
        (tmp_path / "journal.jsonl").open("ab").write(line_of({"type": "note", "seconds": 50.0 + session}))
    program = compiled(lm=lm(), log_dir=tmp_path, max_minutes=2.5)
    assert program.search.stopped == "the time limit of 2.5 minutes is reached"
    assert compiled(lm=lm(), log_dir=tmp_path, max_minutes=5).search.stopped is None


def test_a_limit_inside_someones_own_strategy_keeps_what_it_handed_in(compiled: Compiled, lm: Any) -> None:
    program = compiled(strategy=Own, lm=lm(), budget_tokens=1_300)
    assert "limit of 1,300 tokens" in program.search.stopped
    assert len(program.search.history) == len(program.search.steps) > 1


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


def test_errors_keep_their_kind_and_the_words_of_the_server(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    server.behave = lambda asked: error(401, "that key is from yesterday")
    for words in ({"lm": lm()}, {"lm": lm(), "describer": ImageDescriber(limit=2)}, {"strategy": Own, "lm": lm()}):
        with pytest.raises(dspy.LMError, match="that key is from yesterday") as caught:
            compiled(**words)
        assert type(caught.value).__name__ == "LMAuthError"
    server.asked.clear()
    server.behave = lambda asked: error(500, "out of order")
    for retries in (0, 1):
        with pytest.raises(dspy.LMError, match="out of order"):
            compiled(lm=lm(num_retries=retries), log_dir=tmp_path / str(retries))
        assert len(server.asked) == 1 + retries
        assert len(unanswered(tmp_path / str(retries))) == 1 + retries
        server.asked.clear()


def test_images_that_come_too_fast_are_asked_one_by_one(compiled: Compiled, lm: Any, server: OpenAIServer) -> None:
    lock, at_once = threading.Lock(), [0]

    def busy(asked: Asked) -> Reply:
        with lock:
            at_once[0] += 1
            many = at_once[0] > 1
        time.sleep(0.1)
        with lock:
            at_once[0] -= 1
        return error(429, "slow down", retry_after="0") if many and asked.images else answer(asked)

    server.behave = busy
    program = compiled(lm=lm(num_retries=0), describer=ImageDescriber(limit=6), steps=1)
    assert len(program.search.descriptions) == 6


# Wherever it is held


@pytest.mark.parametrize(
    "words",
    [
        lambda lm: {"strategy": "compose", "lm": lm(), "steps": 2},
        lambda lm: {"strategy": Own, "lm": lm(), "describer": Two(lm("openai/gpt-4.1"), lm())},
        lambda lm: {"lm": lm(), "describer": ImageDescriber(lm("openai/gpt-4o"), limit=3)},
        lambda lm: {"lm": lm(), "describer": Two(None, None)},
        lambda lm: {"in_context": lm(), "describer": ImageDescriber(limit=2)},
    ],
    ids=["compose", "own", "describer", "described by the optimizer's", "context"],
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
    recorded = answered(tmp_path / "log")
    assert len(recorded) == asked == sum(usage.calls for usage in first.usage.values()) > 0
    assert {question.model for question in recorded} == {f"openai/{one.body['model']}" for one in server.asked}
    assert found(once(log_dir=tmp_path / "log")) == found(first)
    assert len(server.asked) == asked
    bounded = once(budget_tokens=50)
    assert "50 tokens" in bounded.search.stopped and len(server.asked) == asked


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
    assert len(answered(tmp_path / "0")) == 4


def test_a_program_has_the_names_found_and_answers_with_those_of_its_examples(
    compiled: Compiled, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming.Held, "opens", True)  # so few images decide either way
    first = compiled(strategy=["a <CLASS>."])
    names = first.class_names
    program = compiled(strategy=["a <CLASS>."], names="search")
    assert program.labels == names and first.named is None
    assert program.named.candidates > 20 and program.class_names == program.named.class_names
    program.rename(["aircraft", *names[1:]])
    program.save(str(tmp_path / "saved.json"))
    loaded, student = TemplateClassifier.from_file(tmp_path / "saved.json", clip), TemplateClassifier(clip, names)
    student.load(str(tmp_path / "saved.json"))
    for one in (loaded, student):
        assert (one.labels, one.class_names[0]) == (names, "aircraft") and one.dump_state() == program.dump_state()
    image = load_data("embedded", seed=0).test[0].image
    assert set(loaded(image=image).scores) == set(names)
    with pytest.raises(InputError, match="is for the accuracy of images with one label each, and not for ClipReward"):
        compiled(strategy=["a <CLASS>."], names="search", reward=ClipReward(clip, ["cat", "dog"]))


def test_a_language_model_is_asked_for_names_once_and_what_it_says_is_checked(
    compiled: Compiled, lm: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    def answers(asked: Asked) -> Reply:
        if ASKS_NAMES not in asked.text:
            return good(asked)
        lines = json.dumps([f"{name}: <b>thing</b>, gizmo of {name}" for name in ("cat", "apple", "no class")])
        return Reply(f"[[ ## lines ## ]]\n{lines}\n\n[[ ## completed ## ]]")

    server.behave = answers
    first = compiled(lm=lm(), steps=1, names="search", log_dir=tmp_path)
    assert len([one for one in server.asked if ASKS_NAMES in one.text]) == 1
    (told,) = [event for event in read(tmp_path) if event["type"] == "names"]
    assert told["candidates"] == first.named.candidates > 20
    before = len(server.asked)
    again = compiled(lm=lm(), steps=1, names="search", log_dir=tmp_path)
    assert len(server.asked) == before and again.dump_state() == first.dump_state()
    # A limit that leaves no room for that question marks the run as stopped, and a larger one asks it.
    few = {"lm": lm(), "steps": 1, "names": "search", "log_dir": tmp_path / "limited"}
    stopped = compiled(**few, budget_tokens=500)
    reached = stopped.search.reached
    assert reached.limit == "budget_tokens" and "the limit of 500 tokens" in str(reached)
    assert stopped.named.candidates == first.named.candidates - 2
    whole = compiled(**few, budget_tokens=20_000)
    assert whole.search.stopped is None and whole.dump_state() == first.dump_state()
