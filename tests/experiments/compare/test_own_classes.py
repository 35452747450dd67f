"""A method of the user's own in a grid: rows as any other, and code that only a person names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ipo_prompts.experiments.compare.grid import load_grid
from ipo_prompts.experiments.compare.methods import METHODS
from ipo_prompts.metrics import registry
from support.runs import Ended, ipo

OWN = """
from ipo_prompts.experiments.compare.methods import Method, Templates

class Short(Method):
    label = "the short one"
    uses_labels = False

    def fit(self, lesson):
        return Templates(lesson.clip, ("the <CLASS>.",))
"""
GRID = """{title: Own, protocol: few-shot, data: [embedded:a], seeds: 1,
  methods: [baseline, {label: short, method: "MODULE:Short"}, class-name, phrases],
  settings: {shots: 1, steps: 1, strategy.scored_templates: 20, val_shots: 1, lm: none, describer: none}}"""


@pytest.fixture()
def run(
    cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Run `ipo benchmark` in a folder with a file of the user's own; nothing has been named before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(METHODS, "_allowed", set())
    return lambda *words: ipo(capfd, "benchmark", *words)


def test_a_row_of_ones_own_stands_where_the_grid_has_it_and_its_file_of_cells_needs_no_code(
    run: Callable[..., Ended], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own_rows.py").write_text(OWN)
    Path("own.yaml").write_text(GRID.replace("MODULE", "own_rows"))
    ran = run("own.yaml")
    assert ran.code == 0, ran
    rows = [line.split("|")[2].strip() for line in ran.out.splitlines() if line.startswith("| embedded:a ")]
    assert rows[:3] == ["baseline", "short", "class-name"]
    assert "the short one" in ran.out.partition("Verdicts:")[2]
    # Its folder may have come from elsewhere by now: a class is imported only where a person names it.
    METHODS._allowed.clear()
    refused = run("runs/own/grid.yaml")
    assert refused.code == 2 and "methods=own_rows:Short" in refused.sentence and "is code" in refused.sentence
    assert load_grid("runs/own/grid.yaml", ["methods=baseline,own_rows:Short"])
    METHODS._allowed.clear()
    monkeypatch.setattr(registry, "load", None)
    Path("runs/own/cells.jsonl.gz").rename("cells.jsonl.gz")
    again = ipo(capfd, "report", "cells.jsonl.gz")
    assert (again.code, again.out) == (0, ran.out)
