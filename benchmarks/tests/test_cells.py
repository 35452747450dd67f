"""Cells are measured once, kept in a file, and never measured when a table of the pages is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.lab.cells import Cells, short


def test_a_cell_is_measured_once_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "new" / "cells.jsonl.gz"
    measured: list[str] = []

    def measure() -> dict[str, list[float | None]]:
        measured.append("once")
        return {"accuracies": [0.5, None]}

    with pytest.raises(RuntimeError, match="stopped"), Cells(file) as cells:
        first = cells.of(("clip", "set", 0), measure)
        cells.of(("clip", "another set", 0), lambda: 1)
        raise RuntimeError("stopped")
    again = Cells(file, complete=True)
    assert again.of(("clip", "set", 0), measure) == first == {"accuracies": [0.5, None]}
    assert measured == ["once"]
    with pytest.raises(KeyError, match="set"):
        again.of(("clip", "set", 1), measure)
    before = file.read_bytes()
    again.save()
    assert file.read_bytes() == before


def test_a_page_without_cells_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="nothing-measured"):
        Cells.kept("nothing-measured")


def test_a_clip_is_called_by_its_folder() -> None:
    assert [short("embedded"), short("local-dir:runs/plain-81")] == ["embedded", "plain-81"]
