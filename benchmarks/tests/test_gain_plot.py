"""The picture of a table: the same for the same cells, and names in it are text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import app
from benchmarks.lab.gain_plot import gain_plot
from ipo_prompts.experiments.compare.tables.table import build_table
from support.pages import DOCS
from support.runs import ipo
from support.scored_cells import SKILLS, make_cells

TODAY = "today's default"


@pytest.fixture()
def cells() -> list[dict[str, Any]]:
    """A row with a label of its own, and one that has no value for new classes."""
    found = make_cells(("a1", "a2", "a3", "a4", "a5"), {**SKILLS, TODAY: 0.8, "class-mean": 1.0})
    for cell in found:
        if cell["cell"]["method"] == "class-mean":
            del cell["scores"]["new"], cell["picture_ids"]["new"]
    return found


def test_the_picture_is_the_same_for_the_same_cells_and_names_every_method(cells: list[dict[str, Any]]) -> None:
    for cell in cells:
        cell["budget"]["scored_only"] = 900 if cell["cell"]["method"] == "ipo-default" else 0
    svg = gain_plot(build_table(cells))
    assert svg == gain_plot(build_table(cells[::-1]))
    texts = ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"hand-written", "ensemble-80", "phrases", TODAY} < {text.rpartition(" (")[0] for text in texts}
    assert texts.index("ipo-default (940)") > texts.index("phrases (40)"), "in the order of the looks"
    assert not any(text.startswith(("baseline", "class-mean")) for text in texts), (
        "what has no gain in the headline is no point"
    )
    assert "mean over 5 data sets, 95 % intervals for data sets like these" in texts
    assert "(prefers-color-scheme: dark)" in svg


def test_a_name_in_the_picture_is_text() -> None:
    svg = gain_plot(build_table(make_cells(("a1",), {"baseline": 0.0, "<script>$x^{2}$\x1b[2J" + "y" * 90: 1.0})))
    (text,) = re.findall(r">(&lt;script&gt;\$x.*)</text>", svg)
    assert "<script" not in svg and "\x1b" not in svg and text.endswith("… (40)")


def test_a_table_of_the_reference_alone_has_no_picture() -> None:
    assert gain_plot(build_table(make_cells(("a1",), {"baseline": 0.0}))) is None


def test_the_command_draws_the_picture_of_the_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    drawn = ipo(capfd, "gain-plot", str(DOCS / "evidence/cells/suite.jsonl.gz"), of=app)
    assert (drawn.code, drawn.out) == (0, (DOCS / "images/gain.svg").read_text("utf-8"))
    (tmp_path / "none.jsonl.gz").write_bytes(b"")
    refused = ipo(capfd, "gain-plot", str(tmp_path / "none.jsonl.gz"), of=app)
    assert refused.code == 2 and "none.jsonl.gz" in refused.sentence
