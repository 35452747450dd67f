"""The search as its journal tells it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.report.gather import SearchRecord, read_run
from ipo_prompts.experiments.report.page import write_report
from ipo_prompts.metrics.template import read_templates
from support.runs import answered, events, lines_of, scored


def test_every_template_is_told_with_the_step_that_scored_it(finished: Path) -> None:
    search = read_run(finished).search
    told = [search.initial.template, *(one.template for step in search.steps for one in step.candidates)]
    assert told == scored(finished)
    assert [step.number for step in search.steps] == [1, 2]


def added(folder: Path, *more: dict[str, Any]) -> SearchRecord:
    """Follow the run with these events before its first step."""
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if '"kind": "search", "step": 0' in line)
    lines[first:first] = [lines_of({**event, "seconds": 0.5}) for event in more]
    journal.write_text("".join(lines))
    return read_run(folder).search


def test_what_was_only_looked_at_is_added_up_and_is_no_candidate(run_folder: Path) -> None:
    def scored_only(*values: float) -> dict[str, Any]:
        rows = [[f"{value}, <CLASS>", value, 1.0] for value in values]
        return {"type": "scored_only", "step": 0, "around": "", "rows": rows, "tried": 8}

    before = read_run(run_folder).search
    search = added(run_folder, scored_only(0.9, 0.8, 0.3), scored_only(0.85, 0.2, 0.1), scored_only(0.9, 0.8, 0.3))
    new, old = ([[one.value for one in step.scored_only] for step in found.steps] for found in (search, before))
    assert new == [[*old[0], 0.9, 0.8, 0.3, 0.85, 0.2, 0.1], []]
    rows = list(csv.DictReader(write_report(run_folder).with_name("templates.csv").open(newline="")))
    assert [row["template"] for row in rows if row["scored_as"] != "scored only"] == scored(run_folder)
    assert read_templates(run_folder) == scored(run_folder)[1:], "strategy=list takes them again"
    assert {tuple(row.values()) for row in rows} >= {("1", "0.85, <CLASS>", "scored only", "0.85", "1.0", "")}
    assert [row["template"] for row in rows if row["chosen"]] == [search.chosen]
    assert [step.candidates for step in search.steps] == [step.candidates for step in before.steps]
    assert [step.best for step in search.steps] == [step.best for step in before.steps]


def test_a_step_that_a_limit_stopped_and_a_larger_one_finished_is_told_once(run_folder: Path) -> None:
    before = read_run(run_folder).search
    first = next(event for event in events(run_folder, "scores") if event["step"] == 0)
    search = added(run_folder, {**first, "scores": first["scores"][:1]})
    assert [step.candidates for step in search.steps] == [step.candidates for step in before.steps]


def test_the_question_shown_is_the_last_one_that_was_answered(finished: Path) -> None:
    question = read_run(finished).search.question
    assert question is not None and question.text == [*answered(finished)][-1].text
    assert {role for role, _ in question.messages} >= {"system", "user"}
