"""Labelling picture files with a saved program: read ahead by threads, classified in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.head import Head
from ipo_prompts.metrics.pictures import Background, Picture
from ipo_prompts.programs.classifier import TemplateClassifier

BATCH = 32
"""Pictures encoded at once; as many again are read ahead, so that memory does not grow with their number."""
READERS = 8


class Decision(NamedTuple):
    """What is told of a picture.

    Attributes:
        probabilities: of each class, float32 (C,).
        cosine: the highest with a class.
        margin: that less the highest with what is none of them; None where that is not asked.
    """

    probabilities: Floats
    cosine: float
    margin: float | None


Row = tuple[Path, Decision | InputError]
"""A picture, and what is told of it, or why nothing is."""


def label_files(classifier: TemplateClassifier, files: Iterator[Path], head: Head | None = None) -> Iterator[Row]:
    """Label pictures in order; rows come batch by batch, while threads read the next pictures.

    A `head` that has more than the classifier's own, such as what is none of its classes, can be given. The first batch
    is one picture and each is twice the one before, up to `BATCH`: the first row comes at once.
    """
    head = head or classifier.head()
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[tuple[Path, Future[Picture | InputError]]] = deque()
        size = 1
        while True:
            while len(ahead) < 2 * size and (file := next(files, None)):
                ahead.append((file, pool.submit(_read, file, classifier.background)))
            if not ahead:
                return
            batch = [ahead.popleft() for _ in range(min(size, len(ahead)))]
            yield from _label(classifier.clip, head, [(file, future.result()) for file, future in batch])
            size = min(2 * size, BATCH)


def _label(clip: Clip, head: Head, batch: Sequence[tuple[Path, Picture | InputError]]) -> list[Row]:
    good = [picture for _, picture in batch if isinstance(picture, Picture)]
    try:
        answers = iter(_answers(head, clip.encode_pictures(good)) if good else ())
    except InputError as error:
        if len(batch) == 1:
            return [(batch[0][0], error)]
        return [row for one in batch for row in _label(clip, head, [one])]  # to find out which of them is no picture
    return [(file, next(answers) if isinstance(it, Picture) else it) for file, it in batch]


def _answers(head: Head, features: Floats) -> list[Decision]:
    cosines, margins = head.margins(features)
    told = [None] * len(cosines) if margins is None else margins.tolist()
    return [*map(Decision, head.probabilities(features), cosines.tolist(), told)]


def _read(file: Path, background: Background) -> Picture | InputError:
    try:
        picture = Picture.from_path(file)
        return Picture.from_bytes(picture.name, picture.bytes()).on(background)
    except InputError as error:
        return error
