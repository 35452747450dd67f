"""Label picture files with a saved program. Threads read and decode files ahead of the batch that is classified."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.calibration import Head
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.programs.classifier import TemplateClassifier

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

BATCH = 32
"""The most pictures that are encoded at once. As many again are decoded ahead.

So the memory needed does not grow with the number of pictures.
"""


Row = tuple[Path, Floats | InputError]
"""A picture file with the probability of each class, float32 (C,), or with the error for which there is none."""


def label_files(classifier: TemplateClassifier, files: Iterator[Path]) -> Iterator[Row]:
    """Label pictures, and yield a row for each, batch by batch, while threads decode the next pictures.

    The first batch is a single picture, so that its row comes at once. Each later batch is twice as large, up to
    `BATCH`.

    Args:
        classifier: the program.
        files: the picture files.
    """
    head, clip = classifier.head(), classifier.clip
    ahead: deque[tuple[Path, Future[torch.Tensor]]] = deque()
    size = 1
    while True:
        while len(ahead) < 2 * size and (file := next(files, None)):
            ahead.append((file, clip.decoding(partial(_open, file))))
        if not ahead:
            return
        yield from _label(clip, head, [ahead.popleft() for _ in range(min(size, len(ahead)))])
        size = min(2 * size, BATCH)


def _open(file: Path) -> Image:
    return Picture.from_path(file).image()


def _label(clip: Clip, head: Head, batch: Sequence[tuple[Path, Future[torch.Tensor]]]) -> list[Row]:
    faults = [error if isinstance(error := pixels.exception(), InputError) else None for _, pixels in batch]
    good = [pixels for (_, pixels), fault in zip(batch, faults, strict=True) if fault is None]
    answers: Iterator[Floats] = iter(head.probabilities(clip.encode_pixels(good))) if good else iter(())
    return [(file, fault or next(answers)) for (file, _), fault in zip(batch, faults, strict=True)]
