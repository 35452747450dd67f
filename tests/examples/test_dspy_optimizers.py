"""COPRO and GEPA as strategies: what they hand in is counted once, recorded, resumed, and their thread always ends."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
from dspy.lm15 import AuthError

from examples.dspy_optimizers import IN_VAIN, ROUNDS_IN_VAIN, Copro, Gepa
from ipo_prompts import IPO, TemplateClassifier
from ipo_prompts.experiments.data import Draw, draw, load_data
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.template import BASELINE, problem
from ipo_prompts.programs.journal import read
from ipo_prompts.programs.search import SearchResult, search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies.base import Expected
from support import template_lm
from support.openai_server import LOOKS, MEDIA, Asked, Reply
from support.openai_server import running as running_server
from support.runs import CLASSES, KEY, copy_images, events, ipo
from support.template_lm import PLANTED, USELESS, Writer, filled_in, language_model

BOTH = {"copro": Copro, "gepa": Gepa}
POOL = [f"a {look} {medium} of a <CLASS>." for look in LOOKS for medium in MEDIA]
PROPOSALS = (BASELINE, *POOL[:4], PLANTED, *POOL[5:40])
"""The first is known already; the planted one is the fifth that is new."""
BUDGET = {"copro": 4000, "gepa": 4700}
"""Tokens that end a search in the middle: what may be used counts, and much less is."""


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "optimizer"]


@pytest.fixture(scope="module")
def data() -> Draw:
    return draw(load_data("embedded:a", seed=0), shots=1, val_shots=1, seed=0)


@pytest.fixture()
def found(clip: Clip, data: Draw) -> Callable[..., SearchResult]:
    """Search with one of them and a writer, or another language model."""

    def compile_(strategy: Any, writer: Any, **more: Any) -> SearchResult:
        lm = language_model(writer).copy(max_tokens=1024) if hasattr(writer, "complete") else writer
        ipo = IPO(
            lm=lm,
            strategy=BOTH.get(strategy, strategy),
            **{"steps": 2, "candidates_per_step": 4, "describer": None, **more},
        )
        student = TemplateClassifier(clip, data.class_names)
        program = ipo.compile(student, trainset=data.examples("train"), valset=data.examples("val"))
        result: SearchResult = program.search
        return result

    return compile_


def told(result: SearchResult) -> list[tuple[str, float, int]]:
    return [(entry.template, entry.value, entry.step) for entry in result.history]


@pytest.mark.parametrize("name", BOTH)
def test_a_planted_template_is_found_and_each_proposal_counts_once(
    name: str, found: Callable[..., SearchResult], data: Draw, tmp_path: Path
) -> None:
    writer = Writer(*PROPOSALS)
    result = found(name, writer, log_dir=tmp_path)
    assert result.choice.template == PLANTED
    assert (result.proposed, result.scored_only, result.ended) == (8, 0, "all 2 steps were done")
    assert [len(step.scored) for step in result.steps] == [1, 4, 4]
    assert [entry.template for entry in result.history] == [BASELINE, *PROPOSALS[1:9]]
    assert {entry.source for entry in result.history} == {"initial", "language model"}
    assert len(writer.asked) == 9
    folders = {str(Path(item.image.name).parent) for item in data.train}
    private = (*folders, "webp", "images/", "search 0", "scores")
    assert not [part for text in writer.asked for part in private if part in text]
    assert max(map(len, writer.asked)) < 5000
    steps = [event for event in events(tmp_path, "scores") if event["kind"] == "train"]
    assert [row["template"] for event in steps[1:] for row in event["scores"]] == [*PROPOSALS[1:9]]


def test_gepa_learns_from_what_a_template_took_images_for(found: Callable[..., SearchResult], data: Draw) -> None:
    writer = Writer(*PROPOSALS)
    found(lambda: Gepa(minibatch=68), writer)
    first, later = writer.asked[0], writer.asked[-1]
    assert first.count("was taken for") == 43 and first.count("was recognised.") == 25
    assert BASELINE in first and f"\n{PLANTED}\n" in later, "it goes on from the better one"


def test_copro_learns_from_the_values_of_the_round_before(found: Callable[..., SearchResult]) -> None:
    writer = Writer(*PROPOSALS)
    result = found(lambda: Copro(breadth=6), writer)
    assert len(writer.asked) == 5 + 6, "a round of six, of which the first has the initial template too"
    assert "Resulting Score" not in writer.asked[4]
    form = r'Instruction #\d: ([^"]*?\.).*?Resulting Score #\d: ([\d.]+)'
    attempts = re.findall(form, writer.asked[5], re.DOTALL)
    values = {entry.template: round(100 * entry.value, 2) for entry in result.history}
    assert [values[template] for template, _ in attempts] == [float(value) for _, value in attempts]
    assert len(attempts) == 6 and sorted(attempts, key=lambda row: float(row[1])) == attempts


@pytest.mark.parametrize("name", BOTH)
def test_its_own_journal_answers_it(name: str, found: Callable[..., SearchResult], tmp_path: Path) -> None:
    first, again = Writer(*PROPOSALS), Writer(*PROPOSALS)
    whole = found(name, first, log_dir=tmp_path / "log")
    before = read(tmp_path / "log")
    assert told(found(name, again, log_dir=tmp_path / "log")) == told(whole)
    assert again.asked == []
    assert [event["type"] for event in read(tmp_path / "log")[len(before) :]] == ["start"]  # of the second session
    replayed = found(name, f"replay/{tmp_path / 'log'}", log_dir=tmp_path / "other")
    assert told(replayed) == told(whole)


@pytest.mark.parametrize("name", BOTH)
def test_a_stopped_step_is_finished_by_the_resumed_search(
    name: str, found: Callable[..., SearchResult], tmp_path: Path
) -> None:
    strategy = {"copro": lambda: Copro(breadth=2), "gepa": Gepa}[name]
    whole = found(strategy, first := Writer(*PROPOSALS))
    stopped = found(strategy, writer := Writer(*PROPOSALS), log_dir=tmp_path, budget_tokens=BUDGET[name])
    assert stopped.stopped and "tokens" in stopped.stopped
    assert 1 < len(stopped.history) < 9 and len(stopped.history) % 4 != 1, "in the middle of a step"
    assert told(found(strategy, writer, log_dir=tmp_path)) == told(whole)
    assert len(writer.asked) == len(first.asked)


SCRIPT = """
import os, signal
from dspy.lm15 import AuthError
from examples.dspy_optimizers import Copro, Gepa
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts import IPO, TemplateClassifier
from support.template_lm import Writer, language_model

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
data = draw(load_data("embedded:a", seed=0), shots=1, val_shots=1, seed=0)
student = TemplateClassifier(load_clip("embedded"), data.class_names)

