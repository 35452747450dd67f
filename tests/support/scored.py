"""Templates with a score, made without a CLIP: as many of n units are right as the value says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ipo_prompts.metrics.reward import Score
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate


def scored(
    template: str, value: float, loss: float, n: int, step: int, source: str = "language model"
) -> ScoredTemplate:
    """Make an entry of a history."""
    score = Score(template, value, loss, np.arange(n) < round(n * value), np.full(n, loss))
    return ScoredTemplate(score, step, source)


def history(values: Mapping[str, float]) -> PromptHistory:
    """Make a history of templates with these values on 100 units, one a step; the first is the initial template."""
    first, *others = [scored(one, value, 1.3 - value, 100, i) for i, (one, value) in enumerate(values.items(), -1)]
    found = PromptHistory(first)
    for entry in others:
        found.add(entry)
    return found
