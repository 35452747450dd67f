"""A sweep file as a grid: its rows, what is refused in one sentence, and its table; and the same file through W&B."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipo_prompts.experiments.compare.documents import HELD_BACK, by_settings
from ipo_prompts.experiments.compare.grid import GridConfig, load_grid
from ipo_prompts.experiments.compare.tables.table import build_table
from ipo_prompts.experiments.compare.tables.words import notes
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.strategies import STRATEGIES
from support.runs import copy_pictures, ipo
from support.scored_cells import make_cells
from support.wandb_server import ENTITY, PROJECT, SWEEP, WandbServer

TINY = ["lm=none", "describer=none", "shots=1", "selection_shots=1", "steps=1", "candidates_per_step=2"]


@pytest.fixture()
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a sweep file in the working directory, which is the test's own; return its name."""
    monkeypatch.chdir(tmp_path)

    def write(parameters: dict[str, Any], method: str = "grid", **content: Any) -> str:
        Path("mine.yaml").write_text(
            yaml.safe_dump({"method": method, "parameters": parameters, **content}, sort_keys=False)
        )
        return "mine.yaml"

    return write


def rows(grid: GridConfig) -> dict[str, dict[str, Any]]:
    """The settings of each row that is swept."""
    return {row.label: row.settings for row in grid.methods if row.label != "baseline"}


# --- its rows


def test_a_grid_is_every_combination_and_what_the_command_fixes_is_shared(file: Callable[..., str]) -> None:
    parameters = {
        "patience": {"value": None},
        "strategy": {"parameters": {"name": {"value": "history"}, "size": {"min": 3, "max": 5}}},
        "describer": {"values": ["clip", "none"]},
        "seed": {"values": [7, 8]},
    }
    command = ["${env}", "ipo", "optimize", "track=wandb", "shots=2", "classes=base-to-new", "${args_no_hyphens}"]
    grid = load_grid(file(parameters, command=command, name="both"), ["lm=local/small", "data=embedded:a,embedded:b"])
    assert (grid.title, grid.protocol, grid.data, grid.seeds) == (
        "both",
        "base-to-new",
        ["embedded:a", "embedded:b"],
        [7, 8],
    )
    assert rows(grid) == {
        f"strategy.size={size}, describer={name}": {"strategy.size": size, "describer": name}
        for size in (3, 4, 5)
        for name in ("clip", "none")
    }
    assert grid.settings == {"patience": None, "strategy.name": "history", "shots": 2, "lm": "local/small"}
    first = list(rows(grid))[:2]
    assert list(rows(load_grid("mine.yaml", ["count=2"]))) == first


def test_a_preset_is_the_method_that_searches_so_and_seeds_alone_are_one_row(file: Callable[..., str]) -> None:
    grid = load_grid(file({"preset": {"values": ["default", "paper"]}}))
    assert {row.label: row.method for row in grid.methods} == {
        "baseline": "baseline",
        "preset=default": "ipo-default",
        "preset=paper": "ipo-paper",
    }
    grid = load_grid(file({"seed": {"min": 0, "max": 4}, "preset": {"value": "code"}}))
    assert ([row.label for row in grid.methods], grid.seeds) == (["baseline", "ipo-code"], [0, 1, 2, 3, 4])


def test_random_rows_are_the_same_each_time_and_a_larger_count_begins_with_them(file: Callable[..., str]) -> None:
    parameters = {
        "temperature": {"distribution": "uniform", "min": 0.5, "max": 1.5},
        "steps": {"distribution": "q_uniform", "min": 1, "max": 50, "q": 10},
        "candidates_per_step": {"distribution": "log_uniform_values", "min": 1, "max": 100},
        "strategy.size": {"distribution": "int_uniform", "min": 0, "max": 3},
        "lm": {"values": ["local/small", "local/base"], "probabilities": [0.1, 0.9]},
        "strategy.floor": {"distribution": "normal", "mu": 0.5, "sigma": 0.01},
        "seed": {"values": [0, 1]},
    }
    grid = load_grid(file(parameters, "random", run_cap=400))
    found = list(rows(grid).values())
    assert (len(found), grid.seeds) == (400, [0, 1])
    assert list(rows(load_grid("mine.yaml", ["count=7"])).values()) == found[:7]
    assert list(rows(load_grid("mine.yaml", ["count=7", "draw_seed=1"])).values()) != found[:7]
    assert {one["strategy.size"] for one in found} == {0, 1, 2, 3}
    assert {one["steps"] for one in found} == {0, 10, 20, 30, 40, 50}
    assert all(isinstance(one["steps"], int) and 0.5 <= one["temperature"] <= 1.5 for one in found)
    assert 0.8 < sum(one["lm"] == "local/base" for one in found) / 400 < 0.98
    # half of a logarithmic draw from 1 to 100 lies below 10
    assert 0.4 < sum(one["candidates_per_step"] < 10 for one in found) / 400 < 0.6
    assert abs(sum(one["strategy.floor"] for one in found) / 400 - 0.5) < 0.005
    assert len(rows(load_grid(file({"strategy": {"values": ["history", "compose"]}}, "random", run_cap=50)))) == 2


