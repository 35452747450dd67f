"""The pages on exports, followed beside one run: with a hub on this machine and a stand-in for FiftyOne."""

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
from support.pages import DOCS, blocks, follow

RECORDED = Path(__file__).parents[1] / "recorded" / "local-history"


@pytest.fixture
def labels(desk: Path) -> dict[str, str]:
    """A run and ten pictures in the working directory. The value is what the run's program calls each picture."""
    shutil.copytree(RECORDED, "RUN")
    Path("pets").mkdir()
    for i, item in enumerate(load_data("embedded", seed=0).test[:40:4]):
        Path("pets", f"{i}.webp").write_bytes(item.picture.bytes())
    program = TemplateClassifier.from_file("RUN")
    told = {file.name: program(image=str(file)).label for file in sorted(Path("pets").iterdir())}
    assert len({*told.values()}) > 1
    return told


def test_exports_are_read_and_pushed(
    labels: dict[str, str], desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "RUN", "--to", "onnx", "--out", "pets-head", "--pictures", "pets"]) == 0
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(desk / "hub"))
    scope: dict[str, Any] = {}
    capsys.readouterr()
    with serving(monkeypatch, "hf_of_a_test"):
        for block in blocks(DOCS / "how-to/export.md"):
            if block.language == "python":
                exec(block.text, scope)
            for line in block.text.splitlines() if block.language == "sh" else ():
                # In this process: the hub's client reads the address of the hub when it is imported.
                assert main(shlex.split(line)[1:]) == 0
    told = capsys.readouterr().out
    assert told.startswith("pushed to http://127.0.0.1")
    for file, label in labels.items():
        assert any(file in line and label in line for line in told.splitlines())
    names = [scope["about"]["class_names"][i] for i in scope["logits_of"](scope["features"]).argmax(axis=1)]
    assert names == list(labels.values())
    last, _, difference = told.splitlines()[-1].rpartition(" ")
    assert last == str(names) and float(difference) < 1e-5


def test_fiftyone_gets_the_same_labels(labels: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    fiftyone.install(monkeypatch)
    scope, _ = follow(DOCS / "how-to/elsewhere.md")
    assert {Path(sample.filepath).name: sample.ipo.label for sample in scope["dataset"]} == labels
