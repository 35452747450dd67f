"""The four picture sets: one fixed operation set each, behind an opaque letter."""

from typing import Final

import torch
from torch import Tensor

from ipo.experiments.embedded.operations import render
from tools.embedded.raster import Pixels

SEED: Final = 11
DOMAINS: Final[dict[str, frozenset[str]]] = {
    "a": frozenset({"negative"}),
    "b": frozenset(),
    "c": frozenset({"gray", "blur"}),
    "d": frozenset({"faded", "sideways"}),
}


def as_tensor(pixels: Pixels) -> Tensor:
    """uint8 (n, h, w, 4) to float32 (n, 4, h, w) in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def draw(pixels: Pixels, domain: str) -> Tensor:
    """The pictures of one domain, float32 (n, 3, 48, 48) in [0, 1].

    The same seed moves a picture alike in every domain, so that domains differ in
    their operation only.
    """
    count = len(pixels)
    generator = torch.Generator().manual_seed(SEED)
    operations = [DOMAINS[domain]] * count
    images = render(as_tensor(pixels), operations, ["white"] * count, generator, jitter=0.6)
    # Stored with 8 bits; rounding here keeps training logs and shipped files equal.
    return (images * 255).round() / 255
