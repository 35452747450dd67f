"""A sweep file: read, refused in one sentence, and turned into runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare.sweep_file import SWEEPS_DIR, configure, read_sweep, runs
from ipo_prompts.metrics.errors import InputError
from support.runs import ipo
from support.sweeps import sweep_file

pytestmark = pytest.mark.usefixtures("without_wandb")


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
        "strategy": {
            "parameters": {
                "name": {"value": "history"},
                "size": {"distribution": "int_uniform", "min": 0, "max": 3},
            }
        },
        "lm": {"values": ["local/small", "local/base"], "probabilities": [0.1, 0.9]},
        "strategy.floor": {"distribution": "normal", "mu": 0.5, "sigma": 0.01},
    }
    sweep = read_sweep(sweep_file(tmp_path, method="random", run_cap=400, parameters=parameters))
    found = runs(sweep)
    assert len(found) == 400
    assert runs(sweep, 7) == found[:7]
    assert {one["strategy.size"] for one in found} == {0, 1, 2, 3}
    assert {one["steps"] for one in found} == {0, 10, 20, 30, 40, 50}
    assert all(isinstance(one["steps"], int) for one in found)
    assert all(0.5 <= one["temperature"] <= 1.5 for one in found)
    shown = [{name: value for name, value in one.items() if name.startswith("strategy")} for one in found]
    assert {configure(sweep, one).strategy["size"] for one in shown} == {0, 1, 2, 3}
    assert 0.8 < sum(one["lm"] == "local/base" for one in found) / 400 < 0.98
    # half of a logarithmic draw from 1 to 100 lies below 10
    assert 0.4 < sum(one["candidates_per_step"] < 10 for one in found) / 400 < 0.6
    assert abs(sum(one["strategy.floor"] for one in found) / 400 - 0.5) < 0.005


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"method": "grid", "parameters": {"step": {"values": [1]}}}, "unknown setting 'step'.*did you mean steps"),
        (
            {"method": "grid", "parameters": {"opt": {"parameters": {"seed": {"values": [1]}}}}},
            "unknown setting 'opt.seed'",
        ),
        ({"method": "grid", "parameters": {"opt.seed": {"values": [1]}}}, "unknown setting 'opt.seed'"),
        (
            {"method": "grid", "parameters": {"strategy": {"parameters": {"sise": {"values": [1]}}}}},
            "unknown setting 'strategy.sise'.*did you mean strategy.size",
        ),
        ({"method": "grid", "parameter": {}}, "unknown key 'parameter'.*did you mean parameters"),
        ({"method": "grit", "parameters": {"seed": {"values": [1]}}}, "it can be grid, random or bayes"),
        ({"method": "grid"}, "has no parameters"),
        ({"method": "grid", "parameters": {"seed": 1}}, "needs value, values or a distribution"),
        ({"method": "grid", "parameters": {"seed": {"values": []}}}, "no list of values"),
        ({"method": "grid", "parameters": {"seed": {"values": [1], "probabilities": [2]}}}, "sum 1"),
        ({"method": "random", "parameters": {"strategy.floor": {"distribution": "beta"}}}, "the distribution 'beta'"),
        (
            {"method": "random", "parameters": {"strategy.floor": {"distribution": "uniform", "min": 0}}},
            "needs a number for max",
        ),
        ({"method": "random", "parameters": {"strategy.floor": {"min": 0.5, "max": 0.1}}}, "min above its max"),
        (
            {"method": "grid", "parameters": {"seed": {"values": [1]}}, "metric": {"name": "test/gian"}},
            "did you mean test/gain",
        ),
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
        (
            {"method": "grid", "parameters": {"strategy.floor": {"min": 0.0, "max": 0.5}}},
            [],
            "a grid needs values for strategy.floor",
        ),
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

    from ipo_prompts.experiments.run.config import load_config

    settings = {"seed": 1, "patience": None, "lm": "openai/gpt-4o-mini", "strategy": "history"}
    shown = {"strategy.size": 5, "strategy.floor": 0.25}
    sweep = read_sweep(Path("history"), ["shots=2"])
    made = create_sweep_command_args(
        {"args": {name: {"value": value} for name, value in {**settings, **shown}.items()}}
    )
    words: list[str] = []
    for word in sweep.content["command"]:
        words += made[word[2:-1]] if word.startswith("${") else [word]
    assert words[:2] == ["ipo", "optimize"]
    config = load_config(None, words[2:])
    assert {name: getattr(config, name) for name in list(settings)[:3]} == dict(list(settings.items())[:3])
    assert config.strategy == {"name": "history", "size": 5, "pin_initial": True, "floor": 0.25, "one_by_one": False}
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
    assert read_sweep(file).given == {"shots": 2}


@pytest.mark.parametrize("words", [["strategy=shuffled"], ["strategy.name=shuffled"], ["--strategy=shuffled"]])
def test_one_setting_under_two_names_is_one_setting(tmp_path: Path, words: list[str]) -> None:
    for name in ("strategy", "strategy.name"):
        file = sweep_file(tmp_path, method="grid", parameters={name: {"values": ["history", "compose"]}})
        with pytest.raises(InputError, match=f"{name} is swept"):
            read_sweep(file, words)


def test_the_strategy_itself_can_be_swept(tmp_path: Path) -> None:
    parameters = {"strategy": {"values": ["history", "no-history", "shuffled"]}}
    sweep = read_sweep(sweep_file(tmp_path, method="grid", parameters=parameters), ["lm=local/small"])
    assert [configure(sweep, one).strategy["name"] for one in runs(sweep)] == parameters["strategy"]["values"]
