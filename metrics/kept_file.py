"""A file of SQLite that outlives a command, which several processes may share, and in which damage is noticed.

Several processes may write to it, a killed one leaves it whole, and it is mapped into memory, so that a file of a
million entries opens without being read. One that cannot be written, on a disk that only others may write, can be read.
"""

from __future__ import annotations

import re
import sqlite3
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from ipo_prompts.metrics.errors import InputError

PAGE = 2**15
"""Bytes of a page: a vector of 512 numbers fills half of SQLite's usual one and would leave the other half empty."""
WAIT = 60
"""Seconds to wait for other processes that write."""
MAPPED = 2**31
"""The most bytes of the file that SQLite maps; beyond them it reads page by page."""

_NOT_WRITABLE = re.compile("readonly|read-only|unable to open")
"""What SQLite says where it may not write, or not make the files that it needs beside its own."""

Result = TypeVar("Result")


class KeptFile(ABC):
    """The file.

    Args:
        path: of the file; made when first used.
        schema: SQL of its tables.

    Attributes:
        read_only: whether it was found to be one that can only be read, when it was used last.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self.read_only = False
        self._schema = schema

    def use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what `work` makes of the open file.

        Raises:
            InputError: the file is damaged, the disk is full, or there is no file and none can be made.
        """
        try:
            return self._use(work)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with closing(self._open()) as database:
            database.execute(f"PRAGMA mmap_size={MAPPED}")
            return work(database)

    def _open(self) -> sqlite3.Connection:
        """Open the file to write or, where that cannot be, to read."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=WAIT)
        try:
            database.execute(f"PRAGMA page_size={PAGE}")  # must come first in a new file
            _write_ahead(database)
            database.executescript(self._schema)
            self.read_only = False
            return database
        except sqlite3.Error as error:
            database.close()
            if not _NOT_WRITABLE.search(str(error)) or not self.path.is_file():
                raise
            self.read_only = True
            return self._open_to_read()

    def _open_to_read(self) -> sqlite3.Connection:
        place = self.path.absolute().as_uri()
        try:
            return _reading(f"{place}?mode=ro")  # sees what another process writes meanwhile
        except sqlite3.OperationalError:
            return _reading(f"{place}?mode=ro&immutable=1")  # needs no files beside its own

    @abstractmethod
    def _unusable(self, error: Exception) -> InputError:
        """Return what is said of a file that cannot be used."""


def _reading(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, timeout=WAIT)
    try:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens it
    except sqlite3.Error:
        database.close()
        raise
    return database


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
