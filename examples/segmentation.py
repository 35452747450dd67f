"""Segmentation, measured by mean IoU, as an example of a task that a user writes.

Features of the places of an image are compared with texts.

    ipo optimize reward=examples.segmentation:Segmentation --lm none

A run has labelled images but no masks, so `Segmentation` composes scenes of four images each. The masks of the
scenes are exact, and each image is in one scene only. The borders between the four images are drawn at random, so
that they do not coincide with the borders of windows. In Python, `SegmentationReward` takes any images with masks.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import numpy.typing as npt
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import VisionTransformer
from PIL import Image
from pydantic import BaseModel, Field

from ipo_prompts.experiments.tasks import Encoded, Task
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import logits_of, losses_of
from ipo_prompts.metrics.clip import Clip, unit
from ipo_prompts.metrics.clock import check_clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.images import LazyImage, to_image
from ipo_prompts.metrics.reward import EmbeddingReward, Judged, check_fields, groups_of

if TYPE_CHECKING:
    from ipo_prompts.experiments.data import Item
    from ipo_prompts.metrics.features import Progress


# Features of places: an image gets one feature for each place, in the space of a CLIP's texts.
#
# There are two ways to compute them. A plain vision transformer has a token for each patch. The transformer is trained
# for whole images, so its last block mixes the patches. If each token attends only to itself in that block, it
# describes its own patch; this costs nothing and needs no training (MaskCLIP: Zhou, Loy & Dai, ECCV 2022). Any other
# image tower, such as a convolutional network, encodes windows that slide over the image, each like an image.


BATCH = 64
"""Windows per forward pass."""


@dataclass(frozen=True)
class Patches:
    """Features of the places of one image.

    Attributes:
        features: the feature of each place, a unit vector: float32 (h, w, D).
        y: the vertical centre of each row of places, in pixels of the image: float64 (h,).
        x: the horizontal centre of each column of places, in pixels of the image: float64 (w,).
    """

    features: Floats
    y: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]


def check_tower(clip: Clip) -> None:
    """Check that a CLIP has patch tokens that can be compared with texts.

    Raises:
        InputError: the image tower of the CLIP is not a plain vision transformer.
    """
    visual = clip.model.visual
    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None or visual.proj is None:
        raise InputError(
            f"the image tower of {clip.name} ({type(visual).__name__}) has no patch tokens that can be compared with "
            "texts; give a window in pixels, which works with every tower."
        )


def encode_tokens(clip: Clip, image: Image.Image) -> Patches:
    """Encode one image by the patch tokens of a vision transformer.

    The image is not cropped but squeezed to the input size of the tower, so every pixel belongs to a patch.

    Raises:
        InputError: see `check_tower`.
    """
    check_tower(clip)
    visual = clip.model.visual
    pixels = _squeezing_transform(clip)(image).unsqueeze(0).to(clip.device)

    def to_itself(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        length = args[0].shape[1]
        alone = torch.full((length, length), -torch.inf, dtype=args[0].dtype, device=args[0].device)
        return args, kwargs | {"attn_mask": alone.fill_diagonal_(0)}

    hook = visual.transformer.resblocks[-1].register_forward_pre_hook(to_itself, with_kwargs=True)
    try:
        with clip.encoding_images():
            found = visual.forward_intermediates(
                pixels, indices=1, normalize_intermediates=True, intermediates_only=True
            )
            tokens = found["image_intermediates"][0][0].permute(1, 2, 0) @ visual.proj  # (h, w, D)
    finally:
        hook.remove()
    h, w = tokens.shape[:2]
    return Patches(unit(tokens), _centres(h, image.height), _centres(w, image.width))


def encode_windows(clip: Clip, image: Image.Image, window: int) -> Patches:
    """Encode one image by square windows with sides of `window` pixels.

    The windows are about half a window apart, and the outer windows touch the edges of the image.

    Raises:
        InputError: the image is smaller than the window.
    """
    if window < 2 or window > min(image.size):
        raise InputError(
            f"a window of {window} pixels does not fit into an image of {image.width} x {image.height}; choose a "
            f"window from 2 to {min(image.size)}."
        )
    top, left = _starts(image.height, window), _starts(image.width, window)
    boxes = [(x, y, x + window, y + window) for y in top.tolist() for x in left.tolist()]
    rows = []
    with clip.encoding_images():
        for start in range(0, len(boxes), BATCH):
            check_clock()
            batch = torch.stack([clip.preprocess(image.crop(box)) for box in boxes[start : start + BATCH]])
            rows.append(unit(clip.model.encode_image(batch.to(clip.device))))
    features = np.concatenate(rows).reshape(len(top), len(left), -1)
    half = np.float64(window / 2)
    return Patches(features, top.astype(np.float64) + half, left.astype(np.float64) + half)


def interpolation(centres: npt.NDArray[np.float64], length: int) -> Floats:
    """Return the matrix that interpolates linearly from values at `centres` to values at `length` pixels.

    Beyond the outer centres, the values are constant. One matrix for rows and one for columns together make a bilinear
    interpolation.

    Returns:
        The matrix, float32 (length, len(centres)); each row sums to 1.
    """
    pixels = np.arange(length) + 0.5
    columns = [np.interp(pixels, centres, one) for one in np.eye(len(centres))]
    return np.stack(columns, axis=1).astype(np.float32)


def _starts(length: int, window: int) -> npt.NDArray[np.int64]:
    """Return the first pixel of each window. They are spread evenly, at most half a window apart."""
    steps = -(-2 * (length - window) // window)
    return np.linspace(0, length - window, steps + 1).round().astype(np.int64)


def _centres(count: int, length: int) -> npt.NDArray[np.float64]:
    return (np.arange(count) + 0.5) * length / count


def _squeezing_transform(clip: Clip) -> Any:
    config = open_clip.get_model_preprocess_cfg(clip.model) | {"resize_mode": "squash"}
    return image_transform_v2(PreprocessCfg(**config), is_train=False)


Counts = npt.NDArray[np.int64]

NOT_COUNTED = -1
"""The value of a mask for pixels without a class."""


@dataclass(frozen=True)
class Scene:
    """One image in the form that the reward needs.

    Attributes:
        features: the feature of each place, a unit vector: float32 (h, w, D).
        rows: the matrix that interpolates from rows of places to rows of pixels: float32 (H, h).
        columns: the matrix that interpolates from columns of places to columns of pixels: float32 (W, w).
        mask: the class number of each pixel, `NOT_COUNTED` for a pixel without a class: int64 (H, W).
    """

    features: Floats
    rows: Floats
    columns: Floats
    mask: Counts


@dataclass(frozen=True)
class Scenes:
    """Scenes to segment.

    Attributes:
        scenes: the scenes.
        groups: a name for each scene; scenes that are not independent have the same name. None if all are independent.
        labels: None, because a scene has no single class.
    """

    scenes: tuple[Scene, ...]
    groups: tuple[str, ...] | None = None
    labels: None = None

    def __len__(self) -> int:
        return len(self.scenes)


class SegmentationReward(EmbeddingReward):
    """Scores templates by the mean intersection over union (IoU) of the classes that occur in the scenes.

    Logits are computed for each place (patch or window), and interpolated bilinearly to the pixels of the mask. The
    predicted class of a pixel has the highest logit. All classes compete, including classes that do not occur. The loss
    of a scene is the mean cross-entropy of its pixels.

    IoU is a ratio of sums over all scenes, not a mean over scenes. So that two templates can be compared scene by
    scene, `Score.hits` holds a linearised value for each of n scenes: the mean IoU plus n times the scene's influence
    on the mean IoU. The mean of these values is exactly the mean IoU. Its standard error is that of the delta method
    (for a ratio estimator, Cochran 1977, 6.3), to first order in 1/n.

    Args:
        clip: the CLIP that encodes images and texts.
        class_names: the classes that compete; masks number them from 0 in this order.
        window: the side in pixels of the windows that slide over an image; None takes the patch tokens of a plain
            vision transformer. Windows work with every image tower, but each takes as long as a whole image.
        store: the store of class embeddings; None takes the user's cache.
        also_fit: names of classes that are only used later; templates must be short enough for these names, too.

    Raises:
        InputError: `window` is None, and the image tower has no usable patch tokens.

    Example:
        >>> reward = SegmentationReward(clip, ["cat", "sofa"])  # doctest: +SKIP
        >>> scenes = reward.examples([dspy.Example(image=image, mask=mask)])  # doctest: +SKIP
        >>> reward.score(["a photo of a <CLASS>."], scenes)[0].value  # doctest: +SKIP
        0.61
    """

    def __init__(
        self,
        clip: Clip,
        class_names: Sequence[str],
        *,
        window: int | None = None,
        store: FeatureStore | None = None,
        also_fit: Sequence[str] = (),
    ) -> None:
        if window is None:
            check_tower(clip)
        super().__init__(clip, class_names, store, also_fit)
        self.window = window

    def examples(self, examples: Sequence[Any]) -> Scenes:
        """Encode examples with `image` (see `to_image`), `mask` and, if scenes are not independent, `group`.

        A mask is an array of whole numbers (H, W), as high and wide as the image. The numbers are indices into the
        class names, or -1 for pixels without a class. Features stay in memory for the run.

        Raises:
            InputError: an example lacks a field, or a mask does not fit its image or the classes.
        """
        check_fields(examples, image="an image", mask="a mask (class numbers, one a pixel)")
        groups = groups_of(examples)
        scenes = tuple(self._encode(to_image(example.image), np.asarray(example.mask)) for example in examples)
        return Scenes(scenes, groups)

    def _encode(self, given: LazyImage, mask: npt.NDArray[Any]) -> Scene:
        image = given.rgb()
        expected = (image.height, image.width)
        if mask.shape != expected or not np.issubdtype(mask.dtype, np.integer):
            raise InputError(
                f"the mask of {given.name} is {mask.dtype} {mask.shape}; it must be whole numbers {expected}, one a "
                "pixel."
            )
        mask = mask.astype(np.int64)
        wrong = mask[(mask < NOT_COUNTED) | (mask >= len(self.class_names))]
        if len(wrong):
            raise InputError(
                f"the mask of {given.name} holds {wrong[0]}, and the classes are 0 to {len(self.class_names) - 1}; "
                f"write {NOT_COUNTED} where a pixel does not count."
            )
        if not (mask != NOT_COUNTED).any():
            raise InputError(f"no pixel counts in the mask of {given.name}; leave the image out.")
        encoded = (
            encode_tokens(self.clip, image) if self.window is None else encode_windows(self.clip, image, self.window)
        )
        return Scene(
            encoded.features, interpolation(encoded.y, image.height), interpolation(encoded.x, image.width), mask
        )

    def judge_embeddings(self, classes: Sequence[Floats], units: Scenes) -> Iterable[Judged]:
        """See `EmbeddingReward`."""
        return (self._judge(rows, units) for rows in classes)

    def _judge(self, classes: Floats, scenes: Scenes) -> Judged:
        count = len(classes)
        both, either, there = (np.zeros((len(scenes), count), dtype=np.int64) for _ in range(3))
        losses = np.empty(len(scenes), dtype=np.float64)
        for i, scene in enumerate(scenes.scenes):
            logits = self._pixels(scene, classes)  # (pixels with a class, C)
            truth = scene.mask[scene.mask != NOT_COUNTED]
            predicted = logits.argmax(axis=1)
            there[i] = np.bincount(truth, minlength=count)
            both[i] = np.bincount(truth[predicted == truth], minlength=count)
            either[i] = there[i] + np.bincount(predicted, minlength=count) - both[i]
            losses[i] = losses_of(logits, truth).mean()
        _, values = mean_iou(both, either, there)
        return Judged(values, losses)

    def _pixels(self, scene: Scene, classes: Floats) -> Floats:
        h, w, _ = scene.features.shape
        logits = logits_of(self.clip, scene.features.reshape(h * w, -1), classes).reshape(h, -1)
        tall = (scene.rows @ logits).reshape(len(scene.rows), w, -1)  # (H, w, C)
        return np.asarray((scene.columns @ tall)[scene.mask != NOT_COUNTED])


def mean_iou(both: Counts, either: Counts, there: Counts) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the mean IoU of the classes that occur, and its linearised value for each scene.

    Args:
        both: for each scene and class, the number of pixels of this class that were predicted as it: int64 (n, C).
        either: the number of pixels that are of this class, or were predicted as it, or both: int64 (n, C).
        there: the number of pixels of this class: int64 (n, C).

    Returns:
        The mean IoU in [0, 1], and the linearised value of each scene, float64 (n,). The mean of these values is the
        mean IoU; see `SegmentationReward`.
    """
    occurs = there.sum(axis=0) > 0
    both, either = both[:, occurs], either[:, occurs]
    total = either.sum(axis=0)
    iou = both.sum(axis=0) / total
    influence = ((both - iou * either) / total).mean(axis=1)  # sums to 0 over the scenes
    return float(iou.mean()), iou.mean() + len(both) * influence


