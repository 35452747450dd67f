"""Picture operations on batches: what shifts a domain, and what captions describe.

Everything is a function of tensors and a generator, so one seed gives one picture.
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as nnf
from torch import Tensor

SIDE: Final = 48
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
# In the order in which they are applied: geometry first, sensor faults last.
GEOMETRIC: Final = ("upside down", "sideways", "zoom", "small")
PIXELWISE: Final = (
    "gray",
    "sepia",
    "hue",
    "faded",
    "edge",
    "negative",
    "dark",
    "bright",
    "blur",
    "pixel",
    "noise",
)
OPERATIONS: Final = GEOMETRIC + PIXELWISE


def render(
    rgba: Tensor,
    operations: Sequence[frozenset[str]],
    backgrounds: Sequence[str],
    generator: torch.Generator,
    jitter: float = 1.0,
) -> Tensor:
    """Jitters, shifts and composes pictures.

    ``rgba``: float32 (n, 4, h, w) in [0, 1], straight alpha. ``jitter`` scales the
    random move of every picture; 0 switches it off. Returns float32
    (n, 3, 48, 48) in [0, 1].
    """
    theta = _moves(operations, generator, jitter)
    grid = nnf.affine_grid(theta, [len(rgba), 4, SIDE, SIDE], align_corners=False)
    alpha = rgba[:, 3:]
    # Premultiplied, else transparent black bleeds into the outline.
    moved = nnf.grid_sample(torch.cat([rgba[:, :3] * alpha, alpha], 1), grid, align_corners=False)
    paper = torch.tensor([BACKGROUNDS[name] for name in backgrounds])[:, :, None, None]
    images = moved[:, :3] + paper * (1 - moved[:, 3:])
    for name in PIXELWISE:
        rows = [row for row, wanted in enumerate(operations) if name in wanted]
        if rows:
            images[rows] = _apply(name, images[rows], generator)
    return images.clamp(0, 1)


def _moves(operations: Sequence[frozenset[str]], generator: torch.Generator, jitter: float) -> Tensor:
    """Affine matrices (n, 2, 3) from output to input coordinates."""
    n = len(operations)
    wild = (torch.rand(n, 4, generator=generator) * 2 - 1) * jitter
    angle, scale = wild[:, 0] * 0.2, 1.03 + wild[:, 1] * 0.12
    turn = torch.tensor([math.pi / 2 if "sideways" in ops else 0.0 for ops in operations])
    turn += torch.tensor([math.pi if "upside down" in ops else 0.0 for ops in operations])
    zoom = torch.tensor([0.6 if "zoom" in ops else 1.0 for ops in operations])
    zoom *= torch.tensor([2.0 if "small" in ops else 1.0 for ops in operations])
    cos, sin = torch.cos(angle + turn) * scale * zoom, torch.sin(angle + turn) * scale * zoom
    rows = torch.stack([cos, -sin, wild[:, 2] * 0.1, sin, cos, wild[:, 3] * 0.1], 1)
    return rows.view(n, 2, 3)


def _apply(name: str, x: Tensor, generator: torch.Generator) -> Tensor:
    n = len(x)
    strength = torch.rand(n, 1, 1, 1, generator=generator)
    if name == "gray":
        return _gray(x).expand_as(x)
    if name == "sepia":
        return _gray(x) * torch.tensor([1.0, 0.84, 0.62])[:, None, None]
    if name == "hue":
        return x.roll(1, 1)
    if name == "faded":
        return 0.62 + 0.3 * (x - 0.5)
    if name == "edge":
        return _edges(x).expand_as(x)
    if name == "negative":
        return 1 - x
    if name == "dark":
        return x * (0.2 + 0.2 * strength)
    if name == "bright":
        return 0.45 + 0.2 * strength + (0.6 - 0.2 * strength) * x
    if name == "blur":
        return _blur(x, 1.4 + 0.8 * float(strength.mean()))
    if name == "pixel":
        return nnf.interpolate(nnf.avg_pool2d(x, 4), scale_factor=4, mode="nearest")
    if name == "noise":
        grain = torch.randn(n, 1, SIDE, SIDE, generator=generator)
        return x + grain * (0.1 + 0.1 * strength)
    raise ValueError(f"unknown operation {name!r}; known are {OPERATIONS}")


def _gray(x: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    return (x * weights).sum(1, keepdim=True)


def _edges(x: Tensor) -> Tensor:
    """Dark outlines on white paper, from the gradient of the brightness."""
    gray = nnf.pad(_gray(x), (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).view(1, 1, 3, 3)
    across, down = nnf.conv2d(gray, kernel), nnf.conv2d(gray, kernel.transpose(2, 3))
    return 1 - (across.square() + down.square() + 1e-8).sqrt().mul(0.6).clamp(0, 1)


def _blur(x: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(2.5 * sigma)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (steps / sigma).square())
    weights = (weights / weights.sum()).view(1, 1, 1, -1).expand(x.shape[1], 1, 1, -1)
    padded = nnf.pad(x, (reach, reach, reach, reach), mode="replicate")
    groups = x.shape[1]
    return nnf.conv2d(nnf.conv2d(padded, weights, groups=groups), weights.transpose(2, 3), groups=groups)
