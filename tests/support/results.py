"""Results of runs that nobody made, with the numbers that a test wants to find again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipo.experiments.run.result import Comparison, Gain, Measured, RunResult, load_result

RECORDED = Path(__file__).parents[1] / "recorded"


def compared(initial: float, gain: float, half: float) -> Comparison:
    """Return a comparison with a gain ± half."""
    first, second = (Measured(value=value, loss=1.0, n=40, ci95=(0.0, 1.0)) for value in (initial, initial + gain))
    difference = Gain(mean=gain, ci95=(gain - half, gain + half), p=0.5, test="none")
    return Comparison(initial=first, optimised=second, difference=difference)


def made_result(**changes: Any) -> RunResult:
    """Return the result of a recorded run with some fields replaced."""
    return load_result(RECORDED / "local-shuffled").model_copy(update=changes)
