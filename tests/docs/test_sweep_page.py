"""`docs/sweep.md`, followed from top to bottom by a reader without a key for Weights & Biases."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ipo_prompts.experiments.compare.sweep_file import SWEEPS_DIR
from support.pages import DOCS, follow
from support.wandb_files import recorded, segments
from support.warm import command

PAGE = DOCS / "sweep.md"


def test_the_page_can_be_followed(
    desk: Path, small_weights: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with command(tmp_path):
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        _, (_, forecast, swept, _, random) = follow(PAGE)
    assert "2 runs, together $0; nothing was asked yet" in forecast.out
    runs = sorted((desk / "runs" / "sweep-describer").iterdir())
    assert [run.name for run in runs] == ["00-describer-clip", "01-describer-none"]
    gains = []
    for run in runs:
        result = json.loads((run / "result.json").read_text())
        (segment,) = segments(run)
        logged = recorded(segment)
        assert (logged.group, logged.exit_code) == ("describer", 0)
        assert logged.config["describer"] == run.name.rpartition("-")[2]
        gain = result["scores"]["selection"]["difference"]["mean"]
        assert logged.summary["selection/gain"] == gain
        gains.append((-gain, run.name))
    rows = [line.split("|")[-2].strip() for line in swept.out.splitlines()[2:]]
    assert rows == [name for _, name in sorted(gains)]
    # What the page has a reader type later fits what lies there.
    assert "wandb sync runs/sweep-describer/*/wandb/offline-run-*" in PAGE.read_text(encoding="utf-8")
    assert len(list(desk.glob("runs/sweep-describer/*/wandb/offline-run-*"))) == 2
    page = (desk / "sweep.html").read_text(encoding="utf-8")
    assert all(run.name in page for run in runs)
    assert "3 runs, together $0" in random.out and "would fail" not in random.out


def test_every_shipped_sweep_is_named() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} - {"ipo sweep …"} == {file.stem for file in SWEEPS_DIR.glob("*.yaml")}
