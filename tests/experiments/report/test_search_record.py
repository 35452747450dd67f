"""The search, as the report shows it, is the search that the journal recorded."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.report.page import read_run
from ipo_prompts.metrics.template import read_templates
from support.runs import answered, events, result, scored

RESUMED = Path(__file__).parents[2] / "recorded" / "local-resumed"


@pytest.fixture(params=["finished", "resumed"])
def run_or_resumed(request: pytest.FixtureRequest, finished: Path) -> Path:
    return finished if request.param == "finished" else RESUMED


def test_every_template_is_told_with_the_step_that_scored_it(run_or_resumed: Path) -> None:
    def told(event: dict[str, Any]) -> list[tuple[str, float, int]]:
        return [(one["template"], round(one["accuracy"], 6), one["n"]) for one in event["scores"]]

    search = read_run(run_or_resumed).analysis.search
    # The last event of a step counts: a step that a limit stopped has an earlier event, too.
    steps = {event["step"]: told(event) for event in events(run_or_resumed, "scores") if event["kind"] == "train"}
    assert [[(one.template, one.value, one.n) for one in step.scored] for step in search.steps] == [*steps.values()]
    *_, finals = [told(event) for event in events(run_or_resumed, "scores") if event["kind"] == "val"]
    assert [(one.template, one.value, one.n) for one in search.finalists] == finals


def test_the_table_has_what_was_proposed_and_what_was_scored_only(finished: Path) -> None:
    rows = list(csv.DictReader((finished / "templates.csv").open(newline="")))
    assert [row["template"] for row in rows if row["scored_as"] != "scored only"] == scored(finished)
    assert read_templates(finished) == scored(finished)[1:], "strategy=list takes them again"
    only = [row["template"] for row in rows if row["scored_as"] == "scored only"]
    assert len(only) == len({*only}) == result(finished)["scored_only"] > 0
    assert [int(row["step"]) for row in rows] == sorted(int(row["step"]) for row in rows)
    assert [row["template"] for row in rows if row["chosen"]] == [read_run(finished).result.template]


def test_the_question_shown_is_the_last_one_that_was_answered(finished: Path) -> None:
    question = read_run(finished).question
    assert question is not None and question.text == [*answered(finished)][-1].text
    assert {role for role, _ in question.messages} >= {"system", "user"}
