"""The grids of the lab, and that its committed cells are read without its code."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.lab import GRIDS
from ipo_prompts.experiments.compare.cell import run_config
from ipo_prompts.experiments.compare.documents import unpack
from ipo_prompts.experiments.compare.grid import entries, load_grid

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted(GRIDS.iterdir()), ids=lambda file: file.stem)
def test_a_grid_of_the_lab_has_known_names_and_valid_settings(file: Path) -> None:
    found = entries(load_grid(str(file)), Path("out"))
    assert len({entry.folder for entry in found}) == len(found) > 1
    for entry in found:
        run_config(entry)


def test_committed_cells_import_nothing_of_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipo_prompts.metrics.registry.load", None)
    grid, found, _ = unpack(ROOT / "docs" / "evidence/cells/claims-embedded.jsonl.gz")
    assert grid.data and found
