"""Describe the search pictures once; descriptions, and pictures that failed, are recorded before they are used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ipo.metrics.pictures import Picture
from ipo.programs.record.score_keeper import ScoreKeeper

logger = logging.getLogger(__name__)


def describe(
    describer: Any,
    pictures: Sequence[Picture],
    labels: npt.NDArray[np.int64] | None,
    class_names: Sequence[str],
    task: str,
    record: ScoreKeeper,
) -> list[str]:
    """Describe pictures in one call of a describer.

    Args:
        describer: an `ImageDescriber`, an `Interrogator`, or a module with the same call.
        pictures: the search pictures.
        labels: int64, their classes; None where a reward has no labels.
        class_names: in label order.
        task: one sentence on what the pictures are.
        record: where the descriptions are written.

    Returns:
        One line a description.

    Raises:
        BudgetReached, dspy.LMError: see `ImageDescriber`.
    """
    # Pictures that could not be described are not tried again when the run resumes: another description would be
    # another question to the optimizer, and all that was answered would be asked again.
    earlier = record.find("descriptions")
    given_up = [list(pair) for pair in earlier.get("failed", ())] if earlier else []
    described = describer(
        pictures=list(pictures),
        labels=None if labels is None else labels.tolist(),
        class_names=list(class_names),
        task=task,
        **({"given_up": [name for name, _ in given_up]} if given_up else {}),
    )
    failed = [*given_up, *(list(pair) for pair in described.get("failed", ()))]
    for name, reason in failed:
        logger.warning("the picture %s was not described: %s", name, reason)
    record.note("descriptions", descriptions=list(described.descriptions), failed=failed)
    return list(described.descriptions)
