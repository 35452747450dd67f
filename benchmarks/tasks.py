"""How the scenes, the window and the number of steps were chosen: on search pictures alone.

    python -m benchmarks.tasks --out OUT --what windows retrieval examples.segmentation:Segmentation

The selection and test pictures of the examples are not opened here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import arguments
from examples.segmentation import SegmentationReward, compose
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import SPLIT_SEED, plan
from ipo_prompts.experiments.run.prepared import prepare
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.experiments.run.searching import search_in
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.record.journal import Journal

LEAST, WINDOWS = (24, 36, 48), (32, 40, 48, 56)
COMPOSED = (0, 1, 2)
STEPS = 6
SEEDS = (0, 1)


def windows(leasts: Sequence[int], sizes: Sequence[int]) -> None:
    """Print the baseline template's mean IoU for scenes with smaller and larger parts and for smaller and larger
    windows.
    """
    data, clip = load_data("embedded", seed=SPLIT_SEED), load_clip("embedded")
    print("least part, window: mean IoU of the baseline template, one number for each way to compose the scenes")
    for least in leasts:
        for window in sizes:
            reward = SegmentationReward(clip, data.class_names, window=window)
            found = [
                reward.score([BASELINE], reward.examples(compose(data.train, seed, least=least)))[0].value
                for seed in COMPOSED
            ]
            each = ", ".join(f"{100 * one:.2f}" for one in found)
            print(f"{least}, {window}: {100 * np.mean(found):.2f} ({each})", flush=True)


def steps(folder: Path, name: str, number: int, seeds: Sequence[int]) -> None:
    """Search with one half of the search pictures; print what the best template so far is worth on the other half."""
    words = [f"reward={name}", "shots=2", "selection_shots=0", f"steps={number}", "patience=null"]
    for seed in seeds:
        ui = Ui(number, quiet=True)
        planned = plan(load_config(None, [*words, f"seed={seed}"]))
        used = {item.group for item in planned.drawn.search}
        rest = [item for item in planned.data.train if item.group not in used]
        prepared = prepare(replace(planned, drawn=replace(planned.drawn, test=(), new_test=())), ui)
        with closing(Journal(folder / name / f"seed-{seed}")) as journal:
            best = [step.best.template for step in search_in(prepared, journal, ui).result.steps]
        units = planned.task.encode(prepared.reward, rest, seed=seed).units
        scores = prepared.reward.score(best, units)
        each = ", ".join(f"{100 * score.value:.2f}" for score in scores)
        print(f"{name}, seed {seed}, n = {scores[0].n}: baseline and best after each step {each}", flush=True)


def main() -> None:
    """Measure what is named; a small size is one of each."""
    options = arguments(
        __doc__,
        what={"nargs": "*", "default": ["windows"], "help": "windows, or rewards"},
        out={"type": Path, "default": None, "help": "folder of the searches; default a temporary one"},
    )
    most = 1 if options.small else None
    with tempfile.TemporaryDirectory() as scratch:
        for word in options.what:
            if word == "windows":
                windows(LEAST[:most], WINDOWS[:most])
            else:
                steps(options.out or Path(scratch), word, most or STEPS, SEEDS[:most])


if __name__ == "__main__":
    main()
