"""The file that several processes write: SQLite's own wait does not cover the moment when it is made."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics import features
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import VectorTable


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the next switches to write-ahead logging meet another process that is about to do the same."""
    left = [0]

    class Met(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if "journal_mode" in sql and left[0] > 0:
                left[0] -= 1
                raise sqlite3.OperationalError("database is locked")
            return super().execute(sql, *rest)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, **named, factory=Met))
    return left


def put_one(path: Path) -> list[Any]:
    file = VectorTable(path, "clip")
    return file.use(lambda database: file.put(database, ["key"], [np.ones(4, np.float32)]))


def test_a_file_that_others_make_at_the_same_time_is_waited_for(tmp_path: Path, locked: list[int]) -> None:
    locked[0] = 3
    assert put_one(tmp_path / "new.sqlite")[0].tolist() == [1, 1, 1, 1]
    assert locked == [0]


def test_but_not_for_ever(tmp_path: Path, locked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "WAIT", 0.05)
    locked[0] = 10**9
    with pytest.raises(InputError, match="locked"):
        put_one(tmp_path / "new.sqlite")


def test_a_vector_that_another_process_kept_first_stays_and_is_returned(tmp_path: Path) -> None:
    file = VectorTable(tmp_path / "vectors.sqlite", "clip")

    def put(number: float) -> list[float]:
        vectors = [np.full((2, 2), number, np.float32)]
        (kept,) = file.use(lambda database: file.put(database, ["key"], vectors))
        assert kept.shape == (2, 2)
        return kept.ravel().tolist()

    assert put(1.0) == put(2.0) == [1.0] * 4
    assert file.use(lambda database: file.get(database, "key", 4)).tolist() == [1.0] * 4


def test_a_file_that_can_only_be_read_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, nothing = VectorTable(tmp_path / "vectors.sqlite", "clip"), sqlite3.connect(":memory:")
    file.read_only = True
    for number in (1.0, 2.0):
        assert file.put(nothing, ["key"], [np.full(2, number, np.float32)])[0].tolist() == [number] * 2
    assert caplog.text.count("cannot be written: missing entries are made, and not kept") == 1
    nothing.close()
