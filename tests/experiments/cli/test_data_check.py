"""`ipo data check` with a CLIP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.data import load_data
from support.runs import Ended, copy_pictures, ipo

Capture = pytest.CaptureFixture[str]


@pytest.fixture()
def pictures(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, clip: Any) -> Path:
    monkeypatch.setattr("ipo_prompts.metrics.clip.load_clip", lambda *_: clip)
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    return copy_pictures(tmp_path / "my pictures")


def check(capfd: Capture, pictures: Path, *more: str) -> Ended:
    return ipo(capfd, "data", "check", f"folder:{pictures}", *more)


def test_data_check_ends_with_the_command_to_type(pictures: Path, capfd: Capture) -> None:
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 0
    assert "all pictures can be used" in shown.out
    assert shown.out.splitlines()[-1] == f"next: ipo optimize --data 'folder:{pictures}' --clip embedded --lm none"


def test_a_copy_is_a_warning_and_the_check_goes_on(pictures: Path, capfd: Capture) -> None:
    one, *_ = (pictures / "cat").iterdir()
    other = next(folder for folder in pictures.iterdir() if folder.name != "cat")
    for copy in ("copy.webp", "again.webp", "more.webp"):
        (other / copy).write_bytes(one.read_bytes())
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 0
    assert "copies of one picture (a run uses them all the same): 1" in shown.out
    assert "near copies" not in shown.out, "they are named already"
    assert shown.out.splitlines()[-1].startswith("next: ipo optimize ")


def test_pictures_to_test_on_alone_are_one_sentence(
    pictures: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = replace(load_data(f"folder:{pictures}", seed=0), train=(), val=())  # as the shifted ImageNets are
    monkeypatch.setattr("ipo_prompts.experiments.data.load_data", lambda spec, **how: sealed)
    shown = check(capfd, pictures, "--clip", "embedded")
    assert shown.code == 0
    assert "a run cannot search on these data: " in shown.out and "next: " not in shown.out
