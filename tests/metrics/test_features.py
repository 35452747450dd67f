"""The store: each image is opened and encoded once, and nothing that happens to it changes a feature."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.metrics import features
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, contents
from ipo_prompts.metrics.images import LazyImage
from support import soak
from support.clips import changed

Files = list[Path]


@pytest.fixture()
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    return sorted(folder.iterdir())


def counted(files: Files) -> tuple[list[LazyImage], list[str]]:
    """Images that record when they are opened."""
    opened: list[str] = []

    def counting(image: LazyImage) -> Callable[[], bytes]:
        read_first = image.read

        def read() -> bytes:
            opened.append(image.name)
            return read_first()

        return read

    images = [LazyImage.from_path(file) for file in files]
    for image in images:
        image.read = counting(image)
    return images, opened


def test_the_second_use_opens_each_image_once_and_encodes_nothing(files: Files, clip: Clip, tmp_path: Path) -> None:
    images, _ = counted(files)
    first = FeatureStore(clip, tmp_path).encode(images)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    images, opened = counted(files)
    store = FeatureStore(clip, tmp_path)
    assert store.encode(images).tobytes() == first.tobytes()
    assert store.encode(images).tobytes() == first.tobytes()
    assert (sorted(opened), store.encoded) == (sorted(map(str, files)), 0)


def test_features_equal_encoding_without_a_store(files: Files, clip: Clip, tmp_path: Path) -> None:
    images, _ = counted(files)
    alone = [*clip.encode_batches([image] for image in images)]
    assert FeatureStore(clip, tmp_path).encode(images).tobytes() == np.concatenate(alone).tobytes()


def test_a_image_has_the_same_bits_in_any_company(files: Files, clip: Clip, tmp_path: Path) -> None:
    images, _ = counted(files)
    together = FeatureStore(clip, tmp_path / "together").encode(images)
    parts = FeatureStore(clip, tmp_path / "parts")
    for part in (slice(19, 20), slice(3, 8), slice(0, 20)):
        assert parts.encode(images[part]).tobytes() == together[part].tobytes()


def test_images_that_change_places_are_told_apart_though_their_times_are_set_back(
    files: Files, clip: Clip, tmp_path: Path
) -> None:
    first, second = files[:2]
    size = max(file.stat().st_size for file in (first, second))
    for file in (first, second):
        file.write_bytes(file.read_bytes().ljust(size, b"\0"))  # PNG readers ignore what follows its end
        os.utime(file, ns=(10**18, 10**18))
    before = FeatureStore(clip, tmp_path).encode(counted([first, second])[0])
    data = first.read_bytes(), second.read_bytes()
    for file, content in zip((second, first), data, strict=True):
        file.write_bytes(content)
        os.utime(file, ns=(10**18, 10**18))
    store = FeatureStore(clip, tmp_path)
    assert store.encode(counted([first, second])[0]).tobytes() == before[::-1].tobytes()
    assert contents(counted([first])[0]) == [hashlib.sha256(data[1]).hexdigest() + "|white"]


def test_an_exchanged_image_is_refused_and_not_kept(files: Files, clip: Clip, tmp_path: Path) -> None:
    store, images = FeatureStore(clip, tmp_path), counted(files[:2])[0]
    contents(images)
    data = files[1].read_bytes()
    files[1].write_bytes(files[0].read_bytes())
    for look in (images[1].bytes, images[1].rgb, lambda: store.encode(images)):
        with pytest.raises(InputError, match=r"01\.png was exchanged"):
            look()
    files[1].write_bytes(data)
    store.encode(images)
    assert store.encoded == 2


def test_the_same_bytes_under_another_name_are_known(files: Files, clip: Clip, tmp_path: Path) -> None:
    store = FeatureStore(clip, tmp_path)
    store.encode([LazyImage.from_path(files[0])])
    store.encode([LazyImage.from_bytes("a copy", files[0].read_bytes())])
    assert store.encoded == 1


@pytest.mark.parametrize("harm", ["vector = zeroblob(512)", "vector = x'00'", "crc = crc + 1", "vector = ''"])
def test_a_damaged_entry_is_made_again(
    harm: str, files: Files, clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, _ = counted(files)
    store = FeatureStore(clip, tmp_path)
    good = store.encode(images)
    with sqlite3.connect(store.path) as database:
        database.execute(f"UPDATE vectors SET {harm} WHERE rowid % 3 = 0")
    again = FeatureStore(clip, tmp_path)
    assert again.encode(images).tobytes() == good.tobytes()
    assert again.encoded == 6
    assert caplog.text.count(f"the store {store.path} has damaged entries, which are made again") == 1
    last = FeatureStore(clip, tmp_path)
    assert last.encode(images).tobytes() == good.tobytes()
    assert last.encoded == 0


def test_an_entry_of_another_width_or_under_anothers_key_is_made_again(
    files: Files, clip: Clip, tmp_path: Path
) -> None:
    images, _ = counted(files)
    store = FeatureStore(clip, tmp_path)
    good = store.encode(images)
    with sqlite3.connect(store.path) as database:
        (by, key, vector, crc), (_, other, *_) = database.execute("SELECT * FROM vectors LIMIT 2").fetchall()
        database.execute("UPDATE vectors SET vector = ?, crc = ? WHERE content = ?", (vector, crc, other))
        short = vector[:-4]
        database.execute(
            "UPDATE vectors SET vector = ?, crc = ? WHERE content = ?",
            (short, zlib.crc32(short, zlib.crc32(f"{by}|{key}".encode())), key),
        )
    again = FeatureStore(clip, tmp_path)
    assert again.encode(images).tobytes() == good.tobytes()
    assert again.encoded == 2


@pytest.mark.parametrize("how", ["garbage", "broken in the middle", "another database"])
def test_a_store_of_garbage_is_made_again(
    how: str, files: Files, clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(clip, tmp_path)
    good = store.encode(counted(files)[0])
    if how == "garbage":
        store.path.write_text("this is no database, and long enough to be seen as such" * 50)
    elif how == "broken in the middle":
        data = store.path.read_bytes()
        store.path.write_bytes(data[:40_000] + bytes(len(data) - 40_000))
    else:
        store.path.unlink()
        with sqlite3.connect(store.path) as database:
            database.execute("CREATE TABLE vectors (something INTEGER)")
    again = FeatureStore(clip, tmp_path)
    assert again.encode(counted(files)[0]).tobytes() == good.tobytes()
    assert again.encoded == 20
    assert f"the store {store.path} was damaged" in caplog.text


def test_a_run_that_was_interrupted_gives_the_same_bits(
    files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "batch", 6)
    images, _ = counted(files)
    whole = FeatureStore(clip, tmp_path / "whole").encode(images)
    broken = FeatureStore(clip, tmp_path / "broken")

    def stop(done: int, total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.encode(images, stop)
    again = FeatureStore(clip, tmp_path / "broken")
    assert again.encode(images).tobytes() == whole.tobytes()
    assert again.encoded == 8


FILL = """
import os, sys
from pathlib import Path
from ipo_prompts.metrics import features
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.images import LazyImage
folder, store, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
clip = load_clip("embedded", "cpu")
clip.batch = 6
start, go = os.pipe()
children = []
for number in range(count):
    child = os.fork()
    if not child:
        break
    children.append(child)
