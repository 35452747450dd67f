"""How the winner is chosen, on pictures: rules compared at few labels by a CLIP's own scores, and on shuffled labels.

Templates are single phrases of the vocabulary and random pairs of phrases; each draw takes a random part of them. The
labelled pictures choose, all others test. The name of a rule says how it differs from the shipped rule
(`ipo_prompts.programs.selection`). On shuffled labels no template is better than another: a rule that often leaves the
initial template there chooses by something else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import arguments
from ipo_prompts.experiments.compare.methods.given import one_template
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.arrays import Doubles, Floats
from ipo_prompts.metrics.classification import losses_of, places_of
from ipo_prompts.metrics.clip import load_clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.selection import ScoreTable, choose
from ipo_prompts.programs.templates.phrases import Vocabulary

SETS = ",embedded:".join(
    ["embedded:", "upside-down+sepia", "sideways+gray", "zoom+faded", "sideways+noise", "zoom+sepia"]
)
CLASSES, LABELS, CANDIDATES = (68, 19, 10), (1, 2, 4, 6), 60
POOL = 300
RULES = ("hits", "hits and loss", "place")
"""The rules: hits; hits minus losses, each divided by its standard deviation over pictures; the shipped rule."""


class Measured(NamedTuple):
    """Logits of all templates on a set, float32 (1 + T, n, C), the initial one first; labels (n,), words (1 + T,)."""

    logits: Floats
    labels: NDArray[np.int64]
    words: NDArray[np.int64]


def main() -> None:
    """Draw and print a Markdown table."""
    options = arguments(
        __doc__,
        clip={"default": "embedded", "help": "as in ipo optimize"},
        sets={"default": SETS, "help": "data, with commas between"},
        draws={"type": int, "default": 25, "help": "of labelled pictures, classes and templates, each set"},
        shuffled={"action": "store_true", "help": "labels say nothing: the control"},
    )
    sets = options.sets.split(",")[: 1 if options.small else None]
    measured = list(measure(options.clip, sets, 20 if options.small else POOL))
    print("| classes | labels a class |" + "".join(f" {rule} |" for rule in RULES))
    print("| ---: | ---: |" + " ---: |" * len(RULES))
    for classes in CLASSES:
        for labels in LABELS:
            draws = range(1 if options.small else options.draws)
            rows = [[one(found, classes, labels, draw, options.shuffled) for draw in draws] for found in measured]
            gains = np.array(rows).mean(axis=1)  # (sets, rules, gain and whether the initial one was left)
            over = gains[:, :, 0] - gains[:, :1, 0]
            error = over.std(axis=0, ddof=min(1, len(over) - 1)) / np.sqrt(len(over))
            told = zip(gains.mean(axis=0), over.mean(axis=0), error, strict=True)
            cells = [
                f" {gain:+.2f}, {more:+.2f} ± {of:.2f} over hits ({100 * left:.0f} %) |"
                for (gain, left), more, of in told
            ]
            print(f"| {classes} | {labels} |" + "".join(cells), flush=True)


def measure(spec: str, sets: list[str], pool: int) -> Iterator[Measured]:
    """Encode each set once, and all templates with its classes."""
    clip, rng = load_clip(spec), random.Random(5)
    for place in sets:
        data = load_data(place, seed=0)
        items = [*data.train, *data.val, *data.test]
        phrases = Vocabulary.load().usable(data.class_names, clip)
        pairs = [pair for pair in combinations(phrases, 2) if pair[0].group != pair[1].group]
        singles = [phrase.template for phrase in rng.sample(list(phrases), pool // 5)]
        both = [template for pair in rng.sample(pairs, 2 * pool) if (template := one_template(*pair))]
        templates = [BASELINE, *singles, *both[: pool - len(singles)]]
        features = FeatureStore(clip).encode([item.picture for item in items])
        texts = encode_templates(clip.model, clip.tokenizer, templates, data.class_names)
        logits = np.stack([np.float32(clip.logit_scale) * (features @ rows.T) for rows in texts])
        words = np.array([len(template.split()) for template in templates])
        yield Measured(logits, np.array([item.label for item in items]), words)


def one(found: Measured, classes: int, labels: int, seed: int, shuffled: bool) -> Doubles:
    """Draw once; return (rules, 2): the gain on other pictures in points, and if the initial template was left."""
    rng = np.random.default_rng([seed, classes, labels])
    chosen = np.sort(rng.permutation(found.logits.shape[2])[:classes])
    rows = np.r_[0, 1 + rng.permutation(len(found.logits) - 1)[:CANDIDATES]]
    units = np.flatnonzero(np.isin(found.labels, chosen))
    truth = np.searchsorted(chosen, found.labels[units])
    logits = found.logits[np.ix_(rows, units, chosen)]
    few = np.concatenate([rng.permutation(np.flatnonzero(truth == c))[:labels] for c in range(classes)])
    rest = np.setdiff1d(np.arange(len(truth)), few)
    tested = 100 * (logits[:, rest].argmax(axis=2) == truth[rest]).mean(axis=1)
    given = rng.permutation(truth[few]) if shuffled else truth[few]
    hits = (logits[:, few].argmax(axis=2) == given).astype(np.float64)
    losses = np.stack([losses_of(row[few], given) for row in logits])
    places = np.stack([places_of(row[few], given) for row in logits])
    both = hits / max(hits.std(axis=1).mean(), 1e-9) - losses / losses.std(axis=1).mean()
    compared = {"hits": hits, "hits and loss": both, "place": -np.log(places)}
    order = np.r_[0, 1 + np.lexsort((losses[1:].mean(axis=1), -hits[1:].mean(axis=1)))]
    gained = []
    for rule in RULES:
        draws = list(range(len(few)))
        table = ScoreTable(
            hits[order], losses[order], compared[rule][order], found.words[rows][order], given.tolist(), draws
        )
        winner = order[choose(table)]
        gained.append((tested[winner] - tested[0], winner > 0))
    return np.array(gained, dtype=np.float64)


if __name__ == "__main__":
    main()
