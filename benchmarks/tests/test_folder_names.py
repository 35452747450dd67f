"""Real names of folders are read as captions write them, and reading them twice changes nothing."""

from __future__ import annotations

from benchmarks.folder_names import read_all
from ipo_prompts.experiments.data.names import read_names


def test_real_folders_are_read_without_losing_a_word() -> None:
    every = read_all()
    assert len(every) == 100 and sum(one.equal for one in every) >= 87
    assert not [one for one in every if one.lost]


def test_reading_twice_changes_nothing() -> None:
    for one in read_all():
        once = read_names([one.folder, *one.beside])[0]
        assert read_names(once)[0] == once
