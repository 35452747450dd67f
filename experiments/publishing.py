"""What every run does at its end, tested or not: its program, its result, its page, the last line of its journal."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from dspy.utils.saving import get_dependency_versions

from ipo_prompts.experiments.clicks.commands import MEAN_OFF, PROGRAM
from ipo_prompts.experiments.data.dataset import NAMES_FILE
from ipo_prompts.experiments.report.analysis import ANALYSIS, SEEN
from ipo_prompts.experiments.report.drawing import save_search_png
from ipo_prompts.experiments.report.gather import follow
from ipo_prompts.experiments.report.page import PAGE, write_report
from ipo_prompts.experiments.run.beside import left_out
from ipo_prompts.experiments.run.files import digest, environment, write_json
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.plan import Plan, more_with_twice_the_shots
from ipo_prompts.experiments.run.prepared import Prepared, fingerprint
from ipo_prompts.experiments.run.result import (
    RESULT,
    Data,
    Fingerprinted,
    LanguageModels,
    Member,
    RunResult,
    StrategyUsed,
    chosen,
    used,
    write_result,
)
from ipo_prompts.experiments.run.scores import RewardNames
from ipo_prompts.experiments.run.searching import SearchedRun, identity_of, started
from ipo_prompts.experiments.tracking import Tracker
from ipo_prompts.metrics.clock import clock, optional
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.record.journal import Journal, read

ENVIRONMENT, PLOT, LABELS = "environment.json", "search.png", "labels.csv"
MADE_BY_SEARCHING = (ANALYSIS, ENVIRONMENT, PROGRAM, RESULT, NAMES_FILE, LABELS, MEAN_OFF, SEEN)
MADE_OF_FILES = (PLOT, PAGE)
"""Files that need no pictures and no CLIP."""


def program_of(prepared: Prepared, searched: SearchedRun) -> TemplateClassifier:
    """Return what the search found as a classifier, with the offsets that were kept."""
    reward = searched.named.reward if searched.named else prepared.reward
    weighted = [(template, 1.0) for template in searched.result.choice.templates]
    program = TemplateClassifier(prepared.clip, reward.class_names, weighted)
    if searched.settled and searched.settled.kept:
        program.offsets = searched.settled.kept.settled(prepared.clip, program.class_embeddings())
    program.background = prepared.plan.drawn.search[0].picture.background
    return program


def save(program: TemplateClassifier, file: Path) -> None:
    """Write a program as DSPy does; what it was made with is what `program.load` compares."""
    write_json(file, program.dump_state() | {"metadata": {"dependency_versions": get_dependency_versions()}})


def result_of(prepared: Prepared, searched: SearchedRun, elapsed: float, **found: Any) -> RunResult:
    """Return the result of a run that took `elapsed` seconds: what every run has, and what this one `found`.

    Fields that are `found` are those of `RunResult`; those of `data` are added to the others.
    """
    config, data, drawn = prepared.config, prepared.plan.data, prepared.plan.drawn
    searching, roles = searched.result, searched.ledger.roles
    settings = {key: value for key, value in config.strategy.items() if key != "name"}
    identity = identity_of(config, fingerprint(prepared, drawn.search, drawn.selection), prepared.clip.fingerprint)
    before = searched.earlier and started(searched.earlier, prepared, identity, searching.history)
    about = Data(
        name=data.name,
        fingerprint=fingerprint(prepared, drawn.search, drawn.selection, drawn.test, drawn.new_test),
        split=data.split,
        classes=len(data.class_names),
        shots=config.shots,
        more=more_with_twice_the_shots(prepared.plan),
        untested=found.pop("classes_untested", ()),
    )
    result = RunResult(
        template=searching.choice.template,
        templates=tuple(Member(template=template, weight=1.0) for template in searching.choice.templates),
        initial_template=config.initial_template,
        reward=names_from(prepared.plan),
        strategy=StrategyUsed(name=config.strategy["name"], settings=settings),
        clip=Fingerprinted(name=prepared.clip.name, fingerprint=prepared.clip.fingerprint),
        data=about,
        selection=chosen(searching.choice),
        ended=searching.ended,
        stopped=searching.stopped,
        limit=searching.limit,
        steps=len(searching.steps) - 1,
        proposed=searching.proposed,
        templates_scored=len(searching.history),
        looked_at=searching.looked_at,
        lm=LanguageModels(optimizer=used(roles.get("optimizer")), describer=used(roles.get("describer"))),
        seconds=_seconds(prepared, searched, elapsed),
        seed=config.seed,
        left_out=left_out(prepared),
        started=before,
        **found,
    )
    late = f"Left out for want of time: {'; '.join(left)}." if (left := clock().left_out) else ""
    return result.model_copy(update={"left_out": f"{result.left_out} {late}".strip()})


def names_from(planned: Plan) -> RewardNames:
    """Return what the reward of a plan is called."""
    task = planned.task
    return RewardNames(name=planned.config.reward["name"], measure=task.measure, unit=task.unit)


def sealed_digest(prepared: Prepared) -> str:
    """Return a digest of the sealed pictures with their labels."""
    drawn = prepared.plan.drawn
    return fingerprint(prepared, drawn.test, drawn.new_test)


def end(prepared: Prepared, result: RunResult, journal: Journal, tracker: Tracker, ui: Ui) -> RunResult:
    """Write a result and what is made of it, and return it."""
    folder = journal.path.parent
    write_json(folder / ENVIRONMENT, environment(prepared.clip))
    write_result(folder, result)
    optional("tables and program in the log of Weights & Biases", partial(tracker.finish, result, folder))
    finish(journal, result, drawn=True)
    if left := clock().left_out:
        ui.say(f"left out for want of time: {'; '.join(left)}")
    return result


def finish(journal: Journal, result: RunResult, *, drawn: bool = False) -> None:
    """Write what is made of the other files, the plot unless it is `drawn`, and the page, and end the journal."""
    folder = journal.path.parent
    if not (result.untested or drawn):
        draw_search(folder, result.template, result.reward)
    write_report(folder)
    # The last line: a run that is killed before it writes what is missing when it resumes. The digests tell a resumed
    # one which of the files were lost or damaged since.
    made = ((name, digest(folder / name)) for name in (*MADE_BY_SEARCHING, *MADE_OF_FILES))
    files = {name: found for name, found in made if found}  # with labels or without, some are not made
    journal.append("end", stopped=result.stopped, files=files)


def draw_search(folder: Path, template: str, names: RewardNames) -> None:
    """Draw the search of a run as a plot beside its journal."""
    save_search_png(follow(read(folder), template), folder / PLOT, names)


def _seconds(prepared: Prepared, searched: SearchedRun, elapsed: float) -> dict[str, float]:
    waited = prepared.lm_seconds + sum(usage.seconds for usage in searched.ledger.roles.values())
    spent = {"lm": waited, **prepared.clip.seconds}
    total = max(elapsed, sum(spent.values()))
    parts = {"total": total, **spent, "other": total - sum(spent.values())}
    return {name: round(seconds, 1) for name, seconds in parts.items()}
