"""The sealed test of a run: time is reserved for the test, its pictures are encoded ahead, and it is opened once.

A time limit must cover the start, the sealed test and the files: the test is never cut short. The duration of the test
is estimated: the measured time to encode one search picture, times the number of sealed pictures that the cache lacks.
A limit that is too short for this is refused. Then the sealed pictures are encoded, before anything is paid. The time
that the test still needs is reserved, so that the search ends in time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from ipo_prompts.experiments.data import Item, fresh
from ipo_prompts.experiments.data.check import faults
from ipo_prompts.experiments.data.load import check_command
from ipo_prompts.experiments.run.beside import what_stands_beside
from ipo_prompts.experiments.run.comparison import Compared, compare, over_classes, verdict
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.openings import DIGITS, Openings, count, names_after, names_digest, opening_of
from ipo_prompts.experiments.run.plan import SPLIT_SEED, Plan
from ipo_prompts.experiments.run.prepared import SEALED, SHOWN, Prepared, naming_unreadable, prepare
from ipo_prompts.experiments.run.result import Sealed
from ipo_prompts.experiments.run.scores import AnyPart
from ipo_prompts.experiments.run.searching import SearchedRun
from ipo_prompts.experiments.run.ui import Shows
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.clock import BudgetReached, Clock, due, optional
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import BATCH
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.metrics.sampling import harmonic_mean
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.record.score_keeper import units_of
from ipo_prompts.programs.record.trust import resume_command

MARGIN = 1.25
"""The time that is reserved for the test is the estimated time multiplied by this factor.

