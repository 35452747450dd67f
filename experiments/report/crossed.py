"""What each template is worth in each of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ipo_prompts.experiments.report.gather import Run


class Cell(NamedTuple):
    """A template in a run: on its sealed test, or on its search units alone, which flatter what was found on them."""

    value: float
    sealed: bool
    chosen: bool


def crossed(runs: Sequence[Run]) -> list[tuple[str, list[Cell | None]]]:
    """Return the initial and the chosen templates of all runs, each with its cell in every run, None where it has none.

    Initial templates come first, then the chosen ones in the order of the runs.
    """
    firsts, chosen = [run.result.initial_template for run in runs], [run.result.template for run in runs]
    return [(template, [_cell(run, template) for run in runs]) for template in dict.fromkeys((*firsts, *chosen))]


def _cell(run: Run, template: str) -> Cell | None:
    result = run.result
    alone = (result.template,) if len(result.templates) == 1 else ()  # no member of an ensemble was tested alone
    if template in (*alone, result.initial_template):
        score = result.scores["test"]
        side = score.optimised if template in alone else score.initial
        return Cell(side.value, True, template in alone)
    search = run.search
    scored = (one for many in (search.taken_over, *(step.candidates for step in search.steps)) for one in many)
    return next((Cell(one.value, False, False) for one in scored if one.template == template), None)
