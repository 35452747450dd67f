"""The sweep file on the page: each command that an agent of Weights & Biases would type runs, and logs its metric."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.experiments.run.tested_before import FILE_NAME, state_dir
from support.pages import DOCS
from support.runs import copy_images
from support.wandb_files import recorded, segments

GRID = """
title: Number of steps
protocol: few-shot
data: [embedded]
methods:
  - baseline
  - {label: 6 steps, method: phrases, settings: {steps: 6}}
  - {label: 12 steps, method: phrases, settings: {steps: 12}}
seeds: [0, 1]
settings: {track: wandb}
"""
TINY = ["data=folder:six", "describer=none", "shots=1", "val_shots=1", "--quiet"]


def commands(sweep: dict[str, Any]) -> list[list[str]]:
    """Return the words of each command of a grid, as the agent makes them."""
    names, values = zip(*((name, told["values"]) for name, told in sweep["parameters"].items()), strict=True)
    found = []
    for chosen in itertools.product(*values):
        args = create_sweep_command_args(
            {"args": {name: {"value": value} for name, value in zip(names, chosen, strict=True)}}
        )
        words = [args.get(word.strip("${}"), [word]) for word in sweep["command"]]
        found.append([word for part in words for word in part])
    return found


def test_each_command_of_the_sweep_runs_and_logs_its_metric(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (DOCS / "how-to/clusters.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"<<'END'\n(.*?)END\n", page, flags=re.DOTALL)
    sweep = yaml.safe_load(text)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    monkeypatch.chdir(tmp_path)
    copy_images(Path("six"))
    typed = commands(sweep)
    assert len(typed) == 4 and {tuple(words[:2]) for words in typed} == {("ipo", "optimize")}
    for number, words in enumerate(typed):
        out = Path(f"run-{number}")
        assert main([*words[1:], *TINY, "--out", str(out)]) == 0
        (log,) = segments(out)
        run = recorded(log)
        assert sweep["metric"]["name"] in run.summary
        assert f"steps={run.config['steps']}" in words and f"seed={run.config['seed']}" in words
    assert not (state_dir() / FILE_NAME).exists(), "no run was tested"
    winner = ["--resume", "run-0", "test=yes", "track=wandb", "--quiet"]
    assert main(["optimize", *winner]) == 0 and (state_dir() / FILE_NAME).exists()
    # The same without an account.
    Path("sweep.yaml").write_text(GRID)
    assert main(["benchmark", "sweep.yaml", *TINY]) == 0
    cells = [result.parent for result in Path("runs/sweep/cells").rglob("result.json")]
    assert len(cells) == 6
    for cell in cells:
        if cell.parent.name == "baseline":
            assert not (cell / "wandb").exists(), "no search, no run"
            continue
        (log,) = segments(cell)
        run, made = recorded(log), load_result(cell)
        assert f"{run.config['steps']}-steps/seed-{run.config['seed']}" in str(cell)
        assert run.summary["test/text"] == made.rows_on("test")[-1].after.value
        assert "best/accuracy" in str(run.rows)
