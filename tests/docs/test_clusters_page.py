"""`docs/how-to/clusters.md`: two processes label as `ipo predict` does; its sweep is one for `wandb agent`."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.files import build, read_words
from support.pages import DOCS, SECONDS, blocks

PAGE = DOCS / "how-to/clusters.md"


def test_two_processes_label_images_as_ipo_predict_does(desk: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "recorded" / "local-history", "runs/RUN")
    Path("archive").mkdir()
    for i, item in enumerate(load_data("embedded", seed=0).test[:80:2]):
        Path("archive", f"{i:02d}.webp").write_bytes(item.image.bytes())
    assert main(["predict", "runs/RUN", "archive", "--out", "predicted.csv"]) == 0
    (code,) = [block.text for block in blocks(PAGE) if block.language == "python"]
    # In a process of its own, as a reader runs it: a fork of this process would share its threads.
    subprocess.run([sys.executable, "-c", code], check=True, timeout=SECONDS)
    told, expected = (
        [(row[column], row["label"]) for row in csv.DictReader(Path(name).read_text("utf-8").splitlines())]
        for name, column in (("archive.csv", "image"), ("predicted.csv", "image"))
    )
    assert told == expected
    assert len({label for _, label in told}) > 1


def test_the_file_of_the_sweep_runs_ipo_optimize(desk: Path) -> None:
    (text,) = [block.text for block in blocks(PAGE) if block.language == "sh"]
    subprocess.run(["bash", "-e", "-c", text], check=True)
    file = yaml.safe_load((desk / "sweep.yaml").read_text())
    ipo, optimize, *words, rest = file["command"]
    assert [ipo, optimize, rest] == ["ipo", "optimize", "${args_no_hyphens}"]
    for steps in file["parameters"]["steps"]["values"]:
        build(read_words([*words, f"steps={steps}"]), where="the page")
