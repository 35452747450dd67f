"""The loop's side of a step: takes templates in or says why not, and looks at templates without proposing them.

What comes from a language model is untrusted text. It is normalised, checked, compared with everything known, and
refused with a reason. Only what was admitted here is scored as a proposal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ipo.metrics.reward import Score
from ipo.metrics.template import key, normalise
from ipo.programs.strategies.base import Refuse

logger = logging.getLogger(__name__)

LONGEST_REJECTION = 300
"""Characters kept of a refused text."""
REFUSALS_TOLD = 10


@dataclass(frozen=True)
class Rejection:
    """A template that was not let through, and why."""

    template: str
    reason: str


@dataclass
class Desk:
    """See `strategies.base.Desk` for what a strategy uses of it.

    Attributes:
        known: says why a template cannot be scored (invalid, or known already), or None.
        count: how many templates are wanted.
        seed: of the step.
        looking: scores templates on the search units, recorded and limited.
        accepted: what was taken in, in order.
        rejected: what was not, with the reasons.
        finished: why there is nothing more to come, or None.
    """

    known: Refuse
    count: int
    seed: int
    looking: Callable[[Sequence[str]], list[Score]]
    accepted: list[str] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    finished: str | None = None

    @property
    def missing(self) -> int:
        """How many templates are still wanted."""
        return self.count - len(self.accepted)

    @property
    def refusals(self) -> list[str]:
        """The last refused templates of this step, each with the reason in brackets."""
        return [f"{rejection.template} ({rejection.reason})" for rejection in self.rejected[-REFUSALS_TOLD:]]

    def admit(self, text: object, *, extra: Refuse | None = None, as_it_is: bool = False) -> str | None:
        """Take a template in, or return why not.

        Args:
            text: what a language model wrote; anything but a text is refused.
            extra: the strategy's own reasons, asked after the loop's.
            as_it_is: a person wrote it: no quotes, list markers or slot variants are undone.
        """
        template = (text if as_it_is else normalise(text)) if isinstance(text, str) else repr(text)
        reason = self.known(template) or (extra(template) if extra else None)
        if reason is None and key(template) in {key(other) for other in self.accepted}:
            reason = "it repeats another answer"
        if reason is None and self.missing <= 0:
            reason = "more templates came than were asked for"
        if reason is None:
            self.accepted.append(template)
        else:
            self.refuse(template, reason)
        return reason

    def refuse(self, text: str, reason: str) -> None:
        """Note an answer that holds no template."""
        self.rejected.append(Rejection(text[:LONGEST_REJECTION], reason))
        logger.info("refused %r: %s", self.rejected[-1].template, reason)

    def look_at(self, templates: Sequence[str]) -> list[Score]:
        """Score templates on the search units without proposing them: they do not enter the history.

        What cannot be scored is left out, and so is what would pass the search's limit on looks; the rest comes back in
        the order given.

        Raises:
            BudgetReached: the time is used up; what was looked at is on record.
        """
        return self.looking(templates)

    def finish(self, reason: str) -> None:
        """Say that there is nothing more to come after this step."""
        self.finished = reason
