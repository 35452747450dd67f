"""`docs/how-to/elsewhere.md`, followed with a hub on this machine and a stand-in for FiftyOne."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.programs.classifier import TemplateClassifier
from support import fiftyone
from support.hub import serving
from support.pages import DOCS, blocks

RECORDED = Path(__file__).parents[1] / "recorded" / "local-history"


def test_the_page_runs(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(RECORDED, "RUN")
    Path("pets").mkdir()
    for i, item in enumerate(load_data("embedded", seed=0).test[:40:4]):
        Path("pets", f"{i}.webp").write_bytes(item.picture.bytes())
    fiftyone.install(monkeypatch)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(desk / "hub"))
    scope: dict[str, Any] = {}
    with serving(monkeypatch, "hf_of_a_test"):
        for block in blocks(DOCS / "how-to/elsewhere.md"):
            if block.language == "python":
                exec(block.text, scope)
            for line in block.text.splitlines() if block.language == "sh" else ():
                # In this process: the hub's client reads the address of the hub when it is imported.
                assert main(shlex.split(line)[1:]) == 0
    program = TemplateClassifier.from_file("RUN")
    labels = {Path(sample.filepath).name: sample.ipo.label for sample in scope["dataset"]}
    assert labels == {file.name: program(image=str(file)).label for file in Path("pets").iterdir()}
    assert len({*labels.values()}) > 1
    told = capsys.readouterr().out
    assert told.startswith("pushed to http://127.0.0.1")
    for file, label in labels.items():
        assert any(file in line and label in line for line in told.splitlines())
