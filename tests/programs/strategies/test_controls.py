"""The registry of strategies, and the control, which changes what is known and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.template import BASELINE, problem
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import (
    Expected,
    Forecast,
    GivenTemplates,
    Known,
    Models,
    ScoredOnly,
    forecast_of,
    may_know,
)
from ipo_prompts.programs.strategies.history import HistoryStrategy
from ipo_prompts.programs.templates.admission import Desk
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
from ipo_prompts.programs.templates.settings import SearchSettings


def known(entries: int = 12, seed: int = 3) -> Known:
    def scored(template: str, value: float, step: int) -> ScoredTemplate:
        hits = np.arange(100) < round(100 * value)
        return ScoredTemplate(Score(template, value, 1 - value, hits, 1.0 - hits), step, "test")

    history = PromptHistory(scored(BASELINE, 0.3, -1))
    for i in range(entries):
        history.add(scored(f"number {i} <CLASS>", (i + 1) / 20, i))
    scored_only = tuple(ScoredOnly(f"scored_only {i} <CLASS>", i / 20, 1 - i / 20, i % 3, BASELINE) for i in range(12))
    labels = np.arange(100) % 10
    return Known("pets", history, ("cat",), ("soft light",), labels, entries, seed, 2, scored_only)


def rows(known: Known, **settings: Any) -> list[tuple[str, float, float]]:
    shown = HistoryStrategy(**settings).chosen(known)
    return [(entry.template, entry.value, entry.loss) for entry in shown]


def test_the_history_shows_the_best_worst_first_with_the_initial_template_pinned() -> None:
    shown = rows(known(), size=4)
    assert [template for template, _, _ in shown] == [BASELINE, *(f"number {i} <CLASS>" for i in (9, 10, 11))]
    assert [value for _, value, _ in shown] == [0.3, 0.5, 0.55, 0.6]
    assert [loss for _, _, loss in shown] == pytest.approx([0.7, 0.5, 0.45, 0.4])
    loose = rows(known(), size=12, pin_initial=False, floor=0.4)
    assert [value for _, value, _ in loose] == [0.4, 0.45, 0.5, 0.55, 0.6]


def test_without_history_only_the_initial_template_is_known_and_none_is_shown() -> None:
    given = known()
    left = may_know(STRATEGIES.build({"name": "no-history"}, Models()), given)
    assert [entry.template for entry in left.history] == [BASELINE]
    assert left.scored_only == ()
    assert (left.task, left.descriptions, left.seed, left.labels) == ("pets", ("soft light",), 3, given.labels)
    for small in (False, True):
        strategy = STRATEGIES.build({"name": "no-history"}, Models(small=small))
        assert strategy.inner.chosen(may_know(strategy, given)) == []


def test_settings_are_the_strategys_own_and_complete() -> None:
    assert STRATEGIES.complete("history") == {
        "name": "history",
        "size": 12,
        "pin_initial": True,
        "floor": 0.0,
        "phrases": True,
        "one_by_one": False,
    }
    assert STRATEGIES.complete({"name": "history", "size": 3})["size"] == 3
    assert STRATEGIES.complete({"words": 3})["name"] == "compose"
    assert STRATEGIES.complete("no-history") == {"name": "no-history"}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            "histry",
            r"there is no strategy 'histry' \(did you mean history\?\); there are: compose, history, no-history",
        ),
        ({"name": "history", "sze": 3}, r"has no setting 'sze' \(did you mean size\?\); it has size, "),
        ({"name": "no-history", "sze": 3}, "has no setting 'sze'; it has none"),
        ({"size": 3}, "the strategy 'compose' has no setting 'size'; it has "),
        (
            {"name": "history", "size": -1},
            "strategy.size in the strategy 'history' is wrong.*than or equal to 0",
        ),
        ({"name": "history", "floor": -0.5}, "strategy.floor in the strategy 'history' is wrong"),
        ("list", "needs strategy.file=VALUE"),
        ({"name": 7}, "there is no strategy 7"),
    ],
)
def test_what_a_strategy_has_not_is_one_sentence(choice: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        STRATEGIES.complete(choice)


def test_a_list_that_is_longer_than_the_search_is_refused_with_the_words_to_type() -> None:
    settings = SearchSettings(steps=3, candidates_per_step=2)
    assert forecast_of(GivenTemplates(["a <CLASS>"] * 6), Expected(settings, "pets")) == Forecast()
    with pytest.raises(InputError, match=r"the list has 7 templates and steps=3 of 2 try 6 of them; write steps=4\."):
        GivenTemplates(["a <CLASS>"] * 7).forecast(Expected(settings, "pets"))


def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the file of templates"):
        STRATEGIES.build({"name": "list", "file": str(tmp_path / "none.txt")}, Models())


def test_a_list_takes_what_a_run_proposed(tmp_path: Path) -> None:
    table = tmp_path / "templates.csv"
    table.write_text(
        "step,template,scored_as,value,loss,chosen\n"
        "0,a photo of a <CLASS>.,initial template,0.5,1.0,\n"
        '1,"a dark photo of a <CLASS>, in fog.",proposed,0.6,0.9,yes\n'
        "1,in fog <CLASS>,scored only,0.4,1.1,\n"
        "2,a <CLASS> that is dark,proposed,0.5,1.0,\n"
    )
    wanted = ["a dark photo of a <CLASS>, in fog.", "a <CLASS> that is dark"]
    for file in (tmp_path, table):
        strategy = STRATEGIES.build({"name": "list", "file": file}, Models())
        desk = Desk(problem, count=5)
        strategy.ask(known(0), desk)
        assert desk.accepted == wanted and desk.finished
    table.write_text("name,text\n1,a <CLASS>\n")
    with pytest.raises(InputError, match=r"is no templates\.csv of a run; write one template a line"):
        STRATEGIES.build({"name": "list", "file": table}, Models())
