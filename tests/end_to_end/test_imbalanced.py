"""A run on a folder as it comes: classes of one, two and many images, and one that is left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import IMAGES_DIR
from ipo_prompts.experiments.report.page import read_run
from ipo_prompts.experiments.run.answer import table
from ipo_prompts.experiments.run.result import load_result
from ipo_prompts.metrics.evidence import EACH_CLASS_ALIKE
from support.pages import DOCS, blocks
from support.runs import Ended, ipo

SIZES = {"cat": 1, "car": 2, "bus": 10, "key": 10, "book": 7}


@pytest.fixture()
def place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, count in SIZES.items():
        (tmp_path / "things" / name).mkdir(parents=True)
        for image in sorted((IMAGES_DIR / "a" / name).iterdir())[:count]:
            shutil.copy(image, tmp_path / "things" / name)
    (tmp_path / "things" / "empty").mkdir()
    (tmp_path / "templates.txt").write_text("a drawing of a <CLASS>.\nan icon of a <CLASS>.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capfd: pytest.CaptureFixture[str], *more: str) -> Ended:
    job = ("optimize", "folder:things", "lm=none", "describer=none", "strategy=list", "strategy.file=templates.txt")
    return ipo(capfd, *job, "--out=run", *more)


def test_all_of_it_is_used_for_what_it_can_be(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused = run(capfd)
    assert refused.code == 2 and """'empty'; add some, or leave them out with 'exclude=["empty"]'.""" in refused.err
    ended = run(capfd, 'exclude=["empty"]')
    assert ended.code == 0, ended.err
    result = load_result(place / "run")
    assert "searching without a language model (strategy list) on 11 images of 5 classes; 5 more choose" in ended.err
    assert "'cat': used in the search, but untested, for want of a second image" in ended.err
    assert result.advice.startswith("no test image: 'cat'; ") and result.data.classes == 5
    found = next(row for row in result.rows if row.measure == "mean over classes")
    right = {row.name: row.optimised for row in read_run(place / "run").analysis.classes}
    assert set(right) == {"car", "bus", "key", "book"}, "nothing is claimed of the cat"
    assert found.after.value == pytest.approx(sum(right.values()) / 4, abs=1e-5)
    page = (place / "run" / "report.html").read_text(encoding="utf-8")
    assert "mean over classes" in page and "No test image" in page


def test_images_of_one_class_alone_test_nothing(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("car", "key", "book"):
        for image in sorted((place / "things" / name).iterdir())[1:]:
            image.unlink()
    ended = run(capfd, "exclude=[empty]")
    assert ended.code == 0, ended.err
    result = load_result(place / "run")
    assert [row.difference.p for row in result.rows_on("test")] == [None, None]
    assert "5 images of 1 of 5 classes" in ended.out and "p " not in ended.out
    assert result.advice.startswith("no test image: 'book', 'car', 'cat', 'key'")
    again = ipo(capfd, "report", "run")
    page = (place / "run" / "report.html").read_text(encoding="utf-8")
    assert "5 images of 1 of 5 classes" in page and again.code == 0
    assert "There is no p: fewer than two classes have test images" in page


def test_the_reward_of_the_page_weighs_classes_once_and_the_table_says_what_it_leaves_out(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "balanced.py").write_text(next(blocks(DOCS / "how-to/own-reward.md")).text)
    ended = run(capfd, "exclude=[empty]", "reward=balanced:BalancedReward")
    assert ended.code == 0, ended.err
    result = load_result(place / "run")
    assert table(result)[-2].what == "images: not with reward=balanced:BalancedReward"
    assert not read_run(place / "run").analysis.classes
    assert {row.measure for row in result.rows} == {"balanced accuracy"}
    assert "accuracy is then" not in result.advice and all(0 <= row.after.value <= 1 for row in result.rows)


def test_where_no_class_has_three_images_nothing_is_held_back(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("bus", "key", "book"):
        for image in sorted((place / "things" / name).iterdir())[2:]:
            image.unlink()
    ended = run(capfd, "exclude=[empty]")
    assert ended.code == 0 and not load_result(place / "run").rows_on("val")
    assert load_data("folder:things", seed=0, exclude=["empty"]).val == ()


def test_the_verdict_may_be_that_of_classes_which_count_the_same(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "templates.txt").write_text("an old brown picture of a <CLASS> upside down.\n")
    job = ("optimize", "embedded:upside-down+sepia", "lm=none", "describer=none", "strategy=list", "verdict=balanced")
    ended = ipo(capfd, *job, "strategy.file=templates.txt", "--out=run")
    assert ended.code == 0, ended.err
    result = load_result(place / "run")
    decides = result.rows_on("test")[0].difference
    assert decides.outcome == "gain" and decides.covers == EACH_CLASS_ALIKE
    refused = ipo(capfd, *job, "strategy.file=templates.txt", "reward=retrieval", "--out=other")
    assert refused.code == 2 and "verdict=balanced is for the accuracy" in refused.err
