"""Run one search from beginning to end, with describer, recorder, ledger and offsets.

`IPO.compile`, `ipo optimize`, `ipo.optimize` and the cells of a grid fill in a `Job` and hand it to `run`. So all of
them can do the same, and the same job leaves the same journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dspy
import numpy as np

from ipo_prompts.metrics.blend import Blend, Kept, Labelled, blend
from ipo_prompts.metrics.calibration import fit_temperature
from ipo_prompts.metrics.classification import EncodedPictures, features_of, fitted_on, scores_accuracy
from ipo_prompts.metrics.clock import Clock, clock, due, keeping, optional
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import Fitted, under
from ipo_prompts.metrics.reward import Reward, Score, Units
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.describers.multimodal import Describing, describe
from ipo_prompts.programs.domain import find_domain
from ipo_prompts.programs.lm.connect import Backend, asking
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.naming import check_names, search_names
from ipo_prompts.programs.record.journal import Event, Journal
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.search import SearchResult, Step, search
from ipo_prompts.programs.selection import best_first, cross_fitted_difference, pooled_choice, tables_of
from ipo_prompts.programs.strategies.base import Strategy, room_for_words
from ipo_prompts.programs.strategies.window import Room
from ipo_prompts.programs.strategies.window import fitted_texts as shortened
from ipo_prompts.programs.templates.domain_words import DomainWord, domain_in_words
from ipo_prompts.programs.templates.settings import SearchSettings

BESIDE = -1
"""The step number of scores that are made outside the search. The steps of a search are counted from 0, so readers of a
journal do not take these scores for scores of a step."""
Way = tuple[Sequence[Score], Sequence[Score]]
"""The scores of all templates on the search units, and their scores on the held-back units. In both, the initial
template comes first, and the others follow, best first."""


@dataclass(frozen=True)
class Job:
    """All that a search needs.

    Attributes:
        settings, reward, units, held_back, task: see `search`.
        strategy: a function that makes the strategy. Its argument is the language model to be asked, or None.
            Language models that the strategy holds itself are recorded, too.
        lm: the language model, without a recorder; None if there is none.
        temperature, max_tokens: the parameters of questions to `lm`, unless `lm` has its own.
        describing: how the pictures are described; None if they are not.
        room: the most tokens of all descriptions in a question; None for no bound.
        called: what the user calls the data: a folder, a table, a data set. Domain words are read from it.
        replies: recorded replies of another run, which are used in place of replies of language models.
        replay: whether a question without a recorded reply is refused. If not, a language model answers it.
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
    called: Sequence[str] = ()
    replies: Sequence[Event] = ()
    replay: bool = False


@dataclass(frozen=True)
class Settled:
    """Whether the requested offsets are kept.

    Attributes:
        kept: the offsets; None if choosing with offsets gained no more than one standard error.
        gain: the gain of choosing templates with offsets over choosing without. It is measured on held-back
            units that had no part in the choice.
        standard_error: the standard error of the gain; None if the units do not determine it.
    """

    kept: Fitted | None
    gain: float
    standard_error: float | None


@dataclass(frozen=True)
class Searched:
    """A search that has ended.

    Attributes:
        result: the outcome of the search.
        ledger: what language models used.
        settled: whether offsets are kept; None if none were asked for.
        named: the class names after a search for names, a `NamesChosen`; None if no such search was asked for.
    """

    result: SearchResult
    ledger: Ledger
    settled: Settled | None = None
    named: Any = None


def check_naming(settings: SearchSettings, reward: Reward, class_names: Sequence[str] | None = None) -> None:
    """Refuse a search for names if the reward does not classify by names. Refuse candidates for an unknown class.

    Args:
        settings, reward: the settings and the reward of the search.
        class_names: the class names of the program, if it has its own.

    Raises:
        InputError: says what to leave out.
    """
    if settings.names == "search":
        check_names(settings, reward, class_names)
    elif settings.name_candidates:
        raise InputError("name_candidates are tried only with names=search, not with names=given; set names=search.")


