"""End a run: write the program, the result, the page, and the last line of the journal."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dspy.utils.saving import get_dependency_versions

from ipo_prompts.experiments.data.dataset import NAMES_FILE
from ipo_prompts.experiments.export import best_target
from ipo_prompts.experiments.report.analysis import ANALYSIS
from ipo_prompts.experiments.report.explain import analyse
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import PAGE, PLOT, TEMPLATES, write_report
from ipo_prompts.experiments.run.beside import what_the_head_does, write_names
from ipo_prompts.experiments.run.files import digest, environment, holds_run, write_json
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import about_few_pictures, more_with_twice_the_shots
from ipo_prompts.experiments.run.prepared import SEALED, SHOWN, Prepared
from ipo_prompts.experiments.run.result import (
    PROGRAM,
    RESULT,
    Chosen,
    ClipAndPrecision,
    Data,
    LanguageModels,
    RunResult,
    StrategyUsed,
)
from ipo_prompts.experiments.run.sealed import SealedTest, what_is_shown
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.experiments.tracking import Tracker
from ipo_prompts.metrics.classification import EncodedPictures, scores_accuracy
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.journal import Journal, read
from ipo_prompts.programs.running import Blended, Searched, blend_in, calibrate_words

ENVIRONMENT = "environment.json"
MADE_BY_SEARCHING = (ANALYSIS, ENVIRONMENT, PROGRAM, RESULT, NAMES_FILE)
MADE_OF_FILES = (PLOT, PAGE, TEMPLATES)
"""The names of the files that are made from the other files, without pictures and without a CLIP."""


def finished(folder: Path, ui: Ui) -> RunResult | None:
    """Return the result of a finished run; None if the run is not finished, or has to be resumed.

    A plot or page that was lost or damaged is made again from the other files. If another file was lost or damaged, the
    run has to be resumed: the search is repeated with the replies in the journal, and all files are written again.
    """
    events = read(folder) if holds_run(folder) else []
    if not events or events[-1]["type"] != "end" or events[-1].get("stopped"):
        return None
    try:
        result = read_run(folder).result
    except InputError as error:
        ui.say(f"a file of the finished run is made again: {error}")
        return None
    then = files if isinstance(files := events[-1].get("files"), dict) else {}
    wrong = [name for name in (*MADE_BY_SEARCHING, *MADE_OF_FILES) if digest(folder / name) != then.get(name)]
    if wrong:
        ui.say(f"lost, damaged or changed since the run finished, and made again: {', '.join(wrong)}")
    if set(wrong) - set(MADE_OF_FILES):
        return None
    if wrong:
        with closing(Journal(folder, time.monotonic() - events[-1]["seconds"])) as journal:  # the clock goes on
            finish(journal, result)
    return result


def publish(
    prepared: Prepared,
    searched: Searched,
    test: SealedTest,
    journal: Journal,
    tracker: Tracker,
) -> RunResult:
    """Write all files of a run directory except the journal and the configuration; return the result.

    Args:
        prepared: the prepared run.
        searched: the finished search of the run.
        test: the opened test of the run.
        journal: the journal of the run.
        tracker: logs the run in Weights & Biases, if that was asked for.

    Raises:
        InputError: a picture cannot be read.
    """
    folder = journal.path.parent
    program = TemplateClassifier(prepared.clip, searched.reward.class_names, searched.result.choice.template)
    answers = prepared.plan.data.answers[: len(program.class_names)]
    if answers != program.class_names:
        program.state = replace(program.state, labels=answers)
    program.background = prepared.plan.drawn.search[0].picture.background
    write_json(folder / ANALYSIS, analyse(test.parts, searched.reward, prepared.plan.reward_names))
    write_names(folder, prepared.plan.data, searched.named)
    blended = _learn_from_labels(program, prepared, searched)
    save(program, folder / PROGRAM)
    found = what_is_shown(prepared, searched, test)
    found["head"] = what_the_head_does(blended, test.parts["test"]) if blended else None
    found["export"] = best_target(program)
    result = _result(prepared, searched, journal.seconds, **found)
    write_json(folder / ENVIRONMENT, environment(prepared.clip))
    write_json(folder / RESULT, result)
    finish(journal, result, tracker)
    return result


def _learn_from_labels(program: TemplateClassifier, prepared: Prepared, searched: Searched) -> Blended | None:
    """Add to a program what the search and selection pictures give: calibration and head.

    Returns:
        The head of words and pictures; None if words decide alone.
    """
    parts = [units for part in (prepared.search, prepared.selection) if (units := _pictures(part))]
    if not parts:
        return None
    accuracy, head = scores_accuracy(prepared.reward), prepared.config.head
    gain = searched.result.choice.gain if accuracy else None
    initial = TemplateClassifier(prepared.clip, prepared.reward.class_names, prepared.config.initial_template)
    calibrate_words(program, initial, gain, searched.named, parts)
    return blend_in(program, parts, gate=head == "auto") if accuracy and head != "words" else None


def _pictures(part: Encoded | None) -> EncodedPictures | None:
    """Return the units of a part if they are the encoded pictures of the part, with the same labels; else None.

    A user-written reward may have other units.
    """
    units = part and part.units
    if not isinstance(units, EncodedPictures):
        return None
    return units if part and units.labels.tolist() == [item.label for item in part.items] else None


def save(program: TemplateClassifier, file: Path) -> None:
    """Write a program in the format of DSPy, with the versions of dependencies that `program.load` compares."""
    write_json(file, program.dump_state() | {"metadata": {"dependency_versions": get_dependency_versions()}})


def finish(journal: Journal, result: RunResult, tracker: Tracker | None = None) -> None:
    """Write the page and what is beside it, which are made from the other files, and end the journal.

    A run that ends now has a `tracker`, which logs its end.
    """
    folder = journal.path.parent
    write_report(folder)
    if tracker:
        tracker.finish(result, folder)
    # The event `end` is the last line of the journal. A run that is killed before this line is written can be resumed,
    # and then writes the missing files. The digests show which files were lost or damaged after the end of the run.
    made = ((name, digest(folder / name)) for name in (*MADE_BY_SEARCHING, *MADE_OF_FILES))
    files = {name: found for name, found in made if found}  # some are made in some runs only
    journal.append("end", stopped=result.stopped, files=files)


def _result(prepared: Prepared, searched: Searched, elapsed: float, **found: Any) -> RunResult:
    """Return the result of a run.

    Args:
        prepared: the prepared run.
        searched: the finished search of the run.
        elapsed: how long the run took, in seconds.
        found: further fields of `RunResult`; `classes_untested` becomes `data.untested`.
    """
    config, planned, searching = prepared.config, prepared.plan, searched.result
    data, roles, strategy = planned.data, searched.ledger.roles, planned.unasked
    waited = prepared.lm_seconds + sum(usage.seconds for usage in roles.values())
    spent = {"lm": waited, **prepared.clip.seconds}
    total = max(elapsed, sum(spent.values()))
    seconds = {"total": total, **spent, "other": total - sum(spent.values())}
    return RunResult(
        template=searching.choice.template,
        initial_template=config.initial_template,
        reward=planned.reward_names,
        strategy=StrategyUsed(
            name=config.strategy["name"],
            settings={key: value for key, value in config.strategy.items() if key != "name"},
            passes_over=getattr(strategy, "passes_over", ""),
            domain=searching.domain,
            best_of_domain=searching.best_of_domain,
        ),
        clip=ClipAndPrecision.model_validate(prepared.clip),
        data=Data(
            name=data.name,
            fingerprint=prepared.digest(*SHOWN, *SEALED),
            split=data.split,
            classes=len(data.class_names),
            shots=config.shots,
            more=more_with_twice_the_shots(planned),
            untested=found.pop("classes_untested", ()),
            short=about_few_pictures(planned.drawn, config),
        ),
        selection=Chosen.model_validate(searching.choice),
        ended=searching.ended,
        stopped=searching.stopped,
        limit=searching.reached.limit if searching.reached else None,
        needed=searching.reached.needed if searching.reached else 0.0,
        steps=len(searching.steps) - 1,
        proposed=searching.proposed,
        templates_scored=len(searching.history),
        scored_only=searching.scored_only,
        lm=LanguageModels.model_validate({role: roles.get(role) for role in LanguageModels.model_fields}),
        seconds={name: round(spent, 1) for name, spent in seconds.items()},
        seed=config.seed,
        **found,
    )
