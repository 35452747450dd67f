"""The tables of the pages of results are those that their raw cells make."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipo.experiments.compare.documents import documents, table_of
from ipo.experiments.compare.raw_cells import unpack

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
    grid, found, outcomes = unpack(DOCS / f"{name}.json.gz")
    table = table_of(grid, found, outcomes)
    assert table is not None
    text = documents(grid, table)["table.md"].split("\n", 2)[2].replace("\n### ", "\n#### ").strip()
    assert text.removeprefix("### ") in (DOCS / PAGES[name]).read_text("utf-8")
    if name == "suite":
        assert documents(grid, table)["gain.svg"] == (DOCS / "gain.svg").read_text("utf-8")
