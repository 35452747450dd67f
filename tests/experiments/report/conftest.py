"""A real small run to report on, and its hostile twin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.programs.journal import read
from support.openai_server import Asked, Reply, listed, running, templates
from support.report_files import HOSTILE, analysis, change_json, poisoned
from support.runs import KEY, lines_of

RECORDED = Path(__file__).parents[2] / "recorded"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, clip: Any) -> Path:
    """A run over the HTTP server: two steps on 16 classes that ship with us, with a winner; nobody may change it."""
    folder = tmp_path_factory.mktemp("reported")
    with running() as server, pytest.MonkeyPatch.context() as patch:
        server.behave = _answer
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("IPO_CACHE_DIR", str(folder / "cache"))
        patch.setattr("ipo_prompts.experiments.run.prepared.loaded", lambda *_: clip)
        for name in sorted((IMAGES_DIR / "a").iterdir())[:16]:
            shutil.copytree(name, folder / "images" / name.name)
        settings = (
            "strategy=history",
            "describer=none",
            "shots=1",
            "val_shots=2",
            "candidates_per_step=4",
            "steps=2",
            "names=as-is",
        )
        where = (f"--data=folder:{folder / 'images'}", "--lm", "openai/test-model", f"lm_api_base={server.base}")
        assert main(["optimize", *where, *settings, "--quiet", "--out", str(folder / "run")]) == 0
    return folder / "run"


def _answer(asked: Asked) -> Reply:
    """Write one template without a slot, one that fits the images (they are negatives), and any others."""
    return Reply(listed(asked, ["no slot at all", "an x-ray of a <CLASS> with neon colors.", *templates(asked)]))


@pytest.fixture(params=["api-paper-base-to-new", "local-history"])
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A recorded run, its thumbnails replaced by one pixel."""
    folder = tmp_path / "run"
    shutil.copytree(RECORDED / request.param, folder)
    return folder


@pytest.fixture()
def run_folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run that the test may change; its analysis has the search only."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    change_json(folder / "analysis.json", lambda found: {**found, "words": None, "classes": [], "flips": None})
    return folder


@pytest.fixture()
def analysed(run_folder: Path) -> Path:
    """The run with an analysis."""
    template = json.loads((run_folder / "result.json").read_text())["template"]
    change_json(run_folder / "analysis.json", lambda found: {**found, **analysis(template)})
    return run_folder


@pytest.fixture()
def hostile(analysed: Path) -> Path:
    """The run with every text that anybody else could have written turned against the page."""
    for name in ("result.json", "environment.json", "program.json", "analysis.json"):
        change_json(analysed / name, poisoned)
    journal = analysed / "journal.jsonl"
    told = {"task": HOSTILE, "data": HOSTILE, "lm": HOSTILE}
    events = [
        poisoned(event) | ({"config": event["config"] | told} if event["type"] == "start" else {})
        for event in read(analysed)
    ]
    journal.write_text(lines_of(*events))
    return analysed
