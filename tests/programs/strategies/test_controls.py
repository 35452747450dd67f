"""The registry of strategies, and the controls: each changes what is shown, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.template import ANCHOR
from ipo_prompts.programs.history import PromptHistory, ScoredTemplate
from ipo_prompts.programs.settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.asking import HistorySettings
from ipo_prompts.programs.strategies.base import Expected, Forecast, Models, SearchState
from ipo_prompts.programs.strategies.given import GivenTemplates
from ipo_prompts.programs.strategies.history import HistoryStrategy
from ipo_prompts.programs.strategies.no_history import NoHistory
from ipo_prompts.programs.strategies.shuffled import Shuffled
from ipo_prompts.programs.strategies.small_model import SmallModelStrategy


def state(entries: int = 12, seed: int = 3) -> SearchState:
    def scored(template: str, value: float, step: int) -> ScoredTemplate:
        hits = np.arange(100) < round(100 * value)
        return ScoredTemplate(Score(template, value, 1 - value, hits, 1.0 - hits), step, "test")

    history = PromptHistory(scored(ANCHOR, 0.3, -1))
    for i in range(entries):
        history.add(scored(f"number {i} <CLASS>", (i + 1) / 20, i))
    return SearchState("pets", ("cat",), ("soft light",), None, entries, seed, 2, history)


def test_the_history_shows_the_best_worst_first_with_the_initial_template_pinned() -> None:
    shown = HistoryStrategy(size=4).look(state())
    assert [row.template for row in shown.templates] == [ANCHOR, *(f"number {i} <CLASS>" for i in (9, 10, 11))]
    assert [row.value for row in shown.templates] == [0.3, 0.5, 0.55, 0.6]
    assert [row.loss for row in shown.templates] == pytest.approx([0.7, 0.5, 0.45, 0.4])
    loose = HistoryStrategy(size=12, pin_initial=False, floor=0.4).look(state())
    assert [row.value for row in loose.templates] == [0.4, 0.45, 0.5, 0.55, 0.6]
    assert (shown.task, shown.descriptions, shown.class_names) == ("pets", ("soft light",), ("cat",))


@pytest.mark.parametrize("small", [False, True])
def test_without_history_nothing_of_it_is_shown(small: bool) -> None:
    strategy = NoHistory.build(STRATEGIES.settings({"name": "no-history"}), Models(small=small))
    shown = strategy.look(state())
    assert shown.templates == ()
    assert (shown.task, shown.descriptions) == ("pets", ("soft light",))


def test_shuffled_scores_keep_templates_and_numbers_and_part_them() -> None:
    honest = HistoryStrategy(size=100).look(state()).templates
    control = Shuffled.build(HistorySettings(size=100), Models()).look(state()).templates
    assert sorted(row.template for row in control) == sorted(row.template for row in honest)
    assert sorted((row.value, row.loss) for row in control) == sorted((row.value, row.loss) for row in honest)
    true = {row.template: row.value for row in honest}
    assert sum(true[row.template] != row.value for row in control) > 6
    # They are sorted by the score they are shown with: their order gives nothing away.
    assert [row.value for row in control] == sorted(row.value for row in control)


def test_shuffling_comes_before_the_best_are_picked() -> None:
    """Otherwise the choice would reveal which templates are good, whatever their scores."""
    picked = set()
    for seed in range(40):
        rows = Shuffled.build(HistorySettings(size=3), Models()).look(state(seed=seed)).templates
        assert max(row.value for row in rows) == 0.6  # the best score is shown …
        picked |= {row.template for row in rows}
    assert len(picked) == 13  # … beside any template


def test_shuffling_is_drawn_from_the_steps_seed_alone() -> None:
    strategy = Shuffled.build(HistorySettings(size=5), Models())
    first = strategy.look(state(seed=1))
    random.seed(99)
    assert strategy.look(state(seed=1)) == first
    assert strategy.look(state(seed=2)) != first


def test_the_true_history_is_never_changed() -> None:
    given = state()
    before = list(given.history)
    Shuffled.build(HistorySettings(), Models()).look(given)
    assert list(given.history) == before


def test_small_models_are_asked_in_their_own_way_by_every_strategy() -> None:
    assert isinstance(STRATEGIES.build({"name": "history"}, Models(small=True)), SmallModelStrategy)
    for name in ("no-history", "shuffled", "feedback"):
        inner = STRATEGIES.build({"name": name}, Models(small=True)).inner
        assert isinstance(inner, SmallModelStrategy)
        assert type(STRATEGIES.build({"name": name}, Models()).inner) is HistoryStrategy


def test_every_strategy_says_what_it_is() -> None:
    flags = {name: (STRATEGIES.find(name).asks_lm, STRATEGIES.find(name).needs_lm) for name in STRATEGIES}
    assert flags == {
        "compose": (True, False),
        "history": (True, True),
        "no-history": (True, True),
        "feedback": (True, True),
        "shuffled": (True, True),
        "shuffled-feedback": (True, True),
        "list": (False, False),
    }
    assert next(iter(STRATEGIES)) == STRATEGIES.default


def test_settings_are_the_strategys_own_and_complete() -> None:
    assert STRATEGIES.complete("history") == {
        "name": "history",
        "size": 12,
        "pin_initial": True,
        "floor": 0.0,
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
            r"there is no strategy 'histry' \(did you mean history\?\); there are: compose, history, feedback",
        ),
        ({"name": "history", "sze": 3}, "has no setting 'sze'; did you mean strategy.size"),
        ({"name": "no-history", "sze": 3}, "has no setting 'sze'; it has none"),
        ({"name": "compose", "size": 3}, "strategy.size is a setting of strategy=history, feedback, shuffled, shuf"),
        ({"size": 3}, "and this is strategy=compose; write strategy=history too, or leave strategy.size out"),
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
    assert GivenTemplates(["a <CLASS>"] * 6).forecast(Expected(settings, "pets")) == Forecast()
    with pytest.raises(InputError, match=r"the list has 7 templates and steps=3 of 2 try 6 of them; write steps=4\."):
        GivenTemplates(["a <CLASS>"] * 7).forecast(Expected(settings, "pets"))


def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the templates in"):
        STRATEGIES.build({"name": "list", "file": str(tmp_path / "none.txt")}, Models())
