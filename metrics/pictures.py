"""One picture, wherever its bytes are: in a file, a row of a table, or memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ipo.metrics.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Picture:
    """A picture that is read only when its pixels are needed.

    Attributes:
        name: its name in messages: its path, or "row 12 of data.parquet".
        read: returns the encoded bytes.
        stamp: a text that changes when the bytes may have changed, made without opening the picture; or None.
    """

    name: str
    read: Callable[[], bytes]
    stamp: str | None = None

    @classmethod
    def from_path(cls, path: Path) -> Picture:
        """Return a picture in a file.

        Raises:
            InputError: the file does not exist or cannot be looked at.
        """
        try:
            facts = path.stat()
        except OSError as error:
            raise InputError(f"cannot read the picture {path}: {error.strerror}.") from error
        stamp = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
        return cls(str(path), path.read_bytes, stamp)

    @classmethod
    def from_bytes(cls, name: str, data: bytes) -> Picture:
        """Return a picture in memory."""
        return cls(name, lambda: data)

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
        """Decode to RGB; grey, palette, CMYK and transparent pictures are converted.

        Raises:
            InputError: the picture is empty, cut short or no picture; it is named.
        """
        return decode(self.bytes(), self.name)


def decode(data: bytes, name: str) -> Image:
    """Decode encoded bytes to an RGB image; see `Picture.image`."""
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise InputError(f"the picture {name} is empty (0 bytes); remove it or put the right file there.")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode == "P" and "transparency" in image.info:
                return image.convert("RGBA").convert("RGB")
            if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, which makes nearly all of it white
                return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
            return image.convert("RGB")
    except UnidentifiedImageError as error:  # its message names our buffer, not the file
        raise InputError(f"the file {name} is not a picture of a known format; remove it or fix it.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the file {name} is not a readable picture ({error}); remove it or fix it.") from error
