"""What is known of the sealed test without a search."""

from __future__ import annotations

import pytest

from ipo_prompts.experiments.run.beside import how_weak


@pytest.mark.parametrize(
    ("best", "guessing", "class_mean", "weak"),
    [
        (0.091, 0.05, None, "near guessing"),
        (0.11, 0.05, None, None),
        (0.9, 0.5, 0.95, None),  # twice guessing is everything where there are two classes
        (0.55, 0.5, None, "near guessing"),
        (0.4, 0.05, 0.59, None),
        (0.4, 0.05, 0.61, "far below the class mean"),
    ],
    ids=["low", "above", "two classes", "two classes, low", "mean near", "mean far"],
)
def test_what_makes_templates_a_poor_answer(
    best: float, guessing: float, class_mean: float | None, weak: str | None
) -> None:
    assert how_weak(best, guessing, class_mean) == weak
