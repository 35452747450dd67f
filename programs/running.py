"""Run one search from beginning to end, with describer and ledger.

`IPO.compile`, `ipo optimize`, `ipo.optimize` and the cells of a grid fill in a `Job` and hand it to `run`. So all of
them can do the same, and the same job leaves the same journal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import dspy
import numpy as np

from ipo_prompts.metrics.blend import Labelled, blend
from ipo_prompts.metrics.classification import EncodedPictures, features_of, scores_accuracy
from ipo_prompts.metrics.clock import Clock, due, keeping
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward, Units
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.describers.multimodal import Describing, describe
from ipo_prompts.programs.domain import find_domain
from ipo_prompts.programs.lm.connect import Backend, asking
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.naming import NamesChosen, search_names
from ipo_prompts.programs.record.journal import Journal, seconds_of_search
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.search import SearchResult, Step, search
from ipo_prompts.programs.strategies.base import Strategy, room_for_words
from ipo_prompts.programs.templates.domain_words import DomainWord, domain_in_words
from ipo_prompts.programs.templates.settings import SearchSettings


@dataclass(frozen=True)
class Job:
    """All that a search needs.

    Attributes:
        settings, reward, units, held_back, task: see `search`.
        strategy: a function that makes the strategy. Its argument is the language model to be asked, or None.
            Language models that the strategy holds itself are recorded, too.
        lm: the language model, before it is connected with a ledger; None if there is none.
        temperature, max_tokens: the parameters of questions to `lm`, unless `lm` has its own.
        describing: how the pictures are described; None if they are not.
        typed, kept: see `search_names`.
        called: what the user calls the data: a folder, a table, a data set. Domain words are read from it.
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
    typed: Mapping[int, str] | None = None
    kept: Collection[int] = ()
    called: Sequence[str] = ()


@dataclass(frozen=True)
class Searched:
    """A search that has ended.

    Attributes:
        result: the outcome of the search.
        ledger: what language models used.
        reward: the reward, with the class names after the search for names.
        named: the class names after a search for names, a `NamesChosen`; None if no such search was asked for.
    """

    result: SearchResult
    ledger: Ledger
    reward: Reward
    named: Any = None


def check_naming(settings: SearchSettings, reward: Reward, class_names: Sequence[str] | None = None) -> None:
    """Refuse a search for names if the reward does not classify pictures by the names of the program.

    Args:
        settings, reward: the settings and the reward of the search.
        class_names: the class names of the program, if it has its own.

    Raises:
        InputError: says what to leave out.
    """
    others = class_names is not None and tuple(class_names) != tuple(reward.class_names)
    if settings.names == "search" and (others or not scores_accuracy(reward)):
        raise InputError(
            f"names=search is for the accuracy of pictures with one label each, and not for {type(reward).__name__}; "
            "leave it out."
        )