def run(
    job: Job,
    journal: Journal | None = None,
    *,
    on_step: Callable[[Step, Ledger], None] = lambda step, ledger: None,
    say: Callable[[str], None] = lambda line: None,
    showing: Callable[[Ledger], AbstractContextManager[Any]] = lambda ledger: nullcontext(),
) -> Searched:
    """Search, choose the winner, and decide on offsets and names if they were asked for.

    Args:
        job: the search, with all that it needs.
        journal: the journal into which answers and scores are written before they are used. Answers and scores that it
            holds already are read from it.
        on_step: a function that is called with the step and the ledger after each step.
        say: a function that is called with lines of text on what is being done.
        showing: a function that makes a context manager from the ledger. It is entered while the search goes on.

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
    room = room_for_words(strategy)
    offsets = None if kind == "none" else fitted_on(kind, job.units, job.held_back)
    searching = offsets if kind == "centring" else None  # a prior would have to be fitted for each template

    def described() -> list[str]:
        assert job.describing is not None
        time.check_time()
        say(f"describing the search pictures with {job.describing.by}")
        describer, asked = job.describing.describer(recorder)
        shown = job.describing.pictures, job.units.labels, job.reward.class_names
        with dspy.context(lm=asked or dspy.settings.lm):
            return shortened(describe(describer, *shown, job.task, record), job.room, record, say)

    def domain() -> Sequence[DomainWord]:
        known = record.find("domain")
        if not known:
            time.check_time()
        with due() if known else nullcontext():  # what an earlier session found is found again, whatever the time
            found = find_domain(job, lm)
        record.note("domain", words=[list(word) for word in found[:room]])
        say(domain_in_words(found[:room]))
        if found[room:]:
            say(f"not tried, for want of room: {', '.join(word.text for word in found[room:])}")
        return found[:room]

    with keeping(time), showing(ledger), dspy.context(lm=lm):  # with lm=None, too: then no language model is asked
        result = search(
            job.settings,
            job.reward,
            strategy,
            under(job.units, searching),
            None if job.held_back is None else under(job.held_back, searching),
            record=record,
            task=job.task,
            describe=described if job.describing else None,
            find_domain=domain if room else None,
            ledger=ledger,
            on_step=lambda step: on_step(step, ledger),
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
    """Decide on offsets and names, if they were asked for and there is time."""
    result, held_back, settled, named = found.result, job.held_back, None, None
    if offsets is not None and held_back is not None:
        settle = partial(settle_offsets, result, offsets, job.units, held_back, record)
        if job.settings.offsets == "centring":  # the templates were scored with centring
            with due():
                result, settled = settle()
        else:
            result, settled = optional("whether offsets are kept", settle) or (result, None)
    kept = settled.kept if settled else None
    if job.settings.names == "search":
        say("searching for names of the classes")
        parts = [job.units, *([held_back] if held_back is not None else [])]
        asked = None if job.lm is None or job.lm.small else lm  # a small language model repeats what it is given
        templates = [result.choice.template]
        searching = partial(
            search_names, job.settings, job.reward, templates, parts, kept, record, lm=asked, task=job.task
        )
        with showing(found.ledger):
            named = optional("other names of the classes", searching)
        if (reached := found.ledger.reached) and not result.stopped:  # a resumed run asks for the remaining names
            result = replace(result, reached=reached)
    return Searched(result, found.ledger, settled, named)


# Offsets are kept if held-back units show a gain. `selection.py` has the rule.


def settle_offsets(
    found: SearchResult, offsets: Fitted, search_units: Units, held_back: Units, record: ScoreKeeper
) -> tuple[SearchResult, Settled]:
    """Choose among the templates of a search with and without offsets, and decide whether the offsets are kept.

    The rule of `selection.py` chooses one template with offsets and one template without. Each fold of the held-back
    pictures compares two templates that are chosen without that fold; for this, the offsets are fitted on the search
    pictures alone. The offsets are kept if the gain of choosing with them exceeds its standard error.

    Returns:
        The search with the template that was chosen with the kept offsets, or without offsets; and the evidence.
    """
    initial = found.history.initial
    templates = [initial.template, *(one.template for one in found.history.ranked() if one is not initial)]
    units, lead = (search_units, held_back), record.scale.lead

    def scored(how: Fitted | None, name: str) -> Way:
        parts = (
            record.score(BESIDE, templates, under(of, how), kind=f"{part} {name}")
            for part, of in zip(("search", "selection"), units, strict=True)
        )
        return best_first(*parts)

    # Balanced pictures flatter offsets that are fitted on them. So the gain is measured on other pictures.
    searched = fitted_on(offsets.kind, search_units)
    fair = scored(searched, f"with {offsets.kind} offsets of the search pictures")
    way = scored(None, "without offsets")
    gain, error = cross_fitted_difference(tables_of(fair, units, lead), tables_of(way, units, lead))
    kept = error is not None and gain > error
    record.note("offsets", kind=offsets.kind, kept=kept, gain=gain, standard_error=error)
    if kept:
        way = scored(offsets, f"with {offsets.kind} offsets")
    return replace(found, choice=pooled_choice(*way, *units, lead)), Settled(offsets if kept else None, gain, error)


# `head=blend`: labelled pictures of search and selection are added to the words of a program.


@dataclass(frozen=True)
class Blended:
    """A program with labelled pictures beside its words.

    Attributes:
        found: the blend of labelled pictures and words, with the weight of the pictures.
        program: the program. It has the pictures if their weight is above 0; else it has words alone.
        counts: int64 (C,), the number of labelled pictures of each class.
    """

    found: Blend
    program: TemplateClassifier
    counts: Any


def blend_in(program: TemplateClassifier, parts: Sequence[EncodedPictures]) -> Blended:
    """Add labelled pictures to a program that has words alone, and fit the temperature on pictures left out in turn.

    Args:
        program: the program with the chosen templates; it is changed.
        parts: the labelled pictures of search and selection.
    """
    features, labels = features_of(*parts), np.concatenate([part.labels for part in parts])
    apart = [part.groups or [f"{number} {i}" for i in range(len(part))] for number, part in enumerate(parts)]
    groups = [group for of_part in apart for group in of_part]
    pictures = Labelled(features, labels, len(program.class_names), groups)
    found = blend(program.logits(features), pictures, program.clip.logit_scale)
    counts = np.bincount(labels, minlength=pictures.classes)
    if found.weight > 0:
        program.pictures = Kept.of(found, program.clip.logit_scale, np.flatnonzero(counts == 0).tolist())
        program.temperature = 1.0
        if found.held:
            logits, true, numbers = found.held
            program.temperature = fit_temperature(logits, true, [groups[i] for i in numbers])
    return Blended(found, program, counts)


def check_head(head: object, reward: Reward, student: TemplateClassifier) -> None:
    """Refuse an unknown head, and `"blend"` unless the reward is the accuracy of the student's classes.

    Raises:
        InputError: says what to give.
    """
    if head not in ("words", "blend"):
        raise InputError(f"head= is 'words' or 'blend', not {head!r}.")
    same = tuple(reward.class_names) == tuple(student.class_names)
    if head == "blend" and not (scores_accuracy(reward) and same):
        raise InputError(
            f"head='blend' is for the accuracy of labelled pictures, and not for {type(reward).__name__}; leave it out."
        )
