"""Vectors on disk by key: encoding them is expensive, keeping them loses no bit.

They are in one SQLite file. Several processes may write to it, a killed one leaves it whole, and it is mapped into
memory, so that a file of a million vectors opens without being read. Nothing in it is believed without its checksum,
and all of it can be made again: what is damaged is made again, with a warning that says so.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.errors import InputError

PAGE = 2**15
"""Bytes of a page: a vector of 512 numbers fills half of SQLite's usual one and would leave the other half empty."""
WAIT = 60
"""Seconds to wait for other processes that write."""
MAPPED = 2**31
"""The most bytes of the file that SQLite maps; beyond them it reads page by page."""

_DAMAGED = re.compile("not a database|malformed|no such column|has no column|columns but")
"""What SQLite says of a file that is not ours: no database, a broken one, one in which our SQL has no meaning."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (content TEXT PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);
"""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class VectorFile:
    """A file of float32 vectors, each with its checksum.

    Args:
        path: the file; made when first used.
        schema: SQL of further tables beside the vectors.
    """

    def __init__(self, path: Path, schema: str = "") -> None:
        self.path = path
        self.damaged = 0
        """Entries met since the last warning whose checksum was wrong."""
        self._schema = _SCHEMA + schema

    def use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what `work` makes of the open file; it runs a second time, on an empty file, if this one is damaged.

        Raises:
            InputError: the disk is full, or the folder cannot be written.
        """
        try:
            return self._use(work)
        except sqlite3.Error as error:
            if not _DAMAGED.search(str(error)):
                raise self._unusable(error) from error
            _log.warning(
                "the store %s was damaged (%s); what it held is made again", self.path, error, extra={"progress": True}
            )
        try:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            return self._use(work)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        with closing(sqlite3.connect(self.path, timeout=WAIT)) as database:
            database.execute(f"PRAGMA page_size={PAGE}")  # must come first in a new file
            _write_ahead(database)
            database.execute(f"PRAGMA mmap_size={MAPPED}")
            database.executescript(self._schema)
            result = work(database)
        if self.damaged:
            _log.warning(
                "%d damaged entries of the store %s were made again", self.damaged, self.path, extra={"progress": True}
            )
            self.damaged = 0
        return result

    def _unusable(self, error: Exception) -> InputError:
        return InputError(
            f"cannot use the feature store {self.path} ({error}); make room, or point IPO_CACHE_DIR to a folder that "
            "can be written."
        )

    def get(self, database: sqlite3.Connection, key: str, size: int) -> Floats | None:
        """Return the vector of a key, float32 (size,); None when it is absent or damaged and must be made again."""
        row = database.execute("SELECT vector, crc FROM vectors WHERE content = ?", (key,)).fetchone()
        if row is None:
            return None
        vector, crc = row
        if not isinstance(vector, bytes) or len(vector) != 4 * size or checksum(key, vector) != crc:
            self.damaged += 1
            return None
        return np.frombuffer(vector, dtype="<f4").astype(np.float32)

    def put(
        self, database: sqlite3.Connection, keys: Sequence[str], vectors: Sequence[Floats] | Floats
    ) -> list[Floats]:
        """Keep one vector per key, all or none of them; return what is kept.

        Where another process was first, its vector stays and is returned: all processes compute with the same bits.
        """
        kept = []
        damaged = self.damaged  # counted when they were found
        with database:
            database.execute("BEGIN IMMEDIATE")
            for key, vector in zip(keys, vectors, strict=True):
                there = self.get(database, key, vector.size)
                if there is None:
                    blob = vector.astype("<f4").tobytes()
                    row = (key, blob, checksum(key, blob))
                    database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", row)
                kept.append(vector if there is None else there.reshape(vector.shape))
        self.damaged = damaged
        return kept


def _write_ahead(database: sqlite3.Connection) -> None:
    """Switch a file to write-ahead logging; SQLite itself does not wait for others that are about to do the same."""
    until = time.monotonic() + WAIT
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def checksum(key: str, content: bytes) -> int:
    """Return the CRC-32 of an entry, its key included."""
    return zlib.crc32(content, zlib.crc32(key.encode()))
