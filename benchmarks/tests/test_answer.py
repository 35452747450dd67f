"""The grid of what runs hand over: the sets that judge, names and labels of its sets, and its goals."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import answer
from benchmarks.answer import Found, goals, situation
from benchmarks.lab import GRIDS
from benchmarks.lab.bad_names import KINDS, called
from benchmarks.lab.bed import CLAIMS, PREFIX, SHIFTED, SUITES, set_of, shifted, suite
from ipo_prompts.experiments.compare.grid import load_grid

TEN = ("cat", "mouse", "ice cream", "fish", "bus", "scissors", "airplane", "chicken", "bell", "alarm clock")


def test_no_set_that_judges_was_looked_at() -> None:
    known = {spec.removeprefix(SHIFTED).removeprefix(PREFIX) for half in (*SUITES, *CLAIMS) for spec in suite(half)}
    known |= {"noise+negative", "sideways+dark"}  # with these the rules were chosen
    seen = {set_of(name).transformations for name in known} - {()}
    sets = [set_of(spec.removeprefix(SHIFTED)) for spec in load_grid(str(GRIDS / "answer.yaml")).data]
    assert Counter(map(situation, sets)) == {
        **{"clean images": 2, "corrupted images": 6, "shuffled": 6},
        **dict.fromkeys(KINDS[1:], 1),
    }
    for one in sets:
        assert one.transformations not in seen and one.seed > 400
        assert set_of(one.spec.removeprefix(SHIFTED)) == one


def test_names_of_every_kind_differ_and_are_bad() -> None:
    for kind in KINDS:
        names = called(kind, TEN)
        assert len({*names}) == len(TEN)
        assert (names == TEN) == (kind == "right")


def test_bad_names_are_those_of_the_classes_and_shuffled_labels_leave_the_test_alone() -> None:
    right, bad, mixed = (shifted(f"clean@7{kind}") for kind in ("", ":plurals", ":shuffled"))
    assert right.class_names and bad.class_names is None
    names = dict(zip(right.class_names, called("plurals", right.class_names), strict=True))
    assert [names[row.label] for row in right.rows] == [row.label for row in bad.rows]
    known = {row.key: row for row in right.rows}
    moved = [row for row in mixed.rows if known[row.key].label != row.label]
    assert len(moved) > 300 and "test" not in {row.split for row in moved}
    assert Counter(row.label for row in mixed.rows) == Counter(row.label for row in right.rows)


@pytest.mark.parametrize(("rule", "met"), [(57.0, "no"), (91.0, "yes")])
def test_what_the_rule_gives_back_is_a_share_of_what_names_cost(
    rule: float, met: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str, typed: float, by_rule: float) -> Found:
        accuracy = dict.fromkeys(answer.STEPS, 0.0) | {"as typed": typed, "normalised names": by_rule}
        return Found("clip", set_of(name), accuracy, {})

    monkeypatch.setattr(Found, "replaced", False)  # there are no runs
    monkeypatch.setattr(Found, "taken", False)
    kinds = [found(f"clean@401:{kind}", 0.0, rule) for kind in KINDS[1:]]
    others = [found(f"{name}+blur@9", 0.0, 0.0) for name in ("dark", "noise")]
    others += [found(name, 0.0, 0.0) for name in ("clean@402", "clean@403:shuffled")]
    lines = goals([found("clean@401", 100.0, 100.0), *kinds, *others])
    line = next(line for line in lines if "the rule reads" in line)
    assert f"{rule:.0f} % of 100.0" in line and line.endswith(f"| {met} |")
