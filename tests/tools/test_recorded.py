"""Recorded runs are made again from what was paid for, and then again the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ipo_prompts.metrics.errors import InputError
from support.runs import change_settings
from tools.recorded import RECORDED, remake


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_run_that_a_budget_had_stopped_is_made_again_with_its_own_replies(cache: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(RECORDED / "local-resumed", tmp_path / "run"))
    (run / "analysis.json").unlink()
    remake(run, tmp_path / "first")
    made = content(run)
    assert made.keys() == content(RECORDED / "local-resumed").keys() - {"analysis.json"}

    assert made["replies.jsonl"] == (RECORDED / "local-resumed" / "replies.jsonl").read_bytes()
    assert made["journal.jsonl"].count(b'{"type": "start"') == 2
    remake(run, tmp_path / "second")
    assert content(run) == made


def test_a_run_that_asks_otherwise_today_is_left_as_it_was(cache: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(RECORDED / "api-paper-base-to-new", tmp_path / "run"))
    change_settings(run, steps=3)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("steps: 4", "steps: 3"))
    before = content(run)
    with pytest.raises(InputError, match="1 recorded replies of "):
        remake(run, tmp_path / "first")
    assert content(run) == before
