"""The page's code runs as it is written, beside one run that was exported, and all of it names alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.programs.classifier import TemplateClassifier
from support.pages import DOCS, follow

RECORDED = Path(__file__).parents[1] / "recorded" / "local-history"


def test_the_page_runs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(RECORDED, "RUN")
    Path("pets").mkdir()
    for i, item in enumerate(load_data("embedded", seed=0).test[:40:4]):
        Path("pets", f"{i}.webp").write_bytes(item.picture.bytes())
    assert main(["export", "RUN", "--to", "onnx", "--out", "pets-head", "--pictures", "pets"]) == 0
    scope, _ = follow(DOCS / "how-to/heads.md")
    names = [scope["about"]["class_names"][i] for i in scope["logits_of"](scope["features"]).argmax(axis=1)]
    program = TemplateClassifier.from_file("RUN")
    assert names == [program(image=str(path)).label for path in scope["paths"]] and len({*names}) > 1
    told, _, difference = capsys.readouterr().out.splitlines()[-1].rpartition(" ")
    assert told == str(names) and float(difference) < 1e-5
