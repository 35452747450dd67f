"""The search as its journal tells it."""

from __future__ import annotations

from pathlib import Path

from ipo.experiments.report.gather import gather
from support.runs import events, rejected, scored


def test_every_template_is_told_with_the_step_that_scored_it(finished: Path) -> None:
    search = gather(finished).search
    told = [search.initial.template, *(one.template for step in search.steps for one in step.candidates)]
    assert told == scored(finished)
    assert [step.number for step in search.steps] == [1, 2]
    assert [entry for step in search.steps for entry in step.rejected] == rejected(finished)


def test_the_history_of_a_step_is_what_the_language_model_saw(finished: Path) -> None:
    for step in gather(finished).search.steps:
        asked = step.questions[0].messages[-1].text
        places = [asked.index(line) for line in step.history]
        assert places == sorted(places)
        assert step.history


def test_questions_and_replies_are_the_recorded_ones(finished: Path) -> None:
    search = gather(finished).search
    replies = [event["reply"]["message"]["parts"][0]["text"] for event in events(finished, "lm")]
    assert [question.reply for step in search.steps for question in step.questions] == replies
    assert {message.role for step in search.steps for message in step.questions[0].messages} >= {"system", "user"}


def test_the_best_so_far_never_falls(finished: Path) -> None:
    search = gather(finished).search
    accuracies = [search.initial.accuracy, *(step.best.accuracy for step in search.steps)]
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] == max(one.accuracy for step in search.steps for one in (*step.candidates, search.initial))


def test_the_finalists_begin_with_the_initial_template(finished: Path) -> None:
    search = gather(finished).search
    assert search.finalists[0].template == search.initial.template
    assert sum(one.chosen for one in search.finalists) == 1


def test_answers_that_were_never_scored_are_kept_apart(run_folder: Path) -> None:
    journal = run_folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    second = next(i for i, line in enumerate(lines) if '"kind": "search", "step": 1' in line)
    journal.write_text("".join(lines[:second] + lines[second + 1 :]))
    search = gather(run_folder).search
    assert [step.number for step in search.steps] == [1]
    assert len(search.unfinished) == 1
