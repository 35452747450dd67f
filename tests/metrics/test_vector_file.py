"""The file of features that several processes write: SQLite's own wait does not cover the moment when it is made."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics import features
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from support.clips import changed

IMAGES = [b"one", b"two", b"three"]


def saying(clip: Clip, number: float) -> Clip:
    """A CLIP whose features have one number only, and that needs no decodable image."""

    def encode(groups: Any) -> Iterator[Floats]:
        return (np.full((len(group), clip.width), number, np.float32) for group in groups)

    return changed(clip, encode_batches=encode)


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


def test_a_file_that_others_make_at_the_same_time_is_waited_for(clip: Clip, tmp_path: Path, locked: list[int]) -> None:
    locked[0] = 3
    assert FeatureStore(saying(clip, 1), tmp_path).encode(IMAGES).tolist() == [[1] * clip.width] * 3
    assert locked == [0]


def test_but_not_for_ever(clip: Clip, tmp_path: Path, locked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "WAIT", 0.05)
    locked[0] = 10**9
    with pytest.raises(InputError, match="locked"):
        FeatureStore(saying(clip, 1), tmp_path).encode(IMAGES)


def test_a_feature_that_another_process_kept_first_stays_and_is_returned(clip: Clip, tmp_path: Path) -> None:
    second = saying(clip, 2)
    encode = second.encode_batches

    def late(groups: Any) -> Iterator[Floats]:
        FeatureStore(saying(clip, 1), tmp_path).encode(IMAGES[:2])  # while this process encodes
        return encode(groups)

    store = FeatureStore(changed(second, encode_batches=late), tmp_path)
    for _ in range(2):
        assert store.encode(IMAGES)[:, 0].tolist() == [1, 1, 2]
    assert store.encoded == 3


def test_a_disk_that_is_full_is_one_sentence_and_what_was_kept_stays(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [str(number).encode() for number in range(1000)]
    store, connect = FeatureStore(saying(clip, 1), tmp_path), sqlite3.connect
    store.encode(images[:1])

    def small(*given: Any, **named: Any) -> sqlite3.Connection:
        database = connect(*given, **named)
        database.execute("PRAGMA max_page_count = 6")
        return database

    with monkeypatch.context() as full:
        full.setattr(sqlite3, "connect", small)
        with pytest.raises(InputError, match=r"disk is full.*make room"):
            store.encode(images)
    again = FeatureStore(saying(clip, 2), tmp_path)
    assert again.encode(images)[[0, -1], 0].tolist() == [1, 2]
    assert again.encoded < 1000


def test_many_features_lie_in_a_file_and_not_in_memory(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 2)
    few = FeatureStore(saying(clip, 1), tmp_path).encode(IMAGES)
    monkeypatch.setattr(features, "IN_FILE", 1)
    many = FeatureStore(saying(clip, 2), tmp_path).encode([*IMAGES, b"four"])
    assert few.base is None and isinstance(many.base, np.memmap)
    assert many[:, 0].tolist() == [1, 1, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["images.sqlite"]

    def full(*given: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        FeatureStore(clip, tmp_path).encode(IMAGES)


@pytest.mark.parametrize(("device", "batch"), [("cpu", 32), ("mps", 64), ("cuda", 128), ("cuda:1", 128)])
def test_each_type_of_device_has_one_batch(device: str, batch: int, clip: Clip) -> None:
    assert Clip("", clip.model, clip.preprocess, clip.tokenizer, device).batch == batch
