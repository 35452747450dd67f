"""Files: written whole or not at all, read within bounds, and kept between runs: the folder, and files of SQLite."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
import secrets
import sqlite3
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

import yaml

from ipo_prompts.metrics.errors import InputError, reason

# Files that are written whole or not at all.
#
# The content goes to a new file beside the target, under a random name: a folder may be a stranger's, and a name that
# can be guessed can be a link to somebody's own file. The rename then replaces whatever has the target's name: of a
# link the link, never what it points to.


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left of the new content.
    """
    with replacing(file) as opened:
        opened.write(content)


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the name of `file` when the block ends, on the disk by then; if it fails, it is gone.

    Raises:
        OSError: see `write_whole`.
    """
    partial = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with partial.open("x+b") as opened:  # x: nothing is opened that is there already, and no link is followed
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        _flush_folder(file.parent)  # the new file has a name on the disk before it takes that of the old one
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(file.parent)


def _flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; some systems cannot, and there nothing is done."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# The folder of everything that is kept between runs: weights, features, paid replies.


def refuse_taken(place: Path) -> None:
    """Refuse to write where something is already.

    Raises:
        InputError: says so.
    """
    if os.path.lexists(place):  # of a name that is too long it answers False, where pathlib raises
        raise InputError(f"{place} already exists; name another --out.")


def cache_dir() -> Path:
    """Return the folder: `IPO_CACHE_DIR`, else the user's cache folder. It may not exist yet."""
    import platformdirs

    chosen = os.environ.get("IPO_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("ipo", appauthor=False))


# YAML and JSON that somebody hands us: bounded in size, and every failure in one sentence.
#
# What is read can be written again. Else a number of 5,000 digits or half a character would fail wherever it is told.


YAML_BYTES = 2**18
"""Settings are a few kilobytes, and PyYAML reads some 100 kB a second."""
JSON_BYTES = 2**26
JSON_VALUES = 2**22
"""The most values of a file in JSON, counted by what stands around them: each is some hundred bytes of memory."""
TABLE_BYTES = 2**28
"""One of ImageNet, with 1.3 million rows of 150 bytes, has 195 MB."""
LINE = 2**18
"""The most characters of a line of a table."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe one without aliases: with them, a few lines can stand for millions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases (*name) are not read, write the value again{self.get_mark()}")
        return super().compose_node(parent, index)


def read_yaml(file: Path, what: str) -> Any:
    """Read a YAML file; `what` is what it is in messages, such as "the configuration".

    Raises:
        InputError: it cannot be read, is too large, or is not YAML.
    """
    return parse_yaml(read_text(file, what, YAML_BYTES, "YAML"), str(file))


def parse_yaml(text: str, where: str) -> Any:
    """Read YAML; `where` names it in messages.

    Raises:
        InputError: it is too large or not YAML.
    """
    if len(text) > YAML_BYTES:
        raise InputError(f"{where} has {len(text):,} characters of YAML, more than {YAML_BYTES:,}; make it smaller.")
    try:
        # Not `yaml.load`'s unsafe loaders: ours makes plain values only.
        return _writable(yaml.load(text, _Loader))
    except Exception as error:  # PyYAML's own, and what Python says of a bad date, a long number or deep nesting
        raise InputError(f"{where} is not valid YAML: {reason(error)}.") from error


def read_json(file: Path, what: str, fix: str) -> Any:
    """Read a JSON file; `what` is what it is in messages, and `fix` what helps against a damaged one.

    One named `….gz` is compressed; its bound is that of the text.

    Raises:
        InputError: it cannot be read, is too large, or is not JSON.
    """
    text = read_text(file, what, JSON_BYTES, "JSON", fix)
    if sum(map(text.count, ",[{")) > JSON_VALUES:
        raise InputError(f"{what} {file} has more than {JSON_VALUES:,} values; is it the right file?")
    try:
        return _writable(json.loads(text))
    except Exception as error:
        raise InputError(f"{what} {file} is not JSON ({reason(error)}); {fix}.") from error


def open_regular(file: Path | str) -> BinaryIO:
    """Open a file to read; a pipe that has taken its place is not waited for, and a device, which has no end, not read.

    Raises:
        OSError: there is none, it cannot be read, or it is no regular file.
        ValueError: there can be no such name.
    """
    opened = open(file, "rb", opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    return opened


def read_bytes(file: Path, most: int) -> bytes:
    """Return what a regular file begins with, `most` bytes at most; raises as `open_regular`."""
    with open_regular(file) as opened:
        return opened.read(most)


class _Lines(io.TextIOWrapper):
    """A text whose lines have a bound, whoever reads them."""

    def __next__(self) -> str:  # type: ignore[override]  # the types know the base of bytes alone
        line = self.readline(LINE + 1)
        if len(line) > LINE:
            raise OSError(errno.EFBIG, f"it has a line of more than {LINE:,} characters")
        if not line:
            raise StopIteration
        return line


def open_lines(file: Path) -> TextIO:
    """Open a table in UTF-8 to read line by line, each with its end, as the module `csv` and pandas want them.

    Raises:
        OSError: see `open_regular`; or the file, or a line of it, is larger than that of any table of pictures.
        UnicodeDecodeError: when a line is read that is not UTF-8.
    """
    opened = open_regular(file)
    if os.fstat(opened.fileno()).st_size > TABLE_BYTES:
        opened.close()
        raise OSError(errno.EFBIG, f"it has more than {TABLE_BYTES:,} bytes", str(file))
    return _Lines(opened, encoding="utf-8-sig", newline="")


def read_text(file: Path, what: str, most: int, form: str, fix: str = "save it as such") -> str:
    """Read a file of text, which may be packed; `what` and `form` are what it is and should be, in messages.

    Raises:
        InputError: it cannot be read, has more than `most` bytes, or is not UTF-8.
    """
    try:
        content = read_bytes(file, most + 1)
        if file.suffix == ".gz":
            with gzip.open(io.BytesIO(content)) as opened:
                content = opened.read(most + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{what} {file} is not a whole gzip file ({error}); {fix}.") from error
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the path
        raise InputError(f"cannot read {what} {file}: {getattr(error, 'strerror', error)}.") from error
    if len(content) > most:
        raise InputError(f"{what} {file} has more than {most:,} bytes; is it the right file?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {file} is not {form} in UTF-8 ({error}); {fix}.") from error


def _writable(content: Any) -> Any:
    json.dumps(content, ensure_ascii=False, default=str).encode()
    return content


# A file of SQLite that outlives a command, which several processes may share, and in which damage is noticed.
#
# Several processes may write to it, a killed one leaves it whole, and it is mapped into memory, so that a file of a
# million entries opens without being read. One that cannot be written, on a disk that only others may write, can be
# read.

PAGE = 2**15
"""Bytes of a page: a vector of 512 numbers fills half of SQLite's usual one and would leave the other half empty."""
WAIT = 60
"""Seconds to wait for other processes that write."""
MAPPED = 2**31
"""The most bytes of the file that SQLite maps; beyond them it reads page by page."""

_NOT_WRITABLE = re.compile("readonly|read-only|unable to open")
"""What SQLite says where it may not write, or not make the files that it needs beside its own."""

Result = TypeVar("Result")


class KeptFile:
    """The file; `unusable` is what is said of one that cannot be used, with its path and the error.

    Args:
        path: of the file; made when first used.
        schema: SQL of its tables.

    Attributes:
        read_only: whether it was found to be one that can only be read, when it was used last.
    """

    unusable = "cannot use %s (%s)"

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
            with closing(self._open()) as database:
                database.execute(f"PRAGMA mmap_size={MAPPED}")
                return work(database)
        except (sqlite3.Error, OSError) as error:
            raise InputError(self.unusable % (self.path, error)) from error

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
        # The first way sees what another process writes meanwhile; the second needs no files beside its own.
        for way in ("mode=ro", "mode=ro&immutable=1"):
            database = sqlite3.connect(f"{self.path.absolute().as_uri()}?{way}", uri=True, timeout=WAIT)
            try:
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens it
                return database
            except sqlite3.Error as error:
                database.close()
                failed = error
                if not isinstance(error, sqlite3.OperationalError):
                    break
        raise failed


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
