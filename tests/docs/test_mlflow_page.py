"""`docs/how-to/mlflow.md`, followed with a stand-in for MLflow, which is no dependency of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.mlflow_stand_in import MlflowStandIn
from support.openai_server import OpenAIServer
from support.pages import DOCS, follow


def test_the_page_can_be_followed(desk: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = MlflowStandIn(monkeypatch)
    page, _ = follow(DOCS / "how-to/mlflow.md")
    assert mlflow.runs == 1 and mlflow.params["lm"] == "openai/gpt-4o-mini"
    *steps, (_, sealed) = mlflow.metrics
    assert [step for step, _ in steps] == [0, 1, 2, 3]
    assert (sealed["test/accuracy"], sealed["test/n"]) == (page["after"].value, len(page["data"].test))
