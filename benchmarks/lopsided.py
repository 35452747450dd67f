"""What "up to so many of each class" is worth on lopsided folders, over lowering all classes to the poorest.

For each set and draw, take ten of the 68 classes: one has one picture, the others six. The best of the vocabulary's
phrases by hits, then loss, is chosen on all of these pictures ("up to 6"), and on one of each class ("the poorest's").
Prints the test accuracy of both, on all four test pictures of each class, and the difference with its interval over
draws and over sets; and what both rules use of a folder of 16 classes with 1 to 400 pictures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.common import arguments
from ipo_prompts.experiments.data import DataSet, Item, draw, load_data
from ipo_prompts.experiments.data.draw import cut
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.sampling import mean_over_seeds
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs.templates.phrases import Vocabulary

SETS = "zoom+sepia,zoom+hue,small+pixel,upside-down+edge,zoom+bright,small+sepia"
"""Sets that nobody examined while the rule was designed."""
CLASSES = 10
SIZES = (1, 2, 3, 4, 6, 9, 13, 20, 30, 45, 65, 95, 140, 200, 290, 400)


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        sets={"default": SETS, "help": "names after `embedded:`"},
        draws={"type": int, "default": 12, "help": "choices of ten classes a set"},
    )
    names, draws = options.sets.split(","), options.draws
    if options.small:
        names, draws = names[:1], 2
    clip = load_clip("embedded")
    print("| set | up to 6 | the poorest's | difference |\n| --- | --- | --- | --- |")
    found = []
    for name in names:
        data = load_data(f"embedded:{name}", seed=0)
        reward = ClipReward(clip, data.class_names, FeatureStore(clip))
        rows = np.array([chosen(reward, data, seed, options.small) for seed in range(draws)]) * 100
        found.append((rows[:, 0] - rows[:, 1]).tolist())
        print(f"| {name} | {rows[:, 0].mean():.1f} | {rows[:, 1].mean():.1f} | {told(found[-1])} |", flush=True)
    print(f"draws: {told([one for row in found for one in row])}; sets: {told([float(np.mean(row)) for row in found])}")
    for line in of_a_large_folder():
        print(line)


def chosen(reward: ClipReward, data: DataSet, seed: int, small: bool) -> tuple[float, float]:
    """Return the test accuracies of what both rules choose."""
    rng = random.Random(seed)
    labels = sorted(rng.sample(range(len(data.class_names)), CLASSES))
    poor = rng.choice(labels)
    single = next(item for item in data.train if item.label == poor)
    train = tuple(i for i in (*data.train, *data.val) if i.label in labels and (i.label != poor or i is single))
    place = {label: number for number, label in enumerate(labels)}
    few = replace(
        data,
        class_names=tuple(data.class_names[label] for label in labels),
        train=tuple(replace(item, label=place[item.label]) for item in train),
        val=(),
        test=tuple(replace(item, label=place[item.label]) for item in data.test if item.label in labels),
    )
    mine = ClipReward(reward.clip, few.class_names, reward.store)
    phrases = Vocabulary.load().usable(few.class_names, mine.clip)
    templates = [BASELINE, *(phrase.template for phrase in phrases[: 20 if small else None])]
    test = encoded(mine, few.test)

    def accuracy(shots: int) -> float:
        scores = mine.score_batch(templates, encoded(mine, draw(few, shots, 0, seed).search))
        best = min(scores, key=lambda score: (-score.value, score.loss))
        return mine.score([best.template], test)[0].value

    return accuracy(6), accuracy(1)


def encoded(reward: ClipReward, items: Sequence[Item]) -> EncodedPictures:
    """Encode labelled pictures, once for all draws."""
    return reward.encode([item.picture for item in items], [item.label for item in items])


def told(values: Sequence[float]) -> str:
    """Write a mean with its interval."""
    found = mean_over_seeds(values)
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def of_a_large_folder() -> list[str]:
    """Count what a run uses of classes of `SIZES` pictures, and what lowering all to the poorest would use."""
    parts = cut({label: {f"{label}/{i:03d}" for i in range(size)} for label, size in enumerate(SIZES)}, 0, test=True)
    blank = Picture.from_bytes("blank", b"")
    items = {
        part: tuple(Item(blank, int(key.partition("/")[0]), key) for key, own in parts.items() if own == part)
        for part in ("train", "val", "test")
    }
    data = DataSet("sizes", tuple(map(str, SIZES)), "", items["train"], items["val"], items["test"], variants=False)
    # Lowered to the poorest, the class of one picture leaves the others one to search and one to choose with.
    poorest = len(SIZES) + sum(size > 2 for size in SIZES)
    lines = [
        f"classes of {SIZES[0]} to {SIZES[-1]} pictures, lowered to the poorest: {poorest} to search and choose with"
    ]
    for shots, selection in ((4, 2), (16, 8), (16, 16), (64, 32), (400, 400)):
        drawn = draw(data, shots, selection, 0)
        used = len(drawn.search) + len(drawn.selection)
        lines.append(f"shots={shots} selection_shots={selection}: {used}, {used / poorest:.1f} times as many")
    return lines


if __name__ == "__main__":
    main()
