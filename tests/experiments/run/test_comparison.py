"""What a comparison says beside its verdict: means over classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.run.comparison import Compared, compare, gained, over_classes
from ipo_prompts.experiments.run.told import over_classes_in_words
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.sampling import Sampling


def score(hits: list[int], template: str) -> Score:
    right = np.array(hits, dtype=bool)
    return Score(template, float(right.mean()), 0.5, right, np.full(len(hits), 0.5))


def part(classes: str) -> Compared:
    n = len(classes)
    one, other = score([1] * n, "a <CLASS>"), score([0] + [1] * (n - 1), "the <CLASS>")
    made: Any = None
    return Compared((), made, None, made, Sampling.of(n, list(classes)), one, other)


@pytest.mark.parametrize(
    ("classes", "balanced", "told"), [("aaaabb", False, 0), ("aaaaabb", False, 1), ("ab", True, 1)]
)
def test_classes_are_averaged_where_one_has_more_than_twice_another_or_all_count_the_same(
    classes: str, balanced: bool, told: int
) -> None:
    assert len(over_classes({"test": part(classes)}, balanced)) == told


def test_a_template_differs_from_itself_by_nothing() -> None:
    """In the mean over classes, one of which has one picture, and in what is told beside the verdict."""
    same = replace(part("aaaab"), optimised=score([1] * 5, "a <CLASS>"))
    found = over_classes({"test": same})["test"]
    assert (found.difference, found.ci95) == (0, (0, 0))
    assert "a difference of +0.00 points [+0.00, +0.00]" in over_classes_in_words(found)
    assert gained(*same.pair) == {"difference": 0, "ci95": (0, 0)}
    balanced = compare({"test": same.pair}, ["test"], balanced=True)["test"]
    assert (balanced.difference.outcome, balanced.difference.ci95, balanced.like_these) == (
        "same templates",
        (0, 0),
        None,
    )
