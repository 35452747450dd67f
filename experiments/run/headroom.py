"""Before money is spent: is there anything for words to gain? Which pictures, classes and phrases are looked at.

Few of each, so that it takes half a minute on two cores with a ViT-B/16, however large the data set is. The counts are
fixed, so `ipo data check` and a run see the same, and a resumed run sees it again. Few pictures of many
classes rather than many of few: the smaller job is then the more like the whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ipo_prompts.experiments.data import DataSet, Item
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.plan import draw_for, with_shots_that_fit
from ipo_prompts.experiments.run.prepare import Prepared
from ipo_prompts.experiments.tasks.base import features_of
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.headroom import Headroom, headroom
from ipo_prompts.metrics.reward import scores_accuracy
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.phrases import PhraseBank

PICTURES = 120
"""At most, one of each base picture."""
CLASSES = 40
TEXTS = 3000
"""Phrases times classes at most; the phrases are spread over the bank."""


class Looked(NamedTuple):
    """What was seen in a data set (None: all pictures are of one class), and by which job.

    `config` has as many shots as the smallest class allows; of the pictures looked at, it would search on `searched`
    and choose the winner on `held_back`.
    """

    headroom: Headroom | None
    config: RunConfig
    searched: int
    held_back: int


def of_run(prepared: Prepared) -> Headroom | None:
    """Look at the search and selection pictures of a run; None where the reward is not plain accuracy."""
    if not scores_accuracy(prepared.reward):
        return None
    parts = [part for part in (prepared.search, prepared.selection) if part]
    items = [item for part in parts for item in part.items]
    chosen = few(items)
    features = features_of(*parts)[chosen]
    return look(prepared.clip, prepared.config.initial_template, prepared.reward.class_names, items, chosen, features)


def of_data(data: DataSet, clip: Clip, config: RunConfig, progress: Progress | None = None) -> Looked:
    """Look at pictures that a run would draw from train and val; only those looked at are encoded.

    Raises:
        InputError: there are too few pictures to draw any, or one cannot be read.
    """
    config = with_shots_that_fit(data, config)
    drawn = draw_for(data, config)
    items = [*drawn.search, *drawn.selection]
    chosen = few(items)
    features = FeatureStore(clip).encode([items[i].picture for i in chosen], progress)
    searched = sum(place < len(drawn.search) for place in chosen)
    found = look(clip, config.initial_template, drawn.class_names, items, chosen, features)
    return Looked(found, config, searched, len(chosen) - searched)


def few(items: Sequence[Item]) -> list[int]:
    """Choose which of some pictures to look at: the first ones of classes that are spread over all.

    One variant of a base picture, another one of the next.
    """
    present = sorted({item.label for item in items})
    spread = np.linspace(0, len(present) - 1, min(len(present), CLASSES)).round().astype(int)
    groups: dict[int, dict[str, list[int]]] = {present[i]: {} for i in spread.tolist()}
    for place, item in enumerate(items):
        if item.label in groups:
            groups[item.label].setdefault(item.group, []).append(place)
    most = PICTURES // len(groups)
    variants = [own for of_class in groups.values() for own in enumerate(list(of_class.values())[:most])]
    return sorted(places[turn % len(places)] for turn, places in variants)


def look(
    clip: Clip,
    template: str,
    class_names: Sequence[str],
    items: Sequence[Item],
    chosen: Sequence[int],
    features: Floats,
) -> Headroom | None:
    """Measure the pictures chosen, of which `features` are; None where they are of one class."""
    seen = [items[i] for i in chosen]
    labels = sorted({item.label for item in seen})
    if len(labels) < 2:
        return None
    names = [class_names[label] for label in labels]
    phrases = PhraseBank.load().usable(names, clip)
    spread = np.linspace(0, len(phrases) - 1, min(len(phrases), TEXTS // len(labels))).round().astype(int)
    templates = [template, *(phrases[i].template for i in spread.tolist())]
    with clip.timed("text"):
        embeddings = encode_templates(clip.model, clip.tokenizer, templates, names)
    truth = [labels.index(item.label) for item in seen]
    return headroom(features, truth, embeddings, clip.logit_scale, len(class_names))
