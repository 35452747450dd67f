"""A recorded run with a page of its pictures; what the CLIP makes of them is kept for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main

RECORDED = Path(__file__).parents[2] / "recorded"


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, clip: Any) -> Path:
    """A folder with the run and its page, and a cache; nobody may change it."""
    folder = tmp_path_factory.mktemp("clicks")
    shutil.copytree(RECORDED / "local-history", folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPO_CACHE_DIR", str(folder / "cache"))
        patch.setattr("ipo_prompts.programs.classifier.load_clip", lambda *_: clip)
        assert main(["label", str(folder / "run")]) == 0
    return folder


@pytest.fixture(autouse=True)
def _loaded_once(clip: Any, made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("IPO_STATE_DIR", str(tmp_path / "state"))  # what one test verifies is no opening for the next
    monkeypatch.setenv("IPO_CACHE_DIR", str(made_once / "cache"))
    monkeypatch.setattr("ipo_prompts.programs.classifier.load_clip", lambda *_: clip)
    yield


@pytest.fixture()
def labelled(made_once: Path, tmp_path: Path) -> Path:
    """A finished run whose sealed test are 272 pictures that ship with us, with a page of them."""
    return Path(shutil.copytree(made_once / "run", tmp_path / "run"))


@pytest.fixture()
def run(tmp_path: Path) -> Path:
    """The run without a page."""
    return Path(shutil.copytree(RECORDED / "local-history", tmp_path / "run"))
