"""Features of places: one for each place of a picture, in the space of a CLIP's texts.

There are two ways. A plain vision transformer has a token for each patch. It is trained for the whole picture, so its
tokens mix the places in the last block; as MaskCLIP found (Zhou, Loy & Dai, ECCV 2022), each keeps to its place when
it attends only to itself in that block, which costs nothing and needs no training. Any other tower, such as a
convolutional one or one with attention pooling, encodes windows that slide over the picture, each as a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip, unit
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 64
"""Windows per forward pass."""


@dataclass(frozen=True)
class Patches:
    """Features of the places of one picture.

    Attributes:
        features: float32 (h, w, D), unit rows.
        y: float64 (h,), the vertical centre of each row of places, in pixels of the picture.
        x: float64 (w,), the horizontal centres.
    """

    features: Floats
    y: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]


def check_tower(clip: Clip) -> None:
    """Refuse a CLIP that has no patch tokens in the space of its texts.

    Raises:
        InputError: its picture tower is no plain vision transformer.
    """
    from open_clip.transformer import VisionTransformer

    visual = clip.model.visual
    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None or visual.proj is None:
        raise InputError(
            f"the picture tower of {clip.name} ({type(visual).__name__}) has no patch tokens that can be compared with "
            "texts; give a window in pixels, which works with every tower."
        )


def encode_tokens(clip: Clip, image: Image) -> Patches:
    """Encode one picture by the patch tokens of a vision transformer.

    The picture is squeezed to the tower's input, not cropped: every pixel of it belongs to some patch.

    Raises:
        InputError: see `check_tower`.
    """
    import torch

    check_tower(clip)
    visual = clip.model.visual
    pixels = _squeezing_transform(clip)(image).unsqueeze(0).to(clip.device)

    def to_itself(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        length = args[0].shape[1]
        alone = torch.full((length, length), -torch.inf, dtype=args[0].dtype, device=args[0].device)
        return args, kwargs | {"attn_mask": alone.fill_diagonal_(0)}

    hook = visual.transformer.resblocks[-1].register_forward_pre_hook(to_itself, with_kwargs=True)
    try:
        with clip.encoding_pictures():
            found = visual.forward_intermediates(
                pixels, indices=1, normalize_intermediates=True, intermediates_only=True
            )
            tokens = found["image_intermediates"][0][0].permute(1, 2, 0) @ visual.proj  # (h, w, D)
    finally:
        hook.remove()
    h, w = tokens.shape[:2]
    return Patches(unit(tokens), _centres(h, image.height), _centres(w, image.width))


def encode_windows(clip: Clip, image: Image, window: int) -> Patches:
    """Encode one picture by square windows of `window` pixels, about half a window apart, the outer ones at its edges.

    Raises:
        InputError: the picture is smaller than the window.
    """
    import torch

    if window < 2 or window > min(image.size):
        raise InputError(
            f"a window of {window} pixels does not fit into a picture of {image.width} x {image.height}; choose a "
            f"window from 2 to {min(image.size)}."
        )
    top, left = _starts(image.height, window), _starts(image.width, window)
    boxes = [(x, y, x + window, y + window) for y in top.tolist() for x in left.tolist()]
    rows = []
    with clip.encoding_pictures():
        for start in range(0, len(boxes), BATCH):
            batch = torch.stack([clip.preprocess(image.crop(box)) for box in boxes[start : start + BATCH]])
            rows.append(unit(clip.model.encode_image(batch.to(clip.device))))
    features = np.concatenate(rows).reshape(len(top), len(left), -1)
    half = np.float64(window / 2)
    return Patches(features, top.astype(np.float64) + half, left.astype(np.float64) + half)


def interpolation(centres: npt.NDArray[np.float64], length: int) -> Floats:
    """Return the linear interpolation from values at `centres` to `length` pixels, constant beyond the outer ones.

    Rows times columns of it is the bilinear one.

    Returns:
        float32 (length, len(centres)), rows that sum to 1.
    """
    pixels = np.arange(length) + 0.5
    columns = [np.interp(pixels, centres, one) for one in np.eye(len(centres))]
    return np.stack(columns, axis=1).astype(np.float32)


def _starts(length: int, window: int) -> npt.NDArray[np.int64]:
    """Place windows evenly from edge to edge, at most half a window apart."""
    steps = -(-2 * (length - window) // window)
    return np.linspace(0, length - window, steps + 1).round().astype(np.int64)


def _centres(count: int, length: int) -> npt.NDArray[np.float64]:
    centres: npt.NDArray[np.float64] = (np.arange(count) + 0.5) * length / count
    return centres


def _squeezing_transform(clip: Clip) -> Any:
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = open_clip.get_model_preprocess_cfg(clip.model) | {"resize_mode": "squash"}
    return image_transform_v2(PreprocessCfg(**config), is_train=False)
