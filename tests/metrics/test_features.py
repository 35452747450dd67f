"""The store: each picture is opened and encoded once, and nothing that happens to it changes a feature."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ipo.metrics import features
from ipo.metrics.clip import Clip
from ipo.metrics.errors import InputError
from ipo.metrics.features import FeatureStore
from ipo.metrics.pictures import Picture

Files = list[Path]


@pytest.fixture()
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    return sorted(folder.iterdir())


def counted(files: Files) -> tuple[list[Picture], list[str]]:
    """Pictures that record when they are opened."""
    opened: list[str] = []

    def counting(picture: Picture) -> Callable[[], bytes]:
        def read() -> bytes:
            opened.append(picture.name)
            return picture.read()

        return read

    pictures = [Picture.from_path(file) for file in files]
    return [replace(picture, read=counting(picture)) for picture in pictures], opened


def test_the_second_use_opens_and_encodes_nothing(files: Files, clip: Clip, tmp_path: Path) -> None:
    pictures, _ = counted(files)
    first = FeatureStore(clip, tmp_path).encode(pictures)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    pictures, opened = counted(files)
    store = FeatureStore(clip, tmp_path)
    assert store.encode(pictures).tobytes() == first.tobytes()
    assert (opened, store.encoded) == ([], 0)


def test_features_equal_encoding_without_a_store(files: Files, clip: Clip, tmp_path: Path) -> None:
    pictures, _ = counted(files)
    assert FeatureStore(clip, tmp_path).encode(pictures).tobytes() == clip.encode_pictures(pictures).tobytes()


def test_the_same_bytes_under_another_name_are_known(files: Files, clip: Clip, tmp_path: Path) -> None:
    store = FeatureStore(clip, tmp_path)
    store.encode([Picture.from_path(files[0])])
    store.encode([Picture.from_bytes("a copy", files[0].read_bytes())])
    assert store.encoded == 1


def test_a_changed_file_is_encoded_again(files: Files, clip: Clip, tmp_path: Path) -> None:
    before = FeatureStore(clip, tmp_path).encode([Picture.from_path(files[0])])
    Image.new("RGB", (32, 32), (1, 200, 3)).save(files[0])
    store = FeatureStore(clip, tmp_path)
    after = store.encode([Picture.from_path(files[0])])
    assert store.encoded == 1
    assert not np.allclose(before, after)


@pytest.mark.parametrize("harm", ["vector = zeroblob(512)", "vector = x'00'", "crc = crc + 1", "vector = ''"])
def test_a_damaged_entry_is_made_again(harm: str, files: Files, clip: Clip, tmp_path: Path) -> None:
    pictures, _ = counted(files)
    store = FeatureStore(clip, tmp_path)
    good = store.encode(pictures)
    with sqlite3.connect(store.path) as database:
        database.execute(f"UPDATE features SET {harm} WHERE rowid % 3 = 0")
    again = FeatureStore(clip, tmp_path)
    assert again.encode(pictures).tobytes() == good.tobytes()
    assert again.encoded > 0
    last = FeatureStore(clip, tmp_path)
    assert last.encode(pictures).tobytes() == good.tobytes()
    assert last.encoded == 0


def test_a_run_that_was_interrupted_gives_the_same_bits(
    files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BATCH", 6)
    pictures, _ = counted(files)
    whole = FeatureStore(clip, tmp_path / "whole").encode(pictures)
    broken = FeatureStore(clip, tmp_path / "broken")

    def stop(done: int, total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.encode(pictures, stop)
    again = FeatureStore(clip, tmp_path / "broken")
    assert again.encode(pictures).tobytes() == whole.tobytes()
    assert again.encoded == 8


FILL = """
import os, sys, time
from pathlib import Path
from ipo.metrics import features
from ipo.metrics.clip import load_clip
from ipo.metrics.pictures import Picture
features.BATCH = 6
folder, store, die_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
clip = load_clip("embedded", "cpu")
Path(f"{store}.{os.getpid()}.ready").touch()
while len(list(store.parent.glob(store.name + ".*.ready"))) < 3: time.sleep(0.02)
def progress(done, total):
    if done == die_at: os._exit(9)
rows = features.FeatureStore(clip, store).encode([Picture.from_path(f) for f in sorted(folder.iterdir())], progress)
sys.stdout.buffer.write(rows.tobytes())
"""


def test_a_killed_process_and_two_at_once_leave_the_same_bits(
    files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(die_at: int) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-c", FILL, str(files[0].parent), str(tmp_path / "store"), str(die_at)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, env=dict(os.environ))

    killed, *both = (start(6), start(-1), start(-1))  # they wait for each other, then all fill the store at once
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert killed.wait(timeout=120) == 9
    monkeypatch.setattr(features, "BATCH", 6)
    pictures, _ = counted(files)
    expected = FeatureStore(clip, tmp_path / "alone").encode(pictures)
    for output in outputs:
        np.testing.assert_allclose(np.frombuffer(output, np.float32).reshape(expected.shape), expected, atol=1e-6)
    assert outputs[0] == outputs[1]
    store = FeatureStore(clip, tmp_path / "store")
    assert store.encode(pictures).tobytes() == outputs[0]
    assert store.encoded == 0


def test_a_bad_picture_is_named_and_the_good_groups_are_kept(
    files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BATCH", 10)
    good = files[15].read_bytes()
    files[15].write_text("no picture")
    with pytest.raises(InputError, match=r"15\.png is not a picture"):
        FeatureStore(clip, tmp_path).encode(counted(files)[0])
    files[15].write_bytes(good)
    store = FeatureStore(clip, tmp_path)
    store.encode(counted(files)[0])
    assert store.encoded == 10


def test_progress_counts_to_the_end(files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BATCH", 8)
    told: list[tuple[int, int]] = []
    FeatureStore(clip, tmp_path).encode(counted(files)[0], lambda done, total: told.append((done, total)))
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_a_store_that_cannot_be_written_is_one_sentence(files: Files, clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot use the feature store .*IPO_CACHE_DIR"):
        FeatureStore(clip, tmp_path / "file" / "below").encode(counted(files)[0])
    store = FeatureStore(clip, tmp_path)
    store.path.write_text("this is no database, and long enough to be seen as such" * 50)
    with pytest.raises(InputError, match="delete the file if it is damaged"):
        store.encode(counted(files)[0])


def test_models_do_not_share_features(clip: Clip, tmp_path: Path) -> None:
    from copy import copy

    other = copy(clip)
    other.fingerprint = "0" * 64
    assert FeatureStore(clip, tmp_path).path != FeatureStore(other, tmp_path).path


def test_no_pictures_are_no_rows(clip: Clip, tmp_path: Path) -> None:
    assert len(FeatureStore(clip, tmp_path).encode([])) == 0
