"""Pictures as users of DSPy give them: read alike in any form, and encoded once for all templates."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import dspy

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import AS_VIEWED, Background, Picture, to_rgb

FILES = 65_536
"""Files whose features are kept: 200 MB at a width of 768."""


class KeptFeatures:
    """The features of the pictures that a program was given: a new template then asks the CLIP for texts only.

    A file is known by its stamp (`pictures.stamp_of`), so its path may be given anew; another `Picture` and a
    `dspy.Image` by themselves, as long as somebody holds them. Bytes and PIL images, which can change, are not kept.
    The copies of a program share one.

    Attributes:
        lock: to be held where threads that classify with one template would all encode its texts.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.lock = threading.Lock()
        self._files: dict[Any, tuple[Background, Floats]] = {}
        self._objects: WeakKeyDictionary[Any, tuple[Background, Floats]] = WeakKeyDictionary()
        self._writing = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> KeptFeatures:
        return self

    def of(self, image: Any, background: Background) -> Floats:
        """Return the features of one picture in any form: float32 (1, D), a unit row.

        Raises:
            InputError: see `to_picture`; or it cannot be decoded.
        """
        picture = to_picture(image, background)
        kept: MutableMapping[Any, tuple[Background, Floats]] = self._files if picture.stamp else self._objects
        key = picture.stamp or (image if isinstance(image, (Picture, dspy.Image)) else picture)
        found = kept.get(key)
        if found is None or found[0] != picture.background:
            found = (picture.background, self.clip.encode_pictures([picture]))
            with self._writing:
                if kept is self._files and len(kept) >= FILES:
                    self._files.pop(next(iter(self._files)))
                kept[key] = found
        return found[1]


def to_picture(image: Any, background: Background = AS_VIEWED) -> Picture:
    """Read a picture from any form in which DSPy users have it; a `Picture` is returned as it is.

    Raises:
        InputError: it is none of them, or an address: a text, or a `dspy.Image` that points to the network.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, dspy.Image):
        head, _, data = image.url.partition(";base64,")
        if not head.startswith("data:"):
            raise InputError(f"the picture {image.url[:80]} is a web address; load it first (dspy.Image.from_url).")
        return Picture.from_bytes("given as a dspy.Image", base64.b64decode(data)).on(background)
    if isinstance(image, str) and re.match("data:|https?://", image):
        shown = image if len(image) <= 80 else f"{image[:40]}…"
        how = "dspy.Image(url=…)" if image.startswith("data:") else "dspy.Image.from_url(…)"
        raise InputError(f"the picture {shown} is an address and no file; give {how} of it.")
    if isinstance(image, (str, Path)):
        return Picture.from_path(Path(image)).on(background)
    if isinstance(image, bytes):
        return Picture.from_bytes("given as bytes", image).on(background)
    if hasattr(image, "save") and hasattr(image, "convert"):  # a PIL image
        buffer = io.BytesIO()
        to_rgb(image, "the picture given as a PIL image", background).save(buffer, format="PNG")
        return Picture.from_bytes("given as a PIL image", buffer.getvalue()).on(background)
    raise InputError(
        f"cannot take a picture from {type(image).__name__}; give a path, bytes, a PIL image or a dspy.Image."
    )
