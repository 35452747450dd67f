"""Run one job, from its plan to its run directory: prepare, search, evaluate once on the test images, publish.

The cells of a grid are such jobs, too: see `InGrid`.
"""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from dspy.utils.saving import get_dependency_versions

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.experiments.data.draw import many
from ipo_prompts.experiments.data.names import NAMES_FILE
from ipo_prompts.experiments.export.targets import best_target
from ipo_prompts.experiments.report.analysis import ANALYSIS
from ipo_prompts.experiments.report.explain import analyse
from ipo_prompts.experiments.report.page import PLOT, read_run, run_page, search_image
from ipo_prompts.experiments.run.answer import PAGE
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.files import check_writable, digest, environment, holds_run, write_json, write_text
from ipo_prompts.experiments.run.final_test import FinalTest, encode_test, open_test
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import Plan, estimate, held_back_shots, plan
from ipo_prompts.experiments.run.prepared import HELD_OUT, SHOWN, Prepared, as_begun, prepare
from ipo_prompts.experiments.run.result import (
    PROGRAM,
    RESULT,
    Chosen,
    DataUsed,
    HeldOut,
    LanguageModels,
    RunResult,
    StrategyUsed,
    load_result,
)
from ipo_prompts.experiments.run.searching import program_of, search_in
from ipo_prompts.experiments.run.tested_before import check_countable, told
from ipo_prompts.experiments.tracking import Tracker, summary_of
from ipo_prompts.metrics.blend import FEWEST
from ipo_prompts.metrics.classification import scores_accuracy
from ipo_prompts.metrics.clock import BudgetReached, now
from ipo_prompts.metrics.device import find_device
from ipo_prompts.metrics.errors import InputError, as_cell, several, silent
from ipo_prompts.metrics.reward import scale_of
from ipo_prompts.metrics.template import TEMPLATES, fill, written
from ipo_prompts.metrics.verdict import share
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.history import Tried
from ipo_prompts.programs.journal import Journal, last, read
from ipo_prompts.programs.lm import REPLAY
from ipo_prompts.programs.naming import NamesChosen
from ipo_prompts.programs.running import Searched
from ipo_prompts.programs.search import SearchResult
from ipo_prompts.programs.state import ClipUsed
from ipo_prompts.programs.strategies.compose import kept_whole
from ipo_prompts.programs.trust import placed, resume_command


def run_job(
    config: RunConfig,
    folder: Path,
    ui: Ui,
    *,
    resume: bool,
    lm: Any = None,
    in_grid: Callable[[Plan], Plan] | None = None,
) -> RunResult:
    """Run a job in `folder`: search, choose, open the test images once, write the result.

    Missing weights are fetched, and the warnings that IPO logs are shown.

    Args:
        config: the configuration.
        folder: the run directory.
        ui: shows the run.
        resume: whether to resume the run in `folder`; if False, a folder that holds a run is refused.
        lm: see `plan`.
        in_grid: puts the plan into the cell of a grid that the run is; such a run draws no page.

    Raises:
        InputError: the input is bad, or the run directory does not fit the configuration.
        NothingUsable, dspy.LMError: see `search_in`.
    """
    find_device(config.device)  # a wrong device is refused before anything is fetched
    ui.fetch([config])
    started = now()
    with silent("dspy", "LiteLLM"), ui.running():  # their log messages are also raised as exceptions
        there = holds_run(folder)
        if there and not resume:
            raise _taken(folder)
        if resume and (before := finished(folder, ui)) and (before.rows_on("test") or not config.test):
            ui.say("the run had finished, and this is its result")
            return before
        check_writable(folder)
        check_countable()
        if there:
            check_place(config, folder)
        planned = plan(config, say=ui.say, lm=lm)
        if in_grid:
            planned = in_grid(planned)
        if there:
            planned = as_begun(planned, folder)
        try:
            prepared = prepare(planned, ui)
            if config.test:
                encode_test(prepared, ui)
        except InputError:
            if not there:
                ui.say(f"the run stopped before its search; nothing was written to {folder}")
            raise
        with closing(Journal(folder, started)) as journal:
            if not resume and journal.events:  # another process began the run between the first check and the lock
                raise _taken(folder)
            name = "/".join(folder.parts[-3:]) if in_grid else None  # data set, row, seed
            with Tracker(config, folder, ui, name) as tracker:
                _announce(prepared, journal, ui)
                searched = search_in(prepared, journal, ui, tracker.step)
                program, alone = program_of(prepared, searched)
                test = open_test(prepared, searched, program, alone, journal, ui)
                ui.passing("measuring what each word does")
                result = publish(prepared, searched, program, test, journal, tracker)
        if searched.result.reached:
            ui.warn(stopped_early(planned, folder, searched.result.reached))
        return result


