"""The tables of the evidence pages are those that cells make, and the figures of pages stand in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import claims, gains, tables
from benchmarks.lab.bed import SHIFTED

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FIGURE = re.compile(r"[+-]?\d+\.\d(?:\d)? \[[+-]?\d+\.\d+, [+-]?\d+\.\d+\]")


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_is_that_of_its_cells(name: str) -> None:
    assert tables.written(tables.TABLES[name]()) == (tables.FOLDER / f"{name}.csv").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_gains_with_intervals_stand_in_a_table(page: Path) -> None:
    known = {plain(one) for file in tables.FOLDER.glob("*.csv") for one in FIGURE.findall(file.read_text("utf-8"))}
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", page.read_text("utf-8"), flags=re.M | re.S)
    found = {plain(one) for one in FIGURE.findall(re.sub(r"\s+", " ", prose))}
    assert found <= known


def plain(figure: str) -> str:
    """Leave out plus signs, which some commands print within brackets and some do not."""
    return figure.replace("+", "")


def test_the_readmes_table_is_that_of_the_cells() -> None:
    assert "\n".join(claims.readme()) in (ROOT / "README.md").read_text("utf-8")


def test_the_tables_of_another_command_are_kept_in_the_words_of_pages() -> None:
    printed = ["claims-untaught, 2 sets", "", "| row | clean (80.0 %) |", "| --- | --- |", "| `a` | +1.0 [0.5, 1.5] |"]
    (kept,) = tables.joined(tables.read([*printed, "", "more:", *printed[2:]]))
    assert kept == [
        ["table", "row", "clean pictures"],
        ["unnamed transformations, 2 sets", "accuracy of the baseline template, %", "80.0"],
        ["unnamed transformations, 2 sets", "a", "+1.0 [0.5, 1.5]"],
        ["more", "accuracy of the baseline template, %", "80.0"],
        ["more", "a", "+1.0 [0.5, 1.5]"],
    ]


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
