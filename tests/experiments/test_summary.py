"""The last lines of a run."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.one_call import answer, summary
from ipo_prompts.experiments.run.result import RunResult, load_result
from ipo_prompts.experiments.run.scores import Baselines, HeadFound, Measured, Over
from support.runs import change_settings

RECORDED = Path(__file__).parents[1] / "recorded" / "local-history"


def with_outcome(result: RunResult, **outcomes: Any) -> RunResult:
    """Return a result as if its sealed parts had shown this."""
    test = result.scores["test"]
    scores = {
        part: test.model_copy(update={"difference": test.difference.model_copy(update={"outcome": outcome})})
        for part, outcome in outcomes.items()
    }
    return result.model_copy(update={"scores": scores, "baselines": None})


def known(**more: Any) -> Baselines:
    mean = Measured(value=0.4, loss=1.0, n=40, ci95=(0.3, 0.5))
    about = {"guessing": 0.1, "labelled": 6, "ensemble": None, "weak": None}
    return Baselines(**{**about, "class_mean": mean, **more})


def lines_of(result: RunResult) -> list[str]:
    return summary(result, RECORDED).splitlines()


def test_the_end_is_ten_lines_and_says_nothing_twice() -> None:
    lines = lines_of(load_result(RECORDED).model_copy(update={"baselines": known()}))
    told = [line for line in lines if line]
    assert len(told) <= 10 and len({*told}) == len(told)
    labels = [line.strip().partition(":")[0] for line in told[2:]]
    assert [label for label in labels if not label.startswith("ipo ")] == [
        "test", "nearest class mean", "advice", "cost", "run directory", "next", "or",
    ]  # fmt: skip
    assert "four times in five" not in " ".join(lines)
    assert "nearest class mean: 40.0 % [30.0, 50.0], no words" in " ".join(lines)


def with_clip(name: str) -> RunResult:
    result = load_result(RECORDED)
    return result.model_copy(update={"clip": result.clip.model_copy(update={"name": name})})


@pytest.mark.parametrize("target", ["open_clip", "head"])
def test_the_export_named_is_the_one_that_holds_the_program(target: str) -> None:
    result = with_clip("ViT-B-32/openai").model_copy(update={"export": target})
    assert lines_of(with_outcome(result, test="gain"))[-1] == f"    or: ipo export {RECORDED} --to {target} --out DIR"


@pytest.mark.parametrize(
    ("outcome", "selection", "advice"),
    [
        ("gain", "held-back", ""),
        ("loss", "held-back", "shots=4 selection_shots=2"),
        ("not shown", "search", "shots=4"),
    ],
)
def test_what_is_better_than_a_template_without_a_gain_is_said(
    outcome: Any, selection: str, advice: str, tmp_path: Path
) -> None:
    result, file = load_result(RECORDED), tmp_path / "config.yaml"
    for name in ("journal.jsonl", "config.yaml"):
        shutil.copy(RECORDED / name, tmp_path)
    change_settings(tmp_path, selection=selection)
    told = summary(with_outcome(result, test=outcome), tmp_path)
    assert (f"--template {shlex.quote(result.initial_template)} PICTURES" in told) == bool(advice)
    assert (f"advice: stay with the initial template, {result.initial_template}; search" in told) == bool(advice)
    assert (f"        ipo optimize {file} {advice}" in told.splitlines()) == bool(advice)
    assert ("  advice: use it" in told.splitlines()) == (not advice)
    assert ("    or: ipo docs own-pictures" in told) == (not advice)


@pytest.mark.parametrize(
    ("weak", "taken", "advice"),
    [
        (None, True, "use the program as it is: words and pictures decide together"),
        ("near guessing", False, "another CLIP is likely to help more than words"),
        (None, False, "use it"),
    ],
)
def test_there_is_one_advice_of_what_the_run_knows(weak: Any, taken: bool, advice: str) -> None:
    over = Over(difference=0.1, ci95=(0.01, 0.2))
    result = with_outcome(load_result(RECORDED), test="gain")
    mean = known().class_mean
    assert mean
    head = HeadFound(way="class mean", weight=1.0, labelled=6, without=(), left_out=9, both=mean, over_words=over)
    changed = {"baselines": known(weak=weak), "head": head if taken else None}
    lines = lines_of(result.model_copy(update=changed))
    assert next(line for line in lines if "advice" in line).startswith(f"  advice: {advice}")
    assert len([line for line in lines if "advice" in line]) == 1


def test_a_quiet_answer_is_the_template_and_the_whole_verdict() -> None:
    result = load_result(RECORDED)
    assert answer(result).splitlines()[:2] == [result.template, result.verdict]
