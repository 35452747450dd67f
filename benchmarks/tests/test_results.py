"""The tables of the pages of results are those that their raw cells make."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import claims, gains
from benchmarks.lab.bed import SHIFTED
from ipo_prompts.experiments.compare.documents import documents, table_of
from ipo_prompts.experiments.compare.raw_cells import unpack

DOCS = Path(__file__).parents[2] / "docs"

PAGES = {
    "suite": "results.md",
    "suite-held-out": "held-out.md",
    "suite-base-to-new": "new-classes.md",
    "main-job": "results.md",
    "retrieval": "other-tasks-results.md",
    "segmentation": "other-tasks-results.md",
}


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_are_those_of_the_cells(name: str) -> None:
    grid, found, outcomes = unpack(DOCS / f"evidence/cells/{name}.jsonl.gz")
    table = table_of(grid, found, outcomes)
    assert table is not None
    text = documents(grid, table)["table.md"].split("\n", 2)[2].replace("\n### ", "\n#### ").strip()
    assert text.removeprefix("### ") in (DOCS / "evidence" / PAGES[name]).read_text("utf-8")


@pytest.mark.parametrize("name", ["plain-clip", "plain-clip-lm", "former-text-tower"])
def test_the_tables_of_other_clips_are_those_of_their_cells(name: str) -> None:
    assert "\n".join(gains.of_cells(DOCS / f"evidence/cells/{name}.jsonl.gz")) in (
        DOCS / "evidence/making-clips.md"
    ).read_text("utf-8")


def test_the_readmes_table_is_that_of_the_cells_and_short() -> None:
    lines = claims.readme()
    assert "\n".join(lines) in (DOCS.parent / "README.md").read_text("utf-8")
    assert len(lines) <= 2 + 10


@pytest.mark.parametrize("group", claims.GROUPS)
def test_the_tables_of_claims_are_those_of_their_cells_and_short(group: str) -> None:
    text = (DOCS / "evidence/control-clips.md").read_text("utf-8")
    for lines in (claims.by_kind(group), claims.by_templates(group)):
        assert "\n".join(lines) in text and len(lines) <= 2 + 10


def test_the_table_of_rows_with_a_model_is_that_of_its_cells() -> None:
    text = (DOCS / "evidence/control-clips.md").read_text("utf-8")
    assert "\n".join(claims.with_model()) in text
    assert "\n".join(claims.paper_job()) in text


def test_what_sets_share_widens_their_interval() -> None:
    # One picture of two classes in two sets of the same drawings, the first gained in both. Residuals .5 and -.5 count
    # 12.5 points each in the mean: 4 · 12.5² as four facts, 2 · 25² as two, which is 625 more.
    hits = {"a": {"hits": "10", "labels": [0, 1]}, "b": {"hits": "00", "labels": [0, 1]}}
    sets = ["embedded:sideways+blur", "embedded:zoom+gray"]
    ours, theirs = ({(name, 0): hits[key] for name in sets} for key in "ab")
    more = gains._pictures(ours, theirs)
    assert more == pytest.approx((625, 1))
    assert gains._wider(1.0, [1.0, 3.0], [], []) == pytest.approx(1.0)
    assert gains._wider(1.0, [1.0, 3.0], [], [more]) == pytest.approx((1 + 12.7062**2 * 625) ** 0.5, rel=1e-4)
    others = {(f"{SHIFTED}held-back/zoom+gray", 0): hits["a"], (sets[0], 0): hits["a"]}
    none = dict.fromkeys(others, hits["b"])
    assert gains._pictures(others, none).value == 0, "other drawings share nothing"