os.close(go)
if len(children) == count:
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), flush=True)
    os._exit(0)  # torch's threads did not survive the forks, and an orderly exit may wait for them for ever
os.read(start, 1)  # until all have closed the other end: then they fill the store at once
def progress(done, total):
    if number == 0 and done == 6: os._exit(9)
rows = features.FeatureStore(clip, store).encode([LazyImage.from_path(f) for f in sorted(folder.iterdir())], progress)
Path(f"{store}.{number}").write_bytes(rows.tobytes())
os._exit(0)
"""


def test_a_killed_process_and_others_at_once_leave_the_same_bits(
    files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    others = soak.count(2, by_hand=8)
    record_property("tried", others)
    command = [sys.executable, "-c", FILL, str(files[0].parent), str(tmp_path / "store"), str(others + 1)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["9"] + ["0"] * others, done.stderr
    outputs = [(tmp_path / f"store.{number}").read_bytes() for number in range(1, others + 1)]
    monkeypatch.setattr(clip, "batch", 6)
    images, _ = counted(files)
    expected = FeatureStore(clip, tmp_path / "alone").encode(images)
    assert outputs == [expected.tobytes()] * others
    store = FeatureStore(clip, tmp_path / "store")
    assert store.encode(images).tobytes() == outputs[0]
    assert store.encoded == 0


def test_a_bad_image_is_named_and_the_good_groups_are_kept(
    files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "batch", 10)
    good = files[15].read_bytes()
    files[15].write_text("no image")
    with pytest.raises(InputError, match=r"15\.png is not an image"):
        FeatureStore(clip, tmp_path).encode(counted(files)[0])
    files[15].write_bytes(good)
    store = FeatureStore(clip, tmp_path)
    store.encode(counted(files)[0])
    assert store.encoded == 10


def test_progress_counts_to_the_end(files: Files, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "batch", 8)
    told: list[tuple[int, int]] = []
    FeatureStore(clip, tmp_path).encode(counted(files)[0], lambda done, total: told.append((done, total)))
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_a_store_that_cannot_be_written_is_one_sentence(files: Files, clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot use the feature store .*IPO_CACHE_DIR"):
        FeatureStore(clip, tmp_path / "file" / "below").encode(counted(files)[0])


def test_models_share_a_file_and_no_features(files: Files, clip: Clip, tmp_path: Path) -> None:
    FeatureStore(clip, tmp_path).encode(counted(files)[0])
    other = FeatureStore(changed(clip, fingerprint="0" * 64), tmp_path)
    other.encode(counted(files)[0])
    assert other.encoded == 20


def test_no_images_are_no_rows(clip: Clip, tmp_path: Path) -> None:
    assert len(FeatureStore(clip, tmp_path).encode([])) == 0


def test_progress_counts_copies_and_what_is_there_already(files: Files, clip: Clip, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    for some in ([*files[:2], files[0]], files[:3], files[:3]):
        FeatureStore(clip, tmp_path).encode(counted(some)[0], lambda done, total: told.append((done, total)))
    assert told == [(3, 3), (3, 3), (3, 3)]


def test_features_of_ones_own_stay_to_the_last_bit_where_they_are_unit_rows(clip: Clip) -> None:
    rows = clip.encode_texts([f"text {i}" for i in range(50)])
    assert features.as_features(rows, clip.width, "X").tobytes() == rows.tobytes()
    assert features.as_features(3 * rows, clip.width, "X") == pytest.approx(rows, abs=1e-6)


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
def test_the_first_row_that_says_nothing_is_named(number: float, clip: Clip) -> None:
    rows = np.ones((5, clip.width))
    rows[[2, 4]] = number
    with pytest.raises(InputError, match="the row 2; leave it out"):
        features.as_features(rows, clip.width, "X")
