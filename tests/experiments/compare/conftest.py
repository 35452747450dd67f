"""What tests of sweeps share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture()
def without_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "MODE", "DIR", "PROJECT", "ENTITY", "RUN_ID", "RUN_GROUP", "SWEEP_ID", "BASE_URL"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
