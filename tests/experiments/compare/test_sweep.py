"""`ipo sweep`: the file, the search on this machine with its offline W&B runs, W&B's protocol as far as it goes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo.experiments.cli import sweep as command
from ipo.experiments.cli.app import main
from ipo.experiments.compare.sweep_file import SWEEPS_DIR, configure, read_sweep, runs
from ipo.experiments.compare.sweep_runs import Ended, SweepRun, table
from ipo.experiments.executors.base import Failure
from ipo.metrics.clip import Clip
from ipo.metrics.errors import InputError
from support import warm
from support.runs import copy_pictures, ipo
from support.wandb_files import recorded, segments
from support.wandb_server import ENTITY, PROJECT, SWEEP, WandbServer

KEY = "0123456789abcdef" * 3
TINY = ["describer=none", "steps=1", "candidates_per_step=1", "shots=1", "selection_shots=1"]


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "MODE", "DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "SWEEP_ID", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def sweep_file(folder: Path, **content: Any) -> Path:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


# --- the file


def test_a_grid_is_every_combination_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = sweep_file(
        tmp_path,
        method="grid",
        parameters={"steps": {"values": [1, 2]}, "lm": {"value": "local"}, "seed": {"min": 3, "max": 5}},
    )
    sweep = read_sweep(file, ["shots=2"])
    assert (sweep.name, sweep.swept) == ("mine", ["steps", "seed"])
    found = runs(sweep)
    assert [(one["steps"], one["seed"], one["lm"]) for one in found] == [
        (steps, seed, "local") for steps in (1, 2) for seed in (3, 4, 5)
    ]
    assert runs(sweep, 2) == found[:2]
    config = configure(sweep, found[-1])
    assert (config.steps, config.seed, config.shots, config.track) == (2, 5, 2, "wandb")


def test_a_random_search_is_the_same_each_time_and_a_longer_one_begins_with_the_shorter(tmp_path: Path) -> None:
    parameters = {
        "temperature": {"distribution": "uniform", "min": 0.5, "max": 1.5},
        "steps": {"distribution": "q_uniform", "min": 1, "max": 50, "q": 10},
        "candidates_per_step": {"distribution": "log_uniform_values", "min": 1, "max": 100},
        "history_size": {"distribution": "int_uniform", "min": 0, "max": 3},
        "lm": {"values": ["local/small", "local/base"], "probabilities": [0.1, 0.9]},
        "floor": {"distribution": "normal", "mu": 0.5, "sigma": 0.01},
    }
    sweep = read_sweep(sweep_file(tmp_path, method="random", run_cap=400, parameters=parameters))
    found = runs(sweep)
    assert len(found) == 400
    assert runs(sweep, 7) == found[:7]
    assert {one["history_size"] for one in found} == {0, 1, 2, 3}
    assert {one["steps"] for one in found} == {0, 10, 20, 30, 40, 50}
    assert all(isinstance(one["steps"], int) for one in found)
    assert all(0.5 <= one["temperature"] <= 1.5 for one in found)
    assert 0.8 < sum(one["lm"] == "local/base" for one in found) / 400 < 0.98
    # half of a logarithmic draw from 1 to 100 lies below 10
    assert 0.4 < sum(one["candidates_per_step"] < 10 for one in found) / 400 < 0.6
    assert abs(sum(one["floor"] for one in found) / 400 - 0.5) < 0.005


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"method": "grid", "parameters": {"step": {"values": [1]}}}, "unknown setting 'step'.*did you mean 'steps'"),
        (
            {"method": "grid", "parameters": {"opt": {"parameters": {"seed": {"values": [1]}}}}},
            "unknown setting 'opt.seed'",
        ),
        ({"method": "grid", "parameters": {"opt.seed": {"values": [1]}}}, "unknown setting 'opt.seed'"),
        ({"method": "grid", "parameter": {}}, "unknown key 'parameter'.*did you mean 'parameters'"),
        ({"method": "grit", "parameters": {"seed": {"values": [1]}}}, "it can be grid, random or bayes"),
        ({"method": "grid"}, "has no parameters"),
        ({"method": "grid", "parameters": {"seed": 1}}, "needs value, values or a distribution"),
        ({"method": "grid", "parameters": {"seed": {"values": []}}}, "no list of values"),
        ({"method": "grid", "parameters": {"seed": {"values": [1], "probabilities": [2]}}}, "sum 1"),
        ({"method": "random", "parameters": {"floor": {"distribution": "beta"}}}, "the distribution 'beta'"),
        (
            {"method": "random", "parameters": {"floor": {"distribution": "uniform", "min": 0}}},
            "needs a number for max",
        ),
        ({"method": "random", "parameters": {"floor": {"min": 0.5, "max": 0.1}}}, "min above its max"),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}, "metric": {"name": "test/gian"}}, "'test/gain'"),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}, "run_cap": 0}, "run_cap"),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}, "program": "train.py"}, "another program"),
        (
            {"method": "grid", "parameters": {"seed": {"values": [1]}}, "command": ["rm", "-r", "optimize"]},
            "another program",
        ),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}, "command": ["ipo", "optimize"]}, "lacks"),
    ],
)
def test_a_wrong_file_is_one_sentence(content: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_sweep(sweep_file(tmp_path, **content))


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ({"method": "bayes", "parameters": {"seed": {"values": [1]}}}, [], "bayes needs the server"),
        ({"method": "random", "parameters": {"seed": {"values": [1]}}}, [], "--count N"),
        ({"method": "grid", "parameters": {"floor": {"min": 0.0, "max": 0.5}}}, [], "a grid needs values for floor"),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}}, ["seed=3"], "seed is swept"),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}}, ["sed=3"], "did you mean 'seed'"),
        ({"method": "grid", "parameters": {"steps": {"values": [1, 0]}}}, [], "steps in the sweep is wrong"),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}}, ["--executor", "pul:2"], "no executor 'pul:2'"),
        ({"method": "grid", "parameters": {"seed": {"values": [1]}}}, ["--count", "0"], "--count is 0"),
    ],
)
def test_bad_input_ends_with_2_before_anything_is_written(
    content: dict[str, Any], words: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = ipo(capfd, "sweep", str(sweep_file(tmp_path, **content)), *words, "--out", str(tmp_path / "out"))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.sentence
    assert not (tmp_path / "out").exists()


def test_an_absent_file_names_those_that_are_shipped(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shipped ones: history, llm, seeds"):
        read_sweep(tmp_path / "none.yaml")


@pytest.mark.parametrize("file", sorted(SWEEPS_DIR.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_sweeps_can_be_run_and_never_choose_by_the_test(file: Path) -> None:
    sweep = read_sweep(Path(file.stem))
    assert sweep.name == file.stem
    assert sweep.metric == ("selection/gain", True)
    assert (
        len([configure(sweep, settings) for settings in runs(sweep)])
        == {"history": 18, "llm": 12, "seeds": 10}[file.stem]
    )


def test_an_agents_command_line_is_one_that_ipo_reads() -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    from ipo.experiments.run.config import load_config

    settings = {"seed": 1, "pin_initial": False, "patience": None, "lm": "openai/gpt-4o-mini", "floor": 0.25}
    sweep = read_sweep(Path("history"), ["shots=2"])
    made = create_sweep_command_args({"args": {name: {"value": value} for name, value in settings.items()}})
    words: list[str] = []
    for word in sweep.content["command"]:
        words += made[word[2:-1]] if word.startswith("${") else [word]
    assert words[:2] == ["ipo", "optimize"]
    config = load_config(None, words[2:])
    assert {name: getattr(config, name) for name in settings} == settings
    assert (config.track, config.shots) == ("wandb", 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"parameters": {"seed": {"distribution": ["x"], "min": 1, "max": 2}}}, "has the distribution ['x']"),
        (
            {"parameters": {"steps": {"distribution": "int_uniform", "min": 1.2, "max": 1.8}}},
            "no whole number between",
        ),
        (
            {"parameters": {"temperature": {"distribution": "log_uniform", "min": 999, "max": 1000}}},
            "the log_uniform of temperature is too wide",
        ),
        (
            {"parameters": {"temperature": {"distribution": "q_uniform", "min": 1, "max": 2, "q": 1e-320}}},
            "the q_uniform of temperature is too wide",
        ),
    ],
)
def test_a_distribution_that_cannot_be_drawn_from_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: dict[str, Any], sentence: str
) -> None:
    ended = ipo(capfd, "sweep", str(sweep_file(tmp_path, method="random", run_cap=1, **content)), "--dry-run")
    assert (ended.code, sentence in ended.sentence) == (2, True), ended.err


def test_the_program_of_a_command_is_ipo_where_the_file_names_none(tmp_path: Path) -> None:
    words = ["${env}", "${program}", "optimize", "shots=2", "${args_no_hyphens}"]
    file = sweep_file(tmp_path, method="grid", parameters={"seed": {"values": [1]}}, command=words)
    assert read_sweep(file).words == ("shots=2",)


# --- on this machine


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_pictures(tmp_path_factory.mktemp("pictures") / "six")


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory, pictures: Path, small_weights: None) -> str:
    """The small local model's replies of one run, with which the others are fast."""
    from ipo.experiments.run.config import load_config
    from ipo.experiments.run.live_view import Ui
    from ipo.experiments.run.pipeline import optimize

    folder = tmp_path_factory.mktemp("recorded") / "run"
    optimize(load_config(None, ["lm=local/small", f"data=folder:{pictures}", *TINY]), folder, Ui(1, quiet=True))
    return f"lm=replay/{folder}"