class Bad(Writer):
    def complete(self, request):
        if len(self.asked) == 5:
            if mode == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            if mode == "error":
                raise AuthError("no such key")
        return super().complete(request)

for name, mode in [(n, m) for n in ("copro", "gepa") for m in ("error", "budget", "whole", "interrupt")]:
    ipo = IPO(lm=language_model(Bad(*%r)).copy(max_tokens=1024), strategy=Copro if name == "copro" else Gepa,
              steps=2, candidates_per_step=4, describer=None,
              budget_tokens=(3000 if name == "copro" else 4700) if mode == "budget" else None)
    try:
        found = ipo.compile(student, trainset=data.examples("train"), valset=data.examples("val"))
        print("found", found.template, found.search.stopped)
    except BaseException as error:
        print(type(error).__name__)
"""


def test_the_process_ends_however_the_search_does(cache: Path) -> None:
    tests = Path(template_lm.__file__).parents[1]
    path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT % (PROPOSALS,)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stdout.splitlines() if line.startswith(("found", "LM", "Key"))]
    for first, second, *others in (said[:4], said[4:]):
        assert first.startswith("LM") and "tokens" in second, done.stdout
        assert others == [f"found {PLANTED} None", "KeyboardInterrupt"]


@pytest.mark.parametrize("name", BOTH)
def test_bad_proposals_end_nothing_but_only_bad_ones_do(name: str, found: Callable[..., SearchResult]) -> None:
    bad = ["", USELESS, "=<CLASS>", "a <CLASS>\u202e", "x" * 400 + "<CLASS>", "\n\n", f"{'word ' * 55}<CLASS>"]
    result = found(name, Writer(*bad, *PROPOSALS))
    refused = {"gepa": 5, "copro": 6}[name]  # an empty answer is no proposal to GEPA
    assert (result.proposed, len(result.steps[1].rejected)) == (8, refused)
    only = Writer(*bad)
    result = found(name, only)
    questions = {"gepa": IN_VAIN, "copro": ROUNDS_IN_VAIN * 10}[name]
    assert result.ended == f"{BOTH[name].name} wrote no new template in {questions} questions"
    assert (len(only.asked), result.choice.template) == (questions, BASELINE)


@pytest.mark.parametrize("name", BOTH)
def test_an_answer_in_no_form_is_read_for_its_template(name: str, found: Callable[..., SearchResult]) -> None:
    class Plain(Writer):
        def complete(self, request: Any) -> Any:
            from dspy.lm15 import Message, Response, Usage

            self.asked.append("")
            text = f"I would say:\n- **{POOL[len(self.asked)]}**\nThat is my answer."
            usage = Usage(input_tokens=1, output_tokens=1)
            return Response(id=None, model="writer", message=Message.assistant(text), finish_reason="stop", usage=usage)

    result = found(name, Plain())
    assert [entry.template for entry in result.history][1:] == POOL[1:9]


def test_gepa_that_finds_no_mistake_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Perfect(Values):
        def score(self, templates: Any, units: Any) -> list[Score]:
            return [Score(t, 1.0, 0.0, np.ones(4, bool), np.zeros(4), np.zeros(4, np.int64)) for t in templates]

    result = searched(Gepa(), writer := Writer(), Perfect(), labelled(), steps=2)
    assert (result.ended, writer.asked) == ("GEPA has ended", [])


class Units:
    """Four units, without labels."""

    groups = None
    labels: Any = None


class Values:
    """A reward of values alone, on a scale of fractions."""

    class_names = ("cat", "dog")

    def problem(self, template: str) -> str | None:
        return problem(template)

    def examples(self, examples: Any) -> Units:
        return Units()

    def score(self, templates: Any, units: Any) -> list[Score]:
        right = [3 if template == PLANTED else 1 for template in templates]
        return [Score(t, n / 4, 1.0, np.arange(4) < n, np.ones(4)) for t, n in zip(templates, right, strict=True)]


def labelled() -> Units:
    units = Units()
    units.labels = np.zeros(4, np.int64)
    return units


def searched(strategy: Any, writer: Any, reward: Any = None, units: Any = None, **settings: Any) -> SearchResult:
    with dspy.context(lm=writer if isinstance(writer, dspy.LM) else language_model(writer)):
        return search(SearchSettings(**settings), reward or Values(), strategy, units or Units())


def test_copro_needs_values_alone_and_gepa_says_that_it_needs_more() -> None:
    result = searched(Copro(), Writer(*PROPOSALS), steps=2, candidates_per_step=3)
    assert (result.history.best.template, result.proposed) == (PLANTED, 6)  # four units are too few to choose it
    with pytest.raises(InputError, match=r"^GEPA learns .* choose COPRO, .* or another strategy\.$"):
        searched(Gepa(), Writer())


def test_copro_searches_long() -> None:
    """By itself it ends after some 140 candidates: Python can copy no more of its signatures."""
    templates = [f"{template[:-1]} {place}." for template in POOL for place in ("outdoors", "indoors")]
    result = searched(Copro(), Writer(*templates), steps=20, candidates_per_step=10, patience=None)
    assert (result.proposed, result.ended) == (200, "all 20 steps were done")


def test_an_error_of_the_optimizer_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Copro, "optimize", broken)
    with pytest.raises(ZeroDivisionError):
        searched(Copro(), Writer())


def test_an_error_of_the_language_model_comes_up_as_it_is() -> None:
    class Refusing:
        def complete(self, request: Any) -> Any:
            raise AuthError("no such key")

    for strategy in (Copro, Gepa):
        with pytest.raises(dspy.LMError, match="no such key"):
            searched(strategy(), Refusing(), Guessing(), labelled())


class Guessing(Values):
    """The same, with predictions."""

    def score(self, templates: Any, units: Any) -> list[Score]:
        return [
            Score(one.template, one.value, one.loss, one.hits, one.losses, 1 - one.hits.astype(np.int64))
            for one in super().score(templates, units)
        ]


def test_gepa_draws_other_images_with_another_seed() -> None:
    def first_question(seed: int) -> str:
        writer = Writer(*PROPOSALS)
        searched(Gepa(minibatch=2), writer, Guessing(), labelled(), steps=1, candidates_per_step=1, seed=seed)
        return writer.asked[0]

    assert first_question(0) == first_question(0)
    assert len({first_question(seed) for seed in range(6)}) > 1, "one of four images is right"


def test_questions_to_a_small_model_differ_by_a_seed_alone() -> None:
    """It answers the same request with the same reply, and COPRO asks the same ten times."""
    requests: list[Any] = []

    class Kept(Writer):
        def complete(self, request: Any) -> Any:
            requests.append(request)
            return super().complete(request)

    for _ in range(2):
        lm = language_model(Kept(*PROPOSALS))
        lm.model = "local/writer"
        searched(Copro(), lm, steps=1, candidates_per_step=3)
    first, again = requests[:9], requests[9:]
    assert [request.config.seed for request in first] == [request.config.seed for request in again]
    assert len({request.config.seed for request in first}) == 9
    assert len({str(request.messages) for request in first}) == 1


@pytest.mark.parametrize("name", BOTH)
def test_the_forecast_bounds_what_is_asked(name: str, found: Callable[..., SearchResult]) -> None:
    writer = Writer(*POOL)
    found(name, writer, steps=4)
    settings = SearchSettings(steps=4, candidates_per_step=4)
    forecast = BOTH[name]().forecast(Expected(settings, "pets", reply_tokens=100))
    assert forecast.calls == len(writer.asked) == {"gepa": 16, "copro": 19}[name]
    assert forecast.tokens_in >= forecast.calls * max(len(text) for text in writer.asked)
    assert forecast.tokens_out == forecast.calls * 100


def writes(asked: Asked) -> Reply:
    rng = random.Random(json.dumps(asked.body["messages"]) + str(asked.number))
    return Reply(filled_in(asked.text, f"a {rng.choice(LOOKS)} {rng.choice(LOOKS)} {rng.choice(MEDIA)} of a <CLASS>."))


def test_a_grid_with_both_rows(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    images, grid, out = copy_images(tmp_path / "images"), tmp_path / "grid.yaml", tmp_path / "out"
    rows = [
        {"label": name, "method": "ipo-default", "settings": {"strategy": f"examples.dspy_optimizers:{kind.__name__}"}}
        for name, kind in BOTH.items()
    ]
    settings = {"describer": "none", "clip": "embedded"}
    grid.write_text(
        json.dumps({"title": "T", "protocol": "few-shot", "settings": settings, "methods": ["baseline", *rows]})
    )
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running_server() as server:
        server.behave = writes
        words = [f"data=folder:{images}", "seeds=1", "lm=openai/test-model"]
        sizes = ["shots=2", "val_shots=1", "steps=2", "candidates_per_step=3", f"lm_api_base={server.base}"]
        ended = ipo(capfd, "benchmark", str(grid), f"--out={out}", *words, *sizes)
        assert ended.code == 0, ended.err
        assert not [asked for asked in server.asked if "webp" in asked.text or "images/" in asked.text]
        assert any(f"An image of {CLASSES[0]} was" in asked.text for asked in server.asked)
    found = [load_result(row) for row in out.glob("cells/*/*/seed-0") if row.parent.name != "baseline"]
    assert [(one.proposed, one.scored_only) for one in found] == [(6, 0), (6, 0)]
