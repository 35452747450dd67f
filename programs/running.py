"""One search from beginning to end: where describer, recorder, ledger, search and offsets meet.

`IPO.compile`, `ipo optimize`, `ipo.optimize` and the cells of a grid fill in a `Job` and hand it to `run`: what one of
them can, all of them can, and the same job leaves the same journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pkgutil import resolve_name
from typing import Any

import dspy

from ipo_prompts.metrics.classification import fitted_on
from ipo_prompts.metrics.clock import Clock, clock, due, keeping, optional
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import Fitted
from ipo_prompts.metrics.reward import Reward, Units
from ipo_prompts.programs.describers.multimodal import Describing, describe
from ipo_prompts.programs.lm.connect import Backend, asking
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.record.journal import Event, Journal
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.search import Earlier, SearchResult, Step, search
from ipo_prompts.programs.settling import Settled, settle_offsets, under
from ipo_prompts.programs.strategies.base import Strategy
from ipo_prompts.programs.strategies.window import Room
from ipo_prompts.programs.strategies.window import fitted_texts as shortened
from ipo_prompts.programs.templates.settings import SearchSettings

NAMING = "ipo_prompts.programs.naming"
"""Looks for other names of the classes."""


@dataclass(frozen=True)
class Job:
    """All that a search needs.

    Attributes:
        settings, reward, units, held_back, task, earlier: see `search`.
        strategy: makes the strategy with the language model that it asks; None where it asks none. Language models that
            it holds itself are recorded, too.
        lm: that language model, before what it is asked is recorded.
        temperature, max_tokens: what it is asked with, where it does not say so itself.
        describing: None where nothing is described.
        room: what questions leave for descriptions; None where nothing bounds them.
        replies: events of another run that answer in the place of language models.
        replay: whether what they do not answer is refused; else the language models answer it.
    """

    settings: SearchSettings
    reward: Reward
    units: Units
    held_back: Units | None
    strategy: Callable[[dspy.LM | None], Strategy]
    lm: Backend | None = None
    temperature: float | None = 1.0
    max_tokens: int | None = 1024
    task: str = "pictures to be classified"
    describing: Describing | None = None
    room: Room | None = None
    earlier: Earlier | None = None
    replies: Sequence[Event] = ()
    replay: bool = False


@dataclass(frozen=True)
class Searched:
    """A search that is over, what it used, whether offsets are kept, and what classes are called, the `NamesChosen` of
    `NAMING`; the latter two None where that was not asked for.
    """

    result: SearchResult
    ledger: Ledger
    settled: Settled | None = None
    named: Any = None


def check_naming(settings: SearchSettings, reward: Reward, class_names: Sequence[str] | None = None) -> None:
    """Refuse to look for names where nothing is classified by them, and candidates that fit no class.

    Args:
        settings, reward: of the search.
        class_names: of the program, where it has class names of its own.

    Raises:
        InputError: says what to leave out.
    """
    if settings.names == "search":
        resolve_name(f"{NAMING}:check_names")(settings, reward, class_names)
    elif settings.name_candidates:
        raise InputError("name_candidates are names to choose from, and names=given; set names=search.")


def run(
    job: Job,
    journal: Journal | None = None,
    *,
    on_step: Callable[[Step, Ledger], None] = lambda step, ledger: None,
    say: Callable[[str], None] = lambda line: None,
    showing: Callable[[Ledger], AbstractContextManager[Any]] = lambda ledger: nullcontext(),
) -> Searched:
    """Search, choose, and settle what was asked for beside.

    Args:
        job: what to do.
        journal: where what was paid for and measured is written before it is used; what it holds is not asked again.
        on_step: called after each step.
        say: told what is done, in lines.
        showing: entered with the ledger while the search goes on.

    Raises:
        InputError, NothingUsable, dspy.LMError: see `search`; the search can be resumed.
    """
    limits, kind = job.settings, job.settings.offsets
    time = clock() if clock().limit else Clock.of(limits.max_minutes, before=journal.seconds if journal else 0.0)
    ledger = Ledger(limit_usd=limits.budget_usd, limit_tokens=limits.budget_tokens, clock=time)
    recorder = Recorder(journal, ledger, job.replies, replay=job.replay)
    record = ScoreKeeper(journal, job.reward)
    lm = job.lm.connect(recorder, "optimizer", job.temperature, job.max_tokens) if job.lm else None

    def recorded(own: dspy.BaseLM) -> dspy.BaseLM:
        return own if own is lm else Backend.of(own, limits.seed).connect(recorder, "optimizer", None, None)

    strategy = asking(job.strategy(lm), recorded)
    offsets = None if kind == "none" else fitted_on(kind, job.units, job.held_back)
    searching = offsets if kind == "mean" else None  # a prior would be found for each template

    def described() -> list[str]:
        assert job.describing is not None
        time.check_time()
        say(f"describing the search pictures with {job.describing.by}")
        describer, asked = job.describing.describer(recorder)
        shown = job.describing.pictures, job.units.labels, job.reward.class_names
        with dspy.context(lm=asked or dspy.settings.lm):
            return shortened(describe(describer, *shown, job.task, record), job.room, record, say)

    with keeping(time), showing(ledger), dspy.context(lm=lm):  # None too: nothing else is asked
        result = search(
            job.settings,
            job.reward,
            strategy,
            under(job.units, searching),
            None if job.held_back is None else under(job.held_back, searching),
            record=record,
            task=job.task,
            describe=described if job.describing else None,
            check_limits=time.check_time,
            limit=lambda: ledger.reached,
            on_step=lambda step: on_step(step, ledger),
            earlier=job.earlier,
        )
    with keeping(time):
        return _settled(job, Searched(result, ledger), offsets, record, lm, say, showing)


def _settled(
    job: Job,
    found: Searched,
    offsets: Fitted | None,
    record: ScoreKeeper,
    lm: dspy.LM | None,
    say: Callable[[str], None],
    showing: Callable[[Ledger], AbstractContextManager[Any]],
) -> Searched:
    """Settle offsets and names where they were asked for and there is time."""
    result, held_back, settled, named = found.result, job.held_back, None, None
    if offsets is not None and held_back is not None:
        settle = partial(settle_offsets, result, offsets, job.units, held_back, record)
        if job.settings.offsets == "mean":  # the choice was made with them
            with due():
                result, settled = settle()
        else:
            result, settled = optional("whether offsets are kept", settle) or (result, None)
    kept = settled.kept if settled else None
    if job.settings.names == "search":
        say("looking for names of the classes")
        parts = [job.units, *([held_back] if held_back is not None else [])]
        asked = None if job.lm is None or job.lm.small else lm  # one that small repeats what it is given
        templates = [result.choice.template]
        look: Callable[..., Any] = resolve_name(f"{NAMING}:look_for_names")
        looking = partial(look, job.settings, job.reward, templates, parts, kept, record, lm=asked, task=job.task)
        with showing(found.ledger):
            named = optional("other names of the classes", looking)
        if (reached := found.ledger.reached) and not result.stopped:  # a resumed run asks for the others
            result = replace(result, stopped=str(reached), limit=reached.limit, needed=reached.needed)
    return Searched(result, found.ledger, settled, named)
