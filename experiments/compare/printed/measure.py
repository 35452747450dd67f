"""What a frozen CLIP gets with templates on the base and on the new classes of a data set, without any search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo_prompts.experiments.data import DataSet, Draw, draw
from ipo_prompts.experiments.run.plan import SPLIT_SEED
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import BLOCK, ClipReward, EncodedPictures, logits_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore, Progress


@dataclass(frozen=True)
class Measured:
    """Templates under one CLIP.

    Attributes:
        hits: template → pictures that are right, of the base and of the new classes.
        refused: template → why it cannot be measured, in part of a sentence.
    """

    hits: dict[str, tuple[int, int]]
    refused: dict[str, str]


def halves_of(data: DataSet) -> Draw:
    """Return the test pictures of the base and of the new classes; none is opened.

    Raises:
        InputError: there are too few classes to cut.
    """
    return draw(data, shots=1, selection_shots=0, seed=SPLIT_SEED, classes="base")


def measure(clip: Clip, halves: Draw, templates: Sequence[str], progress: Progress | None = None) -> Measured:
    """Encode the test pictures once and count what each template gets right on them.

    Raises:
        InputError: names the picture that cannot be decoded.
    """
    store = FeatureStore(clip)
    names = (halves.class_names, halves.new_class_names)
    rewards = [ClipReward(clip, own, store, also_fit=other) for own, other in (names, names[::-1])]
    refused = {template: why for template in templates if (why := rewards[0].problem(template))}
    wanted = [template for template in templates if template not in refused]
    counts = []
    for reward, items in zip(rewards, (halves.test, halves.new_test), strict=True):
        pictures = reward.encode([item.picture for item in items], [item.label for item in items], progress=progress)
        classes = reward.texts.encode(wanted, reward.class_names)
        counts.append([count_right(clip, one, pictures) for one in classes])
    return Measured(dict(zip(wanted, zip(*counts, strict=True), strict=True)), refused)


def count_right(clip: Clip, classes: Floats, pictures: EncodedPictures) -> int:
    """Count the pictures whose highest logit is their class; of equal logits the lowest label counts.

    With a CLIP in half precision, features and logits are rounded to it at each step, as in CoOp's zero-shot classifier
    (github.com/KaiyangZhou/CoOp, trainers/zsclip.py). Logits near 20 then lie 1/64 apart, and some are equal.
    """
    right = 0
    logits: npt.NDArray[np.floating[Any]]
    for start in range(0, len(pictures), BLOCK):
        block = slice(start, start + BLOCK)
        if clip.precision == "fp16":
            scaled = np.float16(clip.logit_scale) * pictures.features[block].astype(np.float16)
            products = scaled.astype(np.float32) @ classes.astype(np.float16).astype(np.float32).T
            logits = products.astype(np.float16)  # a bias is the same for all classes: it changes no order
        else:
            logits = logits_of(clip, pictures.features[block], classes)
        right += int((logits.argmax(axis=1) == pictures.labels[block]).sum())
    return right
