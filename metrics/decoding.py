"""From the encoded bytes of a picture to the RGB pixels that a viewer shows.

Pictures come from strangers. So only the formats in `FORMATS` are opened. The number of pixels is limited, and it is
checked before the pixels are decoded. Any exception of the decoder becomes one sentence that names the picture.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from ipo_prompts.metrics.errors import InputError, reason

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm"),
    "JPEG2000": (".jp2",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
}
"""Pillow's name of each allowed format → the endings of its files. Some other formats run programs (EPS)."""
ENDINGS = frozenset(ending for endings in FORMATS.values() for ending in endings)

LIMIT_VARIABLE = "IPO_MAX_MEGAPIXELS"
LIMIT_MEGAPIXELS = 64
"""The default limit, in million pixels. Each of several threads decodes with up to 11 bytes a pixel (2 × RGBA, RGB)."""


def megapixels() -> float:
    """Return the largest number of million pixels that a picture may have.

    Raises:
        InputError: the environment variable is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(LIMIT_MEGAPIXELS)
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise InputError(f"{LIMIT_VARIABLE} is {text!r}; set it to a number of million pixels, such as 200.")
    return number


def decode(data: bytes, name: str, *, stored: bool = False) -> tuple[Image, bool]:
    """Decode a picture, or the first frame of an animated one.

    Args:
        data: the encoded bytes.
        name: the name of the picture in messages.
        stored: whether the pixels are read as they are stored; see `to_rgb`.

    Returns:
        The picture in RGB, and whether any pixel is not opaque.

    Raises:
        InputError: the picture is empty, cut short, too large or not of `FORMATS`; the message has `name`.
    """
    with _one_sentence(name):
        image = _opened(data, name)
        image.load()
        return to_rgb(image, f"the picture {name}", stored=stored), _is_transparent(image)


def to_rgb(image: Image, what: str, *, stored: bool = False) -> Image:
    """Convert a loaded picture to RGB, as viewers show it: turned as its EXIF says, with transparent pixels on white.

    Values of 16 bits are scaled to 8 bits, because Pillow would clip them to white. With `stored`, the picture is not
    turned, and transparent pixels show the colour stored beneath them, as in the pipelines behind published numbers.

    Raises:
        InputError: the pixels are decimal numbers, so that it is not known which number is white; the message begins
            with `what`.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    if image.mode == "F":
        raise InputError(f"{what} has decimal numbers for pixels, whose white is not known; save it with 8 bits.")
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)  # a value of 16 bits
    if stored:
        alpha = image.mode == "P" and "transparency" in image.info
        return (image.convert("RGBA") if alpha else image).convert("RGB")
    if image.mode == "I" and cast("int", image.getextrema()[1]) > 255:  # such as a PGM file of 16 bits
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    with suppress(Exception):  # damaged EXIF does not make a picture unreadable
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", seen.size, "white"), seen)
    return image.convert("RGB")


def _opened(data: bytes, name: str) -> Image:
    """Open a picture at its first frame, without decoding its pixels."""
    from PIL import Image

    if not data:
        raise InputError(f"the picture {name} is empty (0 bytes); remove it or put the right file there.")
    limit = megapixels()
    if limit > LIMIT_MEGAPIXELS and Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit, for the whole process
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, int(limit * 1e6))
    # Pillow's warning about size is not needed: our own error states the limit. Pillow's warnings about damaged
    # metadata say neither which picture is meant nor what to do.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        Image.init()
        if data[4:8] == b"ftyp" and re.search(rb"hei[cmsx]|hev[cx]", data[8:64]):  # brands of HEIC, ISO/IEC 23008-12
            _read_heic(name)
        known = [format for format in FORMATS if format in Image.OPEN]  # AVIF is not in every build of Pillow
        image = Image.open(io.BytesIO(data), formats=known)
        pixels = image.width * image.height
    except Image.DecompressionBombError as error:
        image, pixels = None, int((re.search(r"\d+", str(error)) or ["0"])[0])
    if image is None or pixels > limit * 1e6:
        raise InputError(
            f"the picture {name} has {pixels / 1e6:,.0f} million pixels, more than {limit:g}; make it smaller, or "
            f"set {LIMIT_VARIABLE}={int(pixels / 1e6) + 1} to read it."
        )
    return image


def _read_heic(name: str) -> None:
    """Let Pillow open HEIC pictures.

    Raises:
        InputError: the decoder is not installed; the message has `name`.
    """
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    except ImportError as error:
        raise InputError(
            f"the picture {name} is HEIC, as iPhones save it; `pip install pillow-heif` to read it, or save it as JPEG."
        ) from error


def _is_transparent(image: Image) -> bool:
    """Return whether any pixel is not opaque."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return False  # pictures of 16 bits are read as opaque
    return any(image.convert("RGBA").getchannel("A").histogram()[:255])


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Turn any exception of the decoder into an `InputError`, one sentence that names the picture."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:  # its message names our buffer, not the file
        raise InputError(f"the file {name} is not a picture of a known format; remove it or fix it.") from error
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise InputError(
            f"the file {name} is not a readable picture ({reason(error)}); remove it or fix it."
        ) from error
