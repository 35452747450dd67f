"""Words, pictures, and both: what a few labelled pictures of each class decide, alone and beside a template.

Prints a Markdown table for each kind of set and number of labels a class, in % of the other pictures: the mean accuracy
of words alone, of ways with pictures, and of `head=blend` minus each of them, with 95 % intervals over sets. The
template is the best of the baseline template and the vocabulary's phrases on the same labelled pictures. The sets are
those of the claims, six of each kind: transformations that captions of the demo CLIP named, transformations that none
ever named, and pictures as they are. No way with pictures sees crops, or sets itself on validation or test pictures:

- class mean: the nearest unit mean.
- GDA alone (Wang et al., ICLR 2024), shrunk as `metrics/blend.py` says.
- GDA + text is the blend, where held-back pictures prefer GDA; the authors choose a on a validation split.
- Tip-Adapter (Zhang et al., ECCV 2022), without training: its kernel over all labelled pictures. The authors average
  ten random crops of each and search alpha and beta on a whole validation or test split. Here pictures that are left
  out in turn choose them; at one label they are the paper's 1 and 5.5.
- LP++ (Huang et al., CVPR 2024), as in `lab/linear_probe.py`; the last epoch counts, which the authors choose on
  as many validation pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import CLAIMS, suite
from benchmarks.lab.cells import OPTION, Cells, short, show
from benchmarks.lab.linear_probe import learn
from ipo_prompts.experiments.compare.methods.pictures import LabelledFeatures
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.blend import WAYS, WEIGHTS, Labelled, blend, from_pictures, left_out_in_turn
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, logits_of
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.sampling import mean_interval
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.templates.phrases import Vocabulary

LABELS = (1, 2, 6)
DRAWS = 4
COLUMNS = ("words", "class mean", "GDA", "Tip-Adapter", "LP++", "blend")
ALPHA, BETA = 1.0, 5.5
"""Alpha and beta of Tip-Adapter, where no picture can be left out."""
BETAS = (1.0, 2.0, BETA, 11.0, 22.0)


def main() -> None:
    """Measure what the file of cells lacks, and print the tables."""
    options = arguments(
        __doc__,
        clips={"default": "embedded", "help": "as in ipo optimize, with commas between"},
        draws={"type": int, "default": DRAWS, "help": "of the labelled pictures, for each set and number of labels"},
        cells=OPTION,
    )
    with Cells(options.cells) as cells:
        for clip in options.clips.split(","):
            show(tables(cells, clip, options.draws, small=options.small))


def tables(cells: Cells, clip: str, draws: int = DRAWS, *, small: bool = False) -> Iterator[str]:
    """Yield the lines of a table for each kind of set."""
    beds = Beds(clip, 12 if small else None)
    less = " | ".join(f"blend − {name}" for name in COLUMNS[:-1])
    for kind in CLAIMS:
        sets = suite(kind)[: 1 if small else None]
        yield from ("", f"{short(clip)}, {kind}, {len(sets)} sets", "")
        yield "| labels a class | " + " | ".join(COLUMNS) + f" | {less} |"
        yield "|" + " --- |" * (2 * len(COLUMNS))
        for labels in LABELS:
            found = [
                [
                    cells.of((short(clip), data, labels, draw), partial(beds.measure, data, labels, draw))
                    for draw in range(1 if small else draws)
                ]
                for data in sets
            ]
            yield row_of(labels, np.array(found, dtype=np.float64))


class Beds:
    """Measures sets with one CLIP, which is loaded when the first set is measured."""

    def __init__(self, clip: str, most: int | None) -> None:
        self._name, self._most = clip, most
        self._texts: dict[tuple[str, ...], list[Floats]] = {}
        self._clip = cache(lambda: load_clip(clip))
        self._bed = cache(partial(bed_of, most=most, known=self._texts))

    def measure(self, data: str, labels: int, draw: int) -> list[float | None]:
        """Return the accuracies of one draw in %, in the order of `COLUMNS`; None where a way needs more labels."""
        clip = self._clip()
        found = one(clip, *self._bed(clip, data), labels, draw)
        return [None if np.isnan(value) else round(value, 6) for value in found]


def bed_of(
    clip: Clip, data: str, most: int | None, known: dict[tuple[str, ...], list[Floats]]
) -> tuple[EncodedPictures, list[Floats]]:
    """Encode all pictures of a set, and the templates with its class names, once for all sets: float32 (C, D) each."""
    loaded = load_data(data, seed=0)
    names, items = tuple(loaded.class_names), [item for _, item in loaded.items()]
    if names not in known:
        templates = [BASELINE, *(phrase.template for phrase in Vocabulary.load().usable(names, clip))][:most]
        known[names] = list(encode_templates(clip.model, clip.tokenizer, templates, names))
    units = ClipReward(clip, names).encode([item.picture for item in items], [item.label for item in items])
    return units, known[names]


def one(clip: Clip, bed: EncodedPictures, texts: Sequence[Floats], labels: int, draw: int) -> list[float]:
    """Return the accuracies of one draw, in the order of `COLUMNS`."""
    rng, classes = np.random.default_rng(draw), len(texts[0])
    places = [rng.permutation(np.flatnonzero(bed.labels == label)) for label in range(classes)]
    drawn = np.concatenate([place[:labels] for place in places])
    test = np.concatenate([place[labels:] for place in places])
    learnt = bed.part(drawn)
    right = [((learnt.features @ text.T).argmax(axis=1) == learnt.labels).mean() for text in texts]
    best = texts[int(np.argmax(right))]
    pictures = Labelled(learnt.features, learnt.labels, classes)
    words, features = logits_of(clip, bed.features[test], best), bed.features[test]
    found = blend(logits_of(clip, learnt.features, best), pictures, clip.logit_scale)
    tried: list[Any] = [words]
    for way in WAYS:
        alone = from_pictures(way, pictures, clip.logit_scale)
        tried.append(np.full_like(words, np.nan) if alone is None else alone.logits(features))
    tried.append(words + tip_adapter(logits_of(clip, learnt.features, best), pictures)(features))
    none = LabelledFeatures(np.zeros((0, clip.width)), np.zeros(0, dtype=np.int64))
    known = LabelledFeatures(learnt.features.astype(np.float64), learnt.labels)
    weights, biases = learn(known, best.astype(np.float64), none)
    tried += [features @ weights.T + biases, words + found.added.logits(features)]
    return [
        np.nan if np.isnan(logits).any() else 100 * float((logits.argmax(axis=1) == bed.labels[test]).mean())
        for logits in tried
    ]


def tip_adapter(words: Floats, pictures: Labelled) -> Callable[[Floats], Doubles]:
    """Return what Tip-Adapter adds to words: alpha times the sum of exp(-beta (1 - cosine)) over a class's pictures.

    Args:
        words: (n, C), the logits of the same pictures by words alone.
        pictures: the pictures, all of which are keys.
    """
    truth = np.eye(pictures.classes)[pictures.labels]

    def added(features: Floats, keys: Any, beta: float) -> Doubles:
        return np.asarray(np.exp(-beta * (1 - features @ pictures.features[keys].T)) @ truth[keys], dtype=np.float64)

    hits = dict.fromkeys(((alpha, beta) for beta in BETAS for alpha in WEIGHTS), 0)
    for mask in left_out_in_turn(pictures):
        for alpha, beta in hits:
            logits = words[mask] + alpha * added(pictures.features[mask], ~mask, beta)
            hits[alpha, beta] += int((logits.argmax(axis=1) == pictures.labels[mask]).sum())
    alpha, beta = max(hits, key=lambda one: (hits[one], one)) if any(hits.values()) else (ALPHA, BETA)
    return lambda features: alpha * added(features, slice(None), beta)


def row_of(labels: int, rows: Doubles) -> str:
    """Return one line: accuracies, (sets, draws, columns), and the differences over sets."""
    means = rows.mean(axis=1)
    cells = ["–" if np.isnan(value) else f"{value:.1f}" for value in means.mean(axis=0)]
    for other in range(len(COLUMNS) - 1):
        gain = means[:, -1] - means[:, other]
        if np.isnan(gain).any():
            cells.append("–")
        else:
            ends = mean_interval(gain)
            cells.append(f"{gain.mean():+.1f} [{ends.low:.1f}, {ends.high:.1f}]")
    return f"| {labels} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
