"""What tests of methods share, and those with Weights & Biases."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lessons import lesson  # noqa: F401 - a fixture


@pytest.fixture()
def without_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "MODE", "DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "SWEEP_ID", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
