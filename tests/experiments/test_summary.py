"""The last lines of a run."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.one_call import answer, summary
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.experiments.run.scores import Baselines

RECORDED = Path(__file__).parents[1] / "recorded" / "local-shuffled"


@pytest.mark.parametrize(
    ("held", "to"),
    [
        ({}, "open_clip --out DIR"),
        ({"synonyms": [["kitten"], []]}, "npz --out FILE.npz"),
        ({"offsets": {"kind": "mean"}}, "npz --out FILE.npz"),
    ],
)
def test_the_export_named_can_hold_the_program(held: dict[str, Any], to: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(RECORDED, folder)
    file = folder / "program.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | held))
    assert summary(load_result(folder), folder).endswith(f"ipo export {folder} --to {to}")


@pytest.mark.parametrize(
    ("outcome", "selection", "advice"),
    [
        ("gain", "held-back", ""),
        ("loss", "held-back", "shots=4 selection_shots=2"),
        ("same templates", "search", "shots=4"),
    ],
)
def test_what_is_better_than_a_template_without_a_gain_is_said_first(
    outcome: Any, selection: str, advice: str, tmp_path: Path
) -> None:
    result, file = load_result(RECORDED), tmp_path / "config.yaml"
    write_text(file, load_config(RECORDED / "config.yaml").model_copy(update={"selection": selection}).to_yaml())
    test = result.scores["test"]
    found = test.model_copy(update={"difference": test.difference.model_copy(update={"outcome": outcome})})
    lines = summary(result.model_copy(update={"scores": {"test": found}}), tmp_path).splitlines()
    *_, stay, _, search, following, _ = lines
    assert following.startswith("  next: ipo predict ")
    assert (f"--template {shlex.quote(result.initial_template)}" in following) == bool(advice)
    assert (stay == f"  advice: stay with the initial template, {result.initial_template}") == bool(advice)
    assert (search == f"          ipo optimize {file} {advice}") == bool(advice)


@pytest.mark.parametrize(
    ("parts", "stays"),
    [
        ({"test": "gain", "new": "loss"}, False),
        ({"test": "no evidence", "new": "gain"}, False),
        ({"test": "no evidence", "new": "loss"}, True),
    ],
)
def test_a_gain_on_either_sealed_part_is_no_reason_to_stay_with_the_initial_template(
    parts: dict[str, Any], stays: bool
) -> None:
    result = load_result(RECORDED)
    test = result.scores["test"]
    found = {
        part: test.model_copy(update={"difference": test.difference.model_copy(update={"outcome": outcome})})
        for part, outcome in parts.items()
    }
    told = summary(result.model_copy(update={"scores": found, "baselines": None}), RECORDED)
    assert ("stay with the initial template" in told) == stays


@pytest.mark.parametrize(("weak", "first"), [("near guessing", "warning"), ("far below the class mean", "template")])
def test_the_warning_leads_only_where_no_template_can_be_the_answer(weak: Any, first: str) -> None:
    result = load_result(RECORDED)
    known = Baselines(
        guessing=0.1, class_mean=None, labelled=1, ensemble=None, weak=weak, words="All.", warning="It is lost."
    )
    lines = summary(result.model_copy(update={"baselines": known}), RECORDED).splitlines()
    told = [line.strip() for line in lines if line][:2]
    assert told == (["It is lost.", result.template] if first == "warning" else [result.template, "It is lost."])


def test_one_template_is_one() -> None:
    result = load_result(RECORDED).model_copy(update={"templates_scored": 1})
    assert "  1 template in " in summary(result, RECORDED)


def test_the_answer_is_the_template_and_what_it_is_worth() -> None:
    result = load_result(RECORDED)
    template, verdict, *about = answer(result).splitlines()
    assert (template, verdict) == (result.template, result.verdict)
    assert all(line in summary(result, RECORDED) for line in about)


def test_the_calls_of_a_replay_are_said_to_be_recorded(tmp_path: Path) -> None:
    result, config = load_result(RECORDED), (RECORDED / "config.yaml").read_text()
    assert result.lm.optimizer and f"{result.lm.optimizer.calls} calls, " in summary(result, RECORDED)
    lm = f"lm: {load_config(RECORDED / 'config.yaml').lm}\n"
    assert lm in config
    (tmp_path / "config.yaml").write_text(config.replace(lm, "lm: replay/runs/other\n"))
    assert f"{result.lm.optimizer.calls} recorded calls, " in summary(result, tmp_path)


def test_a_terminal_of_80_columns_breaks_no_word_and_no_command() -> None:
    result = load_result(RECORDED)
    folder = Path("runs/a-folder-whose-name-is-as-long-as-can-be")
    wide, narrow = summary(result, folder), summary(result, folder, 80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert narrow.replace("\\\n", "").split() == wide.split(), "the words are the same"
    assert narrow.splitlines()[-2:] == [f"    or: ipo export {folder} \\", "          --to open_clip --out DIR"]
    long = [line for line in wide.splitlines() if len(line) > 80]
    assert any(line.startswith(f"  {result.verdict}") for line in long), "in a file a sentence is a line"


def test_the_table_of_a_large_test_fits_80_columns() -> None:
    result = load_result(RECORDED)
    test = result.scores["test"]
    large = {side: getattr(test, side).model_copy(update={"n": 50_000}) for side in ("initial", "optimised")}
    scores = {**result.scores, "test": test.model_copy(update=large)}
    lines = summary(result.model_copy(update={"scores": scores}), RECORDED).splitlines()
    header = next(i for i, line in enumerate(lines) if line.endswith("difference"))
    rows = lines[header : header + 1 + len(scores)]
    assert {len(row) for row in rows} == {len(rows[0])} and len(rows[0]) <= 80
