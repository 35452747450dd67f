"""Transformations of images, and sets of transformed images, `embedded:OP+OP`.

The captions with which the demo CLIP was trained name these transformations. A set has the clean images that ship
with IPO; they are transformed when they are read. The same image, transformations and seed always give the same
pixels, whatever other images are rendered.

The shipped images and the training images of the demo CLIP were rendered by revision 8a2c5d8, which used one random
generator for a whole batch. This renderer has the same transformations but draws other random moves, so it does not
reproduce those images.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ipo_prompts.experiments import embedded
from ipo_prompts.metrics.errors import InputError, did_you_mean
from ipo_prompts.metrics.images import LazyImage

Image = npt.NDArray[np.float32]
Transformation = Callable[[Image, np.random.Generator], Image]

SIDE: Final = 48
SEED: Final = 0
"""The seed of every set. Because all sets have the same seed, they differ only in their transformations: an image is
equally dark in all sets that darken it, and equally noisy in all sets that add noise."""
_PREFIX: Final = "embedded:"
BACKGROUNDS: Final[dict[str, tuple[float, float, float]]] = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "gray": (0.5, 0.5, 0.5),
    "red": (0.85, 0.2, 0.2),
    "green": (0.25, 0.65, 0.3),
    "blue": (0.2, 0.4, 0.85),
    "yellow": (0.95, 0.85, 0.3),
    "orange": (0.95, 0.6, 0.2),
    "purple": (0.55, 0.3, 0.7),
    "pink": (0.97, 0.7, 0.8),
    "brown": (0.5, 0.35, 0.2),
}


def render(
    rgba: Image,
    transformations: Collection[str],
    seed: int,
    background: str = "white",
    jitter: float = 1.0,
    pixelwise: Mapping[str, Transformation] | None = None,
) -> Image:
    """Move an image a little, lay it on paper of one colour, and transform it.

    Args:
        rgba: the image, float32 (side, side, 4) in [0, 1], with straight alpha.
        transformations: names from `GEOMETRIC` and `pixelwise`. They are always applied in the order of `GEOMETRIC` and
            then of `pixelwise`, not in the order given here.
        seed: the seed of the random move and of the random strength of transformations; 0 or more.
        background: the colour of the paper, a name from `BACKGROUNDS`.
        jitter: the factor of the random move; with 0, the image is not moved and gets no margin of paper.
        pixelwise: name → transformation, besides the geometric transformations; None takes `PIXELWISE`.

    Returns:
        The rendered image, float32 (48, 48, 3) in [0, 1].

    Raises:
        InputError: there is no such transformation or background.
    """
    pixelwise = PIXELWISE if pixelwise is None else pixelwise
    there_are = (*GEOMETRIC, *pixelwise)
    for kind, wanted, known in (
        ("transformation", transformations, there_are),
        ("background", [background], BACKGROUNDS),
    ):
        for name in wanted:
            if name not in known:
                hint = did_you_mean(name, known)
                raise InputError(f"there is no {kind} {name!r} of images{hint}; there are: {', '.join(known)}.")
    rng = np.random.default_rng(seed)
    alpha = rgba[..., 3:]
    # Colours are multiplied by alpha first. Otherwise, the black of transparent pixels would darken the outline.
    moved = _moved(np.concatenate([rgba[..., :3] * alpha, alpha], axis=2), transformations, rng, jitter)
    image = moved[..., :3] + np.array(BACKGROUNDS[background], np.float32) * (1 - moved[..., 3:])
    for name, transformation in pixelwise.items():
        if name in transformations:
            image = transformation(image, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def seed_of(name: str, seed: int) -> int:
    """Return the seed for rendering the image `name` of a set. It depends only on this name and the set's `seed`."""
    return random.Random(f"{seed}/{name}").getrandbits(63)


def _moved(image: Image, transformations: Collection[str], rng: np.random.Generator, jitter: float) -> Image:
    """Turn, scale and move an image (side, side, channels). Return (48, 48, channels), with 0 outside the image."""
    angle, scale, down, right = rng.uniform(-1, 1, 4) * jitter * (0.2, 0.12, 0.1, 0.1)
    turn = angle + math.pi * ("upside down" in transformations) + math.pi / 2 * ("sideways" in transformations)
    zoom = (
        (1.03 + scale if jitter else 1)
        * (0.6 if "zoom" in transformations else 1)
        * (2 if "small" in transformations else 1)
    )
    side = len(image)
    # The matrix maps a position in the result to a position in `image`, both relative to the centre.
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) * zoom * side / SIDE
    centre = (side - 1) / 2 + np.array([down, right]) * side / 2
    offset = centre - matrix @ np.full(2, (SIDE - 1) / 2)
    channels = [
        ndimage.affine_transform(channel, matrix, offset, (SIDE, SIDE), order=1, mode="grid-constant")
        for channel in np.moveaxis(image, 2, 0)
    ]
    return np.stack(channels, axis=2)


def _gray(image: Image) -> Image:
    red, green, blue = (image[..., [channel]] for channel in range(3))
    # No matrix product: its last bits differ between processors, so the images would differ, too.
    brightness = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return np.repeat(brightness, 3, axis=2)


def _edges(image: Image) -> Image:
    """Return an image of dark outlines on white paper, computed from the gradient of the brightness."""
    gray = _gray(image)
    across, down = (ndimage.sobel(gray[..., 0], axis, mode="nearest") for axis in (1, 0))
    outlines: Image = 1 - np.clip(0.6 * np.hypot(across, down), 0, 1)
    return np.repeat(outlines[..., None], 3, axis=2)


