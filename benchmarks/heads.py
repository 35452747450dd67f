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

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.lab.bed import CLAIMS, suite
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
COLUMNS = ("words", "class mean", "GDA", "Tip-Adapter", "LP++", "blend")
ALPHA, BETA = 1.0, 5.5
"""Alpha and beta of Tip-Adapter, where no picture can be left out."""
BETAS = (1.0, 2.0, BETA, 11.0, 22.0)


def main() -> None:
    """Measure and print."""
    options = arguments(
        __doc__,
        clip={"default": "embedded", "help": "as in ipo optimize"},
        draws={"type": int, "default": 6, "help": "of the labelled pictures, for each set and number of labels"},
    )
    clip = load_clip(options.clip)
    most = 12 if options.small else None
    known: dict[tuple[str, ...], list[Floats]] = {}
    for kind in CLAIMS:
        beds = [bed_of(clip, data, most, known) for data in suite(kind)[: 1 if options.small else None]]
        print(f"\n{kind}, {len(beds)} sets\n", flush=True)
        less = " | ".join(f"blend − {name}" for name in COLUMNS[:-1])
        print("| labels a class | " + " | ".join(COLUMNS) + f" | {less} |")
        print("|" + " --- |" * (2 * len(COLUMNS)))
        for labels in LABELS:
            draws = range(1 if options.small else options.draws)
            rows = np.array([[one(clip, *bed, labels, draw) for draw in draws] for bed in beds])
            print_row(labels, rows)


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


def print_row(labels: int, rows: Doubles) -> None:
    """Print one line of accuracies, (sets, draws, columns), with the differences over sets."""
    means = rows.mean(axis=1)
    cells = ["–" if np.isnan(value) else f"{value:.1f}" for value in means.mean(axis=0)]
    for other in range(len(COLUMNS) - 1):
        gain = means[:, -1] - means[:, other]
        if np.isnan(gain).any():
            cells.append("–")
        else:
            ends = mean_interval(gain)
            cells.append(f"{gain.mean():+.1f} [{ends.low:.1f}, {ends.high:.1f}]")
    print(f"| {labels} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