def test_a_sweep_of_six_runs_is_recorded_offline_and_goes_on(
    tmp_path: Path,
    pictures: Path,
    replies: str,
    clip: Clip,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipo.experiments.run.pipeline.load_clip", lambda name: clip)
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
            assert run.summary[f"{part}/accuracy"] == result["scores"][part]["optimised"]["accuracy"]
        assert run.summary["test/gain_high"] == result["scores"]["test"]["difference"]["ci95"][1]
        assert run.artifacts[f"program:program-{run.id}"] == ["program.json"]
        assert folder.name in ended.out
    lines = ended.out.splitlines()
    assert lines[0] == "| selection | patience | search/accuracy | gain on the sealed test | cost | run |"
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


def test_the_table_sorts_by_the_metric_and_gives_intervals_and_cost(tmp_path: Path) -> None:
    def ended(gain: float, usd: float | None) -> Ended:
        score = {
            "initial": {"accuracy": 0.25},
            "optimised": {"accuracy": 0.25 + gain},
            "difference": {"mean": gain, "ci95": [gain - 0.1, gain + 0.1]},
        }
        lm = {"optimizer": {"usd": usd, "tokens_in": 1, "tokens_out": 1}, "describer": None}
        result = {"scores": {"test": score}, "lm": lm, "seconds": {"total": 1.0}, "templates_scored": 1}
        return Ended({**result, "template": "", "initial_template": ""}, None)

    metric = {"name": "test/gain", "goal": "minimize"}
    sweep = read_sweep(sweep_file(tmp_path, method="grid", metric=metric, parameters={"seed": {"values": [0, 1, 2]}}))
    planned = [SweepRun({"seed": i}, configure(sweep, {"seed": i}), tmp_path / str(i), "g") for i in range(3)]
    text = table(sweep, planned, [ended(0.2, 0.5), Failure("ValueError", "a\nb"), ended(-0.1, None)])
    assert text.splitlines()[2:] == [
        "| 2 | -10.00 [-20.00, +0.00] | price unknown | 2 |",
        "| 0 | +20.00 [+10.00, +30.00] | $0.5000 | 0 |",
        "| 1 | failed: ValueError: a b |  | 1 |",
    ]


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

    server = WandbServer([{"patience": 1, "floor": 0.25}, {"patience": None, "floor": 0.5}])
    parameters = {"patience": {"values": [1, None]}, "floor": {"min": 0.0, "max": 1.0}}
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
    assert config["parameters"]["floor"] == {"distribution": "uniform", "min": 0.0, "max": 1.0}
    assert config["command"] == ["ipo", "optimize", "track=wandb", "${args_no_hyphens}", *words[2:]]
    assert sent["projectName"] == "ipo"
    assert len(server.variables("CreateAgent")) == 2
    assert f"ipo sweep {ENTITY}/{PROJECT}/{SWEEP}" in err
    finished = [path.parent for path in (tmp_path / "runs").glob("*/result.json")]
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in finished]
    assert sorted((config["floor"], config["patience"]) for config in configs) == [(0.25, 1), (0.5, None)], err
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
    words = [sys.executable, "-m", "ipo.experiments.cli.app", "sweep", str(file)]
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
    assert (ended.code, "holds a key or a password" in ended.sentence) == (2, True), ended.err


def test_runs_are_shared_out_evenly() -> None:
    assert command.shares(5, 2) == [3, 2]
    assert command.shares(None, 2) == [None, None]
    assert command.agent_command("a/b/c", 3)[2:] == ["wandb", "agent", "--forward-signals", "--count", "3", "a/b/c"]
