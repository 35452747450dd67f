"""The benchmark of a whole run: its goals, the sets that judge, what a run keeps, and how shares are judged."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest

from benchmarks import answer
from benchmarks.lab.answer_tables import GOALS, JUDGES, USED, Run, goals
from benchmarks.lab.bad_names import KINDS, called
from benchmarks.lab.bed import CLAIMS, PREFIX, SHIFTED, SUITES, set_of, suite
from benchmarks.lab.one_answer import FORTY_THREE, LOPSIDED, Asked, Bench, held_back, labels_of

TEN = ("cat", "mouse", "ice cream", "fish", "bus", "scissors", "airplane", "chicken", "bell", "alarm clock")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("embedded")


def test_every_goal_has_a_judge() -> None:
    with GOALS.open(encoding="utf-8", newline="") as file:
        rows = [row["row"] for row in csv.DictReader(file)]
    assert rows == [*JUDGES] == [*USED]


def test_no_set_that_judges_was_looked_at() -> None:
    known = {spec.removeprefix(SHIFTED).removeprefix(PREFIX) for half in (*SUITES, *CLAIMS) for spec in suite(half)}
    known |= {"noise+negative", "sideways+dark"}  # with these the rules were chosen
    seen = {set_of(name).transformations for name in known} - {()}
    for name in (name for sets in answer.JUDGING.values() for name in sets):
        one = set_of(name)
        assert one.transformations not in seen and one.seed > 100


def test_names_of_every_kind_differ_and_are_bad() -> None:
    for kind in KINDS:
        names = called(kind, TEN)
        assert len({*names}) == len(TEN)
        assert (names == TEN) == (kind == "right")


def test_labels_are_parted_as_in_a_folder() -> None:
    assert [held_back(labels) for labels in (1, 2, 3, 6, 16)] == [0, 1, 1, 2, 6]
    rng = np.random.default_rng(0)
    assert sum(labels_of(FORTY_THREE, 10, rng)) == 43
    lopsided = labels_of(LOPSIDED, 30, rng)
    assert (min(lopsided), max(lopsided)) == (1, 16)


def test_a_run_uses_no_test_picture_and_is_the_same_again(bench: Bench) -> None:
    asked = Asked("clean", twenty=True, classes=4, kind="plurals", labels="6", draw=0)
    drawn = bench.drawn(asked)
    assert drawn.selection is not None
    learnt = {*(drawn.search.groups or ()), *(drawn.selection.groups or ())}
    assert len(learnt) == 24 and not learnt & {*(drawn.test.groups or ())}
    found = bench.run(asked)
    assert found == bench.run(asked)
    assert len({*found["drawings"]}) == len(found["first"]) == 4 * 14
    assert len({number // 20 for number in found["drawings"]}) == 4


def test_shuffled_labels_say_nothing_and_the_test_keeps_its_own(bench: Bench) -> None:
    right, mixed = (Asked("clean", False, 10, "right", "6", 1, shuffled) for shuffled in (False, True))
    told, untold = bench.drawn(right), bench.drawn(mixed)
    assert (told.test.labels == untold.test.labels).all()
    assert not (told.search.labels == untold.search.labels).all()


def test_what_the_rule_gives_back_is_a_share_of_what_names_cost() -> None:
    def run(kind: str, draw: int, first: str, rule: str) -> Run:
        cell: dict[str, Any] = {"first": first, "rule": rule, "drawings": [0, 1, 20, 21]}
        return Run("clip", "names", "clean", Asked("clean@101", False, 10, kind, "6", draw), cell)

    runs = [run("right", draw, "1111", "0000") for draw in (0, 1)]
    runs += [run("plurals", 0, "0000", "+++0"), run("plurals", 1, "1000", "0+00")]
    line = next(line for line in goals(runs) if "the rule gives back" in line)
    assert "57%" in line and line.endswith("| no |")  # (75 + 25) of (100 + 75) points
