"""Run one search from beginning to end, with its ledger, and the stages after it.

`IPO.compile`, `ipo optimize`, `ipo.optimize` and the cells of a grid call `run`. So all of them can do the same, and
the same arguments leave the same journal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import dspy

from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.blend import Blend, Labelled, blend
from ipo_prompts.metrics.classification import EncodedImages, scores_accuracy, together
from ipo_prompts.metrics.clock import Clock
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward, Units
from ipo_prompts.programs.bench import Step
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.domain import ask_for_domain, domain_of
from ipo_prompts.programs.journal import Journal, seconds_of_search
from ipo_prompts.programs.lm import is_local
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.naming import NamesChosen, search_names
from ipo_prompts.programs.phrases import DomainWord, domain_in_words
from ipo_prompts.programs.search import SearchResult, search
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.strategies.base import Strategy, room_for_words

MOST_VIEWED = 10_000
"""With more labelled images than this, no further views of them are encoded: they would cost more than the search."""


def ledger_of(settings: SearchSettings, journal: Journal | None) -> Ledger:
    """Return the ledger of a search with its limits; with a journal, it continues the file of replies beside it."""
    clock = Clock(settings.max_minutes, before=seconds_of_search(journal.events) if journal else 0.0)
    folder = journal.path.parent if journal else None
    return Ledger(folder, limit_usd=settings.budget_usd, limit_tokens=settings.budget_tokens, clock=clock)


@dataclass(frozen=True)
class Searched:
    """A search that has ended.

    Attributes:
        result: the outcome of the search.
        ledger: what language models used.
        reward: the reward, with the class names after the search for names.
        named: the class names after a search for names; None if no such search was asked for.
    """

    result: SearchResult
    ledger: Ledger
    reward: Reward
    named: NamesChosen | None = None


def run(
    settings: SearchSettings,
    reward: Reward,
    strategy: Strategy,
    *parts: Units,
    ledger: Ledger,
    lm: dspy.LM | None = None,
    journal: Journal | None = None,
    task: str = "pictures to be classified",
    describe: Callable[[], Sequence[str]] | None = None,
    called: Sequence[str] = (),
    typed: Mapping[int, str] | None = None,
    kept: Collection[int] = (),
    on_step: Callable[[Step], None] = lambda step: None,
    say: Callable[[str], None] = lambda line: None,
) -> Searched:
    """Search for a template, choose the winner, and search for names of the classes if the settings ask for it.

    Args:
        settings, reward, strategy, task, describe, on_step: see `search`.
        parts: the units on which templates are scored, and the held-back units, if there are any.
        ledger: see `ledger_of`.
        lm: the language model, which the ledger records; None if there is none.
        journal: the journal into which scores are written.
        called: what the user calls the data: a folder, a table, a data set. Domain words are read from it.
        typed, kept: see `search_names`.
        say: a function that is called with lines of text on what is being done.

    Raises:
        InputError, NothingUsable, dspy.LMError: see `search`; the search can be resumed.
    """
    room = room_for_words(strategy)

    def domain() -> Sequence[DomainWord]:
        names = reward.class_names
        asked = ask_for_domain(lm, task, names, settings.seed) if lm else ()
        found = domain_of(names, (*called, task), asked)
        if journal:
            journal.note("domain", words=[list(word) for word in found[:room]])
        say(domain_in_words(found[:room]))
        if found[room:]:
            say(f"not tried, for want of room: {', '.join(word.text for word in found[room:])}")
        return found[:room]

    with dspy.context(lm=lm):  # with lm=None, too: then no language model is asked
        result = search(
            settings,
            reward,
            strategy,
            *parts,
            journal=journal,
            task=task,
            describe=describe,
            find_domain=domain if room else None,
            ledger=ledger,
            on_step=on_step,
        )
    if settings.names != "search":
        return Searched(result, ledger, reward)
    say("searching for names of the classes")
    named = search_names(
        reward,
        result.choice.template,
        parts,
        lm=None if lm is None or is_local(lm.model) else lm,  # a small language model repeats what it is given
        task=task,
        seed=settings.seed,
        typed=typed,
        kept=kept,
    )
    if journal:
        journal.note("names", **named.record())
    if ledger.reached and not result.stopped:  # a resumed run asks for the remaining names
        result = replace(result, reached=ledger.reached)
    return Searched(result, ledger, named.reward, named)


def check_naming(settings: SearchSettings, reward: Reward, class_names: Sequence[str] | None = None) -> None:
    """Refuse a search for names if the reward does not classify images by the names of the program.

    Args:
        settings, reward: the settings and the reward of the search.
        class_names: the class names of the program, if it has its own.

    Raises:
        InputError: says what to leave out.
    """
    others = class_names is not None and tuple(class_names) != tuple(reward.class_names)
    if settings.names == "search" and (others or not scores_accuracy(reward)):
        raise InputError(
            f"names=search is for the accuracy of images with one label each, and not for {type(reward).__name__}; "
            "leave it out."
        )


# What labelled images of train and validation give a program: temperatures, and images beside its words.


def calibrate_words(
    program: TemplateClassifier,
    initial: TemplateClassifier,
    gain: float | None,
    named: NamesChosen | None,
    parts: Sequence[EncodedImages],
) -> None:
    """Fit the temperature of words that were chosen on the same images.

    On these images their own accuracy is too high. That of the initial template is not, as nothing chose it, and the
    gains of template and names are measured on images left out of their choice. So the sum is the accuracy to expect.
    It is at least that of the initial template, and at most that of the chosen words.

    Args:
        program: the program; its temperature is changed.
        initial: the program with the initial template, and with the class names before a search for names.
        gain: the gain of the template in accuracy, see `selection.Choice`; None if it is not known.
        named: the outcome of a search for names.
        parts: the labelled images of train and validation.
    """
    gained = (gain or 0.0) + (named.found.held.hits if named and named.renamed else 0.0)
    images = together(parts)
    before, now = (
        float((one.logits(images.features).argmax(axis=1) == images.labels).sum())
        for one in (initial, program.text_only())
    )
    program.calibrate(images, before + min(max(gained * len(images), 0.0), max(now - before, 0.0)))


def blend_in(
    program: TemplateClassifier, parts: Sequence[EncodedImages], see: Callable[[], Floats] | None, *, gate: bool
) -> Blend:
    """Add labelled images to a program, if they have a weight; else words decide alone.

    Args:
        program: the program with the chosen template; it is changed.
        parts: the labelled images of train and validation.
        see: a function that returns the features of V further views of each image, float32 (n, V, D), in the order
            of the parts. It is called only if images may be added. Views teach if the loss of left-out images is
            lower with them. None if only features are known. More than `MOST_VIEWED` images teach without views.
        gate: whether the images have to pass the gate, see `metrics/blend.py`.

    Returns:
        The blend, whether it was added or not.
    """
    every, words = together(parts), program.text_only().logits
    apart = [part.groups or [f"{number} {i}" for i in range(len(part))] for number, part in enumerate(parts)]
    groups = [group for of_part in apart for group in of_part]
    images = Labelled(every.features, every.labels, len(program.class_names), groups)
    found = blend(words, images, gate=gate)
    # Without a loss, the gate is closed, or no image can be left out to judge the views.
    if see and found.loss and len(groups) <= MOST_VIEWED:
        found = min(found, blend(words, replace(images, views=see())), key=lambda one: one.loss)
    if found.weight:
        program.add(found)
    return found


def allowed_classifier(settings: SearchSettings, reward: Reward, student: TemplateClassifier) -> str:
    """Return the classifier to use: text, unless the reward is the accuracy of the student's classes.

    Raises:
        InputError: the settings ask for `"text+images"` with another reward.
    """
    if scores_accuracy(reward) and tuple(reward.class_names) == tuple(student.class_names):
        return settings.classifier
    if settings.classifier == "text+images":
        raise InputError(
            "classifier='text+images' is for the accuracy of labelled images, and not for "
            f"{type(reward).__name__}; leave it out."
        )
    return "text"
