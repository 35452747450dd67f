"""Results of runs that nobody made, with the numbers that a test wants to find again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ipo_prompts.experiments.run.final_test import AnswerStep, Scored
from ipo_prompts.experiments.run.result import AnswerRow, PartName, RunResult, Value, load_result
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.evidence import Effect
from ipo_prompts.metrics.reward import Score
from ipo_prompts.metrics.verdict import judge

RECORDED = Path(__file__).parents[1] / "recorded"


def rows_with(part: PartName, initial: float, gain: float, half: float) -> list[AnswerRow]:
    """Return the rows of a part on which the template has a gain ± half."""
    first, second = (Value(value=value, ci95=(0.0, 1.0)) for value in (initial, initial + gain))
    p = 0.5 if abs(gain) < half else 0.01
    effect = Effect(gain, gain - half, gain + half, p, "these classes")
    verdict = judge({"it": effect}, "none")["it"]
    about = {"part": part, "measure": "accuracy", "how": "x", "kept": True, "n": 40, "difference": verdict}
    return [AnswerRow(what=what, before=first, after=second, **about) for what in ("template", "in all")]


def made_result(**changes: Any) -> RunResult:
    """Return the result of a recorded run with some fields replaced."""
    return load_result(RECORDED / "local-history").model_copy(update=changes)


def scored_part(
    start: Score, steps: Sequence[AnswerStep], labels: Any = None, groups: Any = None, names: Sequence[str] = ()
) -> Scored:
    """Return a part whose units are of these classes and draws; `names` are the classes that compete."""
    reward: Any = SimpleNamespace(class_names=names)
    units: Any = SimpleNamespace(groups=groups)
    return Scored.of(reward, Encoded(units, (), (), None if labels is None else np.array(labels)), start, steps)
