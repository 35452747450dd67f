"""Fills single-coloured icons with the typical colour of their concept.

Black icons alone would teach the CLIP only shape. With a green frog and a yellow banana
colour is evidence, too, so that a domain that changes colours really changes how an
image appears, and naming the change in words can pay off.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from tools.embedded.drawings import Drawing, Pixels, by_concept

_BRIGHTEST: Final = 0.62
"""Mean channel value that a tint may have: lighter ones would vanish on white paper."""


def tint(drawings: list[Drawing], pixels: Pixels) -> Pixels:
    """Return the drawings with every "glyph" recoloured; black becomes the tint, white stays."""
    emoji = by_concept(drawings, (row for row, drawing in enumerate(drawings) if drawing.kind == "emoji"))
    colours = {concept: _typical(pixels[rows]) for concept, rows in emoji.items()}
    tinted = pixels.copy()
    for row, drawing in enumerate(drawings):
        colour = colours.get(drawing.concept)
        if drawing.kind == "glyph" and colour is not None:
            light = pixels[row, ..., :3].mean(-1, keepdims=True) / 255.0
            tinted[row, ..., :3] = np.round(255 * (colour + (1 - colour) * light))
    return tinted


def _typical(drawings: Pixels) -> npt.NDArray[np.float64]:
    """Return the mean colour in [0, 1], weighted by opacity and saturation."""
    rgb = drawings[..., :3].reshape(-1, 3) / 255.0
    opaque = drawings[..., 3].reshape(-1, 1) / 255.0
    saturation = rgb.max(1, keepdims=True) - rgb.min(1, keepdims=True)
    weight = opaque * (0.02 + saturation**2)
    colour: npt.NDArray[np.float64] = (rgb * weight).sum(0) / weight.sum()
    return colour * min(1.0, _BRIGHTEST / float(colour.mean()))
