"""Run one job, from its plan to its run directory: prepare, search, evaluate once on the sealed pictures, publish.

The cells of a grid use only `prepare` and `search_in`: the protocol of the grid says on which pictures they are tested.
"""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.publishing import finished, publish
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import check_writable, holds_run
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.run.prepared import SEALED, Prepared, as_begun, prepare
from ipo_prompts.experiments.run.program import program_of
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.experiments.run.sealed import encode_sealed, open_test
from ipo_prompts.experiments.run.searching import search_in
from ipo_prompts.experiments.run.tested_before import check_countable, times_before, told
from ipo_prompts.experiments.tracking import tracking
from ipo_prompts.metrics.clock import Limit, now
from ipo_prompts.metrics.device import find_device
from ipo_prompts.metrics.errors import InputError, silent
from ipo_prompts.metrics.reward import scale_of
from ipo_prompts.programs.journal import Journal
from ipo_prompts.programs.lm.connect import REPLAY
from ipo_prompts.programs.strategies.compose import kept_whole
from ipo_prompts.programs.trust import resume_command


def run_job(config: RunConfig, folder: Path, ui: Ui, *, resume: bool) -> RunResult:
    """Run a job in `folder`: search, choose, open the sealed test pictures once, write the result.

    Missing weights are fetched, and the warnings that IPO logs are shown.

    Args:
        config: the configuration.
        folder: the run directory.
        ui: shows the run.
        resume: whether to resume the run in `folder`; if False, a folder that holds a run is refused.

    Raises:
        InputError: the input is bad, or the run directory does not fit the configuration.
        NothingUsable, dspy.LMError: see `search_in`.
    """
    find_device(config.device)  # a wrong device is refused before anything is fetched
    ui.fetch([config])
    with silent("dspy", "LiteLLM"), ui.running():  # their log messages are also raised as exceptions
        return _run(config, folder, ui, resume=resume)


def _run(config: RunConfig, folder: Path, ui: Ui, *, resume: bool) -> RunResult:
    started = now()
    there = holds_run(folder)
    if there and not resume:
        raise _taken(folder)
    if resume:
        before = finished(folder, ui)
        if before:
            ui.say("the run had finished, and this is its result")
            return before
    check_writable(folder)
    check_countable()
    planned = plan(config, say=ui.passing)
    if there:
        planned = as_begun(planned, folder)
    ui.say(f"run directory: {folder}")
    try:
        prepared = prepare(planned, ui)
        encode_sealed(prepared, ui)
    except InputError:
        if not there:
            ui.say(f"the run stopped before its search; nothing was written to {folder}")
        raise
    with closing(Journal(folder, started)) as journal:
        if not resume and journal.events:  # another process began the run between the first check and the lock
            raise _taken(folder)
        with tracking(prepared.config, folder, ui) as tracker:
            _announce(prepared, journal, ui)
            return _searched_and_tested(prepared, journal, tracker, ui)


def _searched_and_tested(prepared: Prepared, journal: Journal, tracker: Any, ui: Ui) -> RunResult:
    """Search, open the sealed pictures, and write the result."""
    ui.scale = scale_of(prepared.reward)
    searched = search_in(prepared, journal, ui, tracker.step)
    program = program_of(prepared, searched)
    ui.passing(f"opening the sealed test {prepared.plan.task.unit}")
    test = open_test(prepared, searched, program, journal, ui)
    ui.passing("measuring what each word does")
    return publish(prepared, searched, program, test, journal, tracker)


def _announce(prepared: Prepared, journal: Journal, ui: Ui) -> None:
    drawn, optimizer, config = prepared.plan.drawn, prepared.plan.optimizer, prepared.config
    how = f"with {optimizer.model}" if optimizer else f"without a language model (strategy {config.strategy['name']})"
    if config.lm.startswith(REPLAY):
        recorded = config.lm.removeprefix(REPLAY)
        ui.say(f"replayed: all answers are those recorded in {recorded}; nothing is asked and nothing is paid")
    if journal.events:
        ui.say("resumed: what was recorded before is read back and shown again; nothing is asked twice")
    rest = f"{len(drawn.selection)} more choose the winner, {len(drawn.test) + len(drawn.new_test)} stay sealed"
    ui.say(f"searching {how} on {len(drawn.search)} pictures of {len(drawn.class_names)} classes; {rest}")
    if config.strategy["name"] == "compose" and (whole := kept_whole(config.initial_template)):
        ui.say(whole)
    if times := times_before(prepared.contents(*SEALED)):
        ui.say(told(times))
    ui.say(f"if it is interrupted: {resume_command(journal.path.parent, config.model_dump())}")


def _taken(folder: Path) -> InputError:
    return InputError(
        f"{folder} already holds a run; resume it with `{resume_command(folder)}`, or choose another --out."
    )


def stopped_early(config: RunConfig, folder: Path, result: RunResult) -> str:
    """Say which limit ended a run, and with which command the run is resumed under a larger limit."""
    assert result.limit is not None
    larger = larger_limit(config, result.limit, result.needed)
    again = resume_command(folder, config.model_dump(), f"--{result.limit.replace('_', '-')}", str(larger))
    return f"stopped early: {result.stopped}; resume with a larger limit: {again}"


def larger_limit(config: RunConfig, key: Limit, needed: float) -> float:
    """Return a larger limit under which a stopped run can be resumed.

    The new limit is twice the limit that was reached, and at least the limit that the run needs to go on.

    Args:
        config: the configuration of the run.
        key: the limit that stopped the run.
        needed: the smallest limit under which the run can go on, see `BudgetReached`.
    """
    limit: float = getattr(config, key)
    enough = math.ceil(10_000 * needed) / 10_000 if key == "budget_usd" else math.ceil(needed)
    return max(2 * limit, enough)
