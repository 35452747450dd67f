"""Joins base images that different packages draw (nearly) alike.

Icon sets list one drawing under two names and borrow from each other. If such twins
were split between CLIP training and test, the test would measure memory.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tools.embedded.drawings import Drawing, Pixels, by_concept

_SIDE: Final = 16
_ALIKE: Final = 0.035
"""Mean absolute difference, of 1, of two drawings on white at 16 px, that counts as alike."""


def join(drawings: list[Drawing], pixels: Pixels) -> list[Drawing]:
    """Return the same images with ``base`` made equal among the twins of one concept."""
    joined = list(drawings)
    for rows in by_concept(drawings, range(len(drawings))).values():
        small = _thumbnails(pixels[rows])
        base = [drawings[row].base for row in rows]
        for i in range(len(rows)):
            for j in range(i):
                if base[i] != base[j] and np.abs(small[i] - small[j]).mean() < _ALIKE:
                    old, new = base[i], base[j]
                    base = [new if b == old else b for b in base]
        for row, name in zip(rows, base, strict=True):
            joined[row] = replace(drawings[row], base=name)
    return joined


def looks_like(pixels: Pixels, others: Pixels) -> npt.NDArray[np.bool_]:
    """Return which of some drawings are nearly equal to which others: (n, m)."""
    one, other = _thumbnails(pixels), _thumbnails(others)
    return np.array([np.abs(other - each).mean((1, 2, 3)) < _ALIKE for each in one])


def _thumbnails(pixels: Pixels) -> npt.NDArray[np.float64]:
    """(n, 16, 16, 3) in [0, 1], on white."""
    alpha = pixels[..., 3:] / 255.0
    flat = pixels[..., :3] / 255.0 * alpha + 1 - alpha
    step = pixels.shape[1] // _SIDE
    blocks = flat.reshape(len(pixels), _SIDE, step, _SIDE, step, 3)
    small: npt.NDArray[np.float64] = blocks.mean((2, 4))
    return small
