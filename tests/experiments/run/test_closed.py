"""`test=no`: the held-out test stays closed until the finished run is resumed with `test=yes`, once and for all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.run.tested_before import FILE_NAME, state_dir
from ipo_prompts.programs.journal import read
from support.runs import SMALL, copy_images, ipo

SEARCH = [word for word in SMALL if word != "scored_templates=60"]


@pytest.fixture()
def searched(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Search without a test in the folder `run`; return what was printed."""
    monkeypatch.chdir(tmp_path)
    copy_images(Path("six"))
    return ipo(capfd, "optimize", "folder:six", *SEARCH, "test=no", "--out=run")


def _result() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(Path("run/result.json").read_text())
    return result


def test_nothing_held_out_is_scored_or_counted(searched: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert searched.code == 0, searched.err
    assert {row["part"] for row in _result()["rows"]} == {"train", "val"}
    assert all(row["difference"]["p"] is None for row in _result()["rows"])
    assert not (state_dir() / FILE_NAME).exists()
    assert not [event for event in read(Path("run")) if event["type"] in ("test", "new")]
    assert json.loads(Path("run/analysis.json").read_text())["flips"] is None
    assert "val accuracy" in searched.out and "test accuracy" not in searched.out
    assert "next: ipo optimize --resume run test=yes" in searched.out
    assert "the test was not opened" in Path("run/report.html").read_text()
    again = ipo(capfd, "report", "run")
    assert again.code == 0 and "next: ipo optimize --resume run test=yes" in again.out
    assert ipo(capfd, "predict", "run", "six/cat").code == 0
    quiet = ipo(capfd, "optimize", "--resume=run", "--quiet")
    assert quiet.code == 0 and "val images" in quiet.out, "it had finished"


def test_a_finished_run_is_tested_once_and_stays_tested(searched: Any, capfd: pytest.CaptureFixture[str]) -> None:
    before = _result()
    tested = ipo(capfd, "optimize", "--resume=run", "test=yes")
    assert tested.code == 0 and "test accuracy" in tested.out, tested.err
    after = _result()
    assert [row for row in after["rows"] if row["part"] in ("train", "val")] == before["rows"]
    for key in ("template", "selection", "steps", "templates_scored", "data", "held_out"):
        assert after[key] == before[key]
    assert len([line for line in (state_dir() / FILE_NAME).read_text().splitlines() if line]) == 1
    refused = ipo(capfd, "optimize", "--resume=run", "test=no")
    assert refused.code == 2 and "test=True and False was asked for" in refused.sentence
    assert ipo(capfd, "optimize", "--resume=run").out == tested.out


def test_the_run_is_the_one_that_was_tested_at_once(searched: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert ipo(capfd, "optimize", "--resume=run", "test=yes").code == 0
    assert ipo(capfd, "optimize", "folder:six", *SEARCH, "--out=whole").code == 0
    whole = json.loads(Path("whole/result.json").read_text())
    assert {**whole, "seconds": None} == {**_result(), "seconds": None}