def check_place(config: RunConfig, folder: Path) -> None:
    """Refuse to resume a run whose images were moved; the message says how to name its place.

    Raises:
        InputError: the images are not where the settings say.
    """
    kind, place = placed(config.data)
    if not place or Path(place).expanduser().exists():
        return
    began = (last(folder, "start") or {}).get("began_in")
    there = f"`cd {shlex.quote(began)}`, or " if isinstance(began, str) and Path(began) != Path.cwd() else ""
    raise InputError(
        f"the run in {folder} has data={config.data}, which is not here; {there}name its new place: "
        f"`{resume_command(folder, config.model_dump(), f'data={kind}:PLACE')}`."
    )


def _announce(prepared: Prepared, journal: Journal, ui: Ui) -> None:
    ui.scale = scale_of(prepared.reward)
    drawn, optimizer, config = prepared.plan.drawn, prepared.plan.optimizer, prepared.config
    how = f"with {optimizer.model}" if optimizer else f"without a language model (strategy {config.strategy['name']})"
    if config.lm.startswith(REPLAY):
        recorded = config.lm.removeprefix(REPLAY)
        ui.say(f"replayed: all answers are those recorded in {recorded}; nothing is asked and nothing is paid")
    if journal.events:
        ui.say("resumed: what was recorded before is read back and shown again; nothing is asked twice")
    rest = f"{len(drawn.val)} more choose the winner, {len(drawn.test) + len(drawn.new_test)} stay held out"
    ui.say(f"searching {how} on {len(drawn.train)} images of {len(drawn.class_names)} classes; {rest}")
    if config.strategy["name"] == "compose" and (whole := kept_whole(config.initial_template)):
        ui.say(whole)
    folder = journal.path.parent
    ui.say(f"run directory: {folder}   (if it is interrupted: {resume_command(folder, config.model_dump())})")


def _taken(folder: Path) -> InputError:
    return InputError(
        f"{folder} already holds a run; resume it with `{resume_command(folder)}`, or choose another --out."
    )


def stopped_early(planned: Plan, folder: Path, reached: BudgetReached) -> str:
    """Say which limit ended a run, and with which command the run is resumed under a larger limit."""
    larger = f"--{reached.limit.replace('_', '-')}", str(larger_limit(planned, reached))
    again = resume_command(folder, planned.config.model_dump(), *larger)
    return f"stopped early: {reached}; resume with a larger limit: {again}"


def larger_limit(planned: Plan, reached: BudgetReached) -> float:
    """Return a larger limit under which a stopped run can go on and end.

    The new limit is twice the limit that was reached. It is at least what the next call needs, and at least the
    forecast of the whole run.
    """
    limit: float = getattr(planned.config, reached.limit)
    whole = estimate(planned).get(reached.limit.removeprefix("budget_"))  # there is no forecast of the time
    needed = max(reached.needed, whole or 0.0)
    enough = math.ceil(10_000 * needed) / 10_000 if reached.limit == "budget_usd" else math.ceil(needed)
    return max(2 * limit, enough)


# The end of a run: the program, the result, the page, and the last line of the journal.


ENVIRONMENT = "environment.json"
MADE = (ANALYSIS, ENVIRONMENT, PROGRAM, RESULT, NAMES_FILE, PLOT, PAGE, TEMPLATES)
"""The names of the files that a run writes at its end."""


