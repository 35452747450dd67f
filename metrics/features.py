"""Picture features, computed once: kept on disk by picture bytes, how they are read, picture transform and weights."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ipo.metrics.arrays import Floats
from ipo.metrics.cache import cache_dir
from ipo.metrics.clip import Clip
from ipo.metrics.pictures import Picture
from ipo.metrics.vector_file import VectorFile

BATCH = 64
"""Pictures per forward pass and per commit."""

_SEEN = "CREATE TABLE IF NOT EXISTS seen (stamp TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;"

Progress = Callable[[int, int], None]


class FeatureStore:
    """Features of one CLIP.

    Args:
        clip: the encoder; its fingerprint names the file.
        folder: of the file; the user's cache when None.
    """

    def __init__(self, clip: Clip, folder: Path | None = None) -> None:
        self.clip = clip
        self.path = (folder or cache_dir() / "features") / f"{clip.fingerprint[:32]}.sqlite"
        self._file = VectorFile(self.path, _SEEN)
        self.encoded = 0
        """Pictures that this object had to encode; the others came from the store."""

    def encode(self, pictures: Sequence[Picture], progress: Progress | None = None) -> Floats:
        """Return the features of `pictures`, encoding those that the store lacks.

        Pictures are encoded in fixed groups of the given list, and a group that lacks one is encoded whole: so the same
        list gives the same bits, whether or not an earlier run was killed half-way.

        Returns:
            float32 (len(pictures), D), unit rows.

        Raises:
            InputError: names the picture that cannot be decoded, or the folder that cannot be written.
        """
        with self._file.open() as database:
            keys = self._contents(database, pictures)
            rows = np.zeros((len(pictures), 0), dtype=np.float32)
            for start in range(0, len(pictures), BATCH):
                group = list(pictures[start : start + BATCH])
                group_keys = keys[start : start + BATCH]
                found = [self._file.get(database, key) for key in group_keys]
                if any(vector is None for vector in found):
                    fresh = self.clip.encode_pictures(group)
                    self.encoded += len(group)
                    self._file.put(database, group_keys, fresh)
                    found = list(fresh)
                group_rows = np.stack([vector for vector in found if vector is not None])
                if not rows.size:  # allocated once: a million features must not be in memory twice
                    rows = np.empty((len(pictures), group_rows.shape[1]), dtype=np.float32)
                rows[start : start + BATCH] = group_rows
                if progress:
                    progress(min(start + BATCH, len(pictures)), len(pictures))
        return rows

    def contents(self, pictures: Sequence[Picture]) -> list[str]:
        """Return the SHA-256 of each picture's bytes, with how they are read (`Picture.key`).

        A file that was hashed before and has not changed is not opened.

        Raises:
            InputError: names the picture that cannot be read.
        """
        with self._file.open() as database:
            return self._contents(database, pictures)

    def _contents(self, database: sqlite3.Connection, pictures: Sequence[Picture]) -> list[str]:
        """Hash each picture's bytes; a file whose path, size and time are known is not opened again."""
        keys: list[str | None] = []
        for picture in pictures:
            row = database.execute("SELECT content FROM seen WHERE stamp = ?", (picture.stamp,)).fetchone()
            keys.append(row[0] if row else None)
        new = [picture for picture, key in zip(pictures, keys, strict=True) if key is None]
        with ThreadPoolExecutor(max_workers=8) as pool:
            hashes = list(pool.map(lambda picture: hashlib.sha256(picture.bytes()).hexdigest(), new))
        stamped = [(picture.stamp, key) for picture, key in zip(new, hashes, strict=True) if picture.stamp]
        with database:
            database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", stamped)
        fresh = iter(hashes)
        return [picture.key(key or next(fresh)) for picture, key in zip(pictures, keys, strict=True)]
