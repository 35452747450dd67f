"""From the encoded bytes of a picture to the RGB pixels that a viewer shows.

Pictures come from strangers: only the formats of picture folders are opened, the number of pixels is known before they
are decoded and is limited, and whatever the decoder raises becomes one sentence that names the picture.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, cast

from ipo_prompts.metrics.errors import InputError

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
}
"""Pillow's name of each format that is opened → how its files end. Of Pillow's others, some run programs (EPS)."""
ENDINGS = frozenset(ending for endings in FORMATS.values() for ending in endings)

Background = Literal["white", "as-is"]
"""How a picture is read: "white", as viewers show it (transparency on white, turned by its EXIF), or "as-is": the
stored pixels, whatever lies beneath transparency, as the pipelines behind published numbers read them."""
AS_VIEWED: Background = "white"
AS_STORED: Background = "as-is"

LIMIT_VARIABLE = "IPO_MAX_MEGAPIXELS"
LIMIT_MEGAPIXELS = 64
"""Decoding takes up to 11 bytes a pixel (RGBA, the same on white, RGB), in each of several threads."""


def megapixels() -> float:
    """Return how many million pixels a picture may have.

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


def decode(data: bytes, name: str, background: Background = AS_VIEWED) -> Image:
    """Decode to RGB; of an animated picture, the first frame.

    Raises:
        InputError: the picture is empty, cut short, too large or no picture of `FORMATS`; `name` names it.
    """
    return decode_and_look(data, name, background)[0]


def decode_and_look(data: bytes, name: str, background: Background = AS_VIEWED) -> tuple[Image, float | None]:
    """Decode as `decode`, and return the share of see-through pixels too; None when all are opaque."""
    with _one_sentence(name):
        stored = _opened(data, name)
        stored.load()
        return to_rgb(stored, f"the picture {name}", background), _see_through(stored)


def is_transparent(data: bytes, name: str) -> bool:
    """Whether a pixel is not opaque; only pictures that store transparency are decoded to find out.

    Raises:
        InputError: see `decode`.
    """
    with _one_sentence(name):
        return _see_through(_opened(data, name)) is not None


def to_rgb(image: Image, what: str, background: Background = AS_VIEWED) -> Image:
    """Convert a loaded picture to RGB; 16 bits are scaled to 8, which Pillow would clip to white.

    Raises:
        InputError: its pixels are decimal numbers, of which nobody knows which is white; `what` names it.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    if image.mode == "F":
        raise InputError(f"{what} has decimal numbers for pixels, whose white is not known; save it with 8 bits.")
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)  # a value of 16 bits
    if background == AS_STORED:
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
    """Open a picture, at its first frame; its pixels are not decoded yet."""
    from PIL import Image

    if not data:
        raise InputError(f"the picture {name} is empty (0 bytes); remove it or put the right file there.")
    limit = megapixels()
    if limit > LIMIT_MEGAPIXELS and Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit, for the whole process
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, int(limit * 1e6))
    # Our limit is told in a sentence, and Pillow's notes on damaged metadata say neither which picture nor what to do.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        image = Image.open(io.BytesIO(data), formats=_known())
        pixels = image.width * image.height
    except Image.DecompressionBombError as error:
        image, pixels = None, int((re.search(r"\d+", str(error)) or ["0"])[0])
    if image is None or pixels > limit * 1e6:
        raise InputError(
            f"the picture {name} has {pixels / 1e6:,.0f} million pixels, more than {limit:g}; make it smaller, or "
            f"set {LIMIT_VARIABLE}={int(pixels / 1e6) + 1} to read it."
        )
    return image


def _known() -> list[str]:
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # AVIF is not in every build of Pillow


def _see_through(image: Image) -> float | None:
    """Return the share of pixels of which less than half is seen; None when the picture is opaque."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return None  # numbers of 16 bits: read as opaque
    alpha = image.convert("RGBA").getchannel("A").histogram()
    total = sum(alpha)
    return None if alpha[255] == total else sum(alpha[:128]) / total


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    from PIL import UnidentifiedImageError

    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:  # its message names our buffer, not the file
        raise InputError(f"the file {name} is not a picture of a known format; remove it or fix it.") from error
    except Exception as error:  # damaged files make decoders raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"the file {name} is not a readable picture ({reason}); remove it or fix it.") from error
