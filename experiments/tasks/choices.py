"""How the scenes, the window and the number of steps were chosen: on pictures of the search part alone.

    python -m ipo.experiments.tasks.choices OUT windows retrieval segmentation

The selection and test pictures of the examples are not opened here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipo.experiments.tasks.example import SPLIT_SEED, Settings, Task, run

if TYPE_CHECKING:
    from ipo.experiments.data import Item

LEAST, WINDOWS = (24, 36, 48), (32, 40, 48, 56)
COMPOSED = (0, 1, 2)
STEPS = 6
SEEDS = (0, 1)


def windows() -> None:
    """Print the anchor's mean IoU for scenes with smaller and larger parts and for smaller and larger windows."""
    from ipo.experiments.data import load_data
    from ipo.experiments.tasks.scenes import compose
    from ipo.metrics.clip import load_clip
    from ipo.metrics.segmentation import SegmentationReward
    from ipo.metrics.template import ANCHOR

    data, clip = load_data("embedded", seed=SPLIT_SEED), load_clip("embedded")
    print("least part, window: mean IoU of the anchor, one number for each way to compose the scenes")
    for least in LEAST:
        for window in WINDOWS:
            reward = SegmentationReward(clip, data.class_names, window=window)
            found = [
                reward.score([ANCHOR], reward.examples(compose(data.train, seed, least=least)))[0].accuracy
                for seed in COMPOSED
            ]
            each = ", ".join(f"{100 * one:.2f}" for one in found)
            print(f"{least}, {window}: {100 * np.mean(found):.2f} ({each})", flush=True)


def steps(folder: Path, lm: str, names: Sequence[str]) -> None:
    """Search with one half of the search pictures; print what the best template so far is worth on the other half."""
    from ipo.experiments.data import draw, load_data

    data = load_data("embedded", seed=SPLIT_SEED)
    for name in names:
        for seed in SEEDS:
            half = draw(data, 2, 0, seed).search
            used = {item.group for item in half}
            rest = [item for item in data.train if item.group not in used]
            task = _task(name, data.task, data.class_names, (half, rest, rest), seed)
            result = run(task, Settings(lm=lm, steps=STEPS, seed=seed), folder / name / f"seed-{seed}", f"{name} ")
            scores = task.reward.score(result["best_after_step"], task.reward.examples(task.test))
            each = ", ".join(f"{100 * score.accuracy:.2f}" for score in scores)
            print(f"{name}, seed {seed}, n = {scores[0].n}: anchor and best after each step {each}", flush=True)


def _task(name: str, words: str, class_names: Sequence[str], parts: Sequence[Sequence[Item]], seed: int) -> Task:
    from ipo.experiments.tasks import retrieval, segmentation

    if name == "retrieval":
        return retrieval.task_of(words, class_names, parts)
    return segmentation.task_of(words, class_names, parts, seed)


if __name__ == "__main__":
    for word in sys.argv[2:]:
        windows() if word == "windows" else steps(Path(sys.argv[1]), "local", [word])