SEED = {"seed": {"values": [1]}}
STEPS = {"steps": {"values": [1, 2]}}


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ({"parameters": {"step": {"values": [1]}}}, [], "'step'.*did you mean 'steps'"),
        ({"parameters": {"strategy.sise": {"values": [1]}}}, [], "no setting 'sise'"),
        ({"parameters": SEED, "comand": []}, [], "comand"),
        ({"parameters": {}}, [], "parameters"),
        ({"parameters": {"steps": 1}}, [], "parameters.steps"),
        ({"parameters": {"steps": {"values": []}}}, [], "values"),
        ({"parameters": {"steps": {"values": [1, 0]}}}, [], "steps"),
        ({"parameters": {"temperature": {"min": 0.5, "max": 1.5}}}, [], "temperature in .* needs a list"),
        ({"parameters": {"steps": {"min": 1, "max": 10**9}}}, [], "1000 items"),
        ({"parameters": {"patience": {"values": [1, 2]}}}, [], "patience is set by the cell"),
        ({"parameters": {"clip": {"values": ["embedded", "ViT-B-32/openai"]}}}, [], "clip is swept .* once for each"),
        ({"parameters": {"reward": {"parameters": {"x": {"values": [1, 2]}}}}}, [], "reward.x is swept"),
        ({"parameters": {"preset": {"values": ["papr"]}}}, [], "'papr'"),
        ({"parameters": STEPS, "method": "grit"}, [], "method"),
        ({"parameters": STEPS, "method": "bayes"}, [], "need the server of Weights & Biases"),
        ({"parameters": STEPS, "early_terminate": {"type": "hyperband"}}, [], "need the server of Weights & Biases"),
        ({"parameters": STEPS, "metric": {"name": "test/gain", "goal": "maximize"}}, [], "cannot test the choice"),
        ({"parameters": STEPS, "run_cap": 0}, [], "run_cap"),
        ({"parameters": STEPS, "program": "train.py"}, [], "program"),
        ({"parameters": STEPS, "command": ["ipo", "optimize"]}, [], "args_no_hyphens"),
        ({"parameters": STEPS, "command": ["optimize", "runs/r/config.yaml", "${args}"]}, [], "written key=value"),
        ({"parameters": STEPS, "command": ["rm", "${args}"]}, [], "args_no_hyphens"),
        ({"parameters": STEPS}, ["steps=3"], "steps is swept"),
        ({"parameters": {"strategy": {"values": ["history"]}}}, ["--strategy.name=compose"], "strategy is swept"),
        ({"parameters": STEPS}, ["stps=3"], "did you mean steps"),
        ({"parameters": STEPS}, ["count=0"], "count"),
        (
            {"parameters": STEPS},
            ["lm=openai/x", "lm_api_base=http://me:hunter2@127.0.0.1/v1"],
            "keep such things in the environment",
        ),
        ({"parameters": STEPS, "method": "random"}, [], "how many rows: count=N"),
    ],
)
def test_what_no_table_can_follow_is_one_sentence(
    file: Callable[..., str], content: dict[str, Any], words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = ipo(capfd, "benchmark", file(**content), *words)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1), ended
    assert re.search(said, ended.sentence), ended.sentence
    assert "hunter2" not in ended.err and [one.name for one in Path().iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    "how",
    [
        {"distribution": "uniforn", "min": 0, "max": 1},
        {"distribution": "uniform", "min": 0},
        {"min": 1.5, "max": 0.5},
        {"distribution": "int_uniform", "min": 1.2, "max": 1.8},
        {"distribution": "log_uniform", "min": 999, "max": 1000},
        {"distribution": "log_uniform_values", "min": 0, "max": 1},
        {"distribution": "q_uniform", "min": 1, "max": 2, "q": 0},
        {"distribution": "normal", "sigma": -1},
        {"values": [1, 2], "probabilities": [0.5]},
        {"values": [1, 2], "probabilities": [0.5, 0.6]},
    ],
)
def test_a_parameter_that_cannot_be_drawn_is_one_sentence(file: Callable[..., str], how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^the parameter temperature in mine.yaml cannot be drawn: .+[^.]\.$"):
        load_grid(file({"temperature": how}, "random", run_cap=1))


# --- its table


def test_a_sweep_is_run_resumed_and_compared_by_held_back_pictures(
    file: Callable[..., str], cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among the strategies is a class of one's own, which the file may name since a person gives it."""
    copy_pictures(Path("six"))
    code = "from ipo_prompts.programs.strategies.compose import Compose\n\n\nclass Waves(Compose):\n    pass\n"
    Path("mine.py").write_text(code)
    parameters = {"strategy": {"values": ["compose", "mine:Waves"]}, "seed": {"values": [0, 1]}}
    words = ["benchmark", file(parameters), "data=folder:six", *TINY]
    assert ipo(capfd, *words, "count=1").code == 0
    ended = ipo(capfd, *words)
    assert ended.code == 0, ended.err
    assert len(re.findall(r"^\d+/6  ", ended.err, re.M)) == 2, "the first row was not run again"
    told = json.loads(Path("runs/mine/table.json").read_text())
    held_back = {one["method"]: one["gain_held_back"] for one in told["searches"] if one["method"] != "baseline"}
    assert set(held_back) == {"strategy=compose", "strategy=mine:Waves"}
    for name, gain in held_back.items():
        cells = Path("runs/mine/cells").glob(f"*/{name.replace(':', '-')}/*/cell.json")
        choices = [json.loads(cell.read_text())["choice"]["gain"] for cell in cells]
        assert gain == pytest.approx(100 * sum(choices) / 2, abs=1e-3)
    assert Path("runs/mine/settings.md").read_text() in ended.out
    monkeypatch.setattr(STRATEGIES, "_allowed", set())  # as in a process where nobody has named it
    written = ipo(capfd, "benchmark", "runs/mine/grid.yaml", "--out", "runs/mine")
    assert written.code == 2 and "code is only run where a person types its name" in written.sentence


def test_rows_are_in_the_order_of_held_back_pictures_whatever_the_test_says() -> None:
    skills = {"baseline": 0.0, "size=0": 1.5, "size=5": 0.5, "size=10": 0.2}
    held_back = {"size=0": 0.01, "size=5": 0.04, "size=10": 0.02}
    cells = make_cells(("embedded:a",), skills, seeds=2, sides=("test",), protocol="few-shot")
    for cell in cells:
        cell["choice"] = {"gain": held_back.get(cell["cell"]["method"])}
    own = {name: {"size": int(name.partition("=")[2]), "lm": "x"} for name in held_back}
    _, (head, *listed), _, (_, *effects) = by_settings(build_table(cells), own)
    assert head[1] == HELD_BACK
    assert [line[:2] for line in listed] == [["size=5", "+4.00"], ["size=10", "+2.00"], ["size=0", "+1.00"]]
    assert effects == [["size", "0", "1", "+1.00"], ["size", "5", "1", "+4.00"], ["size", "10", "1", "+2.00"]]
    assert not by_settings(build_table(cells), {"size=0": own["size=0"]}), "one row compares nothing"


def test_many_numbers_of_a_setting_are_told_by_their_rank_correlation() -> None:
    skills = {"baseline": 0.0, **{f"t={number}": number / 10 for number in range(9)}}
    cells = make_cells(("embedded:a",), skills, seeds=1, sides=("test",), protocol="few-shot")
    for cell in cells:
        number = cell["cell"]["method"].partition("=")[2]
        cell["choice"] = {"gain": -int(number) / 100} if number else None
    own = {name: {"t": int(name[2:]), "half": int(name[2:]) % 2} for name in skills if name != "baseline"}
    *_, (_, *effects) = by_settings(build_table(cells), own)
    assert effects == [
        ["t", "0 to 8", "9", "rank correlation -1.00"],
        ["half", "0", "5", "-4.00"],
        ["half", "1", "4", "-4.00"],
    ]


def test_it_is_said_which_setting_and_which_seed_moved_nothing() -> None:
    own = {f"{d}, {s}": {"describer": d, "strategy.size": s} for d in ("clip", "none") for s in (0, 5)}
    skills = {"baseline": 0.0} | {name: 0.5 + of["strategy.size"] for name, of in own.items()}
    cells = make_cells(("embedded:a",), skills, seeds=2, sides=("test",), protocol="few-shot")
    size_alone = {}
    for cell in cells:  # the describer and the seed decide nothing
        cell["choice"] = {"gain": 0.1}
        size = own.get(cell["cell"]["method"], {}).get("strategy.size")
        cell |= size_alone.setdefault(size, {name: cell[name] for name in ("templates", "scores")})
    told = "; rows that differ in nothing else ended with the same templates and values."
    *_, last = by_settings(build_table(cells), own)
    assert last == f"Moved nothing: describer{told}"
    assert any(note.startswith("The seed moved nothing") for note in notes(build_table(cells)))

    cells[-1] |= {"templates": [{"template": "another <CLASS>", "weight": 1.0}]}  # of one row under one seed
    assert isinstance(by_settings(build_table(cells), own)[-1], list)
    assert not any(note.startswith("The seed moved nothing") for note in notes(build_table(cells)))


# --- the same file through W&B


def test_wandb_runs_the_same_file_with_ipo_optimize_as_it_is(
    file: Callable[..., str], cache: Path, without_wandb: None
) -> None:
    copy_pictures(Path("six"))
    command = ["ipo", "optimize", "track=wandb", "data=folder:six", "${args_no_hyphens}", *TINY[:-2]]
    parameters = {"steps": {"values": [1, 2]}, "strategy": {"parameters": {"name": {"value": "compose"}}}}
    name = file(parameters, metric={"name": "selection/gain", "goal": "maximize"}, command=command)
    assert list(rows(load_grid(name))) == ["steps=1", "steps=2"], "and without a key it is a grid"
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
