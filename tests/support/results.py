"""Results of runs that nobody made, with the numbers that a test wants to find again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipo_prompts.experiments.run.result import RunResult, load_result
from ipo_prompts.experiments.run.scores import Comparison, Measured
from ipo_prompts.metrics.evidence import Effect
from ipo_prompts.metrics.sampling import Variance
from ipo_prompts.metrics.verdict import judge

RECORDED = Path(__file__).parents[1] / "recorded"


def compared(initial: float, gain: float, half: float) -> Comparison:
    """Return a comparison with a gain ± half."""
    first, second = (Measured(value=value, loss=1.0, n=40, ci95=(0.0, 1.0)) for value in (initial, initial + gain))
    p = 0.5 if abs(gain) < half else 0.01
    effect = Effect(gain, gain - half, gain + half, p, (Variance((half / 1.96) ** 2, 1000),), "these classes")
    return Comparison(initial=first, optimised=second, difference=judge({"it": effect}, "none")["it"])


def made_result(**changes: Any) -> RunResult:
    """Return the result of a recorded run with some fields replaced."""
    return load_result(RECORDED / "local-history").model_copy(update=changes)
