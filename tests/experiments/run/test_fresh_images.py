"""A run looks at the words of its template on images that neither searched nor chose, whatever it optimises."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.embedded import IMAGES_DIR

Run = Callable[..., Path]


@pytest.fixture()
def images(tmp_path: Path) -> Path:
    """Eight classes: four images of each to train on, two to select on, four to test on."""
    folder = tmp_path / "images"
    for name in sorted((IMAGES_DIR / "a").iterdir())[:8]:
        files = sorted(name.iterdir())
        for part, some in (("train", files[:4]), ("val", files[4:6]), ("test", files[6:10])):
            (folder / part / name.name).mkdir(parents=True)
            for file in some:
                shutil.copy(file, folder / part / name.name / file.name)
    return folder


@pytest.fixture()
def run(images: Path, tmp_path: Path) -> Run:
    """Run a job without a language model; returns its folder."""
    templates = tmp_path / "templates.txt"
    templates.write_text("an x-ray of a <CLASS>, a negative.\n")

    def start(*words: str) -> Path:
        out = tmp_path / "run"
        given = ("lm=none", "strategy=list", f"strategy.file={templates}", "describer=none", "steps=1", *words)
        assert main(["optimize", f"--data=folder:{images}", *given, "--out", str(out)]) == 0
        return out

    return start


def words_of(folder: Path) -> dict[str, Any]:
    words: dict[str, Any] = json.loads((folder / "analysis.json").read_text())["words"]
    return words


@pytest.mark.parametrize(
    ("reward", "n", "classes"),
    [
        ("classification", 32, "all"),
        ("classification", 16, "base-to-new"),
        ("retrieval", 8, "all"),
        ("examples.segmentation:Segmentation", 8, "all"),
    ],
)
def test_every_reward_has_its_words_tested_on_fresh_images(run: Run, reward: str, n: int, classes: str) -> None:
    # Three images of a class are left in train and one in val; four make a scene.
    folder = run(f"reward={reward}", "shots=1", "val_shots=1", f"classes={classes}")
    words = words_of(folder)
    assert (words["part"], words["n"]) == ("fresh", n)
    assert words["changes"] and all(change["p"] is not None for change in words["changes"])
    assert "fresh" not in {row["part"] for row in json.loads((folder / "result.json").read_text())["rows"]}
    assert "told from chance" in (folder / "report.html").read_text()


def test_where_nothing_is_left_the_images_that_chose_are_described(run: Run) -> None:
    folder = run("shots=4", "val_shots=2")
    words = words_of(folder)
    assert (words["part"], words["n"]) == ("val", 16)
    assert all(change["p"] is change["ci95"] is None for change in words["changes"])
    assert "a description, not a test" in (folder / "report.html").read_text()