def finished(folder: Path, ui: Ui) -> RunResult | None:
    """Return the result of a finished run; None if the run is not finished, or has to be resumed.

    If a file was lost or damaged, the run has to be resumed: the search is repeated with the replies in the journal,
    and all files are written again.
    """
    events = read(folder) if holds_run(folder) else []
    if not events or events[-1]["type"] != "end" or events[-1].get("stopped"):
        return None
    then = files if isinstance(files := events[-1].get("files"), dict) else {}
    wrong = [name for name in MADE if digest(folder / name) != then.get(name)]
    if wrong:
        ui.say(f"lost, damaged or changed since the run finished, and made again: {', '.join(wrong)}")
        return None
    return load_result(folder)


def publish(
    prepared: Prepared,
    searched: Searched,
    program: TemplateClassifier,
    test: FinalTest,
    journal: Journal,
    tracker: Tracker,
) -> RunResult:
    """Write all files of a run directory except the journal and the configuration; return the result.

    Args:
        prepared: the prepared run.
        searched: the finished search of the run.
        program: the program of the run.
        test: the opened test of the run.
        journal: the journal of the run.
        tracker: logs the run in Weights & Biases, if that was asked for.

    Raises:
        InputError: an image cannot be read.
    """
    folder = journal.path.parent
    write_json(folder / ANALYSIS, analyse(test.parts, searched))
    write_names(folder, prepared.plan.data, searched.named)
    write_text(folder / TEMPLATES, templates_table(searched.result))
    save(program, folder / PROGRAM)
    result = _result(prepared, searched, program, test, journal.seconds)
    write_json(folder / ENVIRONMENT, environment(prepared.clip))
    write_json(folder / RESULT, result)
    if prepared.plan.in_grid is None:
        run = read_run(folder)
        write_text(folder / PLOT, search_image(run))
        write_text(folder / PAGE, run_page(run))
    tracker.finish(summary_of(result))
    # The event `end` is the last line of the journal. A run that is killed before this line is written can be resumed,
    # and then writes the missing files. The digests show which files were lost or damaged after the end of the run.
    made = ((name, digest(folder / name)) for name in MADE)
    files = {name: found for name, found in made if found}  # some are made in some runs only
    journal.append("end", stopped=result.stopped, files=files)
    return result


def write_names(folder: Path, data: DataSet, named: NamesChosen | None) -> None:
    """Write `classes.yaml` into the run directory if the run renamed classes; the file is for the folder of images.

    Classes that the search did not see keep their names.
    """
    if named is None or not named.renamed:
        return
    lines = [
        "# The best class names that a run found, for the CLIP. Beside the folders of images, labels stay as typed.",
        "# They were chosen without test images. If these lead you to a change, only new images can test it.",
    ]
    called = dict(zip(map(str, named.given), named.class_names, strict=True))
    names = [called.get(str(name), name) for name in data.class_names]
    for own, value in zip(data.typed, written(names), strict=True):
        line = yaml.safe_dump({str(own): value}, allow_unicode=True, width=1000, default_flow_style=None)
        lines.append(line.strip().removeprefix("{").removesuffix("}") if isinstance(value, str) else line.strip())
    write_text(folder / NAMES_FILE, "\n".join(lines) + "\n")


def templates_table(searched: SearchResult) -> str:
    """Return every scored template as CSV, with its step, how it came to be scored, its value and its loss."""
    written = io.StringIO()
    write = csv.writer(written, lineterminator="\n").writerow
    write(("step", "template", "scored_as", "value", "loss", "chosen"))
    history = searched.history
    for one in sorted([*history, *history.tried.values()], key=lambda one: one.step):
        proposed = "proposed" if one.step >= 0 else "initial template"
        scored_as = "scored only" if isinstance(one, Tried) else proposed
        chosen = "yes" if scored_as == proposed and one.template == searched.choice.template else ""
        write((one.step + 1, as_cell(one.template), scored_as, round(one.value, 6), round(one.loss, 6), chosen))
    return written.getvalue()


