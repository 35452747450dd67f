"""Examining what a method has learnt on sealed test pictures, picture by picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ipo.experiments.compare.methods import Fitted
from ipo.experiments.data import DataSet, Item
from ipo.experiments.run.pipeline import clusters
from ipo.metrics.features import FeatureStore
from ipo.metrics.reward import ClipReward, Score


@dataclass(frozen=True)
class Exam:
    """Sealed test pictures and the classes that compete on them.

    Attributes:
        name: what the cell calls its scores.
        items: the pictures, labelled from 0 within `class_names`.
        class_names: in label order.
        data: the data set they come from.
    """

    name: str
    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    data: DataSet


def score(fitted: Fitted, reward: ClipReward, items: Sequence[Item]) -> Score:
    """Score what a method has learnt on labelled pictures of the reward's classes."""
    pictures = reward.encode([item.picture for item in items], [item.label for item in items])
    return reward.score_embeddings("", fitted.class_embeddings(reward.class_names), pictures)


def summary(score: Score) -> dict[str, Any]:
    """Return `accuracy`, `loss` and `n`, rounded as in `result.json`."""
    return {"accuracy": round(score.accuracy, 6), "loss": round(score.loss, 6), "n": score.n}


def examine(fitted: Fitted, exam: Exam, store: FeatureStore) -> dict[str, Any]:
    """Open the test pictures and score.

    Returns:
        `accuracy`, `loss` and `n`; `classes`, how many compete; `hits`, a `0` or `1` a picture; `groups`, a number a
        picture, equal for those that are not independent; `split`, see `DataSet.split`.
    """
    found = score(fitted, ClipReward(store.clip, exam.class_names, store), exam.items)
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(group, len(numbers)) for group in clusters(exam.items, exam.data)]
    return {
        **summary(found),
        "classes": len(exam.class_names),
        "hits": found.bits,
        "groups": groups,
        "split": exam.data.split,
    }


def picture_ids(store: FeatureStore, items: Sequence[Item]) -> str:
    """Return a digest of pictures, by content, with their labels, in their order."""
    contents = store.contents([item.picture for item in items])
    rows = [[content, item.label] for content, item in zip(contents, items, strict=True)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
