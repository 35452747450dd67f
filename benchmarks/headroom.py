"""Does `metrics/headroom.py` foresee what words gain? Ranks of shifts, and what came of each verdict.

The shipped clean pictures are rendered without transformation, with each single one and with each pair. On each set the
three figures are measured as `ipo data check` does. Then the gains over the initial template on the test pictures are
measured: of the best phrase of the vocabulary and of the best of CLIP's 80 templates, both chosen on the search
pictures; and of the initial template with centring by the search and selection pictures, which undoes a bias between
classes without words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import stats

from benchmarks.common import arguments
from benchmarks.lab.cells import OPTION, Cells, hits_of, string_of
from ipo_prompts.experiments.data import Item, draw, load_data
from ipo_prompts.experiments.embedded.shifts import TRANSFORMATIONS, render, seed_of
from ipo_prompts.experiments.run.beforehand import few, headroom_among
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, losses_of
from ipo_prompts.metrics.clip import Clip, load_clip, unit
from ipo_prompts.metrics.template import BASELINE, imagenet_templates
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.templates.phrases import Vocabulary

CLIP = "embedded"
FIGURES = ("words", "class mean less initial template", "few classes guessed")
GAINS = ("best phrase of the vocabulary", "best of CLIP's 80", "mean picture subtracted")


def main() -> None:
    """Measure what the file of cells lacks, and print the tables."""
    options = arguments(
        __doc__,
        threads={"type": int, "default": 1, "help": "torch threads"},
        cells=OPTION,
    )
    torch.set_num_threads(options.threads)
    with Cells(options.cells) as cells:
        found = sets(cells, small=options.small)
    print("\n".join([*ranks(found), "", *verdicts(found)]))


def sets(cells: Cells, *, small: bool = False) -> list[dict[str, Any]]:
    """Return the cells of all sets, see `measured`."""
    load = cache(Bed)
    shifts = [(), *((name,) for name in TRANSFORMATIONS), *combinations(TRANSFORMATIONS, 2)][:: 60 if small else 1]
    return [cells.of((CLIP, "+".join(one) or "clean"), partial(measured, load, one)) for one in shifts]


def ranks(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of rank correlations of the figures with the gains."""
    yield f"| figure | {' | '.join(GAINS)} |"
    yield "| --- " * (1 + len(GAINS)) + "|"
    gains = {gain: np.array([gained(one, gain) for one in found]) for gain in GAINS}
    for figure in FIGURES:
        values = np.array([one[figure] for one in found])
        yield f"| {figure} | {' | '.join(_spearman(values, gains[gain]) for gain in GAINS)} |"


def verdicts(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of what the best phrase gained by verdicts, the most frequent first."""
    yield "| verdict | sets | points that the best phrase gained: least, median, most |"
    yield "| --- | --- | --- |"
    for verdict, many in Counter(one["verdict"] for one in found).most_common():
        gains = [100 * gained(one, GAINS[0]) for one in found if one["verdict"] == verdict]
        yield f"| {verdict} | {many} | {', '.join(f'{value:.1f}' for value in np.quantile(gains, [0, 0.5, 1]))} |"


def gained(cell: dict[str, Any], gain: str) -> float:
    """Return a gain in accuracy on the test pictures of a set."""
    return float(hits_of(cell["hits"], cell[gain]).mean() - hits_of(cell["hits"]).mean())


class Bed:
    """The CLIP, the pictures of the shipped set, and all templates with its class names."""

    def __init__(self) -> None:
        self.clip, data = load_clip(CLIP), load_data("embedded:b", seed=0)
        drawn = draw(data, 4, 2, 0)
        self.names, self.searched = data.class_names, len(drawn.search)
        self.few_shot, self.test = [*drawn.search, *drawn.selection], [*drawn.test]
        phrases = [phrase.template for phrase in Vocabulary.load().usable(self.names, self.clip)]
        self.texts = [
            encode_templates(self.clip.model, self.clip.tokenizer, templates, self.names)
            for templates in ([BASELINE], phrases, list(imagenet_templates()))
        ]


def measured(load: Callable[[], Bed], transformations: tuple[str, ...]) -> dict[str, Any]:
    """Return the cell of a set.

    It holds the verdict, the three figures, the hits of the initial template on the test pictures, and for each of
    `GAINS` the hits gained and lost.
    """
    bed = load()
    features = _encode(bed.clip, [*bed.few_shot, *bed.test], transformations)
    chosen = few(bed.few_shot)
    seen = EncodedPictures(features[chosen], np.array([bed.few_shot[i].label for i in chosen], dtype=np.int64))
    room = headroom_among(ClipReward(bed.clip, bed.names), BASELINE, seen)
    assert room is not None
    words, difference = (one.value if one else 0.0 for one in (room.words, room.difference))
    figures = dict(zip(FIGURES, (words, difference, -room.guessed.value), strict=True))
    return {"verdict": room.outcome, **figures, **_hits(bed, features)}


def _encode(clip: Clip, items: list[Item], transformations: tuple[str, ...]) -> Floats:
    pixels = []
    for item in items:
        colours = np.asarray(item.picture.image(), dtype=np.float32) / 255
        rgba = np.concatenate([colours, np.ones_like(colours[..., :1])], axis=2)
        shifted = render(rgba, transformations, seed_of(item.group, 0), jitter=0)
        pixels.append(clip.preprocess(Image.fromarray((255 * shifted).round().astype(np.uint8))))
    with torch.inference_mode():
        return np.concatenate([unit(clip.model.encode_image(part)) for part in torch.split(torch.stack(pixels), 32)])


def _hits(bed: Bed, features: Floats) -> dict[str, str]:
    """Return the hits of the initial template on the test pictures, and those gained and lost by each of `GAINS`."""
    truth = np.array([item.label for item in (*bed.few_shot, *bed.test)])
    known = len(bed.few_shot)

    def scored(rows: Floats, seen: Floats) -> tuple[Any, Doubles]:
        logits = np.float32(bed.clip.logit_scale) * (seen @ rows.T)
        return logits.argmax(axis=1) == truth, losses_of(logits, truth)

    initial = scored(bed.texts[0][0], features)[0][known:]
    found = []
    for vocabulary in bed.texts[1:]:
        hits, losses = (np.stack(part) for part in zip(*(scored(rows, features) for rows in vocabulary), strict=True))
        searched = slice(bed.searched)
        best = np.lexsort((losses[:, searched].mean(axis=1), -hits[:, searched].mean(axis=1)))[0]
        found.append(hits[best, known:])
    found.append(scored(bed.texts[0][0], features - features[:known].mean(axis=0))[0][known:])
    over = {gain: string_of(hits, initial) for gain, hits in zip(GAINS, found, strict=True)}
    return {"hits": string_of(initial), **over}


def _spearman(x: Doubles, y: Doubles) -> str:
    """Return Spearman's rank correlation with the percentile interval of 1,000 resamples of the sets."""
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(1000):
        drawn = rng.integers(0, len(x), len(x))
        resampled.append(stats.spearmanr(x[drawn], y[drawn]).statistic)
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return f"{stats.spearmanr(x, y).statistic:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
