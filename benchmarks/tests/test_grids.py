"""The grids of the lab, and that its committed cells are read without its code."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab import GRIDS
from ipo_prompts.experiments.compare.cell import run_config, shared_config
from ipo_prompts.experiments.compare.grid import entries, load_grid
from ipo_prompts.experiments.compare.raw_cells import unpack

LINEAR_PROBE, COUNTS = "benchmarks.lab.linear_probe:LinearProbe", "benchmarks.lab.prefixes:AfterTemplates"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted(GRIDS.iterdir()), ids=lambda file: file.stem)
def test_a_grid_of_the_lab_has_known_names_and_valid_settings(file: Path) -> None:
    found = entries(load_grid(str(file)), Path("out"))
    assert len({entry.folder for entry in found}) == len(found) > 1
    for entry in found:
        shared_config(entry.cell)
        assert (run_config(entry.cell) is not None) == entry.method.uses_lm


def test_the_committed_cells_name_the_classes_of_the_lab_and_import_none(monkeypatch: pytest.MonkeyPatch) -> None:
    named: set[Any] = set()
    for file in (ROOT / "docs").rglob("*.jsonl.gz"):
        first = json.loads(gzip.decompress(file.read_bytes()).partition(b"\n")[0])
        if isinstance(first, dict):  # cells of a script are lists
            named |= {first["grid"]["protocol"], *(row["method"] for row in first["grid"]["methods"])}
    assert {LINEAR_PROBE, COUNTS} <= named
    monkeypatch.setattr("ipo_prompts.metrics.registry.load", None)
    _, found, _ = unpack(ROOT / "docs" / "evidence/cells/suite.jsonl.gz")
    assert {entry.method.label for entry in found if entry.label == "lp++"} == {"LP++ (linear probe with text)"}


@pytest.mark.parametrize(
    ("name", "task"), [("retrieval", "retrieval"), ("segmentation", "examples.segmentation:Segmentation")]
)
def test_the_grid_of_another_task_has_a_row_for_each_control(name: str, task: str) -> None:
    grid = load_grid(f"{GRIDS}/{name}.yaml", ["seeds=10"])
    assert [row.label for row in grid.methods] == ["baseline", "no-history", "no description", "ipo-default"]
    found = entries(grid, Path("out"))
    assert {dict(entry.cell.settings)["reward.name"] for entry in found} == {task}
    described = {entry.label: dict(entry.cell.settings).get("describer") for entry in found}
    assert described == {**dict.fromkeys(described, None), "no description": "none"}