The factor is above 1, because few pictures were timed and the last batch before the test may take long.
"""
FILES = 2.0
"""The seconds reserved for the choice and the files of a run; 0.5 to 1.5 were measured on two cores."""
ROOM = 1.25
"""A proposed time limit is the least time that is needed multiplied by this factor."""


def in_time(planned: Plan, ui: Shows, one: Clock, folder: Path) -> tuple[Prepared, float]:
    """Prepare a run, encode its sealed pictures, and reserve the time that its sealed test still needs.

    Returns:
        The prepared run, and the estimated seconds of its test; 0 without a time limit.

    Raises:
        InputError: see `prepare` and `refuse_short`.
    """
    try:
        prepared = prepare(planned, ui)
        test = 0.0 if one.limit is None else seconds_of_test(prepared)
    except BudgetReached:
        refuse_short(one, one.seconds - one.before, 0.0, planned.config, folder)
        raise
    refuse_short(one, one.seconds - one.before, test, planned.config, folder)
    with due():  # by the estimate, there is time for this
        encode_sealed(prepared, ui)
    if one.limit is not None:
        test = seconds_of_test(prepared)
        one.reserve = reserve_of(test)
    return prepared, test


def encode_sealed(prepared: Prepared, ui: Shows) -> None:
    """Encode the sealed pictures before a language model is asked or paid, so that unreadable pictures are found early.

    Nothing is scored and no label is read; only features are stored. If a reward does not store features of whole
    pictures, its pictures are only decoded.

    Raises:
        InputError: a picture cannot be read; the message names all such pictures of the run.
    """
    planned, drawn, store = prepared.plan, prepared.plan.drawn, prepared.store
    sealed = {"test": drawn.test, "new": drawn.new_test}
    with naming_unreadable(planned):
        for name, items in sealed.items():
            pictures = [item.picture for item in items]
            if pictures and getattr(prepared.reward, "keeps_pictures", False):
                store.encode(pictures, ui.pictures(name))
            elif fault := next(filter(None, faults(pictures)), None):
                raise InputError(fault)


def seconds_of_test(prepared: Prepared) -> float:
    """Return the estimated seconds to encode the pictures that are opened at the end and that the cache lacks.

    Raises:
        InputError: a picture cannot be read.
    """
    drawn = prepared.plan.drawn
    missing = prepared.store.missing([item.picture for item in (*drawn.test, *drawn.new_test)])
    return missing * _seconds_a_picture(prepared) if missing else 0.0


def reserve_of(test: float) -> float:
    """Return the seconds to reserve for the sealed test and the files; `test` is the estimate for the test."""
    return MARGIN * test + FILES


def refuse_short(one: Clock, startup: float, test: float, config: RunConfig, folder: Path) -> None:
    """Refuse a time limit that is below twice the start-up, or too short for the sealed test.

    Args:
        one: the clock of the run.
        startup: the seconds from the start of this session until now.
        test: the estimated seconds of the test, see `seconds_of_test`.
        config: the configuration of the run.
        folder: the run directory.

    Raises:
        InputError: the limit is too short; the message says how much is needed. Encoded features stay in the cache.
    """
    later = reserve_of(test)
    least = one.before + startup + (later if one.before else max(startup, later))
    if one.limit is None or one.limit >= least:
        return
    before = f"{one.before:.0f} s were used before, " if one.before else ""
    needs = f"{before}loading and encoding took {startup:.1f} s and the sealed test and the files need {later:.1f} s"
    raise InputError(
        f"--max-minutes {one.limit / 60:.3g} leaves no time to search: {needs}; {_again(one, least, config, folder)}."
    )


def refuse_to_open(one: Clock, test: float, config: RunConfig, folder: Path) -> None:
    """Stop before the sealed test if the time left is too short for it.

    Raises:
        InputError: the time left is too short; the message says with which limit the run can go on.
    """
    if one.limit is None or one.seconds + test <= one.limit:
        return
    left = max(0.0, one.limit - one.seconds)
    raise InputError(
        f"the sealed test was not opened: it needs about {test:.0f} s, and of the {one.limit / 60:.3g} minutes "
        f"{left:.0f} s are left; the search is kept: {_again(one, one.seconds + reserve_of(test), config, folder)}."
    )


def _again(one: Clock, least: float, config: RunConfig, folder: Path) -> str:
    minutes = math.ceil(1000 * max(ROOM * least, one.limit or 0.0) / 60) / 1000
    if not one.before and not (folder / "journal.jsonl").exists():
        return f"give --max-minutes {minutes} or more"
    return f"go on with `{resume_command(folder, config.model_dump(), '--max-minutes', str(minutes))}`"


def _seconds_a_picture(prepared: Prepared) -> float:
    """Return the seconds to encode one search picture; if too few pictures were encoded, time a batch of them."""
    clip, encoded = prepared.clip, prepared.store.encoded
    shown = [item.picture for part in (prepared.search, prepared.selection) if part for item in part.items]
    if encoded >= BATCH or not shown:
        return clip.seconds["image"] / max(1, encoded)
    started = time.monotonic()
    clip.encode_pictures(list(islice(cycle(shown), BATCH)), batch=BATCH)
    return (time.monotonic() - started) / BATCH


@dataclass(frozen=True)
class SealedTest:
    """The opened test of a run.

    Attributes:
        parts: the scores of both templates on each part of the pictures.
        others: the scores of both templates on the test pictures by further measures, by the name of the measure.
        opening: this opening of the sealed pictures, with the earlier openings.
    """

    parts: dict[AnyPart, Compared]
    others: dict[str, Compared]
    opening: Openings


def open_test(prepared: Prepared, searched: SearchedRun, journal: Journal, ui: Shows) -> SealedTest:
    """Score the initial and the chosen template on all parts; only here are the sealed pictures opened.

    If fresh pictures cannot be used, a line says so and they are left out: the result does not need them.
    """
    planned, drawn = prepared.plan, prepared.plan.drawn
    ours = searched.reward
    sides = prepared.config.initial_template, searched.result.choice.template

    def compared(encoded: Encoded, reward: Reward = ours) -> Compared:
        initial, optimised = (reward.score([side], encoded.units)[0] for side in sides)
        how = encoded.sampling(initial.n)
        return Compared(encoded.items, encoded.units, encoded.labels, reward, how, initial, optimised)

    def measured(items: Sequence[Item], reward: Reward, name: str, seed: int = SPLIT_SEED) -> Compared:
        return compared(planned.task.encode(reward, items, seed=seed, progress=ui.pictures(name)), reward)

    parts: dict[AnyPart, Compared] = {}
    with due():
        parts["search"] = compared(prepared.search)
        if prepared.selection:
            parts["selection"] = compared(prepared.selection)
    others = {}
    sealed: tuple[tuple[Literal["test", "new"], Sequence[Item], Sequence[str]], ...] = (
        ("test", drawn.test, ours.class_names),
        ("new", drawn.new_test, drawn.new_class_names),
    )
    for name, items, class_names in sealed:
        if not items:
            continue
        reward = planned.task.reward(prepared.clip, class_names, prepared.store)
        with due():
            parts[name] = measured(items, reward, name)
        template, hits = _found(parts[name])
        if not journal.find(name, template=template, hits=hits):
            journal.append(name, template=template, hits=hits)
        if note := _seen_before(prepared, items):
            about = prepared.config
            check = check_command(about.data, about.exclude)
            ui.warn(f"{note}; `{check}` lists copies")
        if name == "test":
            for measure, other in planned.task.other_measures(prepared.clip, class_names, prepared.store).items():
                if found := optional(f"{measure} of the sealed test", partial(measured, items, other, "test")):
                    others[measure] = found
    if left := fresh(planned.data, drawn, prepared.config.seed):
        unused = f"fresh (left over; each word is tested on these {planned.task.unit})"
        try:
            what = f"fresh {planned.task.unit}, on which each word is tested"
            if part := optional(what, partial(measured, left, ours, unused, prepared.config.seed)):
                parts["fresh"] = part
        except InputError as error:
            ui.say(f"what each word does is not tested on fresh {planned.task.unit}: {error}")
    return SealedTest(parts, others, opening(prepared, searched, parts["test"], journal))


def _seen_before(prepared: Prepared, sealed: Sequence[Item]) -> str | None:
    """Say how many sealed pictures are also search or selection pictures, compared by their bytes.

    Return None if no sealed picture is among them.
    """
    seen = {content[:DIGITS] for content in prepared.contents(*SHOWN)}
    again = sum(content[:DIGITS] in seen for content in prepared.store.contents([item.picture for item in sealed]))
    if not again:
        return None
    return (
        f"{again:,} of {len(sealed):,} sealed pictures {'is' if again == 1 else 'are'} among the search and selection "
        "pictures, so the score is too good"
    )


def what_is_shown(prepared: Prepared, searched: SearchedRun, test: SealedTest) -> dict[str, Any]:
    """Return the fields of a result that are about the test, by name: scores, verdict, and measurements beside them."""
    drawn, found, parts, this = prepared.plan.drawn, searched.result, test.parts, test.opening
    balanced = prepared.config.verdict == "balanced"
    pairs = {str(name): part.pair for name, part in parts.items() if name != "fresh"}
    pairs |= {f"other {name}": part.pair for name, part in test.others.items()}
    tested = set(pairs) - {"search", "selection"}
    compared = compare(pairs, tested, opening=this.number, balanced=balanced, tests=this.tests)
    new = compared.get("new")
    said = verdict(
        compared["test"],
        prepared.plan.task.unit,
        this.number,
        new=new,
        elsewhere=this.elsewhere,
        renamed_in=this.renamed_in,
        untried=found.ended if len(found.history) == 1 else None,
    )
    means = new and {
        side: harmonic_mean(*(getattr(one, side).value for one in (compared["test"], new)))
        for side in ("initial", "optimised")
    }
    classes = {item.label for item in drawn.test}
    return {
        "sealed": Sealed(
            digest=prepared.digest(*SEALED),
            opened=this.number,
            elsewhere=this.elsewhere,
            renamed_in=this.renamed_in if not this.tests else (),
        ),
        "verdict": said,
        "scores": {name: compared[name] for name in parts if name != "fresh"},
        "classes_untested": tuple(name for label, name in enumerate(drawn.class_names) if label not in classes),
        "other_measures": {name: compared[f"other {name}"] for name in test.others},
        "harmonic_mean": means,
        "over_classes": over_classes(parts, balanced),
        **what_stands_beside(prepared, searched, parts),
    }


def opening(prepared: Prepared, searched: SearchedRun, test: Compared, journal: Journal) -> Openings:
    """Record this opening of the sealed pictures in the journal, and return it.

    The digest of each sealed picture is recorded, so that runs with only some of these pictures count the opening.
    """
    data = prepared.plan.data
    pictures = {content[:DIGITS] for content in prepared.contents(*SEALED)}
    names = names_digest(data.class_names), names_digest(names_after(data, searched.named))
    return count(opening_of(*_found(test)), pictures, names, prepared.config.opened, journal)


def _found(part: Compared) -> tuple[str, dict[str, Any]]:
    """Return the chosen template, and the hits of both templates, by template."""
    return part.optimised.template, {one.template: units_of(one) for one in (part.initial, part.optimised)}
