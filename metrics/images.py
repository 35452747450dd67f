"""An image that is read only when it is needed. It is in a file, in a row of a table or in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ipo_prompts.metrics.errors import InputError, reason
from ipo_prompts.metrics.files import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")

THREADS = 8
"""Threads that read images. More threads were no faster on a local disk."""
CHUNK = 4096
"""How many images wait for a thread, or are looked up, at once. It is a whole number of batches of a CLIP."""
THUMBNAIL = 96
"""The longest side of a thumbnail, in pixels."""


def _mirrored(image: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.mirror(image)


def _cropped(image: Image, *, lower_right: bool) -> Image:
    """Return seven eighths of each side of an image, up to one corner."""
    width, height = (max(1, side * 7 // 8) for side in image.size)
    left, top = (image.width - width, image.height - height) if lower_right else (0, 0)
    return image.crop((left, top, left + width, top + height))


VIEWS: Mapping[str, Callable[[Image], Image]] = {
    "mirrored": _mirrored,
    "upper left": partial(_cropped, lower_right=False),
    "lower right": partial(_cropped, lower_right=True),
}
"""Further views of an image that show the same class: a name for the store, and a function that makes the view."""


class Exchanged(InputError):
    """An image no longer has the bytes that were read first."""


class LazyImage:
    """An image that is read only when its pixels are needed.

    Its `repr` is `<image>`, without the path. DSPy's optimizers print examples in their prompts, and a path would
    tell a language model the class. It is no dataclass: loggers write the fields of a dataclass, with the path.

    Every read returns the same bytes, or raises an exception: see `bytes`.

    Attributes:
        name: the name of the image in messages: the path, or "row 12 of data.parquet".
        read: a function that returns the encoded bytes.
        stored: whether the pixels are read as they are stored. The images of registered data sets are, because their
            published numbers were measured so. All others are read as viewers show them; see `to_rgb`.
        known: the SHA-256 of the bytes that were read first, in hex; None before the first read.
        view: the name of the view in `VIEWS` that `image` returns; "" for the whole image.
    """

    __slots__ = ("known", "name", "read", "stored", "view")  # there may be millions

    def __init__(self, name: str, read: Callable[[], bytes], *, stored: bool = False) -> None:
        self.name = name
        self.read = read
        self.stored = stored
        self.known: str | None = None
        self.view = ""

    def __repr__(self) -> str:
        return "<image>"

    def __deepcopy__(self, memo: object) -> LazyImage:
        """Return the same image, which never changes."""
        return self

    def __dir__(self) -> list[str]:
        """Name what a table may hold: pandas writes all that is named here."""
        return ["known"]

    @classmethod
    def from_path(cls, path: Path) -> LazyImage:
        """Return the image that is in a file, without reading it.

        Raises:
            InputError: the file does not exist, cannot be examined, or is a folder, a pipe or a device.
        """
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:  # a ValueError: a NUL in the path
            raise InputError(f"cannot read the image {path}: {getattr(error, 'strerror', error)}.") from error
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
            raise InputError(f"cannot read the image {path}: it is {what}, not a file.")
        return cls(_spelled(path), partial(read_file, str(path)))

    @classmethod
    def absent(cls, path: Path, fault: InputError) -> LazyImage:
        """Return a stand-in for an image that does not exist. Reading it raises `fault`."""

        def fail() -> bytes:
            raise fault

        return cls(_spelled(path), fail)

    @classmethod
    def from_bytes(cls, name: str, data: bytes) -> LazyImage:
        """Return an image in memory."""
        return cls(name, lambda: data)

    def key(self, content: str) -> str:
        """Return a key of the pixels, for a store. It differs if the bytes differ, or how they are read.

        `content` is the digest of the bytes.
        """
        seen = content if self.stored else f"{content}|white"
        return f"{seen}|{self.view}" if self.view else seen

    def views(self) -> list[LazyImage]:
        """Return the image in each view of `VIEWS`, in order."""
        views = []
        for name in VIEWS:
            one = copy(self)
            one.view = name
            views.append(one)
        return views

    def bytes(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            Exchanged: the bytes are not those that were read first.
            InputError: the image cannot be read; the message names it.
        """
        try:
            data = self.read()
        except OSError as error:
            raise InputError(f"cannot read the image {self.name}: {error.strerror or error}.") from error
        content = hashlib.sha256(data).hexdigest()  # a fiftieth of the time of decoding
        if self.known not in (None, content):
            raise Exchanged(
                f"the image {self.name} was exchanged: it is not what was read before; put it back and repeat the "
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

    def rgb(self) -> Image:
        """Decode the image to RGB; see `decode`.

        Raises:
            InputError: the image is empty, cut short, too large or no image; the message names it.
        """
        image = decode(self.bytes(), self.name, stored=self.stored)[0]
        return VIEWS[self.view](image) if self.view else image


def in_threads(function: Callable[[_Given], _Result], rows: Sequence[_Given]) -> list[_Result]:
    """Call `function` for each row with a few threads; return the results in the order of the rows."""
    from ipo_prompts.metrics.arrays import batches  # imports numpy, which the command line does not need

    with ThreadPoolExecutor(THREADS) as pool:
        return [one for some in batches(rows, CHUNK) for one in pool.map(function, some)]


def _spelled(path: Path | str) -> str:
    """Return a path as text. Bytes that are not UTF-8 are escaped, because no database or text file takes them."""
    text = str(path)
    return text if text.isprintable() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_file(path: str) -> bytes:
    """Return the bytes of an encoded image.

    Raises:
        OSError: see `open_regular`.
        InputError: the file is larger than an image of `megapixels` can be.
    """
    most = int(megapixels() * 8e6) + 2**24  # four channels of 16 bits, uncompressed, and metadata
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise InputError(f"the file {path} has {size:,} bytes, more than an image takes; remove it.")
        return file.read()


def short_name(name: str) -> str:
    """Return the name of an image without the folders in its path.

    >>> short_name("/home/me/pets/cat/1.jpg"), short_name("row 12 of /data/pets.parquet")
    ('1.jpg', 'row 12 of pets.parquet')
    """
    row = re.match(r"row \d+ of ", name)
    return (row.group() if row else "") + re.split(r"[/\\]", name[row.end() if row else 0 :])[-1]


def thumbnail(image: LazyImage) -> str:
    """Return a small JPEG as a data URL, without the metadata of the original (place, camera, comment).

    Raises:
        InputError: the image cannot be read.
    """
    small = image.rgb()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.info.clear()  # else Pillow would write the comment of the original into the thumbnail
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=70, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def to_image(image: Any) -> LazyImage:
    """Read an image in any form: a path, bytes, a PIL image, an array or a `dspy.Image`. An `LazyImage` stays as it is.

    This is the one place where images of Python users are read; all that encodes images calls it.

    A text is a path, or the address of data (`data:image/png;base64,…`).

    Raises:
        InputError: the image has another form, or is an address in the network.
    """
    if isinstance(image, LazyImage):
        return image
    address = getattr(image, "url", image)  # a dspy.Image has a `url`; DSPy is not imported here
    if isinstance(address, str) and re.match("data:|https?://", address):
        head, _, data = address.partition(";base64,")
        if not head.startswith("data:"):
            raise InputError(f"the image {address[:80]} is a web address; load it first (dspy.Image.from_url).")
        return LazyImage.from_bytes("given as data", base64.b64decode(data))
    if isinstance(image, (str, Path)):
        return LazyImage.from_path(Path(image))
    if isinstance(image, bytes):
        return LazyImage.from_bytes("given as bytes", image)
    kind = "a PIL image"
    if getattr(image, "dtype", None) == "uint8" and image.shape[2:] == (3,):
        from PIL import Image as Pillow

        image, kind = Pillow.fromarray(image), "an array"
    if hasattr(image, "save") and hasattr(image, "convert"):
        buffer = io.BytesIO()
        with _one_sentence(f"given as {kind}"):
            to_rgb(image, f"the image given as {kind}").save(buffer, format="PNG")
        return LazyImage.from_bytes(f"given as {kind}", buffer.getvalue())
    raise InputError(
        f"cannot take an image from {type(image).__name__}; give a path, bytes, a PIL image, a dspy.Image, or an "
        "array of uint8 (height, width, 3)."
    )


# From the encoded bytes of an image to the RGB pixels that a viewer shows.
#
# Images come from strangers. So only the formats in `FORMATS` are opened. The number of pixels is limited, and it is
# checked before the pixels are decoded. Any exception of the decoder becomes one sentence that names the image.

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
    """Return the largest number of million pixels that an image may have.

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
    """Decode an image, or the first frame of an animated one.

    Args:
        data: the encoded bytes.
        name: the name of the image in messages.
        stored: whether the pixels are read as they are stored; see `to_rgb`.

    Returns:
        The image in RGB, and whether any pixel is not opaque.

    Raises:
        InputError: the image is empty, cut short, too large or not of `FORMATS`; the message has `name`.
    """
    with _one_sentence(name):
        image = _opened(data, name)
        image.load()
        return to_rgb(image, f"the image {name}", stored=stored), _is_transparent(image)


def to_rgb(image: Image, what: str, *, stored: bool = False) -> Image:
    """Convert a loaded image to RGB, as viewers show it: turned as its EXIF says, with transparent pixels on white.

    Values of 16 bits are scaled to 8 bits, because Pillow would clip them to white. With `stored`, the image is not
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
    with suppress(Exception):  # damaged EXIF does not make an image unreadable
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", seen.size, "white"), seen)
    return image.convert("RGB")


def _opened(data: bytes, name: str) -> Image:
    """Open an image at its first frame, without decoding its pixels."""
    from PIL import Image

    if not data:
        raise InputError(f"the image {name} is empty (0 bytes); remove it or put the right file there.")
    limit = megapixels()
    if limit > LIMIT_MEGAPIXELS and Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit, for the whole process
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, int(limit * 1e6))
    # Pillow's warning about size is not needed: our own error states the limit. Pillow's warnings about damaged
    # metadata say neither which image is meant nor what to do.
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
            f"the image {name} has {pixels / 1e6:,.0f} million pixels, more than {limit:g}; make it smaller, or "
            f"set {LIMIT_VARIABLE}={int(pixels / 1e6) + 1} to read it."
        )
    return image


def _read_heic(name: str) -> None:
    """Let Pillow open HEIC images.

    Raises:
        InputError: the decoder is not installed; the message has `name`.
    """
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    except ImportError as error:
        raise InputError(
            f"the image {name} is HEIC, as iPhones save it; `pip install pillow-heif` to read it, or save it as JPEG."
        ) from error


def _is_transparent(image: Image) -> bool:
    """Return whether any pixel is not opaque."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return False  # images of 16 bits are read as opaque
    return any(image.convert("RGBA").getchannel("A").histogram()[:255])


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Turn any exception of the decoder into an `InputError`, one sentence that names the image."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:  # its message names our buffer, not the file
        raise InputError(f"the file {name} is not an image of a known format; remove it or fix it.") from error
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise InputError(f"the file {name} is not a readable image ({reason(error)}); remove it or fix it.") from error
