"""The loop: what is asked, scored, remembered, chosen. The rewards are small tables, so that every number is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.clock import BudgetReached, Clock, check_clock, keeping
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.evidence import score_interval
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs import scoring_only
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.record.score_keeper import AT_ONCE, ScoreKeeper
from ipo_prompts.programs.search import (
    MAX_EMPTY_STEPS,
    NothingUsable,
    SearchResult,
    search,
)
from ipo_prompts.programs.strategies.base import GivenTemplates, Known, ScoredOnly, Strategy
from ipo_prompts.programs.templates.admission import Desk
from ipo_prompts.programs.templates.settings import SearchSettings

N = 20


@dataclass(frozen=True)
class Units:
    """One part of the units; `groups` and `labels` as a reward would give them."""

    name: str
    groups: Sequence[str] | None = None
    labels: Any = None


class TableReward:
    """Of N units, as many are right as a table says for a template and a part; others score one."""

    class_names = ("cat", "dog")

    def __init__(self, **right: dict[str, int]) -> None:
        self.right = right
        self.asked: list[tuple[str, str]] = []

    def problem(self, template: str) -> str | None:
        return None if "<CLASS>" in template else "it has no slot"

    def examples(self, examples: Sequence[Any]) -> Units:
        raise AssertionError("the loop gets units")

    def score(self, templates: Sequence[str], units: Units) -> list[Score]:
        self.asked += [(units.name, template) for template in templates]
        return [self._score(template, self.right.get(units.name, {}).get(template, 1)) for template in templates]

    def _score(self, template: str, right: int) -> Score:
        hits = np.arange(N) < right
        losses = np.where(hits, 0.1, 2.0)
        return Score(template, float(hits.mean()), float(losses.mean()), hits, losses)


Ask = Callable[[Known, Desk, int], None]


class Doing:
    """A strategy that calls a function, and keeps the arguments."""

    asks_lm = needs_lm = True

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.known: list[Known] = []
        self.desks: list[Desk] = []
        self.closed = 0

    def ask(self, known: Known, desk: Desk) -> None:
        self.known.append(known)
        self.desks.append(desk)
        self._ask(known, desk, len(self.desks) - 1)

    def close(self) -> None:
        self.closed += 1


def admitting(steps: Sequence[Iterable[str]]) -> Doing:
    def ask(known: Known, desk: Desk, number: int) -> None:
        for template in steps[number] if number < len(steps) else ():
            desk.admit(template)

    return Doing(ask)


def run(reward: TableReward, strategy: Strategy, **more: Any) -> SearchResult:
    settings = {"steps": 3, "patience": None, **more.pop("settings", {})}
    return search(SearchSettings(**settings), reward, strategy, Units("search"), Units("selection"), **more)


def checking(check: Callable[[], None]) -> Ledger:
    clock = Clock()
    clock.check_time = check  # type: ignore[method-assign]
    return Ledger(clock=clock)


def test_the_winner_is_chosen_on_all_units_and_its_gain_measured_on_the_held_back_ones() -> None:
    reward = TableReward(
        search={"lucky <CLASS>": 18, "good <CLASS>": 10}, selection={"lucky <CLASS>": 2, "good <CLASS>": 15}
    )
    found = run(reward, admitting([["lucky <CLASS>", "good <CLASS>"]]))
    assert found.history.best.template == "lucky <CLASS>"
    assert (found.history.initial.step, found.history.best.step) == (-1, 0)
    assert found.choice.template == "good <CLASS>"
    assert found.choice.gain == pytest.approx((15 - 1) / N)  # every fold chooses it: 25 of 40 units against 20
    assert {part for part, template in reward.asked if template == BASELINE} == {"search", "selection"}


def test_every_template_is_scored_on_the_held_back_units_the_best_of_the_search_first() -> None:
    templates = [f"number {i} <CLASS>" for i in range(15)]
    reward = TableReward(search={template: 2 + i for i, template in enumerate(templates)})
    run(reward, admitting([templates]), settings={"candidates_per_step": 15})
    held_back = [template for part, template in reward.asked if part == "selection"]
    assert held_back == [BASELINE, *templates[::-1]]


def test_many_templates_are_scored_some_at_a_time_and_recorded_as_one_event(tmp_path: Path) -> None:
    class Counting(TableReward):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []

        def score(self, templates: Sequence[str], units: Units) -> list[Score]:
            self.sizes.append(len(templates))
            return super().score(templates, units)

    reward, steps = Counting(), [[f"number {i} of step {j} <CLASS>" for i in range(100)] for j in range(3)]
    with closing(Journal(tmp_path)) as journal:
        record = ScoreKeeper(journal, reward)
        run(reward, admitting(steps), settings={"candidates_per_step": 100}, record=record)
    assert reward.sizes[-2:] == [AT_ONCE, 301 - AT_ONCE]
    events = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    (event,) = [event for event in events if event.get("kind") == "selection"]
    assert [row["template"] for row in event["scores"]] == [template for _, template in reward.asked[-301:]]


@pytest.mark.parametrize(
    ("units", "sampling"),
    [
        (Units("search"), Sampling(N)),
        (Units("search", groups=["a", "b"] * 10), Sampling.of(N, draws=["a", "b"] * 10)),
        (  # a name for each picture is as good as none
            Units("search", groups=[str(i) for i in range(N)], labels=np.arange(N) % 4),
            Sampling.of(N, [i % 4 for i in range(N)]),
        ),
        (
            Units("search", groups=["a", "b"] * 10, labels=np.arange(N) % 4),
            Sampling.of(N, [i % 4 for i in range(N)], ["a", "b"] * 10),
        ),
        (Units("search", labels=np.arange(3)), Sampling(N)),  # of pictures, not of units
    ],
)
def test_a_steps_interval_is_that_of_its_best_template(units: Units, sampling: Sampling) -> None:
    reward = TableReward(search={"good <CLASS>": 12})
    found = search(SearchSettings(steps=1), reward, admitting([["good <CLASS>"]]), units)
    first, second = found.steps
    assert tuple(first.interval) == tuple(score_interval(np.arange(N) < 1, sampling))
    assert tuple(second.interval) == tuple(score_interval(np.arange(N) < 12, sampling))
    assert 0 < second.interval.low < 0.6 < second.interval.high < 1


def test_a_strategy_is_told_everything_and_each_step_has_its_own_seed() -> None:
    reward = TableReward(search={"good <CLASS>": 12})
    strategy = admitting([["good <CLASS>"], ["other <CLASS>"]])
    units = Units("search", labels=np.arange(N))
    settings = SearchSettings(steps=3, seed=5, candidates_per_step=2)
    search(settings, reward, strategy, units, task="pets", describe=lambda: ["soft light"])
    known = strategy.known[1]
    assert (known.task, tuple(known.class_names), known.descriptions) == ("pets", ("cat", "dog"), ("soft light",))
    assert (known.step, known.count, strategy.desks[1].count) == (1, 2, 2)
    assert np.shares_memory(known.labels, units.labels) and units.labels.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        known.labels[0] = 99  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        known.history.initial.score.hits[0] = True
    entry = known.history.best
    assert entry.template == "good <CLASS>" and entry.score.hits.tolist() == [True] * 12 + [False] * 8
    seeds = [known.seed for known in strategy.known]
    expected = [int.from_bytes(hashlib.sha256(f"5|{step}".encode()).digest()[:4], "big") >> 1 for step in range(3)]
    assert seeds == expected


def test_the_desk_takes_in_only_what_is_valid_new_and_wanted() -> None:
    answers: list[str | None] = []

    def ask(known: Known, desk: Desk, number: int) -> None:
        for text in (
            "1. good <CLASS>",
            "no slot",
            "Good  <CLASS>!",
            "A PHOTO of a <CLASS>",
            7,
            "two <CLASS>",
            "three <CLASS>",
        ):
            answers.append(desk.admit(text))
        answers.append(desk.admit("fine <CLASS>", extra=lambda template: "it is dull"))

    strategy = Doing(ask)
    found = run(TableReward(), strategy, settings={"steps": 1, "candidates_per_step": 2})
    assert answers == [
        None,
        "it has no slot",
        "it repeats another answer",
        "it is already known",
        "it has no slot",
        None,
        "more templates came than were asked for",
        "it is dull",
    ]
    assert [entry.template for entry in found.steps[1].scored] == ["good <CLASS>", "two <CLASS>"]
    assert [rejection.reason for rejection in found.steps[1].rejected] == [answer for answer in answers if answer]
    assert strategy.desks[0].missing == 0
    assert strategy.desks[0].refusals[0] == "no slot (it has no slot)"


def test_a_list_is_handed_in_step_by_step_and_ends_the_search() -> None:
    templates = [f"number {i} <CLASS>" for i in range(5)]
    strategy = GivenTemplates(templates)
    settings = {"steps": 9, "candidates_per_step": 2, "patience": 1}
    found = run(TableReward(), strategy, settings={**settings, "patience": None})
    assert [[entry.template for entry in step.scored] for step in found.steps[1:]] == [
        templates[:2],
        templates[2:4],
        templates[4:],
    ]
    assert (found.ended, found.stopped, found.proposed) == ("the list of templates is used up", None, 5)
    again = run(TableReward(), strategy, settings={**settings, "patience": None})
    assert [step.record() for step in again.steps] == [step.record() for step in found.steps]


def test_patience_counts_from_the_last_better_template() -> None:
    reward = TableReward(search={"a <CLASS>": 5, "c <CLASS>": 7})
    steps = [["a <CLASS>"], ["b <CLASS>"], ["c <CLASS>"], ["d <CLASS>"], ["e <CLASS>"], ["f <CLASS>"]]
    found = run(reward, admitting(steps), settings={"steps": 6, "patience": 2})
    assert [step.number for step in found.steps] == [-1, 0, 1, 2, 3, 4]


def test_a_model_that_gives_nothing_more_ends_the_search_with_what_there_is() -> None:
    reward = TableReward(search={"good <CLASS>": 12}, selection={"good <CLASS>": 12})
    found = run(reward, admitting([["good <CLASS>"], *[["no slot"]] * 20]), settings={"steps": 20})
    assert found.choice.template == "good <CLASS>"
    assert found.ended.startswith(
        f"the language model gave no usable template in {MAX_EMPTY_STEPS} steps in a row (it "
    )
    assert len(found.steps) == 1 + 1 + MAX_EMPTY_STEPS
    assert found.stopped is None


def test_a_model_that_never_gives_anything_is_a_failure() -> None:
    with pytest.raises(NothingUsable, match=r"it has no slot.*try another model"):
        run(TableReward(), admitting([["no slot"]] * 20), settings={"steps": 20})


def test_a_budget_ends_with_what_there_is() -> None:
    def ask(known: Known, desk: Desk, number: int) -> None:
        if number == 1:
            raise BudgetReached("no more")
        desk.admit("good <CLASS>")

    reward = TableReward(search={"good <CLASS>": 12}, selection={"good <CLASS>": 12})
    found = run(reward, Doing(ask))
    assert (found.stopped, found.ended, found.choice.template) == ("no more", "no more", "good <CLASS>")
    assert found.proposed == 1


@pytest.mark.parametrize("limit", ["budget_usd", "budget_tokens", "max_minutes"])
def test_a_stopped_search_names_the_setting_that_stopped_it(limit: Any) -> None:
    def ask(known: Known, desk: Desk, number: int) -> None:
        raise BudgetReached("no more", limit)

    found = run(TableReward(), Doing(ask))
    assert found.reached and (found.reached.limit, found.stopped) == (limit, "no more")
    assert run(TableReward(), admitting([["a <CLASS>"]])).reached is None


class Timed(TableReward):
    """A reward that begins nothing after the limit, as a CLIP does."""

    def score(self, templates: Sequence[str], units: Units) -> list[Score]:
        check_clock()
        return super().score(templates, units)


def test_what_an_earlier_session_scored_is_scored_again_though_the_time_is_up(tmp_path: Path) -> None:
    def searched(minutes: float | None) -> SearchResult:
        reward = Timed(search={"b <CLASS>": 9}, selection={"b <CLASS>": 9})
        strategy = looking([["seen <CLASS>"]] * 2, then=["a <CLASS>", "b <CLASS>"])[0]
        with closing(Journal(tmp_path)) as journal, keeping(Clock.of(minutes, before=60.0)) as clock:
            ledger = Ledger(clock=clock)
            return run(reward, strategy, settings={"steps": 2}, record=ScoreKeeper(journal, reward), ledger=ledger)

    whole, again = searched(None), searched(0.5)
    assert [step.record() for step in again.steps] == [step.record() for step in whole.steps]
    assert (again.choice, again.stopped) == (whole.choice, None)
    assert whole.choice.template == "b <CLASS>"


def test_what_was_admitted_before_a_budget_was_reached_is_scored_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    def searched(folder: Path, budget: int) -> tuple[SearchResult, list[str]]:
        def ask(known: Known, desk: Desk, number: int) -> None:
            for i in range(2):
                if 2 * number + i == budget:
                    raise BudgetReached("no more")
                desk.admit(f"template {2 * number + i} <CLASS>")

        reward = TableReward(search={"template 2 <CLASS>": 12}, selection={"template 2 <CLASS>": 12})
        with closing(Journal(folder)) as journal:
            return run(reward, Doing(ask), record=ScoreKeeper(journal, reward))

    whole = searched(tmp_path / "whole", 99)
    stopped = searched(tmp_path / "stopped", 3)
    assert (stopped.stopped, stopped.proposed, stopped.choice.template) == ("no more", 3, "template 2 <CLASS>")
    assert [len(step.scored) for step in stopped.steps] == [1, 2, 1]
    resumed = searched(tmp_path / "stopped", 99)
    assert [step.record() for step in resumed.steps] == [step.record() for step in whole.steps]
    assert (resumed.choice, resumed.stopped) == (whole.choice, None)


def test_a_budget_that_describing_uses_up_leaves_the_initial_template() -> None:
    def describe() -> list[str]:
        raise BudgetReached("nothing left")

    found = run(TableReward(), admitting([["a <CLASS>"]]), describe=describe)
    assert (found.stopped, found.choice.template, len(found.steps)) == ("nothing left", BASELINE, 1)


def test_an_initial_template_that_the_reward_refuses_is_bad_input() -> None:
    class Picky(TableReward):
        def problem(self, template: str) -> str | None:
            return "it is too long"

    with pytest.raises(InputError, match=r"'a photo of a <CLASS>\.' cannot be used: it is too long\."):
        run(Picky(), admitting([]))


# Looking at templates without proposing them.


def looking(chunks: Sequence[Sequence[str]], then: Sequence[str] = ()) -> tuple[Doing, list[list[Score]]]:
    seen: list[list[Score]] = []

    def ask(known: Known, desk: Desk, number: int) -> None:
        if number < len(chunks):
            seen.append(desk.score_only(chunks[number]))
        for template in then:
            desk.admit(template)

    return Doing(ask), seen


def test_looking_scores_on_the_search_units_alone_and_leaves_the_history(tmp_path: Path) -> None:
    reward = TableReward(search={"best <CLASS>": 15, "fair <CLASS>": 9})
    strategy, seen = looking([["fair <CLASS>", "no slot", "best <CLASS>"]], then=["other <CLASS>"])
    journal = Journal(tmp_path)
    found = run(reward, strategy, settings={"steps": 1}, record=ScoreKeeper(journal, reward))
    journal.close()
    assert [(score.template, score.value) for score in seen[0]] == [("fair <CLASS>", 9 / N), ("best <CLASS>", 15 / N)]
    assert ("selection", "best <CLASS>") not in reward.asked
    assert "best <CLASS>" not in found.history
    assert (found.scored_only, found.proposed, found.steps[1].scored_only) == (2, 1, 2)
    events = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert events[0]["scores"][0]["hits"] == "1" + 19 * "0"
    (scored_only,) = [event for event in events if event["type"] == "scored_only"]
    assert (scored_only["step"], scored_only["around"]) == (0, "")
    assert scored_only["rows"] == [["fair <CLASS>", 9 / N, 1.145], ["best <CLASS>", 15 / N, 0.575]]


def test_a_proposal_may_be_scored_at_once_and_is_scored_recorded_and_counted_once(tmp_path: Path) -> None:
    told: list[object] = []

    def ask(known: Known, desk: Desk, number: int) -> None:
        told.extend(desk.score(text) for text in ("1. fair <CLASS>", "no slot", "fair <CLASS>"))
        desk.admit("later <CLASS>")
        told.append(desk.score("one too many <CLASS>"))

    reward = TableReward(search={"fair <CLASS>": 9})
    with closing(Journal(tmp_path)) as journal:
        settings = {"steps": 1, "candidates_per_step": 2}
        found = run(reward, Doing(ask), settings=settings, record=ScoreKeeper(journal, reward))
    assert isinstance(told[0], Score) and (told[0].template, told[0].value) == ("fair <CLASS>", 9 / N)
    assert told[1:] == ["it has no slot", "it repeats another answer", "more templates came than were asked for"]
    assert (found.proposed, found.scored_only) == (2, 0)
    assert reward.asked.count(("search", "fair <CLASS>")) == 1
    events = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    (early,) = [event for event in events if event["type"] == "proposed"]
    (step,) = [event for event in events if event["type"] == "scores" and event["step"] == 0]
    assert (early["step"], early["row"]) == (0, ["fair <CLASS>", 9 / N, 1.145])
    assert events.index(early) < events.index(step)
    assert [row["template"] for row in step["scores"]] == ["fair <CLASS>", "later <CLASS>"]


def test_looks_are_limited_by_a_count_over_the_whole_search() -> None:
    first, second = [[f"{word} {i} <CLASS>" for i in range(6)] for word in ("one", "two")]
    strategy, seen = looking([first, ["no slot", *second]], then=["other <CLASS>"])  # what cannot be scored is no look
    found = run(TableReward(), strategy, settings={"steps": 2, "scored_templates": 8})
    assert [len(scores) for scores in seen] == [6, 2]
    assert [score.template for score in seen[1]] == second[:2]
    assert found.scored_only == 8


def test_limits_are_checked_between_chunks_and_what_was_looked_at_is_on_record(tmp_path: Path) -> None:
    templates = [f"number {i} <CLASS>" for i in range(2 * scoring_only.AT_ONCE + 1)]
    strategy, seen = looking([templates])
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 4:  # one before the step
            raise BudgetReached("the time is up")

    reward, journal = TableReward(), Journal(tmp_path)
    found = run(reward, strategy, record=ScoreKeeper(journal, reward), ledger=checking(check))
    journal.close()
    assert (found.stopped, seen, len(checks)) == ("the time is up", [], 4)
    events = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [len(event["rows"]) for event in events if event["type"] == "scored_only"] == [scoring_only.AT_ONCE] * 2


def test_later_steps_know_what_was_looked_at_and_around_what() -> None:
    def ask(known: Known, desk: Desk, number: int) -> None:
        desk.score_only([f"near {number} <CLASS>", "no slot"], around="a <CLASS>" if number else "")
        desk.admit(f"number {number} <CLASS>")

    strategy = Doing(ask)
    run(TableReward(search={"near 0 <CLASS>": 9}), strategy)
    assert [len(known.scored_only) for known in strategy.known] == [0, 1, 2]
    assert strategy.known[2].scored_only == (
        ScoredOnly("near 0 <CLASS>", 9 / N, pytest.approx(1.145), 0),
        ScoredOnly("near 1 <CLASS>", 1 / N, pytest.approx(1.905), 1, "a <CLASS>"),
    )


def test_a_resumed_search_writes_nothing_twice_and_ends_the_same(tmp_path: Path) -> None:
    def strategy() -> Doing:
        return looking([["x <CLASS>", "y <CLASS>"]] * 2, then=["other <CLASS>"])[0]

    def once() -> SearchResult:
        reward, journal = TableReward(), Journal(tmp_path)
        try:
            return run(reward, strategy(), settings={"steps": 2}, record=ScoreKeeper(journal, reward))
        finally:
            journal.close()

    first = once()
    written = (tmp_path / "journal.jsonl").read_text()
    again = once()
    assert (tmp_path / "journal.jsonl").read_text() == written
    assert [step.record() for step in again.steps] == [step.record() for step in first.steps]
    assert again.choice == first.choice


def test_an_object_that_can_only_ask_is_a_strategy() -> None:
    class Asks:
        def ask(self, known: Known, desk: Desk) -> None:
            desk.admit(f"number {known.step} <CLASS>")

    found = run(TableReward(), Asks(), settings={"steps": 2})
    assert [(entry.template, entry.source) for entry in found.history][1:] == [
        ("number 0 <CLASS>", "no language model"),
        ("number 1 <CLASS>", "no language model"),
    ]


def test_a_strategy_is_closed_once_however_the_search_ends() -> None:
    def failing(error: Exception) -> Doing:
        def ask(known: Known, desk: Desk, number: int) -> None:
            raise error

        return Doing(ask)

    for strategy in (failing(BudgetReached("no more")), failing(RuntimeError("gone"))):
        with suppress(RuntimeError):
            run(TableReward(), strategy)
        assert strategy.closed == 1
