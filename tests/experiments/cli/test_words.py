"""How words and flags reach the configuration, and that asking for help loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from ipo_prompts.experiments.cli import optimize
from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import load_config

HEAVY = ("torch", "dspy", "litellm", "datasets", "wandb", "open_clip", "PIL.Image", "scipy", "numpy")


@pytest.fixture()
def configured(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Stop `ipo optimize` where its configuration is complete, and keep it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    seen: list[RunConfig] = []

    def stop(*_: Any, **__: Any) -> None:
        raise typer.Exit

    def configure(*given: Any) -> RunConfig:
        seen.append(complete(*given))
        return seen[-1]

    complete = optimize._configure
    monkeypatch.setattr(optimize, "_configure", configure)
    monkeypatch.setattr("ipo_prompts.experiments.pipeline.run_job", stop)
    return seen


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--strategy=history", "--strategy.size=3"], {"strategy": {"name": "history", "size": 3}}),
        (["strategy.words=3"], {"strategy": {"name": "compose", "words": 3}}),
        (["strategy=history", "strategy.floor=0.1"], {"strategy": {"name": "history", "floor": 0.1}}),
        (["reward=retrieval", "reward.k=3"], {"reward": {"name": "retrieval", "k": 3}}),
        (["--scored_templates=3", "--steps=4", "--seed=5"], {"scored_templates": 3, "steps": 4, "seed": 5}),
        (["shots=1", "--steps", "4", "temperature=0.5"], {"shots": 1, "steps": 4, "temperature": 0.5}),
        (["--budget_usd=0.5"], {"budget_usd": 0.5}),
        (["--budget-usd", "0.5"], {"budget_usd": 0.5}),
        (["steps=3", "--steps", "4"], {"steps": 4}),
        (["--lm=openai/gpt-4o-mini"], {"lm": "openai/gpt-4o-mini"}),
        (["initial_template=a photo: <CLASS> = good"], {"initial_template": "a photo: <CLASS> = good"}),
        (["--initial_template=a “<CLASS>”"], {"initial_template": "a “<CLASS>”"}),
        (["task=no"], {"task": "no"}),
        (["task=null"], {"task": None}),
        (
            ["preset=paper", "--steps", "2"],
            {"steps": 2, "strategy": {"name": "history", "size": 20, "phrases": False}, "selection": "train"},
        ),
        (
            ["preset=code", "strategy.size=5"],
            {
                "strategy": {
                    "name": "history",
                    "size": 5,
                    "pin_initial": False,
                    "floor": 0.2,
                    "phrases": False,
                    "one_by_one": True,
                }
            },
        ),
        (["preset=code", "strategy=no-history"], {"strategy": {"name": "no-history"}}),
        (["--seed", "0"], {"seed": 0}),
        (["patience="], {"patience": None}),
    ],
)
def test_words_and_flags_reach_the_configuration(
    words: list[str], expected: dict[str, Any], configured: list[RunConfig]
) -> None:
    assert main(["optimize", *words]) == 0
    assert configured == [RunConfig(**{**load_config(None, []).model_dump(), **configured[0].model_dump(), **expected})]


def test_a_file_comes_first_and_words_and_flags_win(tmp_path: Path, configured: list[RunConfig]) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("steps: 2\nshots: 3\nseed: 9\n")
    assert main(["optimize", str(file), "shots=4", "--seed", "5"]) == 0
    assert (configured[0].steps, configured[0].shots, configured[0].seed) == (2, 4, 5)


COMMANDS = (
    "optimize",
    "evaluate",
    "predict",
    "doctor",
    "data",
    "data check",
    "data list",
    "models",
    "models list",
    "models pull",
)


@pytest.mark.parametrize("command", ["", *COMMANDS, "models remove"])
def test_every_help_answers(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    out, err = capsys.readouterr()
    assert main([*command.split(), "-h"]) == 0
    assert capsys.readouterr() == (out, err)
    assert f"Usage: ipo {command}".strip() in out
    assert err == ""


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"ipo {version('ipo-prompts')}\n", "")


def test_help_and_the_list_of_models_load_nothing_heavy(cache: Path) -> None:
    script = (
        "import json, sys\nfrom ipo_prompts.experiments.cli.app import main\n"
        "codes = [main(['--help']), main(['optimize', '--help']), main(['models', 'list'])]\n"
        "print(json.dumps([codes, [m for m in sys.argv[1:] if m in sys.modules]]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *HEAVY], capture_output=True, text=True, timeout=60)
    codes, loaded = json.loads(done.stderr.splitlines()[-1])
    assert codes == [0, 0, 0]
    assert "small" in done.stdout
    assert loaded == []
