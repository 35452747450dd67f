"""The answer of a run is one table, which the terminal, the page, a notebook and `ipo report` print."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.report.page import notebook_part, read_run, run_page
from ipo_prompts.experiments.run.answer import LABEL, cost, further, headline, next_commands, one_line, summary, table
from ipo_prompts.experiments.run.final_test import AnswerStep, rows_of
from ipo_prompts.experiments.run.result import RunResult, load_result
from ipo_prompts.experiments.tracking import summary_of
from ipo_prompts.metrics.reward import Score
from support.results import scored_part

RECORDED = Path(__file__).parents[1] / "recorded"
RUN = RECORDED / "local-history"
STEPS: tuple[Any, ...] = ("names", "template", "other names", "images")


def flat(text: str) -> str:
    """Return the text of HTML, with one space between words."""
    return " ".join(html.unescape(re.sub(r"<(?!CLASS>)[^>]*>", " ", text)).replace("\xa0", " ").split())


def drawn_result(seed: int) -> RunResult:
    """Return a result with random hits before and after each step, some of which change nothing."""
    draw = random.Random(seed)
    classes, size = draw.choice([(2, 200), (2, 3), (5, 8), (12, 10), (68, 4), (30, 1)])
    n = classes * size

    def score(worse: float, better: float, before: list[int]) -> Score:
        hits = [int(draw.random() >= worse) if hit else int(draw.random() < better) for hit in before]
        return Score("a <CLASS>", sum(hits) / n, 1.0, np.array(hits, dtype=bool), np.ones(n))

    def step(what: Any, found: Score) -> AnswerStep:
        kept = draw.random() < 0.7
        score_of: Callable[[Any], Score] | None = (lambda units: found) if kept else None
        return AnswerStep(what, f"{what} {seed}", score_of)

    start = score(0.4, 0.0, [1] * n)
    changes = [score(*draw.choice([(0.05, 0.0), (0.1, 0.1), (0.05, 0.3), (0.3, 0.05)]), [1] * n) for _ in STEPS]
    steps = [step(what, change) for what, change in zip(STEPS, changes, strict=True)]
    labels = [i // size for i in range(n)]
    rows = rows_of({"test": scored_part(start, steps, labels)}, "accuracy")
    result = load_result(RUN)
    searched = tuple(row for row in result.rows if row.part == "train")
    return result.model_copy(update={"rows": (*rows, *searched)})


@pytest.mark.parametrize("seed", range(20))
def test_terminal_page_notebook_and_tracking_say_the_same(seed: int) -> None:
    result = drawn_result(seed)
    run = replace(read_run(RUN), result=result)
    lines = table(result)
    assert len(lines) == len(STEPS) + 2
    terminal = summary(result, run.config, run.folder, 200)
    said = headline(result)
    for text in (" ".join(terminal.split()), flat(run_page(run)), flat(notebook_part(run))):
        at = text.index(said[0].upper() + said[1:] if text[0] != said[0] else said)
        for line in lines:
            at = text.index(" ".join(cell for cell in line if cell), at)
    total = result.rows_on("test")[-1]
    assert one_line(result).startswith(result.template) and lines[-1].gain in one_line(result)
    tracked = summary_of(result)
    assert tracked["test/first"] == total.before.value and tracked["test/images"] == total.after.value
    assert "test/gain" not in tracked, "a sweep must not choose by the test"
    assert RunResult.model_validate_json(result.model_dump_json(by_alias=True)).rows == result.rows


@pytest.mark.parametrize(
    ("gains", "before", "said"),
    [
        ({"template": 30}, 0, " points by template, on 100 test images"),
        ({"names": 20, "template": 15}, 0, " points by names and template,"),
        ({"names": 10, "template": 1, "images": 50}, 0, " points, nearly all by labelled images,"),
        ({"other names": 20, "template": 3, "images": 15}, 0, " points by names by search and labelled images,"),
        ({"template": 2}, 0, "no gain for certain: +2.0 ["),
        ({"template": 20, "images": -22}, 0, "no gain for certain: -2.0 ["),
        ({"template": None}, 0, "nothing was convincingly better, on 100 test images"),
        ({"template": 30}, 1, " points, tested before, on"),
    ],
)
def test_the_headline_names_only_what_can_be_told_from_chance(
    gains: dict[Any, int | None], before: int, said: str
) -> None:
    def score(right: int) -> Score:
        hits = np.arange(100) < right
        return Score("a <CLASS>", right / 100, 1.0, hits, np.ones(100))

    def step(what: Any, right: int | None) -> AnswerStep:
        return AnswerStep(what, "how", None if right is None else lambda units: score(right))

    steps, right = [], 30
    for what, gain in gains.items():
        right += gain or 0
        steps.append(step(what, gain and right))
    parts = {"test": scored_part(score(30), steps)}
    result = load_result(RUN).model_copy(update={"rows": rows_of(parts, "accuracy", tested_before=before)})
    assert said in headline(result)


@pytest.mark.parametrize("part", ["train", "val"])
def test_the_headline_of_a_closed_test_names_the_images_that_chose(part: Any) -> None:
    result = load_result(RUN)
    only = result.model_copy(update={"rows": tuple(result.rows_on(part))})
    assert headline(only).endswith(f" points, not tested, on {only.rows[0].n} {part} images")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_shows_what_helped_then_the_template_and_keeps_to_its_width(width: int) -> None:
    run = read_run(RECORDED / "api-paper-base-to-new")
    text = summary(run.result, run.config, Path("run"), width)
    lines = text.splitlines()
    assert [line.strip() for line in lines[1:3]] == [headline(run.result), run.result.template]
    drawn = lines[3 : next(i for i, line in enumerate(lines) if line.startswith(("advice: ", "  cost: ")))]
    assert max(map(len, drawn)) <= width
    assert "new classes" in text and len(table(run.result, "new")) >= 2


def test_a_template_that_stays_is_said_to_stay_and_its_program_is_used() -> None:
    result = drawn_result(0)
    steps = [AnswerStep("template", result.initial_template, None)]
    right = Score("a <CLASS>", 1.0, 1.0, np.ones(8, dtype=bool), np.ones(8))
    rows = rows_of({"test": scored_part(right, steps)}, "accuracy")
    kept = result.model_copy(update={"template": result.initial_template, "rows": rows})
    assert [line.what for line in table(kept)] == [kept.initial_template, "template: the initial one stays", "in all"]
    commands = next_commands(kept, Path("run"))
    assert commands[LABEL] == "ipo predict run IMAGES --out predicted.csv"
    assert not any("--text-only" in command for command in commands.values())


@pytest.mark.parametrize("target", ["open_clip", "head"])
def test_the_export_named_is_the_one_that_holds_the_program(target: str) -> None:
    result = load_result(RUN)
    clip = result.clip.model_copy(update={"name": "ViT-B-32/openai"})
    result = result.model_copy(update={"export": target, "clip": clip})
    assert next_commands(result, Path("r"))["use it in other tools"] == f"ipo export r --to {target} --out DIR"


def test_the_last_line_says_how_many_classes_were_tested_and_a_step_whether_it_was() -> None:
    run = read_run(RUN)
    forms = (((1, 3), " images of 1 of 3 classes", "not tested"), ((3, 3), " images", "tested before"))
    for tested, note, p in forms:
        none = {"outcome": "no test", "p": None, "p_corrected": None, "family": "the reason"}
        rows = [
            row.model_copy(
                update={"classes": tested, "kept": True, "difference": row.difference.model_copy(update=none)}
            )
            for row in run.result.rows
        ]
        one = replace(run, result=run.result.model_copy(update={"rows": tuple(rows)}))
        lines = table(one.result)
        assert lines[-1].note == f"{rows[-1].n}{note}" and lines[1].note == p
        for text in (summary(one.result, None, Path("run"), 200), flat(run_page(one)), flat(notebook_part(one))):
            assert lines[-1].note in " ".join(text.split()) and p in text
        assert "There is no p: the reason." in flat(run_page(one))


@pytest.mark.parametrize(("written", "said"), [(0, True), (1, False), (None, False)])
def test_below_the_table_stands_that_no_template_of_a_language_model_could_be_used(
    written: int | None, said: bool
) -> None:
    run = read_run(RUN)
    one = replace(run, result=run.result.model_copy(update={"written": written}))
    assert one.result.lm.optimizer
    line = f"o template of {one.result.lm.optimizer.name} could be used"
    for text in (summary(one.result, None, Path("run"), 200), flat(run_page(one)), flat(notebook_part(one))):
        assert (line in text[text.index("in all") :]) == said


def test_a_single_call_is_one_call() -> None:
    result = load_result(RUN)
    assert result.lm.optimizer
    for calls, said in ((1, "1 call,"), (2, "2 calls,")):
        used = result.lm.model_copy(update={"optimizer": result.lm.optimizer.model_copy(update={"calls": calls})})
        assert f" {said} " in cost(result.model_copy(update={"lm": used}), None)


def test_other_measures_are_sums_beside_the_table() -> None:
    result = load_result(RUN)
    total = result.rows_on("test")[-1]
    more = total.model_copy(update={"measure": "recall@5"})
    result = result.model_copy(update={"rows": (*result.rows, more)})
    assert [line.what for line in further(result)] == ["recall@5"]
    assert result.rows_on("test")[-1] == total
