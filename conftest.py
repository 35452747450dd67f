"""What all tests share: caches of their own, the embedded CLIP loaded once, an engine that answers from a script."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, a core for each
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else each process asks for a newer list three times
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing in the tests may depend on a model hub
_dspys_own = tempfile.TemporaryDirectory(prefix="dspy-of-tests-", ignore_cleanup_errors=True)
os.environ["DSPY_CACHEDIR"] = _dspys_own.name  # else the second run of the tests gets the replies of the first


@pytest.hookimpl(optionalhook=True)  # the soak runs without xdist
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: a third of the time tests wait, for limits, servers and processes of their own."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """Collect four thousand tests without looking for garbage among them, which takes as long as the rest does."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the soak, whose tests are the longest: no process waits for them at the end."""
    items.sort(key=lambda item: "/soak/" not in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def shared_models() -> Iterator[Path]:
    """Local weights stay in the user's cache: they are large, and checked by hash."""
    from ipo_prompts.programs.lm.weights import models_dir

    yield models_dir()


@pytest.fixture()
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_models: Path) -> Path:
    """A cache folder of the test's own, with the weights of the local models linked in."""
    folder = tmp_path / "cache"
    folder.mkdir()
    if shared_models.exists():
        (folder / "models").symlink_to(shared_models)
    monkeypatch.setenv("IPO_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="module", autouse=True)
def nothing_tested_before_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state folder for what the fixtures of a module test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def nothing_tested_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own: no other test has tested its images before."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def features_of_shipped(tmp_path_factory: pytest.TempPathFactory, clip: Any) -> Path:
    """The file of what the embedded CLIP makes of the images of `embedded:a`, most of what tests look at."""
    from ipo_prompts.experiments.data import load_data
    from ipo_prompts.metrics.features import FeatureStore

    store = FeatureStore(clip, tmp_path_factory.mktemp("shipped"))
    store.encode([item.image for _, item in load_data("embedded:a", seed=0).items()])
    return store.path


@pytest.fixture()
def cache(empty_cache: Path, features_of_shipped: Path) -> Path:
    """A cache folder of the test's own in which shipped images are encoded; an image always has the same bits."""
    (empty_cache / "features").mkdir()
    shutil.copy(features_of_shipped, empty_cache / "features")
    return empty_cache


@pytest.fixture(scope="session", autouse=True)
def towers_that_remember() -> Iterator[None]:
    """Half of the time of all tests would go into what the embedded CLIP makes of the same texts and images."""
    from support.once import remember

    with pytest.MonkeyPatch.context() as patch:
        remember(patch)
        yield


@pytest.fixture(scope="session")
def clip(towers_that_remember: None) -> Any:
    """The embedded CLIP."""
    from ipo_prompts.metrics.clip import load_clip

    return load_clip("embedded")


@pytest.fixture(scope="session")
def small_weights() -> None:
    """The smallest local language model; fetched once (98 MB) when it is not here."""
    from ipo_prompts.programs.lm import weights

    if weights.find("small") is None:
        weights.pull("small")


@pytest.fixture()
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do not wait between two attempts; return how long each wait would have been."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


@pytest.fixture()
def desk(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in as a reader of a page does; nothing is remembered from elsewhere, by us or by DSPy."""
    from support.dspy_cache import forget

    forget(monkeypatch, cache)
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


class ScriptedEngine:
    """A DSPy engine that gives queued replies or raises queued errors; only for injecting faults."""

    def __init__(self, *script: str | BaseException) -> None:
        self.script = list(script)
        self.requests: list[Any] = []
        self.cut_off = False

    def complete(self, request: Any) -> Any:
        from dspy.lm15 import Message, Response, Usage

        self.requests.append(request)
        reply = self.script.pop(0) if self.script else "nothing more"
        if isinstance(reply, BaseException):
            raise reply
        self.cut_off = reply.endswith("…")
        return Response(
            id=None,
            model="scripted",
            message=Message.assistant(reply.removesuffix("…")),
            finish_reason="length" if self.cut_off else "stop",
            usage=Usage(input_tokens=100, output_tokens=20),
        )


@pytest.fixture()
def scripted() -> Callable[..., tuple[Any, ScriptedEngine]]:
    """Make a `dspy.LM` over a `ScriptedEngine`."""
    import dspy

    def make(*script: str | BaseException) -> tuple[Any, ScriptedEngine]:
        engine = ScriptedEngine(*script)
        return dspy.LM("scripted/model", engine=engine, cache=False, num_retries=0, temperature=1.0), engine

    return make


def listed(*templates: str) -> str:
    """Format templates the way ChatAdapter asks for them."""
    import json

    return f"[[ ## templates ## ]]\n{json.dumps(list(templates))}\n\n[[ ## completed ## ]]"


@pytest.fixture()
def as_list() -> Callable[..., str]:
    return listed


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; without one these tests are skipped, and `.ci/run`, which installs it, fails."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed to open pages with: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    quiet = ("background-networking", "component-update", "sync")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", *(f"--disable-{name}" for name in quiet)],
        )
        yield opened
        opened.close()
