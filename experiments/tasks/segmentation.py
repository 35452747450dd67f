"""Example: say what is where in scenes composed of the embedded pictures.

    python -m ipo.experiments.tasks.segmentation [OUT] --seeds 3 --controls

The embedded CLIP has a convolutional tower, so places are windows, as large as its input. What other windows and its
own feature map are worth is in docs/other-tasks.md; `choices.py` measures it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipo.experiments.tasks.command import main as run_example
from ipo.experiments.tasks.example import SELECTION_SHOTS, SHOTS, SPLIT_SEED, Settings, Task

if TYPE_CHECKING:
    from ipo.experiments.data import Item

ABOUT = "Optimise a template for open-vocabulary segmentation on the embedded CLIP and composed scenes."
SEALED_SEED = 0
"""The sealed scenes are the same for every seed of a run."""
WINDOW = 48
"""Pixels: the embedded CLIP's input."""


def prepare(settings: Settings) -> Task:
    """Compose the scenes of each part from the pictures of that part.

    Raises:
        InputError: unknown data.
    """
    from ipo.experiments.data import draw, load_data

    data = load_data(settings.data, seed=SPLIT_SEED)
    drawn = draw(data, SHOTS, SELECTION_SHOTS, settings.seed)
    return task_of(data.task, drawn.class_names, (drawn.search, drawn.selection, drawn.test), settings.seed)


def task_of(words: str, class_names: Sequence[str], parts: Sequence[Sequence[Item]], seed: int) -> Task:
    """Make the task of the search, selection and test pictures; `seed` composes the first two."""
    from ipo.experiments.tasks.scenes import compose
    from ipo.metrics.clip import load_clip
    from ipo.metrics.segmentation import SegmentationReward

    clip = load_clip("embedded")
    reward = SegmentationReward(clip, class_names, window=WINDOW)
    search, selection, test = (
        compose(items, chosen) for items, chosen in zip(parts, (seed, seed, SEALED_SEED), strict=True)
    )
    return Task("segmentation", words, clip, reward, search, selection, test, {"mean IoU": reward})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code."""
    return run_example("segmentation", ABOUT, "scenes", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
