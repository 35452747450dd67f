"""A search: ask for templates, admit them, score them and remember them until it ends; then choose the winner.

A strategy (`strategies/`) proposes templates, and a reward (`metrics/reward.py`) scores them. This module knows nothing
of the command line, of folders or of test pictures.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from typing import Any

from ipo_prompts.metrics.clock import BudgetReached, due
from ipo_prompts.metrics.device import one_for_numpy
from ipo_prompts.metrics.errors import InputError, one_line
from ipo_prompts.metrics.evidence import score_interval
from ipo_prompts.metrics.reward import Reward, Score, Units, scale_of
from ipo_prompts.metrics.sampling import Interval, Sampling
from ipo_prompts.programs.lm.ledger import Ledger, explain
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.scoring_only import ScoringOnly
from ipo_prompts.programs.selection import Choice, HeldBack, choose_winner
from ipo_prompts.programs.strategies.base import Known, Strategy, asks_lm, close, may_know, needs_lm
from ipo_prompts.programs.templates.admission import Desk, Rejection
from ipo_prompts.programs.templates.domain_words import DomainWord
from ipo_prompts.programs.templates.history import PromptHistory, ScoredTemplate
from ipo_prompts.programs.templates.settings import SearchSettings

logger = logging.getLogger(__name__)

MAX_EMPTY_STEPS = 5
"""A search ends after this many steps in a row without one usable template."""


class NothingUsable(RuntimeError):
    """None of the first `MAX_EMPTY_STEPS` steps gave a usable template. A list that is used up is no failure."""


@dataclass(frozen=True)
class Step:
    """What happened in one step, for callbacks, logs and plots.

    Attributes:
        number: the number of the step, from 0; -1 for the initial template.
        scored: the new templates and their scores on the search units.
        rejected: templates that were not scored, with the reasons.
        best: the best template so far.
        interval: the 95 % interval of the best value; not corrected for the number of templates tried.
        scored_only: how many templates were scored without being proposed, see `Desk.score_only`.
    """

    number: int
    scored: tuple[ScoredTemplate, ...]
    rejected: tuple[Rejection, ...]
    best: ScoredTemplate
    interval: Interval
    scored_only: int = 0

    def record(self) -> dict[str, Any]:
        """Return the step as plain JSON, without the values of single units."""
        return {
            "number": self.number,
            "scored": [entry.record() for entry in self.scored],
            "rejected": [asdict(rejection) for rejection in self.rejected],
            "best": self.best.record(),
            "interval": list(self.interval),
            "scored_only": self.scored_only,
        }


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        steps: all steps; the first holds the initial template.
        choice: the winner, and how it was chosen.
        history: the initial template and every proposed template, with the scores on the search units.
        descriptions: the descriptions of the pictures, as the strategy received them.
        ended: why the search ended, in words.
        reached: the limit that stopped the search, or None. A stopped search can be resumed under a larger limit.
        domain: the domain words that the strategy knew.

    Example:
        >>> from ipo_prompts import ClipReward, draw, load_clip, load_data
        >>> from ipo_prompts.programs.strategies.base import GivenTemplates
        >>> data = draw(load_data("embedded", seed=0), shots=1, selection_shots=0, seed=0)
        >>> reward = ClipReward(load_clip("embedded"), data.class_names)
        >>> mine = GivenTemplates(["a negative of a <CLASS>.", "a <CLASS>."])
        >>> found = search(SearchSettings(), reward, mine, reward.examples(data.examples("search")))
        >>> found.proposed, found.ended, found.choice.how
        (2, 'the list of templates is used up', 'search pictures, which also shaped the candidates')
    """

    steps: tuple[Step, ...]
    choice: Choice
    history: PromptHistory
    descriptions: tuple[str, ...]
    ended: str
    reached: BudgetReached | None = None
    domain: tuple[DomainWord, ...] = ()

    def __repr__(self) -> str:
        tried = f"{self.proposed} proposed, {self.scored_only} scored only"
        return one_line(f"SearchResult({one_line(repr(self.choice.template), 42)}, {tried}: {self.ended})")

    @property
    def stopped(self) -> str | None:
        """The limit that stopped the search, in words; None if no limit did."""
        return str(self.reached) if self.reached else None

    @property
    def proposed(self) -> int:
        """The number of proposed templates, without the initial template."""
        return len(self.history) - 1

    @property
    def scored_only(self) -> int:
        """How many templates were scored without being proposed."""
        return sum(step.scored_only for step in self.steps)


