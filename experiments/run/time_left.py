"""How long a search still takes, by the texts and the questions that are left.

The first step scores the vocabulary besides, and a composed template takes longer than a phrase. So the time is not
divided by steps, but by units: one for a template with a phrase of the vocabulary, `COMPOSED` for any other template.
The replies of the language model are counted for themselves.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ipo_prompts.metrics import clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.surrogate import texts_for
from ipo_prompts.metrics.template import SLOT
from ipo_prompts.programs.lm.ledger import Ledger, Usage
from ipo_prompts.programs.strategies.base import Expected, forecast_of

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.plan import Plan

COMPOSED = 1.6
"""The units of a composed template: in a search on the embedded pictures 1.62 times the tokens of a phrase passed the
text tower for it, on average (1.1 in the first step, 2.1 near the end)."""
RECENT = 8
"""The number of last steps from which the time of a unit is measured: the load of the machine changes."""


class Work(NamedTuple):
    """The work of a search. A template that is encoded with a share of the class names counts as this share.

    Attributes:
        first: the templates that are scored only once, in the first step: the words of the domain, the vocabulary.
        scored_only, proposed, calls: the templates and the calls of the language model in each step.
        most: the most templates that are scored only.
    """

    first: float = 0
    scored_only: float = 0
    proposed: int = 1
    calls: float = 0.0
    most: float = float("inf")


def work_of(planned: Plan) -> Work:
    """Return the work of a planned search, by the forecast of its strategy."""
    search, task, classes = planned.config.search, planned.data.task, len(planned.drawn.class_names)
    try:
        now, more = (
            forecast_of(planned.unasked, Expected(search.model_copy(update={"steps": steps}), task, classes=classes))
            for steps in (search.steps, search.steps + 1)
        )
    except InputError:  # the strategy cannot do more steps
        return Work(proposed=search.candidates_per_step)
    texts = partial(texts_for, classes=classes, promising_only=now.promising_only)
    each = (texts(more.scored_only) - texts(now.scored_only)) / classes
    first = texts(now.scored_only) / classes - search.steps * each
    calls = float(more.calls - now.calls)
    return Work(first, each, search.candidates_per_step, calls, search.scored_templates)


class TimeLeft:
    """Measures a search of `steps` steps while it goes on; `ledger` has the time of its language model."""

    def __init__(self, steps: int, work: Work, ledger: Ledger) -> None:
        self._steps, self._work, self._ledger = steps, work, ledger
        self._done = 0
        self._phrases = self._seen = self._units = self._each = 0.0
        self._last = self._mark()
        self._ends = deque([self._last], maxlen=RECENT + 1)

    def scored(self, count: float, around: str = "") -> None:
        """Note that templates were scored only, around a template or none; 0 when the first step begins."""
        if count == 0:  # before, pictures were described and words of the domain were looked for
            self._ends.clear()
            self._ends.append(self._mark())
        self._phrases += 0 if SLOT in around else count
        self._seen += count
        self._units += count * (COMPOSED if SLOT in around else 1)
        self._last = self._mark()

    def step(self, proposed: int) -> None:
        """Note the end of a step, and how many templates were proposed in it."""
        self._units += COMPOSED * proposed
        self._done += 1
        self._last = self._mark()
        if self._done > 1:
            self._each = self._units - self._ends[-1][2]
        self._ends.append(self._last)

    def seconds(self) -> float | None:
        """Return the seconds that the rest of the search takes; None while that is not known."""
        if self._last[2] == self._ends[0][2] or self._done >= self._steps:
            return None
        (began, waited, units, _), (now, waited_now, units_now, calls) = self._ends[0], self._last
        pace = max(0.0, now - began - (waited_now - waited)) / (units_now - units)
        asked = max(0.0, self._work.calls * (self._steps - self._done) - (calls - self._ends[-1][3]))
        usage = self._usage()
        if asked and not usage.calls:
            return None
        return pace * self._left() + asked * usage.seconds / max(1, usage.calls - usage.cached)

    def _left(self) -> float:
        """Return the units that are left."""
        work, steps = self._work, self._steps - self._done
        within = self._units - self._ends[-1][2]  # the units of the present step
        if not self._done:
            left, composed = work.first - self._phrases, within - self._phrases
            phrases, within = (0, composed) if composed else (max(0, left), 0.0)
        else:
            phrases = 0
        each = self._each or COMPOSED * (work.scored_only + work.proposed)
        most = COMPOSED * (work.most - self._seen - phrases + steps * work.proposed)
        return phrases + max(0.0, min(steps * each - within, most))

    def _usage(self) -> Usage:
        return self._ledger.roles.get("optimizer") or Usage("")

    def _mark(self) -> tuple[float, float, float, int]:
        """Return the time, the seconds of waiting for the language model, the units and the calls so far."""
        usage = self._usage()
        return clock.now(), usage.seconds, self._units, usage.calls
