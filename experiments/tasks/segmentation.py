"""Example: say what is where in scenes composed of the embedded pictures.

    python -m ipo.experiments.tasks.segmentation [OUT]

The embedded CLIP has a convolutional tower, so places are windows, as large as its input. Its own feature map (stride
32, averaged and projected) is exact too, but says little about places: trained on 48-pixel pictures, each of its four
cells saw nearly all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ipo.experiments.tasks.example import Settings, Task
from ipo.experiments.tasks.example import main as run_example

ABOUT = "Optimise a template for open-vocabulary segmentation on the embedded CLIP and composed scenes."
SHOTS, SELECTION_SHOTS = 4, 2
SEALED_SEED = 0
"""The sealed scenes are the same for every seed of a run."""


def prepare(settings: Settings) -> Task:
    """Compose the scenes of each part from the pictures of that part.

    Raises:
        InputError: unknown data.
    """
    from ipo.experiments.data import draw, load_data
    from ipo.experiments.tasks.scenes import compose
    from ipo.metrics.clip import load_clip
    from ipo.metrics.segmentation import SegmentationReward

    data = load_data(settings.data, seed=settings.seed)
    drawn = draw(data, SHOTS, SELECTION_SHOTS, settings.seed)
    clip = load_clip("embedded")
    reward = SegmentationReward(clip, drawn.class_names, window=clip.model.visual.image_size[0])
    search, selection = compose(drawn.search, settings.seed), compose(drawn.selection, settings.seed)
    test = compose(drawn.test, SEALED_SEED)
    return Task("segmentation", data.task, clip, reward, search, selection, test, {"mean IoU": reward})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code."""
    return run_example("segmentation", ABOUT, "scenes", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
