"""Names of folders are read as captions write them, and reading them twice changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.folder_names import TABLES, read_all
from ipo_prompts.experiments.data.names import read_names


@pytest.mark.parametrize(("table", "equal"), [*zip(TABLES, (92, 83, 79), strict=True)])
def test_folders_are_read_without_losing_a_word(table: Path, equal: int) -> None:
    every = read_all(table)
    assert len(every) == 100 and sum(one.equal for one in every) >= equal
    assert {word for one in every for word in one.lost} <= {"my"}  # of `my dog` beside `other dogs`


@pytest.mark.parametrize("table", TABLES)
def test_reading_twice_changes_nothing(table: Path) -> None:
    for one in read_all(table):
        once = read_names([one.folder, *one.beside])[0]
        assert read_names(once)[0] == once
