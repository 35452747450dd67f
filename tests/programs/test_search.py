"""The loop and its bench: what is scored, remembered, refused, chosen. The reward is a table: every number is known."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.clock import BudgetReached, Clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.evidence import score_interval
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.template import BASELINE, problem
from ipo_prompts.programs import bench, scoring
from ipo_prompts.programs.bench import Bench
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.search import MAX_EMPTY_STEPS, NothingUsable, SearchResult, search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies.base import GivenTemplates, Strategy
from support.scored import events, scored, templates

N = 30
NO_SLOT = "it has no <CLASS> slot"


@dataclass(frozen=True)
class Units:
    """One part of the units; `groups` and `labels` as a reward would give them."""

    name: str
    groups: Sequence[str] | None = None
    labels: Any = None


class Table:
    """Of N units, as many are right as a table says for a template and a part; others score one."""

    class_names = ("cat", "dog")
    problem = staticmethod(problem)

    def __init__(self, search: dict[str, int] | None = None, selection: dict[str, int] | None = None) -> None:
        self.right = {"train": search or {}, "val": selection or {}}
        self.calls: list[tuple[str, list[str]]] = []

    def examples(self, examples: Sequence[Any]) -> Units:
        raise AssertionError("the loop gets units")

    def asked(self, part: str) -> list[str]:
        return [template for of, scored in self.calls if of == part for template in scored]

    def score(self, templates: Sequence[str], units: Units) -> list[Score]:
        self.calls.append((units.name, list(templates)))
        right = [self.right[units.name].get(template, 1) for template in templates]
        return [scored(one, k / N, (0.1 * k + 2 * (N - k)) / N, N) for one, k in zip(templates, right, strict=True)]


class Doing:
    """A strategy that calls a function, and keeps the bench."""

    asks_lm = needs_lm = True
    closed = 0

    def __init__(self, ask: Callable[[Bench], Any]) -> None:
        self._ask = ask

    def ask(self, bench: Bench) -> Any:
        self.bench = bench
        return self._ask(bench)

    def close(self) -> None:
        self.closed += 1


def proposing(*steps: Iterable[str]) -> Doing:
    def ask(bench: Bench) -> None:
        bench.propose(steps[bench.step] if bench.step < len(steps) else ())

    return Doing(ask)


def run(reward: Table, strategy: Strategy, folder: Path | None = None, **more: Any) -> SearchResult:
    parts = {"journal", "task", "describe", "ledger", "on_step"} & more.keys()
    about = {name: more.pop(name) for name in parts}
    settings = SearchSettings(**{"steps": 3, "patience": None, **more})
    if folder is None:
        return search(settings, reward, strategy, Units("train"), Units("val"), **about)
    with closing(Journal(folder)) as journal:
        return run(reward, strategy, journal=journal, **about, **more)


def records(found: SearchResult) -> Any:
    return [step.record() for step in found.steps], found.choice, found.stopped


def test_the_winner_is_chosen_on_all_units_and_its_gain_measured_on_the_held_back_ones() -> None:
    reward = Table({"lucky <CLASS>": 28, "good <CLASS>": 15}, {"lucky <CLASS>": 3, "good <CLASS>": 22})
    found = run(reward, proposing(["lucky <CLASS>", "good <CLASS>"]))
    assert found.history.best.template == "lucky <CLASS>"
    assert [(one.step, one.source) for one in found.history][:2] == [(-1, "initial"), (0, "language model")]
    assert found.choice.template == "good <CLASS>"
    assert found.choice.gain == pytest.approx((22 - 1) / N), "every fold chooses it"


def test_every_template_is_scored_on_the_held_back_units_some_at_a_time_the_best_of_the_search_first(
    tmp_path: Path,
) -> None:
    steps = [[f"number {i} of step {j} <CLASS>" for i in range(100)] for j in range(3)]
    right = {template: 2 + i % 15 for step in steps for i, template in enumerate(step)}
    reward = Table(right)
    run(reward, proposing(*steps), tmp_path, candidates_per_step=100)
    wanted = [*sorted(right, key=lambda one: -right[one]), BASELINE]
    assert reward.asked("val") == [BASELINE, *wanted[:-1]]
    assert [len(scored) for _, scored in reward.calls[-2:]] == [scoring.AT_ONCE, 301 - scoring.AT_ONCE]
    (event,) = events(tmp_path, "val")
    assert [row["template"] for row in event["scores"]] == reward.asked("val")


@pytest.mark.parametrize(
    ("units", "sampling"),
    [
        (Units("train"), Sampling(N)),
        (
            Units("train", groups=["a", "b"] * (N // 2), labels=np.arange(N) % 4),
            Sampling.of(N, [i % 4 for i in range(N)], ["a", "b"] * (N // 2)),
        ),
        (Units("train", labels=np.arange(3)), Sampling(N)),  # of images, not of units
    ],
)
def test_a_steps_interval_is_that_of_its_best_template(units: Units, sampling: Sampling) -> None:
    found = search(SearchSettings(steps=1), Table({"good <CLASS>": 18}), proposing(["good <CLASS>"]), units)
    intervals = [tuple(step.interval) for step in found.steps]
    assert intervals == [tuple(score_interval(np.arange(N) < right, sampling)) for right in (1, 18)]


def test_a_strategy_is_told_everything_and_each_step_has_its_own_seed() -> None:
    seeds = []

    def ask(bench: Bench) -> None:
        seeds.append(bench.seed)
        assert (bench.task, [*bench.class_names], bench.descriptions) == ("pets", ["cat", "dog"], ("soft light",))
        assert bench.count == bench.missing == 2 and bench.labels is not None
        bench.labels[0] = 99
        with pytest.raises(ValueError, match="read-only"):
            bench.history.initial.hits[0] = True
        bench.propose(["good <CLASS>"])
        assert bench.history.best.value == 0.4 and bench.missing == (1 if bench.step == 0 else 2)

    units, settings = Units("train", labels=np.arange(N)), SearchSettings(steps=3, seed=5, candidates_per_step=2)
    search(settings, Table({"good <CLASS>": 12}), Doing(ask), units, task="pets", describe=lambda: ["soft light"])
    assert units.labels[0] == 0
    digests = [hashlib.sha256(f"5|{step}".encode()).digest() for step in range(3)]
    assert seeds == [int.from_bytes(digest[:4], "big") >> 1 for digest in digests]


def test_only_what_is_valid_new_and_wanted_is_proposed_and_each_is_scored_alone() -> None:
    texts = ["good <CLASS>", "no slot", "Good  <CLASS>!", "A PHOTO of a <CLASS>", "two <CLASS>", "three <CLASS>"]
    told: list[Any] = []
    reward = Table({"two <CLASS>": 12})
    strategy = Doing(lambda bench: told.extend(bench.propose(texts)))
    found = run(reward, strategy, steps=1, candidates_per_step=2)
    assert found.steps[1].scored == tuple(told) and [(one.template, one.value) for one in told] == [
        ("good <CLASS>", 1 / N),
        ("two <CLASS>", 0.4),
    ]
    assert [(one.template, one.reason) for one in found.steps[1].rejected] == [
        ("no slot", NO_SLOT),
        ("Good  <CLASS>!", "it repeats another answer"),
        ("A PHOTO of a <CLASS>", "it is already known"),
        ("three <CLASS>", "more templates came than were asked for"),
    ]
    assert reward.calls[:3] == [("train", [one]) for one in (BASELINE, "good <CLASS>", "two <CLASS>")]
    bench = strategy.bench
    cleaned = map(bench.cleaned, ["1. good <CLASS>", "no slot (it has no slot for the class name)", 7])
    assert [*cleaned] == ["good <CLASS>", "no slot", "7"]
    bench.refuse("x" * 999, "it is long")
    assert len(bench.refused[-1].template) == 300


def test_a_list_is_proposed_step_by_step_and_ends_the_search() -> None:
    texts = [f"number {i} <CLASS>" for i in range(5)]
    found = run(Table(), GivenTemplates(texts), steps=9, candidates_per_step=2)
    assert [templates(step.scored) for step in found.steps[1:]] == [texts[:2], texts[2:4], texts[4:]]
    assert (found.ended, found.stopped, found.proposed) == ("the list of templates is used up", None, 5)
    assert {one.source for one in found.history} == {"initial", "no language model"}


def test_patience_counts_from_the_last_better_template() -> None:
    steps = [[f"{letter} <CLASS>"] for letter in "abcdef"]
    found = run(Table({"a <CLASS>": 5, "c <CLASS>": 7}), proposing(*steps), steps=6, patience=2)
    assert [step.number for step in found.steps] == [-1, 0, 1, 2, 3, 4]
    assert found.ended == "nothing better came in 2 steps"


def test_empty_steps_end_the_search_with_what_there_is_and_without_anything_it_fails() -> None:
    nothing = [["no slot"]] * 20
    steps = [*nothing[: MAX_EMPTY_STEPS - 1], ["good <CLASS>"], *nothing]
    found = run(Table({"good <CLASS>": 12}, {"good <CLASS>": 12}), proposing(*steps), steps=20)
    assert found.choice.template == "good <CLASS>" and found.stopped is None
    assert found.ended == f"the language model gave no usable template in 5 steps in a row ({NO_SLOT})"
    assert len(found.steps) == 1 + len(steps) - len(nothing) + MAX_EMPTY_STEPS
    with pytest.raises(NothingUsable, match=f"in 5 steps in a row .{NO_SLOT}.; try another model"):
        run(Table(), proposing(*nothing), steps=20)


@pytest.mark.parametrize("limit", ["budget_usd", "budget_tokens", "max_minutes"])
def test_a_budget_inside_a_step_keeps_what_was_proposed_and_a_larger_one_goes_on(limit: Any, tmp_path: Path) -> None:
    def searched(folder: str, budget: int) -> SearchResult:
        def ask(bench: Bench) -> None:
            for i in range(2 * bench.step, 2 * bench.step + 2):
                if i == budget:
                    raise BudgetReached("no more", limit)
                bench.propose([f"template {i} <CLASS>"])

        reward = Table({"template 2 <CLASS>": 15}, {"template 2 <CLASS>": 15})
        return run(reward, Doing(ask), tmp_path / folder)

    whole, stopped = searched("whole", 99), searched("stopped", 3)
    assert stopped.reached and (stopped.reached.limit, stopped.stopped) == (limit, "no more")
    assert (stopped.ended, stopped.choice.template) == ("no more", "template 2 <CLASS>")
    assert [len(step.scored) for step in stopped.steps] == [1, 2, 1]
    assert records(searched("stopped", 99)) == records(whole) and whole.reached is None


def test_a_budget_that_describing_uses_up_leaves_the_initial_template() -> None:
    def describe() -> list[str]:
        raise BudgetReached("nothing left")

    found = run(Table(), proposing(["a <CLASS>"]), describe=describe)
    assert (found.stopped, found.choice.template, len(found.steps)) == ("nothing left", BASELINE, 1)


def test_an_initial_template_that_the_reward_refuses_is_bad_input() -> None:
    reward: Any = Table()
    reward.problem = lambda template: "it is too long"
    with pytest.raises(InputError, match=r"'a photo of a <CLASS>\.' cannot be used: it is too long\."):
        run(reward, proposing())


def test_what_ask_returns_ends_the_search_and_is_a_text() -> None:
    found = run(Table(), Doing(lambda bench: "it knows no template"))
    assert (found.ended, len(found.steps)) == ("it knows no template", 2)
    with pytest.raises(InputError, match=r"ask\(\) of the strategy Doing gave list; it returns None, or why"):
        run(Table(), Doing(lambda bench: ["a <CLASS>"]))


def test_a_strategy_is_closed_once_however_the_search_ends() -> None:
    for error in (BudgetReached("no more"), RuntimeError("gone")):

        def ask(bench: Bench, error: Exception = error) -> None:
            raise error

        strategy = Doing(ask)
        with suppress(RuntimeError):
            run(Table(), strategy)
        assert strategy.closed == 1


# Trying templates without proposing them.


def test_what_is_tried_is_scored_once_on_the_train_units_alone_and_remembered(tmp_path: Path) -> None:
    tries: list[list[tuple[str, float, int]]] = []

    def ask(bench: Bench) -> None:
        tried = bench.try_(["fair <CLASS>", "no slot", "best <CLASS>", "fair <CLASS>", f"step {bench.step} <CLASS>"])
        tries.append([(one.template, one.value, one.step) for one in tried])
        bench.propose([f"other {bench.step} <CLASS>", "fair <CLASS>"])

    reward = Table({"best <CLASS>": 25, "fair <CLASS>": 10})
    found = run(reward, Doing(ask), tmp_path, steps=2)
    fair, best = ("fair <CLASS>", 10 / N, 0), ("best <CLASS>", 25 / N, 0)
    assert tries == [[fair, best, ("step 0 <CLASS>", 1 / N, 0)], [fair, best, ("step 1 <CLASS>", 1 / N, 1)]]
    assert reward.asked("train").count("best <CLASS>") == 1 and "best <CLASS>" not in reward.asked("val")
    assert reward.asked("train").count("fair <CLASS>") == 2, "what is proposed is scored alone"
    assert "best <CLASS>" not in found.history and list(found.history.tried) == [
        *("fair <CLASS>", "best <CLASS>", "step 0 <CLASS>", "step 1 <CLASS>")
    ]
    assert (found.scored_only, found.proposed, [step.scored_only for step in found.steps]) == (4, 3, [0, 3, 1])
    assert events(tmp_path, "train")[1]["scores"][1]["hits"] == "1" * 10 + "0" * 20


def test_tries_are_limited_by_a_count_over_the_whole_search() -> None:
    tried: list[list[str]] = []

    def ask(bench: Bench) -> None:
        tried.append(templates(bench.try_(["no slot", *(f"{bench.step} {i} <CLASS>" for i in range(6))])))

    found = run(Table(), Doing(ask), steps=2, scored_templates=8)
    assert tried == [[f"0 {i} <CLASS>" for i in range(6)], ["1 0 <CLASS>", "1 1 <CLASS>"]] and found.scored_only == 8


def test_time_is_checked_between_batches_and_what_an_earlier_session_did_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [0.0]
    monkeypatch.setattr("ipo_prompts.metrics.clock.now", lambda: at[0])
    texts = [f"number {i} <CLASS>" for i in range(2 * bench.AT_ONCE + 1)]

    def searched(folder: str, reward: Table, **limit: Any) -> SearchResult:
        def ask(bench: Bench) -> None:
            bench.try_(texts)
            bench.propose([f"{letter} <CLASS>" for letter in "ab"])

        return run(reward, Doing(ask), tmp_path / folder, steps=2, ledger=Ledger(clock=Clock(**limit)))

    class Slow(Table):
        """Takes all the time in the second batch."""

        def score(self, templates: Sequence[str], units: Units) -> list[Score]:
            if texts[bench.AT_ONCE] in templates:
                at[0] = 61.0
            return super().score(templates, units)

    slow = Doing(lambda bench: bench.try_(texts))
    found = run(Slow(), slow, tmp_path / "slow", ledger=Ledger(clock=Clock(1)))
    assert found.stopped and len(found.steps) == 1 and found.history.tried.keys() == {*texts[: 2 * bench.AT_ONCE]}
    reward = Table({"b <CLASS>": 12}, {"b <CLASS>": 12})
    whole = searched("log", reward)
    written = (tmp_path / "log" / "journal.jsonl").read_bytes()
    assert records(searched("log", reward, minutes=0.5, before=60.0)) == records(whole)
    assert whole.choice.template == "b <CLASS>" and whole.scored_only == len(texts)
    assert (tmp_path / "log" / "journal.jsonl").read_bytes() == written, "nothing is written twice"


def test_a_control_sees_the_initial_template_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Control(Doing):
        knows_history = False

    def ask(bench: Bench) -> None:
        assert templates([*bench.history]) == [BASELINE] and not bench.history.tried
        assert templates(bench.try_(["seen <CLASS>"])) == ["seen <CLASS>"]
        bench.propose(["a <CLASS>", f"{bench.step} <CLASS>"])

    caplog.set_level(logging.INFO)
    reward = Table()
    found = run(reward, Control(ask))
    assert templates([*found.history]) == [BASELINE, "a <CLASS>", *(f"{i} <CLASS>" for i in range(3))]
    assert reward.asked("train").count("seen <CLASS>") == 1
    assert caplog.text.count("refused 'a <CLASS>': it is already known") == 2
