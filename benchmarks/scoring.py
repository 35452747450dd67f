"""Scoring against the number of pictures: is it linear, and how much more than its one matrix product?"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import alternate, arguments, report
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        classes={"type": int, "default": 100},
        width={"type": int, "default": 512},
        threads={"type": int, "default": 1, "help": "torch threads; for numpy set OMP_NUM_THREADS too"},
    )
    torch.set_num_threads(options.threads)
    counts = (100, 1000) if options.small else (1_000, 3_000, 10_000, 30_000, 100_000)
    repeats = 2 if options.small else max(options.repeats, 7)
    rng = np.random.default_rng(0)
    classes = _unit(rng, options.classes, options.width)
    features = _unit(rng, counts[-1], options.width)
    labels = rng.integers(0, options.classes, counts[-1])
    scored, multiplied = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        clip = load_clip("embedded", "cpu")
        reward = ClipReward(clip, [str(i) for i in range(options.classes)], FeatureStore(clip, Path(folder)))
        for count in counts:
            pictures = EncodedPictures(features[:count], labels[:count])
            # `score` is this after the text tower, which does not see the pictures.
            seconds = alternate(
                repeats,
                score=partial(reward.score_embeddings, [""], [classes], pictures),
                matmul=partial(np.matmul, pictures.features, classes.T),
            )
            scored[count], multiplied[count] = seconds["score"], seconds["matmul"]
    slope = float(np.polyfit(np.log(counts), np.log(list(scored.values())), 1)[0])
    report(
        "scoring",
        over_matmul={str(count): round(scored[count] / multiplied[count], 2) for count in counts},
        exponent=round(slope, 3),
        seconds={str(count): round(seconds, 5) for count, seconds in scored.items()},
        classes=options.classes,
        width=options.width,
        repeats=repeats,
    )


def _unit(rng: np.random.Generator, count: int, width: int) -> Floats:
    rows = rng.standard_normal((count, width), dtype=np.float32)
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
