"""`ipo data check` with a CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.runs import Ended, copy_images, ipo

Capture = pytest.CaptureFixture[str]


@pytest.fixture()
def images(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, clip: Any) -> Path:
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.loaded", lambda *_: clip)
    monkeypatch.setattr("ipo_prompts.metrics.clip.load_clip", lambda *_: clip)
    return copy_images(tmp_path / "my images")


def check(capfd: Capture, images: Path, *more: str) -> Ended:
    return ipo(capfd, "data", "check", f"folder:{images}", *more)


def test_data_check_ends_with_the_command_to_type(images: Path, capfd: Capture) -> None:
    shown = check(capfd, images, "--clip", "embedded")
    assert shown.code == 0
    assert " can be used" in shown.out
    assert shown.out.splitlines()[-1] == f"next: ipo optimize 'folder:{images}' --clip embedded --lm none"
