"""A picture that is read only when it is needed. It is in a file, in a row of a table or in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ipo_prompts.metrics.decoding import decode, megapixels
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 96
"""The longest side of a thumbnail, in pixels."""


class Exchanged(InputError):
    """A picture no longer has the bytes that were read first."""


class Picture:
    """A picture that is read only when its pixels are needed.

    Its `repr` is `<picture>`, without the path. DSPy's optimizers print examples in their prompts, and a path would
    tell a language model the class. It is no dataclass: loggers write the fields of a dataclass, with the path.

    Every read returns the same bytes, or raises an exception: see `bytes`.

    Attributes:
        name: the name of the picture in messages: the path, or "row 12 of data.parquet".
        read: a function that returns the encoded bytes.
        stored: whether the pixels are read as they are stored. The pictures of registered data sets are, because their
            published numbers were measured so. All others are read as viewers show them; see `decoding.to_rgb`.
        known: the SHA-256 of the bytes that were read first, in hex; None before the first read.
    """

    def __init__(self, name: str, read: Callable[[], bytes], *, stored: bool = False) -> None:
        self.name = name
        self.read = read
        self.stored = stored
        self.known: str | None = None

    def __repr__(self) -> str:
        return "<picture>"

    def __deepcopy__(self, memo: object) -> Picture:
        """Return the same picture, which never changes."""
        return self

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
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:  # a ValueError: a NUL in the path
            raise InputError(f"cannot read the picture {path}: {getattr(error, 'strerror', error)}.") from error
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
            raise InputError(f"cannot read the picture {path}: it is {what}, not a file.")
        return cls(_spelled(path), partial(read_file, str(path)))

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

    def key(self, content: str) -> str:
        """Return a key of the pixels, for a store. It differs if the bytes differ, or how they are read.

        `content` is the digest of the bytes.
        """
        return content if self.stored else f"{content}|white"

    def bytes(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            Exchanged: the bytes are not those that were read first.
            InputError: the picture cannot be read; the message names it.
        """
        try:
            data = self.read()
        except OSError as error:
            raise InputError(f"cannot read the picture {self.name}: {error.strerror or error}.") from error
        content = hashlib.sha256(data).hexdigest()  # a fiftieth of the time of decoding
        if self.known not in (None, content):
            raise Exchanged(
                f"the picture {self.name} was exchanged: it is not what was read before; put it back and repeat the "
                "command, or begin anew with what is there now."
            )
        self.known = content
        return data

    def content(self) -> str:
        """Return the SHA-256 of the bytes that were read first, in hex; read them if they were not read before.

        Raises:
            InputError: see `bytes`.
        """
        if self.known is None:
            self.bytes()
        return self.known or ""

    def image(self) -> Image:
        """Decode the picture to RGB; see `decode`.

        Raises:
            InputError: the picture is empty, cut short, too large or no picture; the message names it.
        """
        return decode(self.bytes(), self.name, stored=self.stored)[0]


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
