"""The tables of the evidence pages are those that cells make, and the figures of pages stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tables
from benchmarks.lab import gains
from benchmarks.lab.bed import SHIFTED
from ipo_prompts.experiments.run.result import Tested

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FIGURE = re.compile(r"[+-]?\d+\.\d(?:\d)? \[[+-]?\d+\.\d+, [+-]?\d+\.\d+\]")


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_is_that_of_its_cells(name: str) -> None:
    assert tables.written(tables.TABLES[name]()) == (tables.FOLDER / f"{name}.csv").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_gains_with_intervals_stand_in_a_table(page: Path) -> None:
    texts = [file.read_text("utf-8") for file in tables.FOLDER.glob("*.csv")]
    known = {form for text in texts for one in FIGURE.findall(text) for form in forms(numbers(one))}
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", page.read_text("utf-8"), flags=re.M | re.S)
    found = {numbers(one) for one in FIGURE.findall(re.sub(r"\s+", " ", prose))}
    assert found <= known


def numbers(figure: str) -> tuple[float, ...]:
    """Return a gain and the ends of its interval."""
    return tuple(map(float, re.findall(r"[-+]?[\d.]+", figure)))


def forms(gain: tuple[float, ...]) -> Iterator[tuple[float, ...]]:
    """Yield a gain as pages may write it: with one digit after the point, and as what the other method gains."""
    for value, low, high in (gain, (-gain[0], -gain[2], -gain[1])):
        yield value, low, high
        yield round(value, 1), round(low, 1), round(high, 1)


def test_the_readmes_table_is_that_of_the_cells() -> None:
    rows = {f"|{'|'.join(row)}|" for row in tables.TABLES["answer"]()[1:]}
    for page, least in (("README.md", 5), ("docs/evidence/benchmarks.md", len(rows))):
        shown = re.findall(r"(?m)^\| ?(?:demo|control) CLIPs?, .*$", (ROOT / page).read_text("utf-8"))
        assert {re.sub(r" ?\| ?", "|", line) for line in shown} <= rows and len(shown) >= least


def test_the_tables_of_another_command_are_kept_in_the_words_of_pages() -> None:
    printed = ["claims-untaught, 2 sets", "", "| row | clean (80.0 %) |", "| --- | --- |", "| `a` | +1.0 [0.5, 1.5] |"]
    (kept,) = tables.joined(tables.read([*printed, "", "more:", *printed[2:]]))
    assert kept == [
        ["table", "row", "clean images"],
        ["unnamed transformations, 2 sets", "accuracy of the baseline template, %", "80.0"],
        ["unnamed transformations, 2 sets", "a", "+1.0 [0.5, 1.5]"],
        ["more", "accuracy of the baseline template, %", "80.0"],
        ["more", "a", "+1.0 [0.5, 1.5]"],
    ]


def test_what_sets_share_widens_their_interval() -> None:
    # One image of two classes in two sets of the same drawings, the first gained in both. Residuals .5 and -.5 count
    # 12.5 points each in the mean: 4 · 12.5² as four facts, 2 · 25² as two, which is 625 more.
    about: Any = {"classes": 2, "split": "own", "images": "", "labels": (0, 1), "draws": None}
    hits = {name: Tested(**about, hits={"answer": bits}) for name, bits in (("a", "10"), ("b", "00"))}
    sets = ["embedded:sideways+blur", "embedded:zoom+gray"]
    ours, theirs = ({(name, 0): hits[key] for name in sets} for key in "ab")
    more = gains._images(ours, theirs)
    assert more == pytest.approx((625, 1))
    others = {(f"{SHIFTED}held-back/zoom+gray", 0): hits["a"], (sets[0], 0): hits["a"]}
    none = dict.fromkeys(others, hits["b"])
    assert gains._images(others, none).value == 0, "other drawings share nothing"
