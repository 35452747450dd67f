"""`docs/how-to/sweeps.md`, followed from top to bottom by a reader without a key for Weights & Biases."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from support.pages import DOCS, follow
from support.warm import command


def test_the_page_can_be_followed(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with command(tmp_path):
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        _, (_, swept, random) = follow(DOCS / "how-to/sweeps.md")
    assert "together: 6 cells" in swept.out and "together: 4 cells" in random.out
    cells = [json.loads(file.read_text()) for file in (desk / "runs" / "words").glob("cells/*/*/*/cell.json")]
    assert len(cells) == 6 and {cell["cell"]["seed"] for cell in cells} == {0, 1}
    assert (desk / "runs" / "words" / "settings.md").read_text() in swept.out
    file = yaml.safe_load((desk / "words.yaml").read_text())
    assert file["command"][:2] == ["ipo", "optimize"], "W&B would run another program"