def _bright(image: Image, rng: np.random.Generator) -> Image:
    strength = 0.2 * rng.random()
    return 0.45 + strength + (0.6 - strength) * image


def _blur(image: Image, rng: np.random.Generator) -> Image:
    sigma = rng.uniform(1.4, 2.2)
    blurred: Image = ndimage.gaussian_filter(image, sigma, mode="nearest", radius=math.ceil(2.5 * sigma), axes=(0, 1))
    return blurred


def _pixel(image: Image) -> Image:
    blocks: Image = image.reshape(SIDE // 4, 4, SIDE // 4, 4, 3).mean((1, 3))
    return blocks.repeat(4, axis=0).repeat(4, axis=1)


def _noise(image: Image, rng: np.random.Generator) -> Image:
    return image + rng.uniform(0.1, 0.2) * rng.standard_normal((SIDE, SIDE, 1), np.float32)


# Transformations are in the order in which they are applied; `GEOMETRIC` comes before them.
PIXELWISE: Final[dict[str, Transformation]] = {
    "gray": lambda image, rng: _gray(image),
    "sepia": lambda image, rng: _gray(image) * np.array([1.0, 0.84, 0.62], np.float32),
    "hue": lambda image, rng: np.roll(image, 1, axis=2),
    "faded": lambda image, rng: 0.62 + 0.3 * (image - 0.5),
    "edge": lambda image, rng: _edges(image),
    "negative": lambda image, rng: 1 - image,
    "dark": lambda image, rng: image * rng.uniform(0.2, 0.4),
    "bright": _bright,
    "blur": _blur,
    "pixel": lambda image, rng: _pixel(image),
    "noise": _noise,
}
GEOMETRIC: Final = ("upside down", "sideways", "zoom", "small")
TRANSFORMATIONS: Final = (*GEOMETRIC, *PIXELWISE)
"""The names of all transformations, in the order in which they are applied."""


def transformations_of(name: str) -> tuple[str, ...]:
    """Return the transformations that the name of a set lists, in the order of `TRANSFORMATIONS`.

    Args:
        name: transformations joined by +, in any order. The words of a transformation may be joined by hyphens.

    Raises:
        InputError: a transformation is unknown, or is listed twice.

    >>> transformations_of("negative+upside-down") == transformations_of("upside down + negative")
    True
    """
    parts = [re.sub(r"[\s_-]+", " ", part).strip() for part in name.split("+")]
    names = [name_of_set([one]) for one in TRANSFORMATIONS]
    strange = next((part for part in parts if part not in TRANSFORMATIONS), None)
    if strange is not None:
        # A name without + may be a misspelt domain.
        hint = did_you_mean(strange.replace(" ", "-"), names if len(parts) > 1 else [*embedded.DOMAINS, *names])
        whole = ", ".join(f"{_PREFIX}{domain}" for domain in embedded.DOMAINS)
        what = f"; {strange!r} is no transformation" if len(parts) > 1 else ""
        raise InputError(
            f"there are no images {_PREFIX}{name}{what}{hint}; there are: {whole}, and transformations joined by +, "
            f"such as {_PREFIX}upside-down+negative: {', '.join(names)}."
        )
    twice = next((part for part in parts if parts.count(part) > 1), None)
    if twice is not None:
        raise InputError(f"{_PREFIX}{name} has the transformation {twice!r} twice; name it once.")
    return tuple(one for one in TRANSFORMATIONS if one in parts)


def name_of_set(transformations: Collection[str]) -> str:
    """Return the name of a set, which is the same in whatever order the transformations are given.

    >>> name_of_set(["negative", "upside down"])
    'upside-down+negative'
    """
    return "+".join(one.replace(" ", "-") for one in TRANSFORMATIONS if one in transformations)


def canonical(spec: str) -> str:
    """Return the spec with its transformations in the order of `TRANSFORMATIONS`; return any other spec unchanged.

    >>> canonical("embedded:negative + upside down"), canonical("folder:pets")
    ('embedded:upside-down+negative', 'folder:pets')
    """
    kind, colon, rest = spec.strip().partition(":")
    if f"{kind}{colon}" != _PREFIX:
        return spec
    try:
        return _PREFIX + name_of_set(transformations_of(rest))
    except InputError:  # a domain, or a spec that `load_data` refuses
        return spec


def shifted(clean: LazyImage, key: str, transformations: Collection[str]) -> LazyImage:
    """Return a transformed image. It is rendered each time it is read, which takes about half a millisecond.

    Args:
        clean: a shipped image of 48 by 48 pixels, on white.
        key: the path of the image within its set; the seed of the random transformations is made from it.
        transformations: names from `TRANSFORMATIONS`.
    """
    name = f"{key} of {_PREFIX}{name_of_set(transformations)}"
    return LazyImage(name, partial(rendered, clean, transformations, seed_of(key, SEED)))


def rendered(
    clean: LazyImage, transformations: Collection[str], seed: int, pixelwise: Mapping[str, Transformation] | None = None
) -> bytes:
    """Transform a clean image of 48 by 48 pixels on white; see `render`.

    Returns:
        The bytes of a PPM file. They depend only on the pixels, not on the version of an encoder, so they identify the
        image.
    """
    rgb = np.asarray(clean.rgb(), np.float32) / 255
    opaque = np.ones((SIDE, SIDE, 1), np.float32)
    # The clean image was moved when it was made. A second move would blur it, and move it more than in training.
    image = render(np.concatenate([rgb, opaque], axis=2), transformations, seed, jitter=0, pixelwise=pixelwise)
    return b"P6 %d %d 255\n" % (SIDE, SIDE) + np.round(image * 255).astype(np.uint8).tobytes()
