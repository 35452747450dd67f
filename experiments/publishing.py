"""End a run: write the program, the result, the page, and the last line of the journal."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import yaml
from dspy.utils.saving import get_dependency_versions

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.experiments.data.dataset import NAMES_FILE
from ipo_prompts.experiments.export import best_target
from ipo_prompts.experiments.report.explain import ANALYSIS, analyse
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import PAGE, PLOT, TEMPLATES, write_report
from ipo_prompts.experiments.run.advice import advice
from ipo_prompts.experiments.run.files import digest, environment, holds_run, write_json, write_text
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.prepared import SEALED, SHOWN, Prepared
from ipo_prompts.experiments.run.result import (
    PROGRAM,
    RESULT,
    Chosen,
    ClipAndPrecision,
    Data,
    LanguageModels,
    RunResult,
    Sealed,
    StrategyUsed,
)
from ipo_prompts.experiments.run.sealed import SealedTest
from ipo_prompts.experiments.tracking import Tracker
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import written
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.naming import NamesChosen
from ipo_prompts.programs.record.journal import Journal, read
from ipo_prompts.programs.running import Searched

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
    program: TemplateClassifier,
    test: SealedTest,
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
        InputError: a picture cannot be read.
    """
    folder = journal.path.parent
    write_json(folder / ANALYSIS, analyse(test.parts, searched.reward, program.template))
    write_names(folder, prepared.plan.data, searched.named)
    save(program, folder / PROGRAM)
    result = _result(prepared, searched, program, test, journal.seconds)
    write_json(folder / ENVIRONMENT, environment(prepared.clip))
    write_json(folder / RESULT, result)
    finish(journal, result, tracker)
    return result


def write_names(folder: Path, data: DataSet, named: NamesChosen | None) -> None:
    """Write `classes.yaml` into the run directory if the run renamed classes; the file is for the folder of pictures.

    Classes that the search did not see keep their names.
    """
    if named is None or not named.renamed:
        return
    lines = [
        "# The best class names that a run found; put this file beside the folders of pictures.",
        "# They were chosen without sealed pictures. If these lead you to a change, only new pictures can test it.",
    ]
    called = dict(zip(map(str, named.given), named.class_names, strict=True))
    names = [called.get(str(name), name) for name in data.class_names]
    for own, value in zip(data.renamed_from or data.class_names, written(names), strict=True):
        line = yaml.safe_dump({str(own): value}, allow_unicode=True, width=1000, default_flow_style=None)
        lines.append(line.strip().removeprefix("{").removesuffix("}") if isinstance(value, str) else line.strip())
    write_text(folder / NAMES_FILE, "\n".join(lines) + "\n")


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


def _result(
    prepared: Prepared, searched: Searched, program: TemplateClassifier, test: SealedTest, elapsed: float
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
        template=searching.choice.template,
        initial_template=config.initial_template,
        rows=test.rows,
        names={str(typed): str(used) for typed, used in pairs if typed != used},
        advice=advice(prepared, program, test),
        reward=planned.reward_names,
        strategy=StrategyUsed(
            name=config.strategy["name"],
            settings={key: value for key, value in config.strategy.items() if key != "name"},
            passes_over=getattr(strategy, "passes_over", ""),
            domain=searching.domain,
        ),
        clip=ClipAndPrecision.model_validate(prepared.clip),
        data=Data(
            name=data.name,
            fingerprint=prepared.digest(*SHOWN, *SEALED),
            split=data.split,
            classes=len(data.class_names),
            shots=config.shots,
        ),
        sealed=Sealed(digest=prepared.digest(*SEALED), tested_before=test.tested_before),
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
        export=best_target(program),
    )
