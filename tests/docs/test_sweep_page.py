"""`docs/how-to/sweeps.md`: its file is one that `wandb agent` can run."""

from __future__ import annotations

from pathlib import Path

import yaml

from ipo_prompts.experiments.run.files import build, read_words
from support.pages import DOCS, follow


def test_the_file_of_the_page_runs_ipo_optimize(desk: Path) -> None:
    follow(DOCS / "how-to/sweeps.md")
    file = yaml.safe_load((desk / "words.yaml").read_text())
    ipo, optimize, *words, rest = file["command"]
    assert [ipo, optimize, rest] == ["ipo", "optimize", "${args_no_hyphens}"]
    for steps in file["parameters"]["steps"]["values"]:
        build(read_words([*words, f"steps={steps}"]), where="the page")
