"""The suite that ships is what its rule makes of the CLIP and the images that ship."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.lab.bed import SUITE_FILE, SUITES, suite
from ipo_prompts.experiments.compare.documents import unpack
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded.shifts import canonical, name_of_set, transformations_of
from ipo_prompts.experiments.run.prepared import image_ids
from support.pages import DOCS
from tools.embedded.__main__ import OUT, main
from tools.embedded.suite import KNOWN, LEAST, PAIRS, RULE, chosen, half, measure

ONE = 1 / 136
"""A validation image, which other kernels may see otherwise."""


@pytest.fixture(scope="module")
def shipped() -> Any:
    return json.loads(SUITE_FILE.read_text("utf-8"))


def test_the_shipped_suite_follows_the_rule(shipped: Any) -> None:
    baseline = measure(OUT)
    assert shipped["rule"] == RULE
    there = {one["name"]: one for one in shipped["sets"]}
    for pair, share in baseline.items():
        one = there.pop(name_of_set(pair), None)
        if one is None:
            assert share <= LEAST + ONE
        else:
            assert one["baseline"] > LEAST and one["baseline"] == pytest.approx(share, abs=ONE + 1e-4)
            assert one["half"] == half(pair)
    assert not there, "a set that is no pair of the rule"


def test_there_are_enough_sets_to_average_over(shipped: Any) -> None:
    assert [one["half"] for one in shipped["sets"]].count("open") >= 16


def test_what_was_looked_at_before_is_in_no_half(shipped: Any) -> None:
    assert set(PAIRS) > KNOWN and len(KNOWN) == 11
    assert not {name_of_set(pair) for pair in KNOWN} & {one["name"] for one in shipped["sets"]}


def test_the_halves_share_the_transformations() -> None:
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
    for name in ("model", "images", "split.json"):
        (out / name).symlink_to(OUT / name)
    monkeypatch.setattr("benchmarks.lab.bed.SUITE_FILE", out / "suite.json")
    monkeypatch.setattr("tools.embedded.suite.PAIRS", PAIRS[:2])
    monkeypatch.setattr(
        "sys.argv", ["embedded", "--work", str(tmp_path / "none"), "--out", str(out), "--stage", "suite"]
    )
    main()
    made = json.loads((out / "suite.json").read_text("utf-8"))
    assert {one["name"] for one in made["sets"]} <= {name_of_set(pair) for pair in PAIRS[:2]}
    assert made["rule"] == RULE and not (tmp_path / "none").exists()


def test_the_halves_of_the_suite_are_sets_of_two_and_share_none() -> None:
    halves = [suite(name) for name in SUITES]
    assert all(halves)
    assert not set(halves[0]) & set(halves[1])
    for spec in halves[0] + halves[1]:
        assert canonical(spec) == spec
        assert len(transformations_of(spec.removeprefix("embedded:"))) == 2


def test_the_images_of_claims_are_those_of_the_recorded_cells_on_any_processor() -> None:
    _, entries, outcomes = unpack(DOCS / "evidence/cells/claims-embedded.jsonl.gz")
    recorded = {
        entry.data: outcome.tests["test"].images
        for entry, outcome in zip(entries, outcomes, strict=True)
        if entry.seed == 0 and not isinstance(outcome, str)
    }
    assert len(recorded) == 18
    for spec, images in recorded.items():
        assert image_ids(load_data(spec, seed=0).test) == images, spec
