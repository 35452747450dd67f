"""The numbers of a result under flat names: what a tracker logs, and what a sweep's metric can name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.result import RunResult

SCORES = ("accuracy_initial", "accuracy", "gain", "gain_low", "gain_high")
PARTS = ("search", "selection", "test", "new")
TOTALS = ("usd", "tokens", "seconds", "templates_scored")
NUMBERS = (*(f"{part}/{score}" for part in PARTS for score in SCORES), *TOTALS)
"""The numbers of a run's summary: what a sweep's metric can name."""


def summary_of(result: RunResult) -> dict[str, Any]:
    """Return the numbers of a result under the names of `NUMBERS`, where it has them, and its template."""
    numbers: dict[str, Any] = {}
    for part, score in result.scores.items():
        gain = score.difference
        values = (score.initial.value, score.optimised.value, gain.mean, *gain.ci95)
        numbers |= {f"{part}/{name}": value for name, value in zip(SCORES, values, strict=True)}
    used = [usage for usage in (result.lm.optimizer, result.lm.describer) if usage]
    prices = [usage.usd for usage in used]
    if None not in prices:
        numbers["usd"] = sum(prices)
    numbers["tokens"] = sum(usage.tokens_in + usage.tokens_out for usage in used)
    numbers["seconds"] = result.seconds["total"]
    numbers["templates_scored"] = result.templates_scored
    return {**numbers, "template": result.template, "initial_template": result.initial_template}
