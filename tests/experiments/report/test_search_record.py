"""The search as its journal tells it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.report.gather import SearchRecord, read_run
from ipo_prompts.experiments.report.page import write_report
from ipo_prompts.metrics.template import read_templates
from support.runs import answered, events, lines_of, rejected, scored


def test_every_template_is_told_with_the_step_that_scored_it(finished: Path) -> None:
    search = read_run(finished).search
    told = [search.initial.template, *(one.template for step in search.steps for one in step.candidates)]
    assert told == scored(finished)
    assert [step.number for step in search.steps] == [1, 2]
    assert [entry for step in search.steps for entry in step.rejected] == rejected(finished)


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
    assert search.tried == before.tried + 24
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
    assert [step.questions for step in search.steps] == [step.questions for step in before.steps]


def test_questions_and_replies_are_the_recorded_ones(finished: Path) -> None:
    search = read_run(finished).search
    replies = [question.text for question in answered(finished)]
    assert [question.text for step in search.steps for question in step.questions] == replies
    assert {role for step in search.steps for role, _ in step.questions[0].messages} >= {"system", "user"}


def test_answers_that_were_never_scored_are_kept_apart(run_folder: Path) -> None:
    journal = run_folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    second = next(i for i, line in enumerate(lines) if '"kind": "search", "step": 1' in line)
    journal.write_text("".join(lines[:second] + lines[second + 1 :]))
    search = read_run(run_folder).search
    assert [step.number for step in search.steps] == [1]
    assert len(search.unfinished) == 1