def run(
    job: Job,
    journal: Journal | None = None,
    *,
    on_step: Callable[[Step, Ledger], None] = lambda step, ledger: None,
    say: Callable[[str], None] = lambda line: None,
    showing: Callable[[Ledger], AbstractContextManager[Any]] = lambda ledger: nullcontext(),
) -> Searched:
    """Search, choose the winner, and search for names if they were asked for.

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
    limits = job.settings
    time = Clock.of(limits.max_minutes, before=seconds_of_search(journal.events) if journal else 0.0)
    folder = journal.path.parent if journal else None
    ledger = Ledger(folder, limit_usd=limits.budget_usd, limit_tokens=limits.budget_tokens, clock=time)
    record = ScoreKeeper(journal, job.reward)
    lm = job.lm.connect(ledger, "optimizer", job.temperature, job.max_tokens) if job.lm else None

    def recorded(own: dspy.BaseLM) -> dspy.BaseLM:
        return own if own is lm else Backend.of(own).connect(ledger, "optimizer", None, None)

    strategy = asking(job.strategy(lm), recorded)
    room = room_for_words(strategy)

    def described() -> list[str]:
        assert job.describing is not None
        time.check_time()
        say(f"describing the search pictures with {job.describing.by}")
        describer, asked = job.describing.describer(ledger)
        shown = job.describing.pictures, job.units.labels, job.reward.class_names
        with dspy.context(lm=asked or dspy.settings.lm):
            return describe(describer, *shown, job.task, record)

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

    def done(step: Step) -> None:
        ledger.step = step.number + 1
        on_step(step, ledger)

    with keeping(time), showing(ledger), dspy.context(lm=lm):  # with lm=None, too: then no language model is asked
        result = search(
            job.settings,
            job.reward,
            strategy,
            job.units,
            job.held_back,
            record=record,
            task=job.task,
            describe=described if job.describing else None,
            find_domain=domain if room else None,
            ledger=ledger,
            on_step=done,
        )
    return _named(job, Searched(result, ledger, job.reward), record, lm, say, showing)


def _named(
    job: Job,
    found: Searched,
    record: ScoreKeeper,
    lm: dspy.LM | None,
    say: Callable[[str], None],
    showing: Callable[[Ledger], AbstractContextManager[Any]],
) -> Searched:
    """Search for names of the classes, if they were asked for."""
    if job.settings.names != "search":
        return found
    say("searching for names of the classes")
    parts = [job.units, *([job.held_back] if job.held_back is not None else [])]
    asked = None if job.lm is None or job.lm.small else lm  # a small language model repeats what it is given
    templates = [found.result.choice.template]
    with showing(found.ledger):
        named = search_names(
            job.settings, job.reward, templates, parts, record, asked, job.task, typed=job.typed, kept=job.kept
        )
    if (reached := found.ledger.reached) and not found.result.stopped:  # a resumed run asks for the remaining names
        found = replace(found, result=replace(found.result, reached=reached))
    return replace(found, reward=named.reward, named=named)


# What labelled pictures of search and selection give a program: temperatures, and pictures beside its words.


def calibrate_words(
    program: TemplateClassifier,
    initial: TemplateClassifier,
    gain: float | None,
    named: NamesChosen | None,
    parts: Sequence[EncodedPictures],
) -> None:
    """Fit the temperature of words that were chosen on the same pictures.

    On these pictures their own accuracy is too high. That of the initial template is not, as nothing chose it, and the
    gains of template and names are measured on pictures left out of their choice. So the sum is the accuracy to expect.
    It is at least that of the initial template, and at most that of the chosen words.

    Args:
        program: the program; its temperature is changed.
        initial: the program with the initial template, and with the class names before a search for names.
        gain: the gain of the template in accuracy, see `selection.Choice`; None if it is not known.
        named: the outcome of a search for names.
        parts: the labelled pictures of search and selection.
    """
    gained = (gain or 0.0) + (named.found.held.hits if named and named.renamed else 0.0)
    pictures = EncodedPictures(features_of(*parts), np.concatenate([part.labels for part in parts]))
    before, now = (
        float((one.logits(pictures.features).argmax(axis=1) == pictures.labels).sum()) for one in (initial, program)
    )
    program.calibrate(pictures, before + min(max(gained * len(pictures), 0.0), max(now - before, 0.0)))


def blend_in(program: TemplateClassifier, parts: Sequence[EncodedPictures], *, gate: bool) -> None:
    """Add labelled pictures to a program, if they have a weight; else words decide alone.

    Args:
        program: the program with the chosen template; it is changed.
        parts: the labelled pictures of search and selection.
        gate: whether the pictures have to pass the gate, see `metrics/blend.py`.
    """
    features, labels = features_of(*parts), np.concatenate([part.labels for part in parts])
    apart = [part.groups or [f"{number} {i}" for i in range(len(part))] for number, part in enumerate(parts)]
    groups = [group for of_part in apart for group in of_part]
    pictures = Labelled(features, labels, len(program.class_names), groups)
    found = blend(program.words_alone().logits(features), pictures, program.clip.logit_scale)
    if found.weight == 0 or (gate and not found.sure):
        return
    program.add(found)


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
