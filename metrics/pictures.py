"""A picture that is read only when it is needed. It is in a file, in a row of a table or in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ipo_prompts.metrics.decoding import AS_STORED, AS_VIEWED, Background, decode, megapixels
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 96
"""The longest side of a thumbnail, in pixels."""


VERIFY = "IPO_VERIFY"
"""The environment variable that makes IPO read and hash every picture again, if it is set."""
YOUNG = 2_000_000_000
"""How many nanoseconds a file has no stamp after a change: a second change may fall on the same tick of the clock."""


def stamp_of(path: str, facts: os.stat_result) -> str | None:
    """Return the stamp of a file: a text that changes whenever the bytes of the file change.

    The stamp holds what Git compares before it trusts its index: the inode, the size, the time of the last change of
    content, and the time of the last change of any kind (ctime), which no program can set back.

    Return None if the file was changed less than `YOUNG` ago, because a second change might leave the stamp the same.
    Git does likewise with "racily clean" entries: see gitformat-index and racy-git in Git's documentation. Return None
    for every file if `VERIFY` is in the environment. Then all bytes are read again, which also detects bytes that
    changed without a trace (a failing disk).

    Args:
        path: the file's absolute path.
        facts: what `os.stat` has just returned for the file.
    """
    if os.environ.get(VERIFY) or time.time_ns() - max(facts.st_mtime_ns, facts.st_ctime_ns) < YOUNG:
        return None
    return f"{path}|{facts.st_ino}|{facts.st_size}|{facts.st_mtime_ns}|{facts.st_ctime_ns}"


class Exchanged(InputError):
    """A picture no longer has the bytes that were read first. `stamp` is the `stamp` of the `Picture`."""

    stamp: str | None = None


@dataclass
class _First:
    """What is known about the bytes of a picture, from the first read or from an earlier command.

    Attributes:
        content: the SHA-256 of the bytes, in hex; None before the bytes are known.
        stamp: the stamp of the file when it had these bytes; None if the file had no stamp.
        read: whether this process has read the picture.
    """

    content: str | None = None
    stamp: str | None = None
    read: bool = False


class Picture:
    """A picture that is read only when its pixels are needed.

    Its `repr` is `<picture>`, without the path. DSPy's optimizers print examples in their prompts, and a path would
    tell a language model the class. It is no dataclass: loggers write the fields of a dataclass, with the path.

    Pictures with the same attributes are equal. Every read returns the same bytes, or raises an exception: see `bytes`.

    Attributes:
        name: the name of the picture in messages: the path, or "row 12 of data.parquet".
        read: a function that returns the encoded bytes.
        stamp: a text that changes when the bytes may have changed. It is made without opening the picture. None if only
            the bytes themselves show a change.
        background: how the pixels are read; see `Background`.
        place: the absolute path of the file, to notice when the file changes; "" for a picture without a file of its
            own.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], bytes],
        stamp: str | None = None,
        background: Background = AS_VIEWED,
        place: str = "",
    ) -> None:
        self.name = name
        self.read = read
        self.stamp = stamp
        self.background = background
        self.place = place
        self._first = _First()

    def __repr__(self) -> str:
        return "<picture>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and self._attributes() == other._attributes()

    def __hash__(self) -> int:
        return hash(self._attributes())

    def __deepcopy__(self, memo: object) -> Picture:
        """Return the same picture, which never changes."""
        return self

    def _attributes(self) -> tuple[object, ...]:
        return self.name, self.read, self.stamp, self.background, self.place

    def __dir__(self) -> list[str]:
        """Name what a table may hold: pandas writes all that is named here."""
        return ["known"]

    @classmethod
    def from_path(cls, path: Path) -> Picture:
        """Return the picture that is in a file, without reading it.

        Raises:
            InputError: the file does not exist, cannot be examined, or is a folder, a pipe or a device.
        """
        try:
            facts = path.stat()
        except (OSError, ValueError) as error:  # a ValueError: a NUL in the path
            raise InputError(f"cannot read the picture {path}: {getattr(error, 'strerror', error)}.") from error
        if not stat.S_ISREG(facts.st_mode):
            what = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe, a socket or a device"
            raise InputError(f"cannot read the picture {path}: it is {what}, not a file.")
        whole = _spelled(os.path.abspath(path))  # noqa: PTH100 - four times faster
        return cls(_spelled(path), partial(read_file, str(path)), stamp_of(whole, facts), place=whole)

    @classmethod
    def absent(cls, path: Path, fault: InputError) -> Picture:
        """Return a stand-in for a picture that does not exist. Reading it raises `fault`."""

        def fail() -> bytes:
            raise fault

        return cls(_spelled(path), fail)

    @classmethod
    def from_bytes(cls, name: str, data: bytes) -> Picture:
        """Return a picture in memory."""
        return cls(name, lambda: data)

    def on(self, background: Background) -> Picture:
        """Return the same picture, to be read with another background."""
        if self.background == background:
            return self
        other = Picture(self.name, self.read, self.stamp, background, self.place)
        other._first = self._first  # the bytes are the same
        return other

    def key(self, content: str) -> str:
        """Return a key of the pixels, for a store. It differs if the bytes or the background differ.

        `content` is the digest of the bytes.
        """
        return content if self.background == AS_STORED else f"{content}|{self.background}"

    def bytes(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            Exchanged: the bytes are not those that were read first.
            InputError: the picture cannot be read; the message names it.
        """
        stamp = self._stamp_now()
        try:
            data = self.read()
        except OSError as error:
            raise InputError(f"cannot read the picture {self.name}: {error.strerror or error}.") from error
        # A file that has not changed since it was read is not hashed again. Hashing takes a fiftieth of the time of
        # decoding.
        if not (self.place and self._first.read and self.is_known()):
            self.know(hashlib.sha256(data).hexdigest(), stamp)
            self._first.read = True
        return data

    def know(self, content: str, stamp: str | None) -> None:
        """Note the digest and the stamp of the bytes. If a digest is known, `content` must be equal to it.

        Raises:
            Exchanged: the digests differ.
        """
        first = self._first
        if first.content not in (None, content):
            error = Exchanged(
                f"the picture {self.name} was exchanged: it is not what was read before; put it back and repeat the "
                "command, or begin anew with what is there now."
            )
            error.stamp = self.stamp
            raise error
        first.content, first.stamp = content, stamp

    def content(self) -> str:
        """Return the SHA-256 of the bytes, in hex. Bytes are read again only if the file has changed.

        Raises:
            InputError: see `bytes`.
        """
        if not self.is_known():
            self.bytes()
        return self.known or ""

    @property
    def known(self) -> str | None:
        """The SHA-256 of the bytes that were read first, in hex; None before the bytes are known."""
        return self._first.content

    def is_known(self) -> bool:
        """Whether the bytes are known and the file has not changed since."""
        first = self._first
        if first.content is None:
            return False
        return not self.place or (first.stamp is not None and self._stamp_now() == first.stamp)

    def _stamp_now(self) -> str | None:
        """Return the stamp that the file has now; None if it has none or cannot be examined."""
        if not self.place:
            return self.stamp
        try:
            return stamp_of(self.place, os.stat(self.place))  # noqa: PTH116 - twice as fast
        except OSError:
            return None

    def image(self) -> Image:
        """Decode the picture to RGB; see `decode`.

        Raises:
            InputError: the picture is empty, cut short, too large or no picture; the message names it.
        """
        return decode(self.bytes(), self.name, self.background)[0]


def _spelled(path: Path | str) -> str:
    """Return a path as text. Bytes that are not UTF-8 are escaped, because no database or text file takes them."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def read_file(path: str) -> bytes:
    """Return the bytes of an encoded picture.

    Raises:
        OSError: see `open_regular`.
        InputError: the file is larger than a picture of `megapixels` can be.
    """
    most = int(megapixels() * 8e6) + 2**24  # four channels of 16 bits, uncompressed, and metadata
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise InputError(f"the file {path} has {size:,} bytes, more than a picture takes; remove it.")
        return file.read()


def short_name(name: str) -> str:
    """Return the name of a picture without the folders in its path.

    >>> short_name("/home/me/pets/cat/1.jpg"), short_name("row 12 of /data/pets.parquet")
    ('1.jpg', 'row 12 of pets.parquet')
    """
    row = re.match(r"row \d+ of ", name)
    return (row.group() if row else "") + re.split(r"[/\\]", name[row.end() if row else 0 :])[-1]


def thumbnail(picture: Picture) -> str:
    """Return a small JPEG as a data URL, without the metadata of the original (place, camera, comment).

    Raises:
        InputError: the picture cannot be read.
    """
    image = picture.image()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.info.clear()  # else Pillow would write the comment of the original into the thumbnail
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