def search(
    settings: SearchSettings,
    reward: Reward,
    strategy: Strategy,
    search_units: Units,
    selection_units: Units | None = None,
    *,
    record: ScoreKeeper | None = None,
    task: str = "pictures to be classified",
    describe: Callable[[], Sequence[str]] | None = None,
    find_domain: Callable[[], Sequence[DomainWord]] | None = None,
    ledger: Ledger | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> SearchResult:
    """Search for a template.

    Args:
        settings: how long to search, where to start, and how to choose the winner.
        reward: the reward, which scores templates on units. The units come from its method `examples`.
        strategy: the strategy, which finds new templates.
        search_units: the units on which templates are scored during the search.
        selection_units: held-back units that help to choose the winner and measure the gain of choosing; see
            `selection.py`. None chooses on the search units and measures nothing.
        record: the keeper, which writes scores down before they are used. None writes nothing.
        task: one sentence on what the pictures are.
        describe: a function that returns descriptions of a few pictures. It may ask a language model.
        find_domain: a function that returns the domain words. It may ask a language model.
        ledger: the costs of language models, and the limits of the search. None sets no limit.
        on_step: a function that is called with each step when it is done.

    Raises:
        InputError: the initial template cannot be scored.
        NothingUsable: none of the first `MAX_EMPTY_STEPS` steps gave a usable template.
        dspy.LMError: the language model cannot be reached; everything before that is recorded.
    """
    reason = reward.problem(settings.initial_template)
    if reason:
        raise InputError(f"the template {settings.initial_template!r} cannot be used: {reason}.")
    record, ledger = record or ScoreKeeper(None, reward), ledger or Ledger()
    on_step = on_step or (lambda step: None)
    run = _Run(settings, reward, strategy, search_units, record, task, ledger, on_step)
    reached = None
    with one_for_numpy():
        try:
            run.begin()
            run.descriptions = tuple(describe()) if describe else ()
            run.domain = tuple(find_domain()) if find_domain else ()
            ended = run.loop()
        except Exception as error:
            if not (reached := run.limit_behind(error)):
                raise
            ended = str(reached)
            logger.warning(
                "stopped: %s; choosing the winner of %d templates", ended, len(run.history), extra={"progress": True}
            )
        finally:
            close(strategy)
        held_back = run.held_back(selection_units)
        with due():
            choice = choose_winner(settings.selection, run.history, search_units, held_back)
    return SearchResult(
        steps=tuple(run.steps),
        choice=choice,
        history=run.history,
        descriptions=run.descriptions,
        ended=ended,
        reached=reached,
        domain=run.domain,
    )


@dataclass
class _Run:
    """The state of a running search."""

    settings: SearchSettings
    reward: Reward
    strategy: Strategy
    units: Units
    record: ScoreKeeper
    task: str
    ledger: Ledger
    on_step: Callable[[Step], None]
    descriptions: tuple[str, ...] = ()
    domain: tuple[DomainWord, ...] = ()
    steps: list[Step] = field(default_factory=list)
    history: PromptHistory = field(init=False)

    def __post_init__(self) -> None:
        self.problem = cache(self.reward.problem)  # a template that does not fit may come many times
        self.scoring_only = ScoringOnly(
            settings=self.settings,
            reward=self.reward,
            units=self.units,
            record=self.record,
            problem=self.problem,
            check_limits=self._check_limits,
        )

    def begin(self) -> None:
        """Score the initial template."""
        with due():
            initial = self.record.score(-1, [self.settings.initial_template], self.units)[0]
        self.history = PromptHistory(ScoredTemplate(initial, -1, "initial"))
        self._remember(-1, tuple(self.history), (), 0)

    def loop(self) -> str:
        """Do the steps, and return why they ended."""
        empty = since_better = 0
        for number in range(self.settings.steps):
            before = self.history.best
            self._check_limits(number)
            with due() if self.record.done(number) else nullcontext():
                desk, scored, reached = self._step(number)
            if reached:  # a resumed search does this step again, and may get more templates
                raise reached
            # Stop when the strategy has finished, or when nothing usable or better is found.
            empty = 0 if scored else empty + 1
            since_better = 0 if self.history.best is not before else since_better + 1
            if desk.finished:
                return desk.finished
            if not scored:
                reasons = _reasons(desk.rejected)
                logger.warning("step %d gave no usable template (%s)", number + 1, reasons, extra={"progress": True})
            if empty >= MAX_EMPTY_STEPS:
                return self._give_up(empty, desk.rejected)
            if self.settings.patience is not None and since_better >= self.settings.patience:
                logger.info("stopped early: nothing better in %d steps", since_better)
                return f"nothing better came in {since_better} steps"
        return f"all {self.settings.steps} steps were done"

    def _step(self, number: int) -> tuple[Desk, tuple[ScoredTemplate, ...], BudgetReached | None]:
        """Ask, score and remember. Return the desk, the scored templates, and the limit that ended the asking."""
        scored_before = self.scoring_only.scored
        # Ask. All candidates of a step are written from the history before the step, without each other's scores.
        known = self._known(number)

        def scoring(template: str) -> Score:
            self._check_limits(number)
            return self.record.propose(number, template, self.units)

        desk = Desk(self.problem, known.count, self.history, partial(self.scoring_only.score, number), scoring)
        reached = self._ask(known, desk)
        if reached and not desk.accepted:
            raise reached
        # Score the admitted templates. The scores are on disk before they are used.
        scores = self.record.score(number, desk.accepted, self.units, desk.rejected, known=desk.scored)
        source = _source(self.strategy)
        scored = tuple(ScoredTemplate(score, number, source) for score in scores)
        for entry in scored:
            self.history.add(entry)
        self._remember(number, scored, tuple(desk.rejected), self.scoring_only.scored - scored_before)
        return desk, scored, reached

    def held_back(self, units: Units | None) -> HeldBack | None:
        """Return the held-back units and a function that scores on them; it records scores as step `settings.steps`."""
        if units is None:
            return None
        score = partial(self.record.score, self.settings.steps, units=units, kind="selection")
        return HeldBack(units, score)

    def limit_behind(self, error: Exception) -> BudgetReached | None:
        """Return the limit that caused an error, or None. If none is in it, return a limit that was reached before it.

        DSPy wraps errors, and other code replaces them.
        """
        reached = explain(error)
        return reached if isinstance(reached, BudgetReached) else self.ledger.reached

    def _known(self, number: int) -> Known:
        """Return what the strategy may know before a step."""
        seed = hashlib.sha256(f"{self.settings.seed}|{number}".encode()).digest()
        labels = self.units.labels
        if labels is not None:  # a read-only view: the reward scores with the same labels
            labels = labels.view()
            labels.setflags(write=False)
        everything = Known(
            task=self.task,
            history=self.history,
            class_names=self.reward.class_names,
            descriptions=self.descriptions,
            labels=labels,
            step=number,
            seed=int.from_bytes(seed[:4], "big") >> 1,
            count=self.settings.candidates_per_step,
            scored_only=tuple(self.scoring_only.found),
            scale=scale_of(self.reward),
            domain=self.domain,
        )
        known: object = may_know(self.strategy, everything)
        if not isinstance(known, Known):
            raise InputError(
                f"may_know() of the strategy {type(self.strategy).__name__} gave {type(known).__name__}; it must "
                "return a Known; ipo docs strategies has an example."
            )
        return known

    def _ask(self, known: Known, desk: Desk) -> BudgetReached | None:
        """Ask the strategy. Return the limit that was reached: raising it would lose the templates admitted before."""
        try:
            answer: object = self.strategy.ask(known, desk)  # type: ignore[func-returns-value]
        except Exception as error:
            if reached := self.limit_behind(error):
                return reached
            raise
        if answer is not None:  # templates in a returned list or generator would be lost
            raise InputError(
                f"ask() of the strategy {type(self.strategy).__name__} gave {type(answer).__name__}; it must return "
                "nothing and hand each template to desk.admit; ipo docs strategies has an example."
            )
        return None

    def _check_limits(self, number: int) -> None:
        """Stop if the time is up. But a step that an earlier session has recorded is done again whatever the time."""
        if not self.record.done(number):
            self.ledger.clock.check_time()

    def _remember(
        self, number: int, scored: tuple[ScoredTemplate, ...], rejected: tuple[Rejection, ...], scored_only: int
    ) -> None:
        best, scale = self.history.best, scale_of(self.reward)
        labels = None if self.units.labels is None else self.units.labels.tolist()
        sampling = Sampling.of(best.n, labels, self.units.groups)
        interval = score_interval(best.score.hits, sampling, bounds=(scale.low, scale.high))
        step = Step(number, scored, rejected, best, interval, scored_only)
        self.steps.append(step)
        logger.info("step %d: %d new, best %s %r", number + 1, len(scored), scale.told(best.value), best.template)
        self.on_step(step)

    def _give_up(self, empty: int, rejected: Sequence[Rejection]) -> str:
        """Return why the search ends early.

        Raises:
            NothingUsable: the search found no template at all.
        """
        asked = asks_lm(self.strategy)
        who = "language model" if asked else "strategy"
        reason = f"the {who} gave no usable template in {empty} steps in a row ({_reasons(rejected)})"
        if len(self.history) == 1:
            another = "; try another model with --lm" if asked else ""
            raise NothingUsable(f"{reason}{another}.")
        logger.warning("ended early: %s; what was found before is kept", reason)
        return reason


def _source(strategy: Strategy) -> str:
    """Return what proposes the templates of a strategy, in words."""
    if needs_lm(strategy):
        return "language model"
    return "composition" if asks_lm(strategy) else "no language model"


def _reasons(rejected: Sequence[Rejection]) -> str:
    reasons = list(dict.fromkeys(rejection.reason for rejection in rejected))
    return "; ".join(reasons[:3]) or "it answered nothing"
