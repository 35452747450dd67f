"""The pages about grids of data sets, followed from top to bottom on a root in the CoOp layout with our images."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.lab.printed import printed_tables
from ipo_prompts.experiments.compare.grid import load_grid
from ipo_prompts.experiments.data.published import ROOT_VARIABLE
from support.coop_root import make_root
from support.pages import DOCS, blocks, follow
from support.runs import KEY, ipo
from support.warm import command

PAGE = DOCS / "how-to/reproduce.md"
README = DOCS.parent / "benchmarks/README.md"
BENCHMARK = "ipo benchmark "


def test_the_page_can_be_followed(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(make_root(tmp_path / "root")))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OLLAMA_API_BASE", "http://localhost:11434")
    with command(tmp_path):
        here = (tmp_path, Path(sys.executable).parent, os.environ["PATH"])
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, here)))
        monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))  # the lab, as from the root of a checkout
        (own,) = (block.text for block in blocks(README) if "table=printed.yaml" in block.text)
        printed = subprocess.run(["bash", "-e", "-c", own], capture_output=True, text=True, check=True)
        _, outcomes = follow(PAGE)
        follow(DOCS / "how-to/clips.md")
    look, price, first, rehearsal, raw = outcomes
    assert (
        "2 of 2 deciding rows agree in fp32, 2 in fp16: data, split and CLIP are right, and either precision is."
        in printed.stdout
    )
    assert " can be used" in look.out
    # The embedded grid: H follows from base and new, the verdict is about the two methods, nothing is done twice.
    lines = json.loads((desk / "runs/embedded/table.json").read_text())["lines"]
    scores = {(line["method"], line["column"]): line["value"] for line in lines if not line["over"]}
    assert {method for method, _ in scores} == {"baseline", "ensemble-80"}
    for method in ("baseline", "ensemble-80"):
        base, new, both = (scores[method, column] for column in ("base", "new", "H"))
        assert both == pytest.approx(2 * base * new / (base + new), abs=1e-3)
    assert "the ensemble of 80 templates shows" in first.out.partition("Verdicts:")[2]
    assert len(first.err.splitlines()) == 5
    assert raw.out == first.out
    tried = json.loads((desk / "runs/first-look/table.json").read_text())["lines"]
    assert [line["method"] for line in tried if not line["over"]] == ROWS
    for name in ("table.md", "table.csv", "table.json"):
        assert (desk / "runs/again" / name).read_bytes() == (desk / "runs/embedded" / name).read_bytes()
    # The price: nothing was asked or written.
    assert "together: 264 cells" in price.out
    assert not (desk / "runs" / "main-1-shot").exists()
    # The rehearsal: published rows beside ours, which are marked as not comparable.
    assert "*IPO, published*" in rehearsal.out
    assert "† eurosat: different split" in rehearsal.out
    assert len(list((desk / "runs/rehearsal/cells/eurosat").glob("*/seed-*/result.json"))) == 9


ROWS = [
    "as typed",
    "normalised names",
    "CLIP's 80 templates",
    "text classifier",
    "images alone",
    "images without search",
    "ipo",
]
"""The rows of the grid `first-look`."""


@pytest.mark.parametrize(("page", "count"), [("reproduce", 3), ("clusters", 2), ("clips", 1)])
def test_commands_that_are_only_read_are_right_too(page: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    read = [block for block in blocks(DOCS / f"how-to/{page}.md") if block.language == "text"]
    found = [
        shlex.split(line)[2:]
        for line in "\n".join(block.text for block in read).splitlines()
        if line.startswith(BENCHMARK)
    ]
    assert len(found) == count
    for name, *words in found:
        load_grid(name, [word for word in words if "=" in word])


def test_a_price_of_the_page_is_that_of_the_dry_run(
    cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    page = PAGE.read_text(encoding="utf-8")
    words, said = re.findall(r"`([^`]* data=eurosat)` costs\s+at\s+most\s+\$(\d+)", page)[0]
    told = ipo(capfd, "benchmark", *words.split(), "--dry-run").out
    assert round(float(re.findall(r"at most \$([\d.]+\d)", told)[0])) == int(said)
    told = ipo(capfd, "benchmark", "cross-dataset", "--dry-run").out
    found = re.findall(r"together: (\d+) cells, ([\d,]+) calls, .*at most \$([\d.]+\d)", told)[0]
    cells, calls, said = re.findall(r"\|`cross-dataset`\|(\d+)\|([\d,]+)\|\$([\d.]+)\|$", page, re.M)[0]
    assert (cells, calls, f"{float(found[2]):.2f}") == (*found[:2], said)


def test_the_printed_rows_that_decide_are_counted() -> None:
    decide = sum(row.decides for table in printed_tables() if table.decides for row in table.rows)
    assert f"- {decide} rows of the paper must agree." in PAGE.read_text(encoding="utf-8")
