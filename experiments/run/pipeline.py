"""One job, from a plan to a run directory: prepare, search, evaluate once on the sealed pictures, publish.

Cells of a grid use `prepare` and `search_in` alone: their protocol says what they are evaluated on.
"""

from __future__ import annotations

import shlex
import time
from contextlib import closing
from pathlib import Path

from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.earlier import read_earlier, recorded
from ipo_prompts.experiments.run.files import check_writable, digest
from ipo_prompts.experiments.run.headroom import of_run
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import plan
from ipo_prompts.experiments.run.prepare import Prepared, prepare
from ipo_prompts.experiments.run.publish import MADE_OF_FILES, evaluate, finish, publish
from ipo_prompts.experiments.run.result import RunResult
from ipo_prompts.experiments.run.searching import search_in
from ipo_prompts.experiments.run.tracking import tracking
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.lm.connect import REPLAY
from ipo_prompts.programs.record.journal import FILE_NAME, Journal, read
from ipo_prompts.programs.record.resuming import resume_command


def optimize(config: RunConfig, folder: Path, ui: Ui, *, resume: bool = False, shrink_shots: bool = False) -> RunResult:
    """Run the main job in `folder`: search, choose, open the sealed test pictures once, write the result.

    Args:
        config: what to do.
        folder: the run directory.
        ui: what is shown.
        resume: the run that is there is resumed; else a folder that holds one is refused.
        shrink_shots: shots that nobody has set may shrink, see `plan`.

    Raises:
        InputError: bad input, or a run directory that does not fit.
        NothingUsable, dspy.LMError: see `search_in`.
    """
    started = time.monotonic()
    quoted = shlex.quote(str(folder))
    if not resume and _holds_events(folder):
        raise _taken(folder)
    if resume and (before := finished(folder, ui)):
        ui.say(f"the run had finished, and this is its result; a new run that goes on: ipo optimize --from {quoted}")
        return before
    check_writable(folder)
    if config.start_from and recorded(config, read(folder) if _holds_events(folder) else ()) is None:
        read_earlier(Path(config.start_from))  # refuses one that nothing can start from, before pictures are encoded
    planned = plan(config, say=ui.say if shrink_shots else None)
    ui.say(f"run directory: {folder}")
    prepared = prepare(planned, ui)
    with closing(Journal(folder, started)) as journal:
        if not resume and journal.events:  # another process was quicker between the first look and the lock
            raise _taken(folder)
        with tracking(prepared.config, folder, ui) as tracker:
            _announce(prepared, journal, ui)
            ui.say("looking whether words can help")
            room = of_run(prepared)
            for line in (room.verdict, *room.lines) if room else ():
                ui.say(line)
            searched = search_in(prepared, journal, ui, tracker)
            ui.say(f"opening the sealed test {prepared.plan.task.unit}")
            parts, others = evaluate(prepared, searched, journal, ui)
            ui.say("looking at what each word does")
            return publish(prepared, searched, parts, others, journal, tracker, room)


def _announce(prepared: Prepared, journal: Journal, ui: Ui) -> None:
    drawn, optimizer, config = prepared.plan.drawn, prepared.plan.optimizer, prepared.config
    how = f"with {optimizer.model}" if optimizer else f"without a language model (strategy {config.strategy['name']})"
    if config.lm.startswith(REPLAY):
        recorded = config.lm.removeprefix(REPLAY)
        ui.say(f"replayed: all answers are those recorded in {recorded}; nothing is asked and nothing is paid")
    if journal.events:
        ui.say("resumed: what was recorded before is read back and shown again; nothing is asked twice")
    ui.say(
        f"searching {how} on {len(drawn.search)} pictures of {len(drawn.class_names)} classes; "
        f"{len(drawn.selection)} more choose the winner, {len(drawn.test) + len(drawn.new_test)} stay sealed"
    )
    ui.say(f"if it is interrupted: {resume_command(journal.path.parent, config.model_dump())}")


def _taken(folder: Path) -> InputError:
    return InputError(
        f"{folder} already holds a run; resume it with `{resume_command(folder)}`, or choose another --out."
    )


def _holds_events(folder: Path) -> bool:
    """Whether there is a run to resume; one that was killed before its first line has left nothing."""
    file = folder / FILE_NAME
    return file.is_file() and file.stat().st_size > 0


def finished(folder: Path, ui: Ui) -> RunResult | None:
    """Return what a run found that needed no more than it was given; nothing is left to resume.

    A plot or a page that was lost or damaged since is made again of the other files. None where one of those is: then
    the search is followed again, from the replies in the journal, and all of them are written again.
    """
    events = read(folder) if _holds_events(folder) else []
    if not events or events[-1]["type"] != "end" or events[-1].get("stopped"):
        return None
    try:
        result = read_run(folder).result
    except InputError as error:
        ui.say(f"a file of the finished run is made again: {error}")
        return None
    wrong = [name for name, then in events[-1]["files"].items() if digest(folder / name) != then]
    if wrong:
        ui.say(f"lost, damaged or changed since the run finished, and made again: {', '.join(wrong)}")
    if set(wrong) - set(MADE_OF_FILES):
        return None
    if wrong:
        with closing(Journal(folder, time.monotonic() - events[-1]["seconds"])) as journal:  # the clock goes on
            finish(journal, result)
    return result
