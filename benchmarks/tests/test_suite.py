"""The suite that ships is what its rule makes of the CLIP and the pictures that ship."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipo_prompts.experiments.embedded import SUITE_FILE
from ipo_prompts.experiments.embedded.shifts import name_of_set
from tools.embedded.__main__ import OUT, main
from tools.embedded.suite import KNOWN, LEAST, PAIRS, RULE, chosen, half, measure

ONE = 1 / 136
"""A validation picture, which other kernels may see otherwise."""


@pytest.fixture(scope="module")
def shipped() -> Any:
    return json.loads(SUITE_FILE.read_text("utf-8"))


def test_the_shipped_suite_follows_the_rule(shipped: Any) -> None:
    anchor = measure(OUT)
    assert shipped["rule"] == RULE
    there = {one["name"]: one for one in shipped["sets"]}
    for pair, share in anchor.items():
        one = there.pop(name_of_set(pair), None)
        if one is None:
            assert share <= LEAST + ONE
        else:
            assert one["anchor"] > LEAST and one["anchor"] == pytest.approx(share, abs=ONE + 1e-4)
            assert one["half"] == half(pair)
    assert not there, "a set that is no pair of the rule"


def test_there_are_enough_sets_to_average_over(shipped: Any) -> None:
    assert [one["half"] for one in shipped["sets"]].count("open") >= 16


def test_what_was_looked_at_before_is_in_no_half(shipped: Any) -> None:
    assert set(PAIRS) > KNOWN and len(KNOWN) == 11
    assert not {name_of_set(pair) for pair in KNOWN} & {one["name"] for one in shipped["sets"]}


def test_the_halves_share_the_operations() -> None:
    rest = [pair for pair in PAIRS if pair not in KNOWN]
    assert half(("upside down", "sepia")) == half(("sideways", "gray")) == "held out"
    assert half(("upside down", "hue")) == half(("sideways", "pixel")) == "open"
    assert 0.4 < sum(half(pair) == "held out" for pair in rest) / len(rest) < 0.6


def test_the_border_is_outside() -> None:
    at, above = PAIRS[0], PAIRS[1]
    assert [one["name"] for one in chosen({at: LEAST, above: LEAST + ONE})] == [name_of_set(above)]


def test_the_stage_needs_nothing_but_what_ships(tmp_path, monkeypatch: pytest.MonkeyPatch, shipped: Any) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("model", "pictures", "split.json"):
        (out / name).symlink_to(OUT / name)
    monkeypatch.setattr("tools.embedded.suite.PAIRS", PAIRS[:2])
    monkeypatch.setattr(
        "sys.argv", ["embedded", "--work", str(tmp_path / "none"), "--out", str(out), "--stage", "suite"]
    )
    main()
    made = json.loads((out / "suite.json").read_text("utf-8"))
    assert {one["name"] for one in made["sets"]} <= {name_of_set(pair) for pair in PAIRS[:2]}
    assert made["rule"] == RULE and not (tmp_path / "none").exists()
