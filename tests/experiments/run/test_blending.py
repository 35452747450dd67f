"""A run takes labelled images that pass the gate: a line beside the verdict, and a program that labels as it says."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.experiments.one_call import Outcome
from ipo_prompts.experiments.run.files import load_config
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from support.runs import Ended, ipo


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name in sorted((IMAGES_DIR / "a").iterdir())[:12]:
        shutil.copytree(name, folder / name.name)
    (folder.parent / "templates.txt").write_text("an x-ray of a <CLASS>.\na <CLASS>.\n")
    return folder


@pytest.fixture()
def run(cache: Path, capfd: Any, images: Path) -> Any:
    listed = f"strategy.file={images.parent / 'templates.txt'}"

    def start(*more: str) -> Ended:
        fixed = ("lm=none", "describer=none", "strategy=list", listed)
        return ipo(capfd, "optimize", f"--data=folder:{images}", *fixed, *more)

    return start


def test_a_run_takes_images_and_its_program_has_text_only_too(
    run: Any, clip: Clip, images: Path, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipo_prompts.programs.classifier.load_clip", lambda *_: clip)
    folder = tmp_path / "run"
    ended = run("shots=3", "val_shots=2", "names=as-is", "--out", str(folder))
    assert ended.code == 0, ended.err
    found = load_result(folder)
    words_row, images_row, _ = found.rows_on("test")
    assert images_row.how == "5 labelled images a class"
    assert f"and {images_row.how}" in ended.out
    outcome = Outcome(folder, found)
    test = plan(load_config(folder / "config.yaml")).drawn.test
    shown, labels = [item.image for item in test], [item.label for item in test]
    values = (images_row.after.value, words_row.after.value)
    for program, value, more in zip(
        (outcome.classifier, outcome.text_only), values, ([], ["--text-only"]), strict=True
    ):
        sure = program.probabilities(shown)
        assert float(np.mean(sure.argmax(axis=1) == labels)) == pytest.approx(value, abs=1e-6)
        assert program.head().temperature != 1 and abs(sure.max(axis=1).mean() - value) < 0.25
        predicted = ipo(capfd, "predict", str(folder), test[0].image.name, "--format", "jsonl", *more)
        assert f"this program labelled {value:.1%} right" in predicted.err
        assert list(json.loads(predicted.out)["scores"].values()) == pytest.approx(sure[0], abs=1e-4)
    kept, words = outcome.classifier, outcome.text_only
    assert kept.images is not None and words.images is None
    for damaged in ("AAAA", "no base64", base64.b64encode(np.full(4, np.nan, "<f4").tobytes()).decode()):
        state = kept.dump_state()
        state["images"]["rows"] = damaged
        with pytest.raises(InputError, match=r"images\.rows|the part of the images in a saved program"):
            kept.load_state(state)
    kept.set_template("a <CLASS>.")
    assert kept.images is None


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (["shots=1", "val_shots=1"], False),
        (["shots=1", "val_shots=0", "classifier=text+images"], True),
        (["classifier=text"], False),
    ],
)
def test_too_few_images_are_taken_only_where_they_are_asked_for(
    words: list[str], taken: bool, run: Any, tmp_path: Path
) -> None:
    ended = run(*words, "--out", str(tmp_path / "run"))
    assert ended.code == 0, ended.err
    state = json.loads((tmp_path / "run" / "program.json").read_text())
    kept = [row.kept for row in load_result(tmp_path / "run").rows_on("test") if row.what == "images"]
    assert (kept == [True]) == (state["images"] is not None) == taken
    assert state["temperature"] != 1 and (not taken or state["images"]["temperature"] != 1)
