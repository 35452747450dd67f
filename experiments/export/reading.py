"""How a program reads pictures, as Python that needs Pillow alone, for exports that meet files without this package."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from ipo_prompts.experiments.export.target import Differs, Reference
from ipo_prompts.metrics.pictures import AS_STORED, Background

_HEAD = '''\
def read(file):
    """Open a picture, a path or a file, as RGB and as the program was made with: {how}."""
    from PIL import Image, ImageOps

    image = Image.open(file)
    image.load()
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)
'''
_WHITE = """\
    if image.mode == "I" and image.getextrema()[1] > 255:
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF
        pass
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return image.convert("RGB")
"""
_STORED = """\
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
"""


def reader(background: Background) -> str:
    """Return the source of a function `read(file)`, which gives the pixels that `Picture.image` gives."""
    if background == AS_STORED:
        return _HEAD.replace(", ImageOps", "").format(how="the stored pixels") + _STORED
    return _HEAD.format(how="transparency on white, turned by EXIF") + _WHITE


def same_pixels(reference: Reference, read: Callable[[Any], Any]) -> None:
    """Compare a `read` with how the pictures are read here."""
    for picture in reference.pictures:
        own = picture.on(reference.program.background)
        if not np.array_equal(np.asarray(read(io.BytesIO(picture.bytes()))), np.asarray(own.image())):
            raise Differs(f"its read() gives other pixels for {picture.name}.")
