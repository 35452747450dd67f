"""The page's code runs as it is written, within the length it promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to/own-reward.md"


def test_the_page_runs(cache: Path, small_weights: None, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    code = blocks[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    assert "steps=3," in code
    scope: dict[str, Any] = {"__name__": "page"}
    exec(compile(code.replace("steps=3,", "steps=1, candidates_per_step=1,"), str(PAGE), "exec"), scope)
    # What it prints is what it says it is: the mean over classes of the share that is right.
    after, test, reward = scope["after"], scope["test"], scope["reward"]
    labels = reward.examples(test).labels
    right = after.predictions == labels
    assert after.value == pytest.approx(np.mean([right[labels == c].mean() for c in np.unique(labels)]))
    counts = np.unique([e.label for e in scope["search"]], return_counts=True)[1]
    assert set(counts) == {1, 4}
    assert scope["program"].template in capsys.readouterr().out
