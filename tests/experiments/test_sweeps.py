"""A sweep of Weights & Biases: its agent runs `ipo optimize`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.runs import copy_pictures
from support.wandb_server import ENTITY, PROJECT, SWEEP, WandbServer

TINY = ["lm=none", "describer=none", "shots=1", "selection_shots=1"]


@pytest.fixture()
def without_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "MODE", "DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "SWEEP_ID", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_the_agent_of_a_sweep_runs_ipo_optimize(
    tmp_path: Path, cache: Path, without_wandb: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy_pictures(Path("six"))
    command = ["ipo", "optimize", "track=wandb", "data=folder:six", "${args_no_hyphens}", *TINY]
    parameters = {"steps": {"values": [1, 2]}, "strategy": {"parameters": {"name": {"value": "compose"}}}}
    metric = {"name": "selection/gain", "goal": "maximize"}
    name = "mine.yaml"
    Path(name).write_text(
        yaml.safe_dump({"method": "grid", "metric": metric, "parameters": parameters, "command": command})
    )
    server = WandbServer([{"steps": 1, "strategy": {"name": "compose"}, "patience": None}])
    environment = {
        **os.environ,
        "WANDB_API_KEY": "0123456789abcdef" * 3,
        "WANDB_BASE_URL": server.base,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    try:
        for words in (["sweep", "--project", PROJECT, name], ["agent", "--count=1", f"{ENTITY}/{PROJECT}/{SWEEP}"]):
            program = [sys.executable, "-m", "wandb", *words]
            told = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
            assert told.returncode == 0, told.stderr
    finally:
        server.close()
    (sent,) = server.variables("UpsertSweep")
    assert yaml.safe_load(sent["config"])["command"] == command
    (config,) = (yaml.safe_load(one.with_name("config.yaml").read_text()) for one in Path("runs").glob("*/result.json"))
    assert (config["steps"], config["strategy"]["name"], config["patience"]) == (1, "compose", None)
    assert {run["name"] for run in server.variables("UpsertBucket")} == {"run0"}, "it was logged as the agent's run"
