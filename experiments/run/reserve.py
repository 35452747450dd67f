"""What a time limit must hold: the start, the sealed test, the files. The test is never cut short to fit.

How long the test takes is measured: what a picture of the search took to encode, times the sealed ones that the cache
lacks. A limit that has no room for that is refused. Then the sealed pictures are encoded, before anything is paid, and
what the test still takes is kept in reserve, so that the search ends in time for it.
"""

from __future__ import annotations

import math
import shlex
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from ipo_prompts.metrics.clock import Clock
from ipo_prompts.metrics.errors import InputError, flag
from ipo_prompts.metrics.features import BATCH
from ipo_prompts.programs.record.trust import resumed_by

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.config import RunConfig
    from ipo_prompts.experiments.run.prepared import Prepared

MARGIN = 1.25
"""Of the test's time: the pace is known from few pictures, and the last batch before it may be long."""
FILES = 2.0
"""Seconds for the choice and the files of a run: measured, on two cores, 0.5 to 1.5."""
ROOM = 1.25
"""A limit that is proposed is so many times what is needed at least."""


def seconds_of_test(prepared: Prepared) -> float:
    """Measure how long it takes to encode what is opened at the end: sealed pictures, or all where none has a label.

    Raises:
        InputError: a picture cannot be read.
    """
    drawn, data = prepared.plan.drawn, prepared.plan.data
    items = (*drawn.test, *drawn.new_test) if data.labelled else data.train
    missing = prepared.store.missing([item.picture for item in items])
    return missing * _seconds_a_picture(prepared) if missing else 0.0


def reserve_of(test: float) -> float:
    """Return the seconds to keep for a test that takes so many, and for the files."""
    return MARGIN * test + FILES


def refuse_short(one: Clock, startup: float, test: float, config: RunConfig, folder: Path) -> None:
    """Refuse a limit below twice the start-up, or one that the sealed test does not fit into.

    Args:
        one: the clock of the run.
        startup: seconds from the start of this session until now.
        test: see `seconds_of_test`.
        config, folder: of the run.

    Raises:
        InputError: says what is needed at least; what was encoded is kept.
    """
    later = reserve_of(test)
    least = one.before + startup + (later if one.before else max(startup, later))
    if one.limit is None or one.limit >= least:
        return
    before = f"{one.before:.0f} s were used before, " if one.before else ""
    needs = f"{before}loading and encoding took {startup:.1f} s and the sealed test and the files need {later:.1f} s"
    raise InputError(
        f"{flag('max_minutes', f'{one.limit / 60:.3g}')} leaves no time to search: {needs}; "
        f"{_again(one, least, config, folder)}."
    )


def refuse_to_open(one: Clock, test: float, config: RunConfig, folder: Path) -> None:
    """Stop before the sealed test where it does not fit any more.

    Raises:
        InputError: says with which limit the run goes on.
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
    limit = flag("max_minutes", minutes)
    if not one.before and not (folder / "journal.jsonl").exists():
        return f"give {limit} or more"
    return f"go on with {resumed_by(folder, config.model_dump(), *shlex.split(limit))}"


def _seconds_a_picture(prepared: Prepared) -> float:
    """Return what one took in the search; where too few were encoded for that, time a batch of them."""
    clip, encoded = prepared.clip, prepared.store.encoded
    shown = [item.picture for part in (prepared.search, prepared.selection) if part for item in part.items]
    if encoded >= BATCH or not shown:
        return clip.seconds["image"] / max(1, encoded)
    started = time.monotonic()
    clip.encode_pictures(list(islice(cycle(shown), BATCH)), batch=BATCH)
    return (time.monotonic() - started) / BATCH
