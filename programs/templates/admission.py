"""The desk at which a strategy hands in templates: it accepts or refuses them, and scores templates on request.

Text from a language model is untrusted. It is normalised, checked and compared with all known templates. A text that
fails is refused with a reason. Only templates that are accepted here are scored as proposals.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ipo_prompts.metrics.template import SLOT, key, normalise

if TYPE_CHECKING:
    from ipo_prompts.metrics.reward import Score


logger = logging.getLogger(__name__)

Refuse = Callable[[str], str | None]
"""A function that returns why a template cannot be used, or None."""
REFUSALS_SHOWN = 10
"""The most refused templates that a question repeats."""
LONGEST_REJECTION = 300
"""The most characters of a refused text that are recorded."""
LONGEST_REFUSAL = 140
"""The most bytes of a refused text with its reason in a question. No tokenizer makes more tokens than bytes."""


@dataclass(frozen=True)
class Rejection:
    """A template that was refused, and why."""

    template: str
    reason: str


@dataclass
class Desk:
    """Where a strategy hands in templates.

    Attributes:
        problem: returns why a template cannot be scored, or None.
        count: the number of templates that are wanted.
        tried: the templates that were proposed before; templates that were scored only are not among them. A new
            template is refused if it differs from one of them only in case, spaces or the final stop.
        scoring_only: a function for `score_only`. It scores templates on the search units, records them with the
            template that they were made from, and keeps the limits of the search.
        scoring: a function for `score`. It scores one proposed template, records it, and keeps the limits.
        accepted: the accepted templates, in order.
        scored: template → score, for the accepted templates that `score` has scored in this step.
        rejected: the refused templates, with the reasons.
        finished: why the search ends after this step, or None.
    """

    problem: Refuse
    count: int
    tried: Container[str] = ()
    scoring_only: Callable[[Sequence[str], str, bool], list[Score]] = lambda templates, around, promising_only: []
    scoring: Callable[[str], Score] | None = None
    accepted: list[str] = field(default_factory=list)
    scored: dict[str, Score] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    finished: str | None = None

    @property
    def missing(self) -> int:
        """The number of templates that are still wanted."""
        return self.count - len(self.accepted)

    @property
    def refusals(self) -> list[str]:
        """The last refused templates of this step, each with the reason in brackets."""
        return [_refusal(rejection) for rejection in self.rejected[-REFUSALS_SHOWN:]]

    def admit(self, text: object, *, extra: Refuse | None = None, as_it_is: bool = False) -> str | None:
        """Accept a template, or return the reason why not.

        Args:
            text: the answer of a language model; anything but a text is refused.
            extra: the strategy's own check, made after the checks of the search.
            as_it_is: keep quotes, list markers and slot variants, as for a template from a person.
        """
        template = text if isinstance(text, str) else repr(text)
        if isinstance(text, str) and not as_it_is:
            template = self._without_reason(normalise(text))
        reason = "it is already known" if template in self.tried else self.problem(template)
        if reason is None and extra:
            reason = extra(template)
        if reason is None and key(template) in {key(other) for other in self.accepted}:
            reason = "it repeats another answer"
        if reason is None and self.missing <= 0:
            reason = "more templates came than were asked for"
        if reason is None:
            self.accepted.append(template)
        else:
            self.refuse(template, reason)
        return reason

    def _without_reason(self, text: str) -> str:
        """Return a template without a reason in brackets at its end.

        A question shows refused templates with reasons in brackets, and language models copy these. Otherwise the
        reason would stay in the template, and in all templates that are made from it.
        """
        for reason in {_as_shown(rejection.reason) for rejection in self.rejected}:
            text = text.removesuffix(f"({reason})").rstrip()
        return text

    def score(self, text: str) -> Score | str:
        """Accept a template and score it at once, or return the reason why not.

        This is for strategies that need the score in the same step. The template is a proposed template like any other:
        it is counted and remembered once.

        Raises:
            BudgetReached: the time is used up. A resumed search scores the template.
        """
        assert self.scoring is not None, "only the desk of a search scores"
        if reason := self.admit(text):
            return reason
        template = self.accepted[-1]
        self.scored[template] = self.scoring(template)
        return self.scored[template]

    def refuse(self, text: str, reason: str) -> None:
        """Record a refused answer with the reason."""
        self.rejected.append(Rejection(text[:LONGEST_REJECTION], reason))
        logger.info("refused %r: %s", self.rejected[-1].template, reason)

    def score_only(self, templates: Sequence[str], *, around: str = "", promising_only: bool = False) -> list[Score]:
        """Score templates on the search units without proposing them: they do not enter the history.

        Templates that cannot be scored are left out. So are templates beyond the limit of the search, the setting
        `scored_templates`. The scores have the order of the templates. Later steps know all these scores
        (`Known.scored_only`).

        Args:
            templates: any number of templates.
            around: the template that these templates were made from, if there is one.
            promising_only: whether only the most promising of the templates are scored, see
                `metrics/surrogate.py`. Later steps know of the other templates that they were not scored.

        Raises:
            BudgetReached: the time is used up. The scores made before are recorded.
        """
        return self.scoring_only(templates, around, promising_only)

    def beside(self, count: int) -> Desk:
        """Return a desk that admits `count` templates for the strategy's own use. Its refusals are recorded here."""
        return Desk(self.problem, count, self.tried, self.scoring_only, rejected=self.rejected)

    def finish(self, reason: str) -> None:
        """End the search after this step, and say why."""
        self.finished = reason


def _refusal(rejection: Rejection) -> str:
    """Return a refused text with the reason in brackets. A long text is shortened to its beginning."""
    text, reason = rejection.template, f" ({_as_shown(rejection.reason)})"
    if _size(text + reason) <= LONGEST_REFUSAL:
        return text + reason
    reason = _beginning(reason, LONGEST_REFUSAL // 2)
    return _beginning(text, LONGEST_REFUSAL - _size("…" + reason)) + "…" + reason


def _as_shown(reason: str) -> str:
    """Return a reason without the slot, so that a text followed by a copied reason does not become a template."""
    return reason.replace(f"{SLOT} slot", "slot for the class name")


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _beginning(text: str, most: int) -> str:
    """Return the beginning of a text that fits into `most` bytes. Half characters become question marks."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")
