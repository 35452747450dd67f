"""What a file that IPO wrote may not name: code, language models and servers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.compare.grid import load_grid
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.trust import GRID_FILE, check_typed, resume_command

ADDRESS = "http://localhost:1/v1"


@pytest.mark.parametrize(
    "settings",
    [
        {"lm": "openai/gpt-4o"},
        {"lm": "local/theirs.gguf"},
        {"lm": "replay/runs/other"},
        {"lm": "openai/gpt-4o", "lm_api_base": ADDRESS},
        {"describer": "gemini/gemini-pro", "describer_api_base": ADDRESS},
        {"describer": "file:/home/user/secret"},
        {"lm": "replay/runs/other", "describer": "file:/home/user/secret"},
        {"track": "wandb"},
        {"strategy": {"name": "mine:Waves", "size": 3}},
        {"reward": {"name": "mine:Harsh"}},
        {"data": "python:mine:gather:x y"},
    ],
)
def test_code_and_servers_have_to_be_typed(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the run in x names") as caught:
        check_typed(settings, {}, "the run in x")
    words = shlex.split(str(caught.value).split("`")[1])
    typed: dict[str, Any] = dict(word.split("=", 1) for word in words)
    assert typed.keys() == settings.keys()
    check_typed(settings, typed, "the run in x")
    assert shlex.split(resume_command(Path("runs/x y"), settings)) == [
        *("ipo", "optimize", "--resume", "runs/x y"),
        *words,
    ]
    for key in settings:  # each of them, and as it is
        for other in ({**typed, key: "other:Other"}, {name: value for name, value in typed.items() if name != key}):
            with pytest.raises(InputError, match="the run in x names"):
                check_typed(settings, other, "the run in x")


def test_data_and_a_clip_may_be_named() -> None:
    free = {"clip": "hf-hub:someone/model", "data": "folder:pets", "lm": "local/small", "lm_api_base": ADDRESS}
    check_typed({**free, "describer": "none", "track": "none", "strategy": {"name": "history"}}, {}, "the run in x")


def test_the_grid_in_the_folder_of_a_grid(tmp_path: Path) -> None:
    file = tmp_path / GRID_FILE
    file.write_text(
        "title: t\nprotocol: few-shot\ndata: ['folder:pets']\nseeds: 1\n"
        f"methods: [baseline, {{label: row, method: ipo-default, settings: {{lm_api_base: '{ADDRESS}'}}}}]\n"
        "settings: {clip: 'hf-hub:a/b', lm: openai/theirs}\n"
    )
    grid = load_grid(str(file))  # a person wrote it
    (tmp_path / "cells").mkdir()
    with pytest.raises(InputError, match=r"the grid in .* names openai/theirs"):
        load_grid(str(file))
    with pytest.raises(InputError, match=rf"names {ADDRESS}"):  # a row's own setting, which no word replaces
        load_grid(str(file), ["lm=openai/mine"])
    assert load_grid(str(file), ["lm=openai/theirs", f"lm_api_base={ADDRESS}"]).methods == grid.methods
    assert load_grid(str(file), ["lm=local"]).settings["lm"] == "local"
