"""What a stranger meets: few images, no language model, an image in two parts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from support.runs import copy_images, ipo, resuming

LIST = ("--lm=none", "strategy=list", "strategy.file=list.txt", "describer=none", "classifier=text")


@pytest.fixture()
def here(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy_images(tmp_path / "things")
    (tmp_path / "list.txt").write_text("a drawing of a <CLASS>.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_without_a_language_model_speaks_of_none_and_names_test_images_that_were_seen(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "val", "test"):  # the same images in each part
        shutil.copytree(here / "things", here / "parts" / name)
    ended = ipo(capfd, "optimize", "folder:parts", *LIST, "--out=run")
    assert ended.code == 0
    assert "test images are also train or validation images" in ended.out and "ipo data check folder:parts" in ended.out
    assert "searching without a language model (strategy list)" in ended.err
    page = (here / "run" / "report.html").read_text(encoding="utf-8")
    for said in ("hat the language model was told", "what the language model was shown", "from the recorded replies"):
        assert said not in page


def test_small_classes_give_all_their_images(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    short = ipo(capfd, "optimize", "folder:things", *LIST, "--out=short")
    assert short.code == 0
    assert "run directory: short" in short.err and "ipo optimize --resume short" in short.err
    kept = yaml.safe_load((here / "short" / "config.yaml").read_text(encoding="utf-8"))
    assert (kept["shots"], kept["val_shots"]) == (4, 2)
    again = ipo(capfd, *resuming(Path("short")))
    assert again.code == 0
    assert "the run had finished, and this is its result" in again.err

    assert ipo(capfd, "optimize", "folder:things", *LIST, "shots=400", "--dry-run").code == 0
