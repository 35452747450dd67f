"""Transformations of images that no CLIP of ours was taught: no training caption names them.

The first six move parts of the image. The others lay something over the image or change its tones. Like the
transformations that ship with IPO, they take a whole image, and they draw random numbers from the image's own
generator.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ipo_prompts.experiments.embedded.shifts import Image, Transformation

_Grid = npt.NDArray[np.float64]


def _read_at(image: Image, down: _Grid, across: _Grid) -> Image:
    """Return the image whose pixels are read from `image` at the places `down` and `across`.

    The places are (side, side), in pixels from the centre.
    """
    middle = (len(image) - 1) / 2
    places = np.stack([down + middle, across + middle])
    channels = [ndimage.map_coordinates(one, places, order=1, mode="nearest") for one in np.moveaxis(image, 2, 0)]
    return np.stack(channels, axis=2)


def _grid(image: Image) -> tuple[_Grid, _Grid, _Grid]:
    """Return three distances of each pixel from the centre, each (side, side).

    The first is downwards and the second is to the right, both in pixels. The third is the whole distance, in half
    sides of the image.
    """
    line = np.arange(len(image)) - (len(image) - 1) / 2
    down, across = np.meshgrid(line, line, indexing="ij")
    return down, across, np.hypot(down, across) / (len(image) / 2)


def _swirl(image: Image, rng: np.random.Generator) -> Image:
    """Turn the image about its centre; places nearer to the centre are turned further."""
    down, across, far = _grid(image)
    turn = rng.choice([-1, 1]) * rng.uniform(1.0, 1.4) * np.maximum(0, 1 - far)
    cos, sin = np.cos(turn), np.sin(turn)
    return _read_at(image, cos * down - sin * across, sin * down + cos * across)


def _ripple(image: Image, rng: np.random.Generator) -> Image:
    """Move each row sideways; the shifts of the rows form a wave."""
    down, across, _ = _grid(image)
    wave = rng.uniform(2.5, 3.5) * np.sin(2 * np.pi * (down / rng.uniform(10, 13) + rng.random()))
    return _read_at(image, down, across + wave)


def _bulge(image: Image, rng: np.random.Generator) -> Image:
    """Show the image as through a ball of glass: the middle swells, and the rest is pressed to the edge."""
    down, across, far = _grid(image)
    pull = np.minimum(1, far) ** rng.uniform(0.9, 1.2)
    return _read_at(image, down * pull, across * pull)


def _slant(image: Image, rng: np.random.Generator) -> Image:
    """Move each row sideways in proportion to its height, as in slanted writing."""
    down, across, _ = _grid(image)
    return _read_at(image, down, across + rng.choice([-1, 1]) * rng.uniform(0.5, 0.7) * down)


def _mirror(image: Image, rng: np.random.Generator) -> Image:
    """Keep one half of the image, and replace the other half by its mirror image."""
    half = image[:, : len(image) // 2] if rng.random() < 0.5 else image[:, : len(image) // 2 - 1 : -1]
    return np.concatenate([half, half[:, ::-1]], axis=1)


def _tiles(image: Image, rng: np.random.Generator) -> Image:
    """Cut the image into nine tiles, and swap two pairs of tiles."""
    side, moved = len(image) // 3, image.copy()
    tiles = [(slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side)) for y in range(3) for x in range(3)]
    one, two, three, four = (tiles[i] for i in rng.choice(9, 4, replace=False))
    for here, there in ((one, two), (two, one), (three, four), (four, three)):
        moved[here] = image[there]
    return moved


def _stripes(image: Image, rng: np.random.Generator) -> Image:
    """Lay half transparent bars of one colour over two ninths of the image."""
    striped, bars = image.copy(), (np.arange(len(image)) + rng.integers(9)) % 9 < 2
    striped[bars] = 0.5 * image[bars] + 0.5 * rng.uniform(0.3, 0.9, 3)
    return striped


def _halftone(image: Image, rng: np.random.Generator) -> Image:
    """Show the image as rows of dark points on white; the darker a place is, the larger its points are."""
    brightness = image.mean(2)
    phase = 2 * np.pi * (np.arange(len(image)) / 4 + rng.random())
    screen = 0.5 + 0.25 * (np.cos(phase)[:, None] + np.cos(phase)[None, :])
    ink = brightness < 0.1 + 0.85 * screen
    return np.repeat((1 - 0.9 * ink).astype(np.float32)[..., None], 3, axis=2)


def _posterise(image: Image, rng: np.random.Generator) -> Image:
    """Reduce each colour channel to two tones; each channel has its own threshold."""
    return 0.1 + 0.8 * (image > rng.uniform(0.35, 0.75, 3)).astype(np.float32)


def _vignette(image: Image, rng: np.random.Generator) -> Image:
    """Darken the image to black towards its corners, as if it were seen through a hole."""
    hole = rng.uniform(0.6, 0.75)
    shade: Image = np.clip((hole - _grid(image)[2]) / 0.15 + 1, 0, 1)[..., None].astype(np.float32)
    return image * shade


def _rings(image: Image, rng: np.random.Generator) -> Image:
    """Divide the image into rings about its centre; every second ring is darkened to three quarters."""
    shade = 0.875 + 0.125 * np.sign(np.cos(2 * np.pi * (_grid(image)[2] * 3 + rng.random())))
    return image * shade[..., None].astype(np.float32)


def _double(image: Image, rng: np.random.Generator) -> Image:
    """Average the image with a copy of itself that is moved by a sixth of its side, down or up and left or right."""
    down, across = (int(one) for one in rng.choice([-8, 8], 2))
    return 0.5 * image + 0.5 * np.roll(image, (down, across), axis=(0, 1))


UNTAUGHT: Final[dict[str, Transformation]] = {
    "swirl": _swirl,
    "ripple": _ripple,
    "bulge": _bulge,
    "slant": _slant,
    "mirror": _mirror,
    "tiles": _tiles,
    "stripes": _stripes,
    "halftone": _halftone,
    "posterise": _posterise,
    "vignette": _vignette,
    "rings": _rings,
    "double": _double,
}
"""Name → transformation, in the order in which they are applied.

A transformation takes and returns float32 (48, 48, 3) in [0, 1].
"""
