"""The page's code runs as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pages import DOCS, follow


def test_the_page_runs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope, _ = follow(DOCS / "how-to/scikit-learn.md")
    assert set(scope["model"].predict(scope["X"])) <= set(scope["y"])
    assert scope["model"].template_ in capsys.readouterr().out
