"""Evaluation of what a method has learnt on sealed test pictures, unit by unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ipo_prompts.experiments.compare.methods.base import (
    Absent,
    Fitted,
    FittedEmbeddings,
    FittedLogits,
    Templates,
    classifying,
)
from ipo_prompts.experiments.data import DataSet, Item
from ipo_prompts.experiments.run.plan import SPLIT_SEED, labelled_contents
from ipo_prompts.experiments.tasks.base import Encoded, Task
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.metrics.reward import Reward, Score, by_embeddings
from ipo_prompts.programs.record.score_keeper import units_of


@dataclass(frozen=True)
class TestSet:
    """Sealed test pictures and the classes that compete on them.

    Attributes:
        name: of its scores in the cell.
        items: the pictures, labelled from 0 within `class_names`.
        class_names: in label order.
        data: the data set they come from.
        clip: the CLIP that is tested with, where it is not the one of the cell.
    """

    name: str
    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    data: DataSet
    clip: str | None = None


def carried_over(fitted: Fitted, clip: Clip) -> Fitted:
    """Return the templates that a method has learnt with one CLIP, for another.

    Raises:
        Absent: it has learnt something else, which means nothing to another CLIP.
    """
    if not isinstance(fitted, Templates):
        raise Absent("it is no text alone, and only text can be carried over to another CLIP")
    return replace(fitted, clip=clip)


def score(fitted: Fitted, reward: Reward, encoded: Encoded) -> Score:
    """Score what a method has learnt on units of the reward's classes.

    Raises:
        Absent: the reward takes single templates and it is none; or it has no answer for these classes.
    """
    if isinstance(fitted, FittedLogits):
        units = encoded.units
        return classifying(reward).score_logits("", fitted.logits(reward.class_names), units)  # type: ignore[arg-type]
    if isinstance(fitted, FittedEmbeddings) and (hook := by_embeddings(reward)):
        classes = fitted.class_embeddings(hook.names_in(encoded.units))
        return hook.score_embeddings([""], [classes], encoded.units)[0]
    if fitted.templates is None or len(fitted.templates) > 1:
        raise Absent("this reward scores single templates only")
    return reward.score([fitted.templates[0][0]], encoded.units)[0]


def summary(score: Score) -> dict[str, Any]:
    """Return `value`, `loss` and `n`, rounded as in `result.json`."""
    return {"value": round(score.value, 6), "loss": round(score.loss, 6), "n": score.n}


def evaluate(fitted: Fitted, test: TestSet, task: Task, clip: Clip, store: FeatureStore) -> dict[str, Any]:
    """Open the test pictures and score.

    Raises:
        Absent: see `score`.

    Returns:
        `value`, `loss` and `n`; `classes`, how many compete; `hits`, a `0` or `1` a unit, or `values`, a number a unit;
        `labels`, the class of each unit, and `draws`, a number a unit, equal for variants of one picture, each None
        where there are none; `split`, see `DataSet.split`.
    """
    reward = task.reward(clip, test.class_names, store)
    encoded = task.encode(reward, test.items, seed=SPLIT_SEED)
    found = score(fitted, reward, encoded)
    drawn = encoded.sampling(found.n)
    units = units_of(found)
    return {
        **summary(found),
        "classes": len(test.class_names),
        ("hits" if isinstance(units, str) else "values"): units,
        "labels": None if drawn.classes is None else drawn.classes.tolist(),
        "draws": None if drawn.draws is None else drawn.draws.tolist(),
        "split": test.data.split,
    }


def picture_ids(store: FeatureStore, items: Sequence[Item]) -> str:
    """Return a digest of pictures, by content, with their labels, in their order."""
    return hashlib.sha256(json.dumps(labelled_contents(store, items)).encode()).hexdigest()
