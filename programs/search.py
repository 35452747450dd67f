"""A search: ask a strategy for templates until it ends; then choose the winner.

A strategy (`strategies/`) tries and proposes templates on a bench (`bench.py`), which scores them by a reward
(`metrics/reward.py`). This module knows nothing of the command line, of folders or of test images.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ipo_prompts.metrics.clock import BudgetReached
from ipo_prompts.metrics.device import one_for_numpy
from ipo_prompts.metrics.errors import InputError, one_line
from ipo_prompts.metrics.reward import Reward, Score, Units
from ipo_prompts.programs.bench import Bench, Rejection, Step
from ipo_prompts.programs.history import History
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.lm.ledger import Ledger, explain
from ipo_prompts.programs.phrases import DomainWord
from ipo_prompts.programs.scoring import note_scores, score
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.selection import Choice, choose_winner
from ipo_prompts.programs.strategies.base import Strategy, asks_lm, close, knows_history, needs_lm

logger = logging.getLogger(__name__)

MAX_EMPTY_STEPS = 5
"""A search ends after this many steps in a row without one usable template."""


class NothingUsable(RuntimeError):
    """None of the first `MAX_EMPTY_STEPS` steps gave a usable template. A list that is used up is no failure."""


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        steps: all steps; the first holds the initial template.
        choice: the winner, and how it was chosen.
        history: every scored template.
        descriptions: the descriptions of the images, as the strategy received them.
        ended: why the search ended, in words.
        reached: the limit that stopped the search, or None. A stopped search can be resumed under a larger limit.
        domain: the domain words that the strategy knew.
        written: how many templates of a language model could be used; None if it was asked for none.
        finalists: the scores on the validation units: of the initial template, then of the others, the best first on
            the train units; empty if no validation units were scored.

    Example:
        >>> from ipo_prompts import ClipReward, draw, load_clip, load_data
        >>> from ipo_prompts.programs.strategies.base import GivenTemplates
        >>> data = draw(load_data("embedded", seed=0), shots=1, val_shots=0, seed=0)
        >>> reward = ClipReward(load_clip("embedded"), data.class_names)
        >>> mine = GivenTemplates(["a negative of a <CLASS>.", "a <CLASS>."])
        >>> found = search(SearchSettings(), reward, mine, reward.examples(data.examples("train")))
        >>> found.proposed, found.ended, found.choice.how
        (2, 'the list of templates is used up', 'train images, which also shaped the candidates')
    """

    steps: tuple[Step, ...]
    choice: Choice
    history: History
    descriptions: tuple[str, ...]
    ended: str
    reached: BudgetReached | None
    domain: tuple[DomainWord, ...]
    written: int | None
    finalists: tuple[Score, ...]

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
    train_units: Units,
    val_units: Units | None = None,
    *,
    journal: Journal | None = None,
    task: str = "pictures to be classified",
    describe: Callable[[], Sequence[str]] | None = None,
    find_domain: Callable[[], Sequence[DomainWord]] | None = None,
    ledger: Ledger | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> SearchResult:
    """Search for a template.

    Args:
        settings: how long to search, where to start, and how to choose the winner.
        reward: the reward, which scores templates on units. The units come from its method `examples`.
        strategy: the strategy, which finds new templates; made for this search alone.
        train_units: the units on which templates are scored during the search.
        val_units: held-back units that help to choose the winner and measure the gain of choosing; see
            `selection.py`. None chooses on the train units and measures nothing.
        journal: the journal into which the scores of each step are written. None writes nothing.
        task: one sentence on what the images are.
        describe: a function that returns descriptions of a few images. It may ask a language model.
        find_domain: a function that returns the domain words. It may ask a language model.
        ledger: the costs of language models, and the limits of the search. None sets no limit.
        on_step: a function that is called with each step when it is done.

    Raises:
        InputError: the initial template cannot be scored.
        NothingUsable: none of the first `MAX_EMPTY_STEPS` steps gave a usable template.
        dspy.LMError: the language model cannot be reached; its replies before that are recorded.
    """
    reason = reward.problem(settings.initial_template)
    if reason:
        raise InputError(f"the template {settings.initial_template!r} cannot be used: {reason}.")
    ledger = ledger or Ledger()
    steps: list[Step] = []
    finalists: list[Score] = []
    reached = None

    def end_step() -> None:
        steps.append(bench.end())
        ledger.step = steps[-1].number + 1
        on_step(steps[-1])

    def held_back_scores(templates: Sequence[str], units: Units) -> list[Score]:
        finalists.extend(score(reward, templates, units))
        if journal:
            note_scores(journal, "val", settings.steps, finalists)
        return finalists

    with one_for_numpy():
        bench = Bench(settings, reward, train_units, task, journal, ledger, shows_history=knows_history(strategy))
        try:
            end_step()
            if describe:
                with bench.in_time("descriptions"):
                    bench.descriptions = tuple(describe())
            if find_domain:
                with bench.in_time("domain"):
                    bench.domain = tuple(find_domain())
            ended = _ask_until_it_ends(settings, strategy, bench, end_step)
        except Exception as error:
            cause = explain(error)  # DSPy wraps errors, and other code replaces them
            reached = cause if isinstance(cause, BudgetReached) else ledger.reached
            if not reached:
                raise
            if bench.proposed:  # what came before the limit; a resumed search does this step again, and may get more
                end_step()
            ended = str(reached)
            told = "stopped: %s; choosing the winner of %d templates"
            logger.warning(told, ended, len(bench.everything), extra={"progress": True})
        finally:
            close(strategy)
        choice = choose_winner(settings.selection, bench.everything, train_units, val_units, held_back_scores)
    found = bench.everything, bench.descriptions, ended, reached, bench.domain, bench.written
    return SearchResult(tuple(steps), choice, *found, tuple(finalists))


def _ask_until_it_ends(settings: SearchSettings, strategy: Strategy, bench: Bench, end_step: Callable[[], None]) -> str:
    """Do the steps, and return why they ended."""
    empty = since_better = 0
    source = _source(strategy)
    for number in range(settings.steps):
        before = bench.everything.best
        bench.begin(number, source)
        finished: object = strategy.ask(bench)
        scored = len(bench.proposed)
        end_step()
        if not isinstance(finished, str | None):
            raise InputError(
                f"ask() of the strategy {type(strategy).__name__} gave {type(finished).__name__}; it returns None, or "
                "why the search ends, and gives each template to bench.propose; ipo docs strategies has an example."
            )
        # Stop when the strategy has finished, or when nothing usable or better is found.
        empty = 0 if scored else empty + 1
        since_better = 0 if bench.everything.best is not before else since_better + 1
        if finished:
            return finished
        if not scored:
            reasons = _reasons(bench.refused)
            logger.warning("step %d gave no usable template (%s)", number + 1, reasons, extra={"progress": True})
        if empty >= MAX_EMPTY_STEPS:
            return _give_up(strategy, bench, empty)
        if since_better == settings.patience:
            return f"nothing better came in {since_better} steps"
    return f"all {settings.steps} steps were done"


def _give_up(strategy: Strategy, bench: Bench, empty: int) -> str:
    """Return why the search ends early.

    Raises:
        NothingUsable: the search found no template at all.
    """
    asked = asks_lm(strategy)
    who = "language model" if asked else "strategy"
    reason = f"the {who} gave no usable template in {empty} steps in a row ({_reasons(bench.refused)})"
    if len(bench.everything) == 1:
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
