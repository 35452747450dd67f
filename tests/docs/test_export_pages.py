"""The page on exports, followed beside one run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.programs.classifier import TemplateClassifier
from support.pages import DOCS, follow

RECORDED = Path(__file__).parents[1] / "recorded" / "local-history"


@pytest.fixture
def labels(desk: Path) -> dict[str, str]:
    """A run and ten images in the working directory. The value is what the run's program calls each image."""
    shutil.copytree(RECORDED, "RUN")
    Path("pets").mkdir()
    for i, item in enumerate(load_data("embedded", seed=0).test[:40:4]):
        Path("pets", f"{i}.webp").write_bytes(item.image.bytes())
    program = TemplateClassifier.from_file("RUN")
    told = {file.name: program(image=str(file)).label for file in sorted(Path("pets").iterdir())}
    assert len({*told.values()}) > 1
    return told


def test_exports_are_read_and_give_the_same_labels(labels: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "RUN", "--to", "onnx", "--out", "pets-head", "--images", "pets"]) == 0
    capsys.readouterr()
    scope, _ = follow(DOCS / "how-to/export.md")
    names = [scope["about"]["labels"][i] for i in scope["logits_of"](scope["features"]).argmax(axis=1)]
    assert names == list(labels.values())
    last, _, difference = capsys.readouterr().out.splitlines()[-1].rpartition(" ")
    assert last == str(names) and float(difference) < 1e-5
