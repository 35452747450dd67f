"""Vectors on disk by key: encoding them is expensive, keeping them loses no bit.

They are in one SQLite file. Several processes may write to it, a killed one leaves it whole, and it is mapped into
memory, so that a file of a million vectors opens without being read.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from ipo.metrics.arrays import Floats
from ipo.metrics.errors import InputError

PAGE = 2**15
"""Bytes of a page: a vector of 512 numbers fills half of SQLite's usual one and would leave the other half empty."""
MAPPED = 2**31
"""The most bytes of the file that SQLite maps; beyond them it reads page by page."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS features (content TEXT PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);"


class VectorFile:
    """A file of float32 vectors, each with its checksum.

    Args:
        path: the file; made when first opened.
        schema: SQL of further tables beside the vectors.
    """

    def __init__(self, path: Path, schema: str = "") -> None:
        self.path = path
        self._schema = _SCHEMA + schema

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for the block.

        Raises:
            InputError: it is damaged, or its folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as database:
                database.execute(f"PRAGMA page_size={PAGE}")  # must come first in a new file
                database.execute("PRAGMA journal_mode=WAL")
                database.execute(f"PRAGMA mmap_size={MAPPED}")
                database.executescript(self._schema)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"cannot use the feature store {self.path} ({error}); make room, delete the file if it is damaged, or "
                "point IPO_CACHE_DIR to a folder that can be written."
            ) from error

    def get(self, database: sqlite3.Connection, key: str) -> Floats | None:
        """Return the vector of a key; None when it is absent or damaged and must be made again."""
        row = database.execute("SELECT vector, crc FROM features WHERE content = ?", (key,)).fetchone()
        if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1]:
            return None
        return np.frombuffer(row[0], dtype="<f4").astype(np.float32)

    def put(self, database: sqlite3.Connection, keys: Sequence[str], vectors: Sequence[Floats] | Floats) -> None:
        """Keep one vector per key, all or none of them."""
        blobs = [vector.astype("<f4").tobytes() for vector in vectors]
        with database:
            database.executemany(
                "INSERT OR REPLACE INTO features VALUES (?, ?, ?)",
                [(key, blob, zlib.crc32(blob)) for key, blob in zip(keys, blobs, strict=True)],
            )
