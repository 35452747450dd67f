"""The page's code runs as it is written, on the command line, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.pages import DOCS, blocks
from support.runs import ipo

PAGE = DOCS / "how-to/own-reward.md"


def test_the_page_runs(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    own, command, use = (block.text for block in blocks(PAGE) if block.language != "text")
    Path("balanced.py").write_text(own, encoding="utf-8")
    assert ipo(capfd, *command.split()[1:]).code == 0
    scope: dict[str, Any] = {"__name__": "page"}
    assert "steps=3" in use
    exec(compile(own + use.replace("steps=3", "steps=1, candidates_per_step=1"), str(PAGE), "exec"), scope)
    # What it prints is what it says it is: the mean over classes of the share that is right.
    after, test, reward, program = (scope[name] for name in ("after", "test", "reward", "program"))
    labels = reward.examples(test).labels
    right = after.predictions == labels
    assert after.value == pytest.approx(np.mean([right[labels == c].mean() for c in np.unique(labels)]))
    assert program.template in capfd.readouterr().out