class SegmentationSettings(BaseModel, extra="forbid", frozen=True):
    """Settings of the segmentation task."""

    window: int = Field(48, ge=8, le=96, description="side of the windows in pixels; a scene has 96")


class Segmentation(Task):
    """A task that scores templates with `SegmentationReward` on composed scenes."""

    Settings = SegmentationSettings
    made = SegmentationReward
    measure = "mean IoU"
    unit = "scenes"

    def encode(self, reward: Any, items: Sequence[Item], *, seed: int, progress: Progress | None = None) -> Encoded:
        """See `Task`. The units are scenes."""
        scenes = compose(items, seed)
        if not scenes:
            raise InputError(
                f"a scene is composed of four images and there are {len({item.group for item in items})}, without "
                f"variants; give more --shots or images."
            )
        units = reward.examples(scenes)
        return Encoded(units, [scene.image for scene in scenes], (), None)


SIDE = 96
"""The side of a scene in pixels; the embedded images have sides of 48 pixels."""
LEAST = 36
"""The smallest side of an image in a scene, in pixels."""


def compose(items: Sequence[Item], seed: int, least: int = LEAST) -> list[dspy.Example]:
    """Compose scenes of four images each. The same arguments give the same bytes.

    The images are shuffled, and each four in a row make a scene; up to three images are left over. Only one variant
    of each base image is used, so no two scenes share a base image.

    Args:
        items: the labelled images.
        seed: the seed of the shuffle and of the borders between the images.
        least: the smallest side of an image in a scene, in pixels.

    Returns:
        Examples with `image` (96 x 96 pixels) and `mask`, the label of each pixel: int64 (96, 96).
    """
    rng, items = np.random.default_rng(seed), list({item.group: item for item in items}.values())
    order = [items[i] for i in rng.permutation(len(items))]
    scenes = []
    for start in range(0, len(order) - 3, 4):
        x, y = (int(cut) for cut in rng.integers(least, SIDE - least, 2, endpoint=True))
        image, mask = _compose(order[start : start + 4], x, y, f"scene {start // 4}")
        scenes.append(dspy.Example(image=image, mask=mask))
    return scenes


def _compose(four: Sequence[Item], x: int, y: int, name: str) -> tuple[LazyImage, npt.NDArray[np.int64]]:
    scene = Image.new("RGB", (SIDE, SIDE))
    mask = np.empty((SIDE, SIDE), dtype=np.int64)
    boxes = ((0, 0, x, y), (x, 0, SIDE, y), (0, y, x, SIDE), (x, y, SIDE, SIDE))
    for item, (left, top, right, bottom) in zip(four, boxes, strict=True):
        part = item.image.rgb().resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        scene.paste(part, (left, top))
        mask[top:bottom, left:right] = item.label
    buffer = io.BytesIO()
    scene.save(buffer, format="PNG")
    return LazyImage.from_bytes(name, buffer.getvalue()), mask
