"""Transformations on pictures that no CLIP of ours was taught: none is named by a caption of any recipe.

The first six move what is seen, the others lay something over it or change its tones. Like those that ship they
take a whole picture, and what is random in them comes from the picture's own generator.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ipo_prompts.experiments.embedded.shifts import Image, Transformation

_Grid = npt.NDArray[np.float64]


def _read_at(image: Image, down: _Grid, across: _Grid) -> Image:
    """Return the picture whose pixels are read at these places, (side, side), counted from the centre."""
    middle = (len(image) - 1) / 2
    places = np.stack([down + middle, across + middle])
    channels = [ndimage.map_coordinates(one, places, order=1, mode="nearest") for one in np.moveaxis(image, 2, 0)]
    return np.stack(channels, axis=2)


def _grid(image: Image) -> tuple[_Grid, _Grid, _Grid]:
    """Return how far each pixel lies from the centre: down, across, and in all, the latter 1 at half a side."""
    line = np.arange(len(image)) - (len(image) - 1) / 2
    down, across = np.meshgrid(line, line, indexing="ij")
    return down, across, np.hypot(down, across) / (len(image) / 2)


def _swirl(image: Image, rng: np.random.Generator) -> Image:
    """Turned about its centre, the more the nearer to it."""
    down, across, far = _grid(image)
    turn = rng.choice([-1, 1]) * rng.uniform(1.0, 1.4) * np.maximum(0, 1 - far)
    cos, sin = np.cos(turn), np.sin(turn)
    return _read_at(image, cos * down - sin * across, sin * down + cos * across)


def _ripple(image: Image, rng: np.random.Generator) -> Image:
    """Each row moved along a wave."""
    down, across, _ = _grid(image)
    wave = rng.uniform(2.5, 3.5) * np.sin(2 * np.pi * (down / rng.uniform(10, 13) + rng.random()))
    return _read_at(image, down, across + wave)


def _bulge(image: Image, rng: np.random.Generator) -> Image:
    """As through a ball of glass: the middle swells, the rest is pressed to the edge."""
    down, across, far = _grid(image)
    pull = np.minimum(1, far) ** rng.uniform(0.9, 1.2)
    return _read_at(image, down * pull, across * pull)


def _slant(image: Image, rng: np.random.Generator) -> Image:
    """Each row moved sideways by how high it stands, as in slanted writing."""
    down, across, _ = _grid(image)
    return _read_at(image, down, across + rng.choice([-1, 1]) * rng.uniform(0.5, 0.7) * down)


def _mirror(image: Image, rng: np.random.Generator) -> Image:
    """One half, and its reflection in place of the other half."""
    half = image[:, : len(image) // 2] if rng.random() < 0.5 else image[:, : len(image) // 2 - 1 : -1]
    return np.concatenate([half, half[:, ::-1]], axis=1)


def _tiles(image: Image, rng: np.random.Generator) -> Image:
    """Cut into nine tiles, of which four have changed places."""
    side, moved = len(image) // 3, image.copy()
    tiles = [(slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side)) for y in range(3) for x in range(3)]
    one, two, three, four = (tiles[i] for i in rng.choice(9, 4, replace=False))
    for here, there in ((one, two), (two, one), (three, four), (four, three)):
        moved[here] = image[there]
    return moved


def _stripes(image: Image, rng: np.random.Generator) -> Image:
    """Bars of one colour, half seen through, over two ninths of it."""
    striped, bars = image.copy(), (np.arange(len(image)) + rng.integers(9)) % 9 < 2
    striped[bars] = 0.5 * image[bars] + 0.5 * rng.uniform(0.3, 0.9, 3)
    return striped


def _halftone(image: Image, rng: np.random.Generator) -> Image:
    """Printed in rows of points on white, which are the larger the darker a place is."""
    brightness = image.mean(2)
    phase = 2 * np.pi * (np.arange(len(image)) / 4 + rng.random())
    screen = 0.5 + 0.25 * (np.cos(phase)[:, None] + np.cos(phase)[None, :])
    ink = brightness < 0.1 + 0.85 * screen
    return np.repeat((1 - 0.9 * ink).astype(np.float32)[..., None], 3, axis=2)


def _posterise(image: Image, rng: np.random.Generator) -> Image:
    """In two tones a channel, parted at another brightness in each."""
    return 0.1 + 0.8 * (image > rng.uniform(0.35, 0.75, 3)).astype(np.float32)


def _vignette(image: Image, rng: np.random.Generator) -> Image:
    """Black towards the corners, so that one looks through a hole."""
    hole = rng.uniform(0.6, 0.75)
    shade: Image = np.clip((hole - _grid(image)[2]) / 0.15 + 1, 0, 1)[..., None].astype(np.float32)
    return image * shade


def _rings(image: Image, rng: np.random.Generator) -> Image:
    """Circles about the centre, alternately as it is and three quarters as bright."""
    shade = 0.875 + 0.125 * np.sign(np.cos(2 * np.pi * (_grid(image)[2] * 3 + rng.random())))
    return image * shade[..., None].astype(np.float32)


def _double(image: Image, rng: np.random.Generator) -> Image:
    """Exposed twice: the picture and itself, moved by a sixth of its side."""
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
"""In the order in which they are applied, float32 (48, 48, 3) in [0, 1] to the same shape."""
