"""The cells of a grid in one file: the tables that are made of it alone, and files that are not as they should be."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo_prompts.experiments.compare.cell import Result
from ipo_prompts.experiments.compare.documents import documents, pack, table_of, unpack
from ipo_prompts.experiments.compare.grid import entries, load_grid
from ipo_prompts.experiments.compare.scores import Placed
from ipo_prompts.experiments.run.files import content_of
from ipo_prompts.experiments.run.result import Budget, RewardNames
from ipo_prompts.programs.journal import line_of
from support.runs import KEY, Ended, ipo
from support.scored_cells import altered, make_cell, retest

FILES = ("table.md", "table.csv", "table.json")
GRID = {
    "title": "Made cells",
    "protocol": "few-shot",
    "data": ["embedded:a", "embedded:b", "embedded:c"],
    "methods": ["baseline", "best-of-80", {"label": "longer", "method": "ipo-default", "settings": {"steps": 9}}],
    "seeds": [1, 2],
    "settings": {"clip": "embedded", "lm": "openai/test", "lm_api_base": "http://10.1.2.3:99/v1", "describer": "none"},
}
SKILLS = {"baseline": 0.0, "best-of-80": 0.1, "longer": 1.0}
Made = Callable[..., Path]


@pytest.fixture()
def made(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make a grid and its finished cells, and return the grid's file; the working directory is the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def make(change: Callable[[Placed], Placed] = altered, **grid: Any) -> Path:
        content = {**GRID, **grid}
        Path("made.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        sides = ("base", "new") if content["protocol"] == "base-to-new" else ("test",)
        for entry in entries(load_grid("made.yaml"), Path("runs/made")):
            skill = SKILLS.get(entry.label, 0.5)
            cell = make_cell(entry.data, entry.label, entry.seed, skill, sides, entry.protocol)
            done = change(cell).done.model_copy(update={"cell": entry.digest})
            entry.folder.mkdir(parents=True, exist_ok=True)
            (entry.folder / "result.json").write_bytes(line_of(content_of(done)))
        return Path("made.yaml")

    return make


@pytest.fixture()
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    return lambda *words: ipo(capfd, "benchmark", *map(str, words))


def _bytes(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.name in (*FILES, "data-sets.md")}


def _lines() -> list[Any]:
    """Return the lines of the file, without their checksums."""
    lines = gzip.decompress(Path("runs/made/cells.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def _no_new(cell: Placed) -> Placed:
    if cell.row == "best-of-80":
        del cell.done.tests["new"]
    return cell


def _absent(cell: Placed) -> Placed:
    gone = (cell.row, cell.data) == ("best-of-80", "embedded:b")
    return altered(cell, absent="there is | none", tests={}, templates=None) if gone else cell


def _scenes(cell: Placed) -> Placed:
    """Units with values, drawn in groups, and a method that is no text and has no price."""
    for name, one in cell.done.tests.items():
        draws = tuple(place // 2 for place in range(len(one.answer)))
        retest(cell, name, hits={"answer": tuple(0.25 + one.values / 2)}, labels=None, draws=draws)
    names = RewardNames(measure="mean IoU", unit="scenes")
    return altered(cell, reward=names, templates=None, budget=Budget(usd=None))


@pytest.mark.parametrize(
    ("change", "grid"),
    [
        (altered, {}),
        (altered, {"data": ["embedded:a"]}),
        (altered, {"seeds": [3]}),
        (altered, {"protocol": "base-to-new", "published": "history_size"}),
        (_no_new, {"protocol": "base-to-new"}),
        (_absent, {}),
        (_scenes, {}),
    ],
)
def test_the_file_alone_makes_the_tables_to_the_byte(
    made: Made,
    run: Callable[..., Ended],
    capfd: pytest.CaptureFixture[str],
    change: Callable[[Placed], Placed],
    grid: dict[str, Any],
) -> None:
    first = run(made(change, **grid))
    assert first.code == 0, first.err
    assert first.err.endswith(", all in cells.jsonl.gz\n")
    Path("kept").mkdir()
    Path("runs/made/cells.jsonl.gz").rename("kept/other name.jsonl.gz")
    again = ipo(capfd, "report", "kept/other name.jsonl.gz", "--out=again")
    assert (again.code, again.out) == (0, first.out), again.err
    assert _bytes("again") == _bytes("runs/made") and {*FILES} <= {*_bytes("again")}
    assert ("data-sets.md" in _bytes("again")) == (len({**GRID, **grid}["data"]) > 1)
    before = Path("kept/other name.jsonl.gz").read_bytes()
    assert run("made.yaml").code == 0
    assert Path("runs/made/cells.jsonl.gz").read_bytes() == before, "the same cells give the same bytes"


def test_a_report_of_the_file_or_the_folder_prints_the_tables(
    made: Made, run: Callable[..., Ended], capfd: pytest.CaptureFixture[str]
) -> None:
    first, file = run(made()), Path("runs/made/cells.jsonl.gz")
    ended = ipo(capfd, "report", "runs/made")
    assert (ended.code, ended.out, ended.err) == (0, first.out, "")
    ended = ipo(capfd, "report", str(file))
    assert (ended.code, ended.out) == (0, first.out)
    assert ended.err == f"cells.jsonl.gz: SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
    file.write_bytes(file.read_bytes()[:-20])
    ended = ipo(capfd, "report", str(file))
    assert (ended.code, ended.out) == (2, "") and "cells.jsonl.gz" in ended.sentence


def test_missing_seeds_and_failed_cells_are_the_same_gaps(made: Made) -> None:
    grid = load_grid(str(made()))
    found = entries(grid, Path("runs/made"))
    outcomes: list[Result | str] = [one.finished() or "" for one in found]
    outcomes[4], outcomes[7] = "not run yet", "failed: no luck | <b>"
    outcomes[2] = outcomes[11] = "failed: the server hung up"
    Path("some.jsonl.gz").write_bytes(pack(grid, found, outcomes))
    texts = [
        documents(grid, table) for table in (table_of(grid, found, outcomes), table_of(*unpack(Path("some.jsonl.gz"))))
    ]
    assert texts[0] == texts[1] and "no luck \\| &lt;b>" in texts[0]["table.md"]


def test_it_holds_what_was_measured(made: Made, run: Callable[..., Ended]) -> None:
    run(made())
    file = Path("runs/made/cells.jsonl.gz")
    heading, *cells = _lines()
    assert file.read_bytes()[4:8] == bytes(4), "no time in the header"
    assert heading["grid"]["title"] == "Made cells"
    found = [template.split(" of ")[0] for cell in cells for template in cell["templates"]]
    assert found[:4] == ["baseline 1", "best-of-80 1", "longer 1", "baseline 1"]
    assert cells[2]["budget"]["calls"] == 8 and len(cells[2]["tests"]["test"]["hits"]["answer"]) == 120
