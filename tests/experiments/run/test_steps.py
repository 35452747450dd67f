"""The rows of an answer, from hits that are written by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.run.final_test import AnswerStep, Scored, rows_of
from ipo_prompts.metrics.evidence import EACH_CLASS_ALIKE
from ipo_prompts.metrics.reward import Score
from support.results import scored_part

START = [0] * 60 + [1] * 40
NAMED = [1] * 30 + [0] * 30 + [1] * 40
IMAGES = [1] * 31 + [0] * 29 + [1] * 40


def score(hits: list[int]) -> Score:
    right = np.array(hits, dtype=bool)
    return Score("a <CLASS>", float(right.mean()), 0.5, right, np.full(len(hits), 0.5))


def step(what: Any, hits: list[int] | None) -> AnswerStep:
    return AnswerStep(what, "how", None if hits is None else lambda units: score(hits))


def scored(*steps: AnswerStep, start: list[int] = START, classes: list[str] | None = None, names: str = "") -> Scored:
    return scored_part(score(start), steps, classes, names=names)


ALL = (step("names", NAMED), step("template", None), step("images", IMAGES))


def test_each_row_begins_where_the_row_above_ends_and_the_sum_spans_all() -> None:
    rows = rows_of({"test": scored(*ALL)}, "accuracy")
    assert [row.what for row in rows] == ["names", "template", "images", "in all"]
    assert [row.after.value for row in rows] == [0.7, 0.7, 0.71, 0.71]
    for above, below in pairwise(rows[:-1]):
        assert below.before == above.after
    assert (rows[-1].before, rows[-1].after) == (rows[0].before, rows[2].after)
    assert rows[-1].difference.mean == pytest.approx(0.31)
    assert {row.n for row in rows} == {100}


def test_a_step_without_a_change_is_no_test_of_its_own() -> None:
    rows = rows_of({"test": scored(*ALL)}, "accuracy")
    assert [row.kept for row in rows] == [True, False, True, True]
    assert rows[1].difference.outcome == "same templates"
    assert [row.difference.outcome for row in rows] == ["gain", "same templates", "not shown", "no test"]
    assert rows[0].difference.comparisons == 2, "two steps changed something"
    (unchanged, total) = rows_of({"test": scored(step("template", None))}, "accuracy")
    assert not unchanged.kept and not total.kept and total.difference.ci95 == (0, 0)


def test_the_steps_of_all_test_parts_are_corrected_together_and_others_are_no_test() -> None:
    part = scored(step("template", NAMED))
    rows = rows_of({"train": part, "test": part, "new": part}, "accuracy")
    found = {row.part: row.difference for row in rows if row.what == "template"}
    assert [found[name].comparisons for name in ("train", "test", "new")] == [1, 2, 2]
    assert (found["train"].outcome, found["train"].p) == ("no test", None)
    assert found["test"].p is not None and found["test"].p_corrected == pytest.approx(2 * found["test"].p, abs=2e-6)


def test_test_images_of_one_class_test_nothing() -> None:
    part = scored(step("template", NAMED), classes=["cat"] * 100, names="abc")
    new = scored(step("template", NAMED), classes=["cat"] * 50 + ["dog"] * 50, names="ab")
    rows = rows_of({"test": part, "new": new}, "accuracy")
    found = {row.part: row for row in rows if row.what == "template"}
    alone, both = found["test"], found["new"]
    assert (alone.difference.outcome, alone.difference.p, alone.classes) == ("no test", None, (1, 3))
    assert (both.difference.outcome, both.difference.comparisons, both.classes) == ("gain", 1, (2, 2))


def test_images_that_were_tested_before_give_a_difference_and_no_verdict() -> None:
    part = {"test": scored(*ALL)}
    fresh, again = (rows_of(part, "accuracy", tested_before=times)[0].difference for times in (0, 2))
    assert (again.outcome, again.p, again.p_corrected) == ("no test", None, None)
    assert (again.mean, again.ci95) == (fresh.mean, fresh.ci95)
    assert again.family == "these test images were tested 2 times before; for a p-value, search on new images"


def test_of_imbalanced_classes_the_mean_over_classes_stands_beside_the_accuracy() -> None:
    """Of 60 images of one class 50 are gained, and of four classes of twelve half is lost."""
    start, after = [0] * 60 + [1] * 48, [1] * 50 + [0] * 10 + [0, 1] * 24
    classes = ["a"] * 60 + [name for name in "bcde" for _ in range(12)]
    part = scored(step("template", after), start=start, classes=classes)
    plain, total, balanced = rows_of({"test": part}, "accuracy")
    assert plain.difference.outcome == "gain" and plain.difference.mean == pytest.approx(26 / 108, abs=1e-6)
    assert (balanced.measure, balanced.what) == ("mean over classes", "in all")
    assert balanced.difference.mean == pytest.approx((5 / 6 - 4 / 2) / 5, abs=1e-6)
    assert balanced.after.value == pytest.approx((5 / 6 + 4 / 2) / 5, abs=1e-6)
    assert balanced.n == total.n == 108
    decides = rows_of({"test": part}, "accuracy", balanced=True)[0]
    assert (decides.difference.outcome, decides.difference.covers) == ("loss", EACH_CLASS_ALIKE)
    assert decides.after == balanced.after
    weighted = [replace(one, hits=3.0 * one.hits, value=3.0 * one.value) for one in part.scores]
    assert len(rows_of({"test": replace(part, scores=weighted)}, "other")) == 2, "they may be weighted by class already"
    even = scored(step("template", after), start=start, classes=["a"] * 54 + ["b"] * 54)
    assert len(rows_of({"test": even}, "accuracy")) == 2