def save(program: TemplateClassifier, file: Path) -> None:
    """Write a program in the format of DSPy, with the versions of dependencies that `program.load` compares."""
    write_json(file, program.dump_state() | {"metadata": {"dependency_versions": get_dependency_versions()}})


def _result(
    prepared: Prepared, searched: Searched, program: TemplateClassifier, test: FinalTest, elapsed: float
) -> RunResult:
    """Return the result of a run; for the arguments see `publish`. `elapsed` is how long the run took, in seconds."""
    config, planned, searching = prepared.config, prepared.plan, searched.result
    data, roles, strategy = planned.data, searched.ledger.roles, planned.strategy
    waited = prepared.lm_seconds + sum(usage.seconds for usage in roles.values())
    spent = {"lm": waited, **prepared.clip.seconds}
    total = max(elapsed, sum(spent.values()))
    seconds = {"total": total, **spent, "other": total - sum(spent.values())}
    pairs = zip(program.labels, program.class_names, strict=True)
    return RunResult(
        cell=planned.in_grid.asked if planned.in_grid else "",
        template=searching.choice.template,
        prompts=tuple(fill(program.template, name) for name in program.class_names[:2]),
        initial_template=config.initial_template,
        rows=test.rows,
        names={str(typed): str(used) for typed, used in pairs if typed != used},
        controls=test.controls,
        tests=test.tests,
        gaps=test.gaps,
        advice=advice(prepared, program, test),
        reward=planned.reward_names,
        strategy=StrategyUsed(
            name=config.strategy["name"],
            settings={key: value for key, value in config.strategy.items() if key != "name"},
            passes_over=getattr(strategy, "passes_over", ""),
            domain=searching.domain,
        ),
        clip=ClipUsed.model_validate(prepared.clip),
        data=DataUsed(
            name=data.name,
            fingerprint=prepared.digest(*SHOWN, *HELD_OUT),
            split=data.split,
            classes=len(data.class_names),
            shots=config.shots,
        ),
        held_out=HeldOut(digest=prepared.digest(*HELD_OUT), tested_before=test.tested_before),
        selection=Chosen.model_validate(searching.choice),
        ended=searching.ended,
        stopped=searching.stopped,
        steps=len(searching.steps) - 1,
        proposed=searching.proposed,
        templates_scored=len(searching.history),
        scored_only=searching.scored_only,
        written=searching.written,
        lm=LanguageModels.model_validate({role: roles.get(role) for role in LanguageModels.model_fields}),
        seconds={name: round(spent, 1) for name, spent in seconds.items()},
        seed=config.seed,
        export=best_target(program),
    )


# One piece of advice after a run, only where there is something to do.


def advice(prepared: Prepared, program: TemplateClassifier, test: FinalTest) -> str:
    """Return the first advice that applies; empty if there is nothing to do."""
    drawn, config = prepared.plan.drawn, prepared.config
    if test.copies:
        held_out = len(drawn.test) + len(drawn.new_test)
        return (
            f"{test.copies:,} of {held_out:,} test images are also train or validation images, so the accuracy is "
            f"too high; this lists them: {config.check_command}"
        )
    if drawn.untested:
        names = several(drawn.untested)
        return f"no test image: {names}; add images, to know how often these classes are named rightly"
    accuracy = scores_accuracy(prepared.reward)
    if more := many(prepared.plan.data, config.shots, held_back_shots(config)):
        return f"more {'labelled' if accuracy else 'search'} images can help: {' '.join(more)}"
    if config.classifier == "auto" and accuracy and drawn.labelled < FEWEST:
        if config.shots + held_back_shots(config) < FEWEST:
            return f"with {FEWEST} or more labelled images a class, images can help beside words: shots=4"
        return f"label {FEWEST} or more images a class, so that images can help beside words"
    for row in test.rows:
        if accuracy and row.part == "test" and row.measure == "mean over classes":
            return f"with verdict=balanced each class counts the same; the last accuracy is then {share(row.after)}"
    if test.tested_before:
        return told(test.tested_before)
    return ""
