"""`ipo sweep`: the search on this machine with its offline W&B runs, W&B's protocol as far as it goes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo_prompts.experiments.cli import sweep as command
from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.compare.sweep_file import Sweep, configure, read_sweep
from ipo_prompts.experiments.compare.sweep_runs import SweepRun, over_seeds, table
from ipo_prompts.experiments.executors.base import Failure
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.metrics.clip import Clip
from support import warm
from support.results import compared
from support.runs import copy_pictures, ipo
from support.sweeps import sweep_file
from support.wandb_files import recorded, segments
from support.wandb_server import ENTITY, PROJECT, SWEEP, WandbServer

KEY = "0123456789abcdef" * 3
TINY = ["strategy=history", "describer=none", "steps=1", "candidates_per_step=1", "shots=1", "selection_shots=1"]

pytestmark = pytest.mark.usefixtures("without_wandb")


# --- on this machine


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_pictures(tmp_path_factory.mktemp("pictures") / "six")


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory, pictures: Path, small_weights: None) -> str:
    """The small local model's replies of one run, with which the others are fast."""
    from ipo_prompts.experiments.run.config import load_config
    from ipo_prompts.experiments.run.live_view import Ui
    from ipo_prompts.experiments.run.pipeline import optimize

    folder = tmp_path_factory.mktemp("recorded") / "run"
    optimize(
        load_config(None, ["lm=local/small", f"data=folder:{pictures}", *TINY]),
        folder,
        Ui(1, quiet=True),
    )
    return f"lm=replay/{folder}"


