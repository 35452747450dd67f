"""Picture features, computed once: kept on disk by picture bytes, how they are read, picture transform and weights."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import cache_dir, checksum
from ipo_prompts.metrics.pictures import Exchanged, Picture
from ipo_prompts.metrics.store import VectorFile

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
            try:
                fresh = self.clip.encode_pictures([pictures[missing[content][0]] for content in group], batch=BATCH)
            except Exchanged as error:
                with (
                    suppress(sqlite3.OperationalError),
                    database,
                ):  # a stamp that was wrong is not believed a second time
                    database.execute("DELETE FROM stamps WHERE stamp = ?", (error.stamp,))
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

    def missing(self, pictures: Sequence[Picture]) -> int:
        """Count the pictures that would have to be encoded.

        Raises:
            InputError: names the picture that cannot be read.
        """

        def lacking(database: sqlite3.Connection) -> int:
            contents = set(self._contents(database, pictures))
            return sum(self._file.get(database, content, self.clip.width) is None for content in contents)

        return self._file.use(lacking)

    def contents(self, pictures: Sequence[Picture]) -> list[str]:
        """Return the SHA-256 of each picture's bytes, with how they are read (`Picture.key`).

        A file that was hashed before and has not changed is not opened.

        Raises:
            InputError: names the picture that cannot be read.
        """
        return self._file.use(partial(self._contents, pictures=pictures))

    def _contents(self, database: sqlite3.Connection, pictures: Sequence[Picture]) -> list[str]:
        """Hash each picture's bytes; a file whose stamp is known is not opened again: see `pictures.stamp_of`."""
        new = [
            one for one in pictures if not one.is_known() and not (one.known is None and self._recall(database, one))
        ]
        with ThreadPoolExecutor(max_workers=8) as pool:
            hashes = list(pool.map(Picture.content, new))
        stamped = [
            (picture.stamp, content, checksum(picture.stamp, content.encode()))
            for picture, content in zip(new, hashes, strict=True)
            if picture.stamp and not self._file.read_only
        ]
        with database:
            database.executemany("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)", stamped)
        return [picture.key(picture.known or picture.content()) for picture in pictures]

    def _recall(self, database: sqlite3.Connection, picture: Picture) -> bool:
        """Whether an earlier command knew the bytes that a picture had when it was found; they are then its first."""
        if picture.stamp is None:
            return False
        row = database.execute("SELECT content, crc FROM stamps WHERE stamp = ?", (picture.stamp,)).fetchone()
        if row is None:
            return False
        content, crc = row
        if not isinstance(content, str) or checksum(picture.stamp, content.encode(errors="replace")) != crc:
            self._file.damaged += 1
            return False
        picture.know(content, picture.stamp)
        return True


def as_features(given: Any, width: int, what: str) -> Floats:
    """Return numbers as features: float32 (n, width), each row made a unit row; `what` they are, for messages.

    Raises:
        InputError: another shape, a number that is none, or a row of zeros.

    >>> as_features([[3, 4]], 2, "X").tolist() == [[np.float32(0.6), np.float32(0.8)]]
    True
    """
    try:
        rows = np.asarray(given, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} has rows that are no lists of {width} numbers each.") from error
    if rows.ndim != 2 or rows.shape[1] != width:
        raise InputError(
            f"{what} has the shape {rows.shape}, and features of this CLIP are (n, {width}); give those, or pictures "
            "as paths or PIL images."
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        wrong = int(np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))[0])
        raise InputError(f"{what} has a row that is all zeros or not finite, the row {wrong}; leave it out.")
    # A unit row stays as it is, to the last bit: what the CLIP gave and what a store kept are then the same.
    return np.where(np.abs(lengths - 1) < 1e-6, rows, rows / lengths).astype(np.float32)
