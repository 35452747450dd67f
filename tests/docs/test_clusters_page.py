"""`docs/how-to/clusters.md`: two processes label pictures as `ipo predict` does."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from support.pages import DOCS, SECONDS, blocks


def test_two_processes_label_pictures_as_ipo_predict_does(desk: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "recorded" / "local-history", "runs/RUN")
    Path("archive").mkdir()
    for i, item in enumerate(load_data("embedded", seed=0).test[:80:2]):
        Path("archive", f"{i:02d}.webp").write_bytes(item.picture.bytes())
    assert main(["predict", "runs/RUN", "archive", "--out", "predicted.csv"]) == 0
    (code,) = [block.text for block in blocks(DOCS / "how-to/clusters.md") if block.language == "python"]
    # In a process of its own, as a reader runs it: a fork of this process would share its threads.
    subprocess.run([sys.executable, "-c", code], check=True, timeout=SECONDS)
    told, expected = (
        [(row["picture"], row["label"]) for row in csv.DictReader(Path(name).read_text("utf-8").splitlines())]
        for name in ("labels.csv", "predicted.csv")
    )
    assert told == expected
    assert len({label for _, label in told}) > 1
