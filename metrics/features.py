"""Picture features, computed once: kept on disk by picture bytes, how they are read, picture transform and weights."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import cache_dir
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.store import VectorFile, checksum

BATCH = 32
"""Pictures per forward pass and per commit; always so many, the last padded: see `FeatureStore.encode`."""

STAMPS = """
CREATE TABLE IF NOT EXISTS stamps (stamp TEXT PRIMARY KEY, content TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
"""

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
        self._file = VectorFile(self.path, STAMPS)
        self.encoded = 0
        """Pictures that this object had to encode; the others came from the store."""

    def encode(self, pictures: Sequence[Picture], progress: Progress | None = None) -> Floats:
        """Return the features of `pictures`, encoding those that the store lacks.

        A batch of another size takes other kernels, whose sums differ in the last bits. So every batch has `BATCH`
        rows, the last one padded: then a picture has the same bits in any company, in any list, and whether or not an
        earlier run was killed half-way.

        Returns:
            float32 (len(pictures), D), unit rows.

        Raises:
            InputError: names the picture that cannot be decoded, or the folder that cannot be written.
        """
        return self._file.use(partial(self._encode, pictures=pictures, progress=progress))

    def _encode(self, database: sqlite3.Connection, pictures: Sequence[Picture], progress: Progress | None) -> Floats:
        rows = np.empty((len(pictures), self.clip.width), dtype=np.float32)
        missing: dict[str, list[int]] = {}
        for place, content in enumerate(self._contents(database, pictures)):
            vector = self._file.get(database, content, self.clip.width)
            if vector is None:
                missing.setdefault(content, []).append(place)
            else:
                rows[place] = vector
        done = len(pictures) - sum(map(len, missing.values()))
        contents = list(missing)
        for start in range(0, len(contents), BATCH):
            group = contents[start : start + BATCH]
            checked = [_Checked(pictures[missing[content][0]], content) for content in group]
            try:
                fresh = self.clip.encode_pictures([one.picture for one in checked], batch=BATCH)
            except InputError:
                with database:  # a stamp that was wrong is not believed a second time
                    wrong = [(one.stamp,) for one in checked if one.changed]
                    database.executemany("DELETE FROM stamps WHERE stamp = ?", wrong)
                raise
            self.encoded += len(group)
            for content, vector in zip(group, self._file.put(database, group, fresh), strict=True):
                rows[missing[content]] = vector
                done += len(missing[content])
            if progress:
                progress(done, len(pictures))
        if progress and not contents:
            progress(done, len(pictures))
        return rows

    def contents(self, pictures: Sequence[Picture]) -> list[str]:
        """Return the SHA-256 of each picture's bytes, with how they are read (`Picture.key`).

        A file that was hashed before and has not changed is not opened.

        Raises:
            InputError: names the picture that cannot be read.
        """
        return self._file.use(partial(self._contents, pictures=pictures))

    def _contents(self, database: sqlite3.Connection, pictures: Sequence[Picture]) -> list[str]:
        """Hash each picture's bytes; a file whose stamp is known is not opened again: see `pictures.stamp_of`."""
        keys = [None if one.stamp is None else self._known(database, one.stamp) for one in pictures]
        new = [picture for picture, key in zip(pictures, keys, strict=True) if key is None]
        with ThreadPoolExecutor(max_workers=8) as pool:
            hashes = list(pool.map(lambda picture: _sha256(picture.bytes()), new))
        stamped = [
            (picture.stamp, key, checksum(picture.stamp, key.encode()))
            for picture, key in zip(new, hashes, strict=True)
            if picture.stamp
        ]
        with database:
            database.executemany("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)", stamped)
        fresh = iter(hashes)
        return [picture.key(key or next(fresh)) for picture, key in zip(pictures, keys, strict=True)]

    def _known(self, database: sqlite3.Connection, stamp: str) -> str | None:
        row = database.execute("SELECT content, crc FROM stamps WHERE stamp = ?", (stamp,)).fetchone()
        if row is None:
            return None
        content, crc = row
        if not isinstance(content, str) or checksum(stamp, content.encode(errors="replace")) != crc:
            self._file.damaged += 1
            return None
        return content


class _Checked:
    """A picture whose bytes must still be those that were hashed: its features are kept under their digest."""

    def __init__(self, picture: Picture, content: str) -> None:
        self.stamp = picture.stamp
        self.changed = False
        self.picture = replace(picture, read=partial(self._read, picture, content.partition("|")[0]))

    def _read(self, picture: Picture, content: str) -> bytes:
        data = picture.bytes()
        if _sha256(data) != content:
            self.changed = True
            raise InputError(f"the picture {picture.name} is not what was hashed before; start the command again.")
        return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
