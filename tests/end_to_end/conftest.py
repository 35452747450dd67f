"""What the tests over the HTTP server share: the server, a few images, and `run`: a small run over them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from support.openai_server import OpenAIServer, running
from support.runs import KEY, Ended, arguments, copy_images, ipo, resuming


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def running_server() -> Iterator[OpenAIServer]:
    with running() as server:
        yield server


@pytest.fixture()
def server(running_server: OpenAIServer) -> OpenAIServer:
    return running_server.fresh()


@pytest.fixture()
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, clip: Any) -> Path:
    """The cache as a run leaves it, with the features of its images and texts."""
    folder = tmp_path_factory.mktemp("first-run")
    with running() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("IPO_CACHE_DIR", str(folder / "cache"))
        patch.setattr("ipo_prompts.experiments.run.prepared.loaded", lambda *_: clip)
        words = arguments(copy_images(folder / "images"), server, "--quiet", f"--out={folder / 'run'}")
        assert main(words) == 0
    return folder / "cache"


@pytest.fixture()
def cache(empty_cache: Path, first_run: Path) -> Path:
    """A cache of the test's own in which nothing has to be encoded again; that is tested in tests/metrics."""
    shutil.copytree(first_run, empty_cache, dirs_exist_ok=True)
    return empty_cache


@pytest.fixture()
def light(monkeypatch: pytest.MonkeyPatch, clip: Any) -> None:
    """Leave away what takes half of a small run's time and has no part in faults: loading CLIP again."""
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.loaded", lambda *_: clip)


@pytest.fixture()
def run(
    cache: Path,
    light: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    images: Path,
    server: OpenAIServer,
    out: Path,
) -> Callable[..., Ended]:
    """Run two small steps over the server, in this process."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def start(*words: str, lm: str = "openai/test-model") -> Ended:
        return ipo(capfd, *arguments(images, server, "--out", str(out), *words, lm=lm))

    return start


@pytest.fixture()
def resume(run: Callable[..., Ended], capfd: pytest.CaptureFixture[str], out: Path) -> Callable[..., Ended]:
    """Resume the run."""
    return lambda *words: ipo(capfd, *resuming(out), *words)


@pytest.fixture()
def stopped(run: Callable[..., Ended], server: OpenAIServer, out: Path) -> Path:
    """A run that ends before it is done."""
    assert run("budget_tokens=1").code == 3
    server.fresh()
    return out
