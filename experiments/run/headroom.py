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
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, features_of
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import Progress
from ipo_prompts.metrics.headroom import Headroom, headroom
from ipo_prompts.metrics.reward import by_embeddings
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
    """Look at the search and selection pictures of a run; None where no labelled pictures are classified by class
    embeddings.
    """
    reward = by_embeddings(prepared.reward)
    items = [item for part in (prepared.search, prepared.selection) if part for item in part.items]
    labels = [label for units in prepared.shown if units.labels is not None for label in units.labels.tolist()]
    if not isinstance(reward, ClipReward) or len(labels) != len(items):
        return None
    chosen = few(items)
    seen = EncodedPictures(features_of(*prepared.shown)[chosen], np.array(labels, dtype=np.int64)[chosen])
    return look(reward, prepared.config.initial_template, seen)


def of_data(data: DataSet, clip: Clip, config: RunConfig, progress: Progress | None = None) -> Looked:
    """Look at pictures that a run would draw from train and val; only those looked at are encoded.

    Raises:
        InputError: there are too few pictures to draw any, or one cannot be read.
    """
    config = with_shots_that_fit(data, config)
    drawn = draw_for(data, config)
    items = [*drawn.search, *drawn.selection]
    chosen = few(items)
    reward = ClipReward(clip, drawn.class_names)
    seen = reward.encode([items[i].picture for i in chosen], [items[i].label for i in chosen], progress=progress)
    searched = sum(place < len(drawn.search) for place in chosen)
    found = look(reward, config.initial_template, seen)
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


def look(reward: ClipReward, template: str, seen: EncodedPictures) -> Headroom | None:
    """Measure labelled pictures, among whose classes alone they are told apart; None where they are of one class."""
    labels = np.unique(seen.labels).tolist()
    if len(labels) < 2:
        return None
    pictures = seen.part(range(len(seen)), labels)
    names = reward.names_in(pictures)
    phrases = PhraseBank.load().usable(names, reward.clip)
    spread = np.linspace(0, len(phrases) - 1, min(len(phrases), TEXTS // len(labels))).round().astype(int)
    templates = [template, *(phrases[i].template for i in spread.tolist())]
    return headroom(reward, reward.look(templates, pictures), pictures, len(reward.class_names))
