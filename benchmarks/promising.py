"""What the default search loses by scoring only the promising compositions, and what this saves with many classes.

Searches in pairs on sets of 68 or 30 classes: one scores all compositions, the other only those that the surrogate
finds promising. Both try equally many. The control `drawn` scores as many compositions as the second, but draws them
at random.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import SHIFTED
from benchmarks.lab.cells import OPTION, Cells, short
from benchmarks.lab.crossed import crossed_interval
from ipo_prompts.experiments.data import Item, load_data
from ipo_prompts.metrics import reward as reward_module
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.surrogate import Surrogate
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs import bench as bench_module
from ipo_prompts.programs.bench import Bench
from ipo_prompts.programs.domain import domain_of
from ipo_prompts.programs.phrases import Wording
from ipo_prompts.programs.search import search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies import compose
from ipo_prompts.programs.strategies.compose import Compose

SHOTS = 6
"""Images of each class to search with."""
SEEDS = (11, 12, 13, 14, 15)
"""Draws of the images."""
SETS = (
    *("dark+upside-down", "noise+sideways", "negative", "edge+gray", "faded+small", "pixel+hue", "blur+bright"),
    *("zoom+sepia", "swirl+rings", "clean", "held-back/dark", "held-back/clean", "held-back/negative+sideways"),
    "rings+dark",
)
ALL, PROMISING, DRAWN = "all", "promising", "drawn"


class Drawn(Surrogate):
    """The control: which templates are scored is drawn at random."""

    def _ranked(self, templates: Sequence[str]) -> list[str]:
        return [templates[i] for i in np.random.default_rng(len(templates)).permutation(len(templates))]


def main() -> None:
    """Search, and print a table."""
    options = arguments(
        __doc__,
        clip={"default": "embedded", "help": "the CLIP of the pairs of searches"},
        cells=OPTION,
    )
    with Cells(options.cells) as cells:
        for row in table(pairs(cells, options.clip, small=options.small)):
            print(row)


def pairs(cells: Cells, clip: str, *, small: bool = False) -> list[dict[str, Any]]:
    """Return each pair of searches, with its set; those that are not among the cells are run."""
    loaded = cache(lambda: load_clip(clip))
    shots, steps, sets, seeds = (1, 1, SETS[-3:-2], (1,)) if small else (SHOTS, SearchSettings().steps, SETS, SEEDS)
    found = []
    for seed in seeds:
        for name in sets:

            def search_both(name: str = name, seed: int = seed) -> dict[str, Any]:
                return pair(loaded(), name, seed, shots, steps)

            found.append({"set": name, **cells.of((short(clip), shots, name, seed), search_both)})
    return found


def pair(clip: Clip, name: str, seed: int, shots: int, steps: int) -> dict[str, Any]:
    """Search in each way on the same images; return for each way its accuracy on test images and its texts."""
    data = load_data(f"{SHIFTED}{name}@{seed}", seed=seed)
    reward = ClipReward(clip, data.class_names)
    drawn, of_class = list[Item](), defaultdict[Any, int](int)
    for item in (*data.train, *data.val):
        of_class[item.label] += 1
        if of_class[item.label] <= shots:
            drawn.append(item)
    units, test = (reward.encode([i.image for i in items], [i.label for i in items]) for items in (drawn, data.test))
    found: dict[str, Any] = {"baseline": reward.score([BASELINE], test)[0].value}
    for way in (ALL, PROMISING, DRAWN):
        template, tried, texts = searched(way, reward, units, SearchSettings(seed=seed, steps=steps))
        score = reward.score([template], test)[0].value
        found[way] = {"tried": tried, "texts": texts, "template": template, "test": score}
    return found


class Counting(Compose):
    """Counts the compositions that are tried."""

    tried = 0

    def _try(self, bench: Bench, near: Iterable[Wording], most: int | None = None) -> int:
        found = super()._try(bench, near, most)
        self.tried += found
        return found


def searched(way: str, reward: ClipReward, units: EncodedImages, settings: SearchSettings) -> tuple[str, int, int]:
    """Search in one way. Return the winner, how many compositions were tried, and how many texts were encoded."""
    texts = 0

    def counting(model: Any, tokenizer: Any, templates: Sequence[str], names: Sequence[str]) -> Any:
        nonlocal texts
        texts += len(templates) * len(names)
        return encode_templates(model, tokenizer, templates, names)

    words = domain_of(reward.class_names, ())
    made = Counting(words=0)
    with (
        patch.object(reward_module, "encode_templates", counting),
        patch.object(compose, "SENTENCES", 10**12 if way == ALL else 0),
        patch.object(bench_module, "Surrogate", Drawn if way == DRAWN else Surrogate),
    ):
        found = search(settings, reward, made, units, find_domain=lambda: words)
    return found.choice.template, made.tried, texts


def table(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a table: each way against scoring all compositions, in points."""
    rows = ["| scored | gain over the baseline | beyond all | standard error | lowest | texts |"]
    rows.append("| --- |" + " ---: |" * 5)
    for way in (ALL, PROMISING, DRAWN):
        gains = np.array([100 * (line[way]["test"] - line["baseline"]) for line in lines])
        over = gains - [100 * (line[ALL]["test"] - line["baseline"]) for line in lines]
        share = np.mean([line[way]["texts"] / line[ALL]["texts"] for line in lines])
        told = ["–"] * 3
        if way != ALL and len(lines) > 1:
            low, high = crossed_interval(over, [[line["set"] for line in lines]])
            error = over.std(ddof=1) / len(over) ** 0.5
            told = [f"{over.mean():+.2f} [{low:+.2f}, {high:+.2f}]", f"{error:.2f}", f"{over.min():+.1f}"]
        rows.append(f"| {way} | {gains.mean():.2f} | {' | '.join(told)} | {share:.0%} |")
    rows.append(f"\n{len(lines)} pairs of searches; intervals over sets.")
    return rows


if __name__ == "__main__":
    main()