def test_a_sweep_of_six_runs_is_recorded_offline_and_goes_on(
    tmp_path: Path,
    pictures: Path,
    replies: str,
    clip: Clip,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipo_prompts.experiments.run.prepare.load_clip", lambda *_: clip)
    file = sweep_file(
        tmp_path,
        method="grid",
        name="six",
        metric={"name": "search/accuracy", "goal": "maximize"},
        parameters={"selection": {"values": ["held-back", "search"]}, "patience": {"values": [1, 2, None]}},
    )
    out = tmp_path / "out"
    words = ["sweep", str(file), f"data=folder:{pictures}", replies, *TINY, "--out", str(out)]
    first = ipo(capfd, *words, "--count", "2")
    assert first.code == 0
    ended = ipo(capfd, *words)
    assert ended.code == 0, ended.err
    folders = sorted(path for path in out.iterdir())
    settings = [(how, patience) for how in ("held-back", "search") for patience in (1, 2, None)]
    assert [folder.name for folder in folders] == [
        f"{number:02d}-selection-{how}-patience-{patience}" for number, (how, patience) in enumerate(settings)
    ]
    for folder, setting in zip(folders, settings, strict=True):
        result = json.loads((folder / "result.json").read_text())
        (segment,) = segments(folder)  # finished runs were not begun again
        run = recorded(segment)
        assert (run.group, run.project, run.exit_code) == ("six", "ipo", 0)
        assert (run.config["selection"], run.config["patience"]) == setting
        assert [row["step"] for row in run.rows if "best/accuracy" in row] == [0, 1]
        for part in result["scores"]:
            assert run.summary[f"{part}/accuracy"] == result["scores"][part]["optimised"]["value"]
        assert run.summary["test/gain_high"] == result["scores"]["test"]["difference"]["ci95"][1]
        assert run.artifacts[f"program:program-{run.id}"] == ["program.json"]
        assert folder.name in ended.out
    lines = ended.out.splitlines()
    head = ["selection", "patience", "search/accuracy", "gain on the sealed test", "cost", "run"]
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == head
    accuracies = [float(line.split("|")[3]) for line in lines[2:]]
    assert len(accuracies) == 6
    assert accuracies == sorted(accuracies, reverse=True)
    assert "wandb sync" in ended.err
    other = ipo(capfd, *words, "candidates_per_step=2")
    assert (other.code, "another candidates_per_step" in other.sentence) == (2, True)


def test_a_run_that_fails_does_not_stop_the_others_and_is_in_the_table(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = sweep_file(tmp_path, method="grid", parameters={"data": {"values": [f"folder:{tmp_path}/a|b", "embeded"]}})
    ended = ipo(capfd, "sweep", str(file), "--out", str(tmp_path / "out"), "lm=local/small")
    assert ended.code == 1
    rows = ended.out.splitlines()[2:]
    assert len(rows) == 2
    assert all("failed: " in row for row in rows)
    assert "a\\|b" in rows[0]


def ended(seed: int, gain: float, usd: float | None = 0.0, kept: bool = False) -> RunResult:
    """Make the result of a run that begins at 25 % and takes a minute and a half."""
    part = compared(0.25, gain, 0.1).model_dump()
    used = {"name": "m", "calls": 1, "cached": 0, "tokens_in": 1, "tokens_out": 1, "usd": usd}
    template = "a photo of a <CLASS>." if kept else f"number {seed} <CLASS>"
    return RunResult.model_validate(
        {
            "verdict": "No evidence.",
            "sealed": {"digest": "", "opened": 1},
            "template": template,
            "templates": [{"template": template, "weight": 1.0}],
            "initial_template": "a photo of a <CLASS>.",
            "strategy": {"name": "history", "settings": {}},
            "clip": {"name": "embedded", "fingerprint": "f"},
            "data": {"name": "d", "fingerprint": "f", "split": "own", "classes": 2, "shots": 1},
            "scores": {"search": part, "test": part},
            "harmonic_mean": None,
            "selection": {"how": "held-back", "kept_initial": kept, "gain": gain, "standard_error": None},
            "ended": "all steps were done",
            "stopped": None,
            "steps": 1,
            "proposed": 1,
            "templates_scored": 2,
            "lm": {"optimizer": used, "describer": None},
            "seconds": {"total": 90.0},
            "seed": seed,
        }
    )


def planned(sweep: Sweep, seeds: int) -> list[SweepRun]:
    return [SweepRun("", Path(str(i)), {"seed": i}, configure(sweep, {"seed": i}), "g") for i in range(seeds)]


def test_the_table_sorts_by_the_metric_and_gives_intervals_and_cost(tmp_path: Path) -> None:
    metric = {"name": "test/gain", "goal": "minimize"}
    sweep = read_sweep(sweep_file(tmp_path, method="grid", metric=metric, parameters={"seed": {"values": [0, 1, 2]}}))
    outcomes = [ended(0, 0.2, 0.5), Failure("ValueError", "a\nb"), ended(2, -0.1, None)]
    _, rows, _ = table(sweep, planned(sweep, 3), outcomes)
    assert rows == [
        ["2", "-10.00 [-20.00, +0.00]", "price unknown", "2"],
        ["0", "+20.00 [+10.00, +30.00]", "$0.5000", "0"],
        ["1", "failed: ValueError: a b", "", "1"],
    ]


def test_where_only_the_seed_is_swept_the_mean_over_seeds_stands_below(tmp_path: Path) -> None:
    sweep = read_sweep(Path("seeds"))
    outcomes = [ended(0, 0.10), ended(1, 0.0, kept=True), ended(2, 0.05), Failure("ValueError", "no")]
    _, _, below = table(sweep, planned(sweep, 4), outcomes)
    # 10, 0 and 5: mean 5, t interval with 2 degrees of freedom: 5 ± 4.3027 · 5 / √3
    assert below == (
        "Mean gain on the sealed test over 3 seeds: +5.00 points [-7.42, +17.42] (95 % t interval over seeds; the test "
        "pictures are the same ones). On the search pictures it looked like +5.00. The initial template was kept by 1 "
        "of 3. 1.5 minutes a run."
    )
    assert below == over_seeds([outcome for outcome in outcomes if isinstance(outcome, RunResult)])
    assert not table(sweep, planned(sweep, 1), outcomes[:1])[2], "one seed has no interval"
    both = read_sweep(
        sweep_file(tmp_path, method="grid", parameters={"seed": {"values": [0]}, "steps": {"values": [1]}})
    )
    runs = [replace(run, settings={"seed": 0, "steps": 1}) for run in planned(sweep, 2)]
    assert not table(both, runs, outcomes[:2])[2]


def test_a_dry_run_says_what_would_be_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = sweep_file(tmp_path, method="grid", parameters={"steps": {"values": [3, 4]}})
    words = ["lm=openai/gpt-4o-mini", "--dry-run", "--out", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-0123456789")
        ended = ipo(capfd, "sweep", str(file), *words)
    assert ended.code == 0, ended.err
    assert "00-steps-3: about 3 calls, $" in ended.out
    assert "2 runs, together $" in ended.out
    assert not (tmp_path / "out").exists()


# --- with a server


def alone(server: WandbServer) -> dict[str, str]:
    """Return an environment in which W&B speaks to the test's server."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**mine, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.base, "OMP_NUM_THREADS": "1"}


@pytest.fixture()
def warm_ipo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder with `python` and, beside it as in an installation, an `ipo` that has its imports behind it."""
    run, turn = warm.Warm.run, threading.Lock()

    def take_turns(self: warm.Warm, asked: dict[str, Any]) -> dict[str, Any]:
        with turn:  # it keeps one process in mind
            return run(self, asked)

    monkeypatch.setattr(warm.Warm, "run", take_turns)
    folder = tmp_path / "bin"
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    with warm.command(folder):
        yield folder


def test_a_sweep_with_a_server_is_created_and_two_agents_share_its_runs(
    tmp_path: Path,
    pictures: Path,
    replies: str,
    warm_ipo: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import wandb

    server = WandbServer([{"patience": 1, "strategy.floor": 0.25}, {"patience": None, "strategy.floor": 0.5}])
    parameters = {"patience": {"values": [1, None]}, "strategy": {"parameters": {"floor": {"min": 0.0, "max": 1.0}}}}
    metric = {"name": "selection/gain", "goal": "maximize"}
    file = sweep_file(tmp_path, method="bayes", metric=metric, parameters=parameters)
    words = ["sweep", str(file), f"data=folder:{pictures}", replies, *TINY, "track=none"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(warm_ipo / "python"))
    for name, value in alone(server).items():
        monkeypatch.setenv(name, value)
    try:
        code = main([*words, "--executor", "pool:2", "--count", "2"])
    finally:
        server.close()
        wandb.teardown()
    out, err = capfd.readouterr()
    assert (code, out) == (0, ""), err
    (sent,) = server.variables("UpsertSweep")
    config = yaml.safe_load(sent["config"])
    assert (config["method"], config["name"], config["metric"]["name"]) == ("bayes", "mine", "selection/gain")
    assert config["parameters"]["patience"] == {"values": [1, None]}
    assert config["parameters"]["strategy.floor"] == {"distribution": "uniform", "min": 0.0, "max": 1.0}
    assert config["command"] == ["ipo", "optimize", "track=wandb", "${args_no_hyphens}", *words[2:]]
    assert sent["projectName"] == "ipo"
    assert len(server.variables("CreateAgent")) == 2
    assert f"ipo sweep {ENTITY}/{PROJECT}/{SWEEP}" in err
    finished = [path.parent for path in (tmp_path / "runs").glob("*/result.json")]
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in finished]
    assert sorted((config["strategy"]["floor"], config["patience"]) for config in configs) == [
        (0.25, 1),
        (0.5, None),
    ], err
    assert KEY not in err + sent["config"]


def test_joining_needs_a_key_and_takes_no_settings(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "needs a key" in ipo(capfd, "sweep", "me/mine/abcd1234").sentence
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert "were fixed" in ipo(capfd, "sweep", "me/mine/abcd1234", "steps=3").sentence
    assert "on each" in ipo(capfd, "sweep", "me/mine/abcd1234", "--executor", "ray").sentence


def test_a_server_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, method="grid", parameters={"seed": {"values": [1]}})
    server = WandbServer([])
    server.close()
    environment = {**alone(server), "WANDB_HTTP_TIMEOUT": "1"}
    words = [sys.executable, "-m", "ipo_prompts.experiments.cli.app", "sweep", str(file)]
    ended = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2, ended.stderr
    assert "cannot be created in Weights & Biases" in ended.stderr.splitlines()[-1]
    assert KEY not in ended.stderr


def test_with_a_key_values_are_checked_before_there_is_a_sweep(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    file = sweep_file(tmp_path, method="bayes", parameters={"seed": {"values": [1]}, "steps": {"min": 0, "max": 5}})
    assert "steps in the sweep is wrong" in ipo(capfd, "sweep", str(file)).sentence


@pytest.mark.parametrize("secret", ["lm_api_base=http://me:hunter2@127.0.0.1/v1", f"task={KEY}"])
def test_no_secret_goes_into_a_sweep_that_the_server_keeps(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("wandb.sweep", lambda *_, **__: pytest.fail("it was sent"))
    file = sweep_file(tmp_path, method="grid", parameters={"seed": {"values": [1]}})
    ended = ipo(capfd, "sweep", str(file), "lm=openai/x", secret)
    assert (ended.code, " a key or a " in ended.sentence) == (2, True), ended.err
    assert "hunter2" not in ended.err and KEY not in ended.err


def test_runs_are_shared_out_evenly() -> None:
    assert command.shares(5, 2) == [3, 2]
    assert command.shares(None, 2) == [None, None]
    assert command.agent_command("a/b/c", 3)[2:] == ["wandb", "agent", "--forward-signals", "--count", "3", "a/b/c"]
