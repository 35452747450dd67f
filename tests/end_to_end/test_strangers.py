"""A run, program, grid or file of cells that a stranger made: it has no code imported and no server asked.

`test_own_classes.py` has the runs that name code.
"""

from __future__ import annotations

import gzip
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.journal import line_of
from support.openai_server import OpenAIServer, running
from support.runs import Ended, ipo, resuming

Run = Callable[..., Ended]


def commands(run: Path, new: Path) -> list[list[str]]:
    """Return the commands that take settings from a run."""
    more = ["budget_tokens=100000"]
    return [
        ["optimize", "--resume", str(run), *more],
        ["optimize", str(run / "config.yaml"), *more, "--out", str(new)],
    ]


@pytest.mark.parametrize("number", range(2))
def test_a_run_asks_nobody_until_a_person_types_whom(
    stopped: Path, server: OpenAIServer, capfd: pytest.CaptureFixture[str], tmp_path: Path, number: int
) -> None:
    words = commands(stopped, tmp_path / "new")[number]
    for more in ((), ("lm=openai/test-model",), (f"lm_api_base={server.base}",)):
        ended = ipo(capfd, *words, *more)
        assert ended.code == 2 and f"the run in {stopped} names " in ended.sentence
    assert not server.asked and not (tmp_path / "new").exists()
    told = shlex.split(ipo(capfd, *words).sentence.split("`")[1])
    assert told[-2:] == ["lm=openai/test-model", f"lm_api_base={server.base}"] == resuming(stopped)[-2:]
    assert ipo(capfd, *(told[1:] if told[0] == "ipo" else [*words, *told])).code == 0
    assert len(server.asked) == 2


def test_a_run_is_resumed_where_it_asked(
    stopped: Path, server: OpenAIServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with running() as other:
        words = ["lm=openai/test-model", f"lm_api_base={other.base}"]
        ended = ipo(capfd, "optimize", "--resume", str(stopped), *words)
        assert ended.code == 2 and f"has lm_api_base={server.base!r}" in ended.sentence
        assert not other.asked
    assert not server.asked


def test_a_program_a_grid_and_cells_name_nothing(
    clip: Any,
    cache: Path,
    images: Path,
    server: OpenAIServer,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("open('imported', 'w').close()")
    named = {"strategy": "evil:Evil", "lm": "openai/test-model", "lm_api_base": server.base}
    Path("program.json").write_text(json.dumps({**TemplateClassifier(clip, ("cat", "dog")).dump_state(), **named}))
    grid = {
        "title": "t",
        "protocol": "few-shot",
        "data": ["embedded:a"],
        "methods": ["baseline", {"label": "evil", "method": "evil:Evil"}],
        "seeds": 1,
        "settings": named,
    }
    gaps = dict.fromkeys(("embedded:a  baseline  seed 0", "embedded:a  evil  seed 0"), "why not")
    heading = line_of({"schema": 2, "ipo": "0.2.0", "grid": {**grid, "seeds": [0]}, "rows": {}, "gaps": gaps})
    Path("cells.jsonl.gz").write_bytes(gzip.compress(heading))
    Path("theirs/cells").mkdir(parents=True)
    Path("theirs/grid.yaml").write_text(json.dumps(grid))
    for code, words in (
        (0, ["predict", "program.json", str(images)]),
        (2, ["report", "cells.jsonl.gz"]),
        (2, ["benchmark", "theirs/grid.yaml"]),
        (2, ["benchmark", "theirs/grid.yaml", "methods=baseline"]),
    ):
        ended = ipo(capfd, *words)
        assert ended.code == code, (words, ended)
        assert not Path("imported").exists() and not server.asked
