"""One picture, wherever its bytes are: in a file, a row of a table, or memory."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ipo_prompts.metrics.decoding import AS_STORED, AS_VIEWED, Background, decode, megapixels
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


VERIFY = "IPO_VERIFY"
"""Environment variable: when set, every picture is read and hashed again."""
YOUNG = 2_000_000_000
"""Nanoseconds for which a changed file has no stamp: a second change may fall on the same tick of a coarse clock."""


def stamp_of(path: str, facts: os.stat_result) -> str | None:
    """Return a text that changes whenever the bytes of a file do; None while the file is too young to tell.

    It holds what Git compares before it trusts its index: the inode, the size, the time of the last change of content,
    and that of any change (ctime), which no program can set back. As in Git's "racily clean" entries, a file that
    was changed less than `YOUNG` ago is not trusted: see gitformat-index and racy-git in Git's documentation. With
    `VERIFY` in the environment none is: then bytes that changed without a trace (a failing disk) are found as well.

    Args:
        path: the file's absolute path.
        facts: what `os.stat` said of it just now.
    """
    if os.environ.get(VERIFY) or time.time_ns() - max(facts.st_mtime_ns, facts.st_ctime_ns) < YOUNG:
        return None
    return f"{path}|{facts.st_ino}|{facts.st_size}|{facts.st_mtime_ns}|{facts.st_ctime_ns}"


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture that is read only when its pixels are needed.

    As text it is `<picture>`: what prints examples, as DSPy's optimizers do in their prompts, would else tell a
    language model the file's path, and with it the class.

    Attributes:
        name: its name in messages: its path, or "row 12 of data.parquet".
        read: returns the encoded bytes.
        stamp: a text that changes when the bytes may have changed, made without opening the picture; None where the
            bytes must be read to know.
        background: how its pixels are read.
    """

    name: str
    read: Callable[[], bytes]
    stamp: str | None = None
    background: Background = AS_VIEWED

    def __repr__(self) -> str:
        return "<picture>"

    @classmethod
    def from_path(cls, path: Path) -> Picture:
        """Return a picture in a file.

        Raises:
            InputError: the file does not exist, cannot be looked at, or is a folder, a pipe or a device.
        """
        try:
            facts = path.stat()
        except (OSError, ValueError) as error:  # a ValueError: a NUL in the path
            raise InputError(f"cannot read the picture {path}: {getattr(error, 'strerror', error)}.") from error
        if not stat.S_ISREG(facts.st_mode):
            what = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe, a socket or a device"
            raise InputError(f"cannot read the picture {path}: it is {what}, not a file.")
        whole = _spelled(os.path.abspath(path))  # noqa: PTH100 - four times faster
        return cls(_spelled(path), partial(read_file, str(path)), stamp_of(whole, facts))

    @classmethod
    def absent(cls, path: Path, fault: InputError) -> Picture:
        """Return a picture that is not there; reading it raises `fault`."""
        return cls(_spelled(path), partial(_fail, fault))

    @classmethod
    def from_bytes(cls, name: str, data: bytes) -> Picture:
        """Return a picture in memory."""
        return cls(name, lambda: data)

    def on(self, background: Background) -> Picture:
        """Return the same picture, read in another way."""
        return self if self.background == background else replace(self, background=background)

    def key(self, content: str) -> str:
        """Return what names these pixels: the digest of the bytes and, unless they are read as stored, how."""
        return content if self.background == AS_STORED else f"{content}|{self.background}"

    def bytes(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            InputError: names the picture that cannot be read.
        """
        try:
            return self.read()
        except OSError as error:
            raise InputError(f"cannot read the picture {self.name}: {error.strerror or error}.") from error

    def image(self) -> Image:
        """Decode to RGB, see `decode`.

        Raises:
            InputError: the picture is empty, cut short, too large or no picture; it is named.
        """
        return decode(self.bytes(), self.name, self.background)


def _fail(fault: InputError) -> bytes:
    raise fault


def _spelled(path: Path | str) -> str:
    """Spell out what is not UTF-8 in a name: neither a database nor a file of text takes it."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def read_file(path: str) -> bytes:
    """Read an encoded picture.

    Raises:
        OSError: there is none, or it is no regular file: a pipe would be waited for, and a device has no end.
        InputError: it is larger than any picture that is decoded.
    """
    most = int(megapixels() * 8e6) + 2**24  # four channels of 16 bits, uncompressed, and metadata
    # A pipe may have taken the place of the file since it was found: nothing is waited for.
    with open(path, "rb", opener=_at_once) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(f"{path} is not a file")
        if facts.st_size > most:
            raise InputError(f"the file {path} has {facts.st_size:,} bytes, more than a picture takes; remove it.")
        return file.read()


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
