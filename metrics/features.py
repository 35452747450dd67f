"""Picture features, computed once: a store on disk keyed by picture bytes, picture transform and weights.

One SQLite file a model. SQLite gives what is needed and nothing must be written by hand: several processes may fill it,
a killed one leaves it whole, it opens without being read.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from ipo.metrics.cache import cache_dir
from ipo.metrics.clip import Clip, Floats
from ipo.metrics.errors import InputError
from ipo.metrics.pictures import Picture

BATCH = 64
"""Pictures per forward pass and per commit."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (stamp TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features (content TEXT PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);
"""

Progress = Callable[[int, int], None]


class FeatureStore:
    """Features of one CLIP.

    Args:
        clip: the encoder; its fingerprint names the file.
        folder: where the file lies; the user's cache when None.
    """

    def __init__(self, clip: Clip, folder: Path | None = None) -> None:
        self.clip = clip
        self.path = (folder or cache_dir() / "features") / f"{clip.fingerprint[:32]}.sqlite"
        self.encoded = 0
        """Pictures that this object had to encode; the others came from the store."""

    def encode(self, pictures: Sequence[Picture], progress: Progress | None = None) -> Floats:
        """Return the features of `pictures`, encoding those that the store lacks.

        Pictures are encoded in fixed groups of the list given, and a group with a gap is encoded whole: the same list
        gives the same bits whether or not an earlier run was killed half-way.

        Returns:
            float32 (len(pictures), D), unit rows.

        Raises:
            InputError: names the picture that cannot be decoded, or the folder that cannot be written.
        """
        with self._open() as database:
            keys = self._contents(database, pictures)
            rows: list[Floats] = []
            for start in range(0, len(pictures), BATCH):
                group = list(pictures[start : start + BATCH])
                group_keys = keys[start : start + BATCH]
                found = [self._get(database, key) for key in group_keys]
                if any(vector is None for vector in found):
                    fresh = self.clip.encode_pictures(group)
                    self.encoded += len(group)
                    self._put(database, group_keys, fresh)
                    found = list(fresh)
                rows.append(np.stack([vector for vector in found if vector is not None]))
                if progress:
                    progress(min(start + BATCH, len(pictures)), len(pictures))
        return np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    def contents(self, pictures: Sequence[Picture]) -> list[str]:
        """Return the SHA-256 of each picture's bytes; a file that was hashed before and has not changed is not opened.

        Raises:
            InputError: names the picture that cannot be read.
        """
        with self._open() as database:
            return self._contents(database, pictures)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.executescript(_SCHEMA)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"cannot use the feature store {self.path} ({error}); make room, delete the file if it is damaged, or "
                "point IPO_CACHE_DIR to a folder that can be written."
            ) from error

    def _contents(self, database: sqlite3.Connection, pictures: Sequence[Picture]) -> list[str]:
        """Hash each picture's bytes; a file whose path, size and time are known is not opened again."""
        known: dict[str, str] = {}
        for picture in pictures:
            if picture.stamp:
                row = database.execute("SELECT content FROM seen WHERE stamp = ?", (picture.stamp,)).fetchone()
                if row:
                    known[picture.stamp] = row[0]

        def content(picture: Picture) -> str:
            return known.get(picture.stamp or "") or hashlib.sha256(picture.bytes()).hexdigest()

        with ThreadPoolExecutor(max_workers=8) as pool:
            keys = list(pool.map(content, pictures))
        fresh = [(p.stamp, k) for p, k in zip(pictures, keys, strict=True) if p.stamp and p.stamp not in known]
        with database:
            database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", fresh)
        return keys

    def _get(self, database: sqlite3.Connection, key: str) -> Floats | None:
        row = database.execute("SELECT vector, crc FROM features WHERE content = ?", (key,)).fetchone()
        if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1]:
            return None  # absent, or damaged on disk: encoded again
        return np.frombuffer(row[0], dtype="<f4").astype(np.float32)

    def _put(self, database: sqlite3.Connection, keys: Sequence[str], vectors: Floats) -> None:
        blobs = [vector.astype("<f4").tobytes() for vector in vectors]
        with database:
            database.executemany(
                "INSERT OR REPLACE INTO features VALUES (?, ?, ?)",
                [(key, blob, zlib.crc32(blob)) for key, blob in zip(keys, blobs, strict=True)],
            )
