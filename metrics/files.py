"""Files: written whole or not at all, read within bounds, and the folder of what is kept between runs."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import secrets
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from ipo_prompts.metrics.errors import InputError

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


def flush_tree(place: Path) -> None:
    """Have a file, or all files of a folder, on the disk; links are not followed.

    Raises:
        OSError: it cannot be.
    """
    files = [place] if place.is_file() else [found for found in place.rglob("*") if found.is_file()]
    for file in files:
        descriptor = os.open(file, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# The folder of everything that is kept between runs: weights, features, paid replies.


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
        raise InputError(f"{where} is not valid YAML: {_reason(error)}.") from error


def read_json(file: Path, what: str, fix: str) -> Any:
    """Read a JSON file; `what` is what it is in messages, and `fix` what helps against a damaged one.

    One named `….gz` is compressed; its bound is that of the text.

    Raises:
        InputError: it cannot be read, is too large, or is not JSON.
    """
    text = read_text(file, what, JSON_BYTES, "JSON", fix)
    try:
        return _writable(json.loads(text))
    except Exception as error:
        raise InputError(f"{what} {file} is not JSON ({_reason(error)}); {fix}.") from error


def read_bytes(file: Path, most: int) -> bytes:
    """Return what a file begins with, `most` bytes at most; a pipe is not waited for, and a device not read.

    Raises:
        OSError: there is none, it cannot be read, or it is no regular file.
        ValueError: there can be no such name.
    """
    with open(file, "rb", opener=_at_once) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(file))
        return opened.read(most)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


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


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return " ".join(str(error).split()).rstrip(".")[:300]
