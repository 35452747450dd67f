"""Does `metrics/headroom.py` foresee what words gain? Ranks of shifts, and what came of each verdict.

The shipped clean pictures are rendered without transformation, with each single one and with each pair. On each set the
three figures are measured as `ipo data check` does. Then the gains over the initial template on the test pictures are
measured: of the best phrase of the vocabulary and of the best of CLIP's 80 templates, both chosen on the search
pictures; and of the initial template with centring by the search and selection pictures, which undoes a bias between
classes without words.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import stats

from benchmarks.common import arguments, report
from ipo_prompts.experiments.compare.raw_cells import unpack
from ipo_prompts.experiments.data import Item, draw, load_data
from ipo_prompts.experiments.embedded.shifts import TRANSFORMATIONS, render, seed_of
from ipo_prompts.experiments.run.beforehand import few, headroom_among, of_data
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, losses_of
from ipo_prompts.metrics.clip import Clip, load_clip, unit
from ipo_prompts.metrics.template import BASELINE, imagenet_templates
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.metrics.verdict import Headroom
from ipo_prompts.programs.templates.phrases import Vocabulary

GAINS = ("best phrase", "best of 80", "mean subtracted")


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        threads={"type": int, "default": 1, "help": "torch threads"},
        cells={"type": Path, "help": "raw cells of a grid: rank its data sets by what its searches gained instead"},
    )
    torch.set_num_threads(options.threads)
    clip = load_clip("embedded")
    if options.cells:
        report("headroom", **_of_searches(clip, options.cells))
        return
    data = load_data("embedded:b", seed=0)
    drawn = draw(data, 4, 2, 0)
    few_shot, names = [*drawn.search, *drawn.selection], data.class_names
    vocabularies = ([p.template for p in Vocabulary.load().usable(names, clip)], list(imagenet_templates()))
    texts = [
        encode_templates(clip.model, clip.tokenizer, templates, names) for templates in ([BASELINE], *vocabularies)
    ]
    pairs = itertools.combinations(TRANSFORMATIONS, 2)
    sets = [(), *((name,) for name in TRANSFORMATIONS), *pairs][:: 60 if options.small else 1]
    rooms, gains = [], []
    for transformations in sets:
        features = _encode(clip, [*few_shot, *drawn.test], transformations)
        chosen = few(few_shot)
        seen = EncodedPictures(features[chosen], np.array([few_shot[i].label for i in chosen], dtype=np.int64))
        room = headroom_among(ClipReward(clip, names), BASELINE, seen)
        assert room is not None
        rooms.append(room)
        gains.append(_gains(clip, features, [*few_shot, *drawn.test], len(drawn.search), len(few_shot), texts))
    report("headroom", **_told(rooms, np.array(gains)))


def _of_searches(clip: Clip, cells: Path) -> dict[str, Any]:
    """Correlate the ranks of *words*, before the search, with the gain of each row over the baseline template."""
    grid, found, outcomes = unpack(cells)
    words, values = np.zeros(len(grid.data)), {row.label: np.zeros(len(grid.data)) for row in grid.methods}
    for place, spec in enumerate(grid.data):
        for seed in grid.seeds:
            looked = of_data(load_data(spec, seed=0), clip, load_config(None, [f"data={spec}", f"seed={seed}"]))
            assert looked.headroom is not None and looked.headroom.words is not None
            words[place] += looked.headroom.words.value
    for entry, outcome in zip(found, outcomes, strict=True):
        assert isinstance(outcome, dict)
        values[entry.label][grid.data.index(entry.cell.data)] += outcome["scores"]["test"]["value"]
    ranks = {row: _spearman(words, found - values["baseline"]) for row, found in values.items() if row != "baseline"}
    return {"sets": len(words), "spearman": ranks}


def _encode(clip: Clip, items: list[Item], transformations: tuple[str, ...]) -> Floats:
    pixels = []
    for item in items:
        colours = np.asarray(item.picture.image(), dtype=np.float32) / 255
        rgba = np.concatenate([colours, np.ones_like(colours[..., :1])], axis=2)
        shifted = render(rgba, transformations, seed_of(item.group, 0), jitter=0)
        pixels.append(clip.preprocess(Image.fromarray((255 * shifted).round().astype(np.uint8))))
    with torch.inference_mode():
        return np.concatenate([unit(clip.model.encode_image(part)) for part in torch.split(torch.stack(pixels), 32)])


def _gains(
    clip: Clip, features: Floats, items: list[Item], searched: int, few_shot: int, texts: list[Floats]
) -> list[float]:
    """Return gains on the test pictures, which are the items after `few_shot`, in the order of `GAINS`."""
    truth = np.array([item.label for item in items])

    def scored(rows: Floats, seen: Floats) -> tuple[npt.NDArray[np.bool_], Doubles]:
        logits = np.float32(clip.logit_scale) * (seen @ rows.T)
        return logits.argmax(axis=1) == truth, losses_of(logits, truth)

    initial = scored(texts[0][0], features)[0][few_shot:].mean()
    found = []
    for vocabulary in texts[1:]:
        hits, losses = (np.stack(part) for part in zip(*(scored(rows, features) for rows in vocabulary), strict=True))
        best = np.lexsort((losses[:, :searched].mean(axis=1), -hits[:, :searched].mean(axis=1)))[0]
        found.append(float(hits[best, few_shot:].mean() - initial))
    centred = scored(texts[0][0], features - features[:few_shot].mean(axis=0))[0]
    return [*found, float(centred[few_shot:].mean() - initial)]


def _told(rooms: list[Headroom], gains: Doubles) -> dict[str, Any]:
    measures = {
        "words": [room.words.value if room.words else 0.0 for room in rooms],
        "class mean less initial": [room.difference.value if room.difference else 0.0 for room in rooms],
        "crowded guesses": [-room.guessed.value for room in rooms],
    }
    ranks = {
        name: {gain: _spearman(np.array(values), gains[:, i]) for i, gain in enumerate(GAINS)}
        for name, values in measures.items()
    }
    outcomes = np.array([room.outcome for room in rooms])
    quantiles = {
        outcome: {
            "sets": int((outcomes == outcome).sum()),
            "points gained by the best phrase, least, median, most": np.round(
                100 * np.quantile(gains[outcomes == outcome, 0], [0, 0.5, 1]), 1
            ).tolist(),
        }
        for outcome in sorted(set(outcomes.tolist()))
    }
    return {"sets": len(rooms), "spearman": ranks, "verdicts": quantiles}


def _spearman(x: Doubles, y: Doubles) -> list[float]:
    """Return Spearman's rank correlation with the percentile interval of 1,000 resamples of the sets."""
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(1000):
        sets = rng.integers(0, len(x), len(x))
        resampled.append(stats.spearmanr(x[sets], y[sets]).statistic)
    return [round(float(v), 2) for v in (stats.spearmanr(x, y).statistic, *np.nanquantile(resampled, [0.025, 0.975]))]


if __name__ == "__main__":
    main()
