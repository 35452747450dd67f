"""Templates with a score, made without a CLIP: as many of n units are right as the value says."""

from __future__ import annotations

import numpy as np

from ipo_prompts.metrics.reward import Score
from ipo_prompts.programs.history import ScoredTemplate


def scored(
    template: str, value: float, loss: float, n: int, step: int, source: str = "language model"
) -> ScoredTemplate:
    """Make an entry of a history."""
    score = Score(template, value, loss, np.arange(n) < round(n * value), np.full(n, loss))
    return ScoredTemplate(score, step, source)
