"""The registry of strategies, and the list of given templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import STRATEGIES
from ipo_prompts.programs.strategies.base import Expected, Forecast, GivenTemplates, forecast_of
from support.scored import bench, templates


def test_settings_are_the_strategys_own_and_complete() -> None:
    defaults = {"size": 12, "pin_initial": True, "floor": 0.0, "phrases": True, "one_by_one": False}
    assert STRATEGIES.complete("history") == {"name": "history", **defaults}
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
    expected = Expected(SearchSettings(steps=3, candidates_per_step=2), "pets")
    assert forecast_of(GivenTemplates(["a <CLASS>"] * 6), expected) == Forecast()
    with pytest.raises(InputError, match=r"the list has 7 templates and steps=3 of 2 try 6 of them; write steps=4\."):
        forecast_of(GivenTemplates(["a <CLASS>"] * 7), expected)


def test_a_list_takes_what_a_run_proposed(tmp_path: Path) -> None:
    table = tmp_path / "templates.csv"
    table.write_text(
        "step,template,scored_as,value,loss,chosen\n"
        "0,a photo of a <CLASS>.,initial template,0.5,1.0,\n"
        '1,"a dark photo of a <CLASS>, in fog.",proposed,0.6,0.9,yes\n'
        "1,in fog <CLASS>,scored only,0.4,1.1,\n"
        "2,a <CLASS> that is dark,proposed,0.5,1.0,\n"
    )
    for file in (tmp_path, table):
        made = bench(count=5)
        assert STRATEGIES.build({"name": "list", "file": file}).ask(made) == "the list of templates is used up"
        assert templates(made.proposed) == ["a dark photo of a <CLASS>, in fog.", "a <CLASS> that is dark"]
    table.write_text("name,text\n1,a <CLASS>\n")
    with pytest.raises(InputError, match=r"is no templates\.csv of a run; write one template a line"):
        STRATEGIES.build({"name": "list", "file": table})
    with pytest.raises(InputError, match="cannot read the file of templates"):
        STRATEGIES.build({"name": "list", "file": str(tmp_path / "none.txt")})
