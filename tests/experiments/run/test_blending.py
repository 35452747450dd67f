"""A run with `head=blend`: a line of its own beside the verdict, and a program that labels as that line says."""

from __future__ import annotations

import html
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.experiments.run.told import head_in_words
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.verdict import share
from ipo_prompts.programs.classifier import TemplateClassifier
from support.runs import Ended, ipo


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name in sorted((PICTURES_DIR / "a").iterdir())[:12]:
        shutil.copytree(name, folder / name.name)
    (folder.parent / "templates.txt").write_text("an x-ray of a <CLASS>.\na <CLASS>.\n")
    return folder


@pytest.fixture()
def run(cache: Path, monkeypatch: pytest.MonkeyPatch, clip: Clip, capfd: Any, pictures: Path) -> Any:
    monkeypatch.setattr("ipo_prompts.experiments.run.prepared.load_clip", lambda *_: clip)
    listed = f"strategy.file={pictures.parent / 'templates.txt'}"

    def start(*more: str) -> Ended:
        fixed = ("lm=none", "describer=none", "strategy=list", listed, "head=blend")
        return ipo(capfd, "optimize", f"--data=folder:{pictures}", *fixed, *more)

    return start


def test_words_pictures_and_both_are_told_apart(
    run: Any, clip: Clip, pictures: Path, tmp_path: Path, capfd: Any
) -> None:
    folder = tmp_path / "run"
    ended = run("shots=3", "selection_shots=2", "--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder)
    head = found.head
    assert head is not None and head.kept and head.left_out == 60 and head.labelled == 5
    assert head.words_alone == found.scores["test"].optimised, "the verdict stays that of the words"
    assert f"  with pictures: {share(head.both)}, " in ended.out and "--to head --out DIR" in ended.out
    assert head_in_words(head) in html.unescape((folder / "report.html").read_text()).replace("\xa0", " ")
    program = TemplateClassifier.from_file(folder, clip)
    test = plan(load_config(folder / "config.yaml")).drawn.test
    named = program.probabilities([item.picture for item in test]).argmax(axis=1)
    assert float(np.mean(named == [item.label for item in test])) == pytest.approx(head.both.value, abs=1e-6)
    assert program.pictures is not None and program.head().classes == pytest.approx(program.class_embeddings())
    predicted = ipo(capfd, "predict", str(folder), str(test[0].picture.place))
    assert f"this program labelled {head.both.value:.1%} right" in predicted.err
    state = program.dump_state()
    state["pictures"]["rows"] = state["pictures"]["rows"][:-8]
    with pytest.raises(InputError, match="the part of the pictures in a saved program"):
        program.load_state(state)
    program.set_templates("a <CLASS>.")
    assert program.pictures is None
