"""End a run: write the program, the result, the page, and the last line of the journal.

A run without labels has no test and no accuracy. It offers two untested programs. The first has the chosen template;
the second has the initial template with centring, which needs no search for words. Both predict the classes of all
pictures, so that a person sees how many predictions differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from dspy.utils.saving import get_dependency_versions

from ipo_prompts.experiments.data.dataset import NAMES_FILE
from ipo_prompts.experiments.export import best_target
from ipo_prompts.experiments.report.analysis import ANALYSIS, SEEN
from ipo_prompts.experiments.report.explain import analyse, look_at
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.page import PAGE, PLOT, TEMPLATES, write_report
from ipo_prompts.experiments.run.beside import what_the_head_does, write_names
from ipo_prompts.experiments.run.files import digest, environment, holds_run, write_json, write_text
from ipo_prompts.experiments.run.labelling import calibrate
from ipo_prompts.experiments.run.plan import about_few_pictures, more_with_twice_the_shots
from ipo_prompts.experiments.run.prepared import SEALED, SHOWN, Prepared
from ipo_prompts.experiments.run.result import (
    CENTRING,
    PROGRAM,
    RESULT,
    Chosen,
    ClipAndPrecision,
    Data,
    Glimpse,
    LanguageModels,
    RunResult,
    Sealed,
    StrategyUsed,
    SuggestedName,
    Untested,
)
from ipo_prompts.experiments.run.sealed import SealedTest, what_is_shown
from ipo_prompts.experiments.run.searching import SearchedRun
from ipo_prompts.experiments.run.ui import Shows
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.experiments.tracking import Tracker
from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import EncodedPictures, fitted_on
from ipo_prompts.metrics.clock import clock, due, optional
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.metrics.pictures import Picture, short_name, thumbnail
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.naming import about_names, suggestions
from ipo_prompts.programs.record.journal import Journal, read
from ipo_prompts.programs.running import Blended, blend_in

ENVIRONMENT, LABELS = "environment.json", "labels.csv"
MADE_BY_SEARCHING = (ANALYSIS, ENVIRONMENT, PROGRAM, RESULT, NAMES_FILE, LABELS, CENTRING, SEEN)
MADE_OF_FILES = (PLOT, PAGE, TEMPLATES)
"""The names of the files that are made from the other files, without pictures and without a CLIP."""


def finished(folder: Path, ui: Shows) -> RunResult | None:
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
    searched: SearchedRun,
    test: SealedTest | None,
    journal: Journal,
    tracker: Tracker,
    ui: Shows,
) -> RunResult:
    """Write all files of a run directory except the journal and the configuration; return the result.

    Args:
        prepared: the prepared run.
        searched: the finished search of the run.
        test: the opened test of the run; None if the pictures have no labels.
        journal: the journal of the run.
        tracker: logs the run in Weights & Biases, if that was asked for.
        ui: shows the run.

    Raises:
        InputError: a picture cannot be read.
    """
    folder = journal.path.parent
    program = TemplateClassifier(prepared.clip, searched.reward.class_names, searched.result.choice.template)
    if searched.settled and searched.settled.kept:
        program.offsets = searched.settled.kept.settled(prepared.clip, program.class_embeddings())
    program.background = prepared.plan.drawn.search[0].picture.background
    if test is None:
        found = _untested(program, prepared, searched, folder, ui)
    else:
        found = _tested(program, prepared, searched, test, folder, ui)
    result = _result(prepared, searched, journal.seconds, **found)
    write_json(folder / ENVIRONMENT, environment(prepared.clip))
    write_json(folder / RESULT, result)
    finish(journal, result, tracker)
    if left := clock().left_out:
        ui.say(f"left out for want of time: {'; '.join(left)}")
    return result


def _tested(
    program: TemplateClassifier,
    prepared: Prepared,
    searched: SearchedRun,
    test: SealedTest,
    folder: Path,
    ui: Shows,
) -> dict[str, Any]:
    """Write the analysis and the program of a tested run, and return the fields of its result, by name."""
    names = prepared.plan.reward_names
    write_json(folder / ANALYSIS, analyse(test.parts, searched.reward, names))
    write_names(folder, prepared.plan.data, searched.named)
    blended = _learn_from_labels(program, prepared, ui)
    save(program, folder / PROGRAM)
    found = what_is_shown(prepared, searched, test)
    return found | {
        "head": what_the_head_does(blended, test.parts["test"]) if blended else None,
        "export": best_target(program),
    }


def _learn_from_labels(program: TemplateClassifier, prepared: Prepared, ui: Shows) -> Blended | None:
    """Add to a program what labelled pictures give: calibration, rejection margins, and head.

    Only search and selection pictures are used.

    Returns:
        The head of words and pictures; None without `head=blend`.
    """
    searched, held_back = map(_pictures, (prepared.search, prepared.selection))
    blended = None
    if held_back is not None:
        optional("how sure the classifier is", partial(program.calibrate, held_back))
    if searched is not None:
        margins = partial(calibrate, program, searched, held_back, prepared.plan.data.none, prepared.store, ui.passing)
        program.rejection = optional("margins to tell pictures of none of the classes", margins)
        if prepared.config.head == "blend":
            with due():
                blended = blend_in(program, [searched] if held_back is None else [searched, held_back])
    return blended


def _pictures(part: Encoded | None) -> EncodedPictures | None:
    """Return the units of a part if they are the encoded pictures of the part, with the same labels; else None.

    A user-written reward may have other units.
    """
    units = part and part.units
    if not isinstance(units, EncodedPictures) or units.labels is None:
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
        optional("tables, page and program in the log of Weights & Biases", partial(tracker.finish, result, folder))
    # The event `end` is the last line of the journal. A run that is killed before this line is written can be resumed,
    # and then writes the missing files. The digests show which files were lost or damaged after the end of the run.
    made = ((name, digest(folder / name)) for name in (*MADE_BY_SEARCHING, *MADE_OF_FILES))
    files = {name: found for name, found in made if found}  # some are made only with labels, or only without
    journal.append("end", stopped=result.stopped, files=files)


def _result(prepared: Prepared, searched: SearchedRun, elapsed: float, **found: Any) -> RunResult:
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
    late = f"Left out for want of time: {'; '.join(left)}." if (left := clock().left_out) else ""
    return RunResult(
        template=searching.choice.template,
        initial_template=config.initial_template,
        reward=planned.reward_names,
        strategy=StrategyUsed(
            name=config.strategy["name"],
            settings={key: value for key, value in config.strategy.items() if key != "name"},
            vocabulary=getattr(strategy, "vocabulary", None),
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
            short=about_few_pictures(planned.drawn, config) if data.labelled else "",
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
        left_out=late,
        **found,
    )


BLOCK = 8192
"""The most pictures whose logits are in memory at once."""


def _untested(
    program: TemplateClassifier, prepared: Prepared, searched: SearchedRun, folder: Path, ui: Shows
) -> dict[str, Any]:
    """Predict the classes of all pictures, and write both programs of a run without labels.

    Returns:
        The fields of the result, by name.
    """
    choice, history, reward = searched.result.choice, searched.result.history, prepared.reward
    names, kept = reward.class_names, choice.kept_initial
    initial, rival = (TemplateClassifier(prepared.clip, names, prepared.config.initial_template) for _ in range(2))
    rival.offsets = fitted_on("centring", prepared.search.units).settled(prepared.clip, rival.class_embeddings())
    rival.background = program.background
    pictures = [item.picture for item in prepared.plan.data.train]
    with due():  # a run without labels is made for these predictions
        features = prepared.store.encode(pictures, ui.pictures("all"))
        labels, moved = _named((initial, program, rival), features, 2 if kept else 1)
        table = {"picture": [picture.name for picture in pictures], "label": [str(names[one]) for one in labels[1]]}
        write_text(folder / LABELS, pd.DataFrame(table).to_csv(index=False, lineterminator="\n"))
        write_json(folder / SEEN, look_at(pictures, names, labels, moved).model_dump(mode="json"))
    save(program, folder / PROGRAM)
    save(rival, folder / CENTRING)
    trying = partial(_suggested, reward, choice.template, pictures, features)
    suggested = optional("other names of the classes", trying) or ()
    values = {entry.template: entry.value for entry in history}
    lead = (max(values.values()) if kept else values[choice.template]) - history.initial.value
    needed = getattr(reward, "scale", None)
    before, found, off = labels
    untested = Untested(
        pictures=len(pictures),
        searched=len(prepared.plan.drawn.search),
        lead=lead,
        needed=needed.lead if needed else 0.0,
        spread=reward.spread if isinstance(reward, Fit) else 0.0,
        changed=int((found != before).sum()),
        changed_by_mean=int((off != before).sum()),
        apart=int((found != off).sum()),
        names=suggested,
        about_names=about_names([(one.given, one.found) for one in suggested], names),
    )
    return {
        "verdict": not_tested(untested, kept=kept),
        "scores": {},
        "other_measures": {},
        "over_classes": {},
        "sealed": Sealed(digest=prepared.digest(*SEALED), opened=0, elsewhere=0),
        "untested": untested,
    }


MOST_SCORED_ONLY = 2000
"""The most pictures on which other class names are tried; they are spread over all pictures."""


def _suggested(
    reward: Reward, template: str, pictures: Sequence[Picture], features: Floats
) -> tuple[SuggestedName, ...]:
    """Return class names that fit the pictures better, each with some of these pictures; no class is renamed."""
    if not isinstance(reward, Fit):
        return ()
    chosen = spread(len(pictures), MOST_SCORED_ONLY)
    return tuple(
        SuggestedName(
            given=given,
            found=found,
            rise=one.rise,
            pictures=tuple(
                Glimpse(picture=short_name(shown.name), thumbnail=thumbnail(shown))
                for shown in (pictures[chosen[i]] for i in one.pictures)
            ),
        )
        for given, found, one in suggestions(reward, template, features[chosen])
    )


def not_tested(found: Untested, *, kept: bool) -> str:
    """Return the verdict of a run without labels; `kept` says whether the initial template stays."""
    lead = f"{found.lead:.2f} nats, with a price for each word subtracted"
    if kept:
        best = (
            f"the best other template leads by {lead}"
            if found.lead > 0
            else "no other template leads, with a price for each word subtracted"
        )
        return (
            "Not tested: no labels. The initial template stays, for a better fit does not mean that more pictures are "
            f"labelled correctly: {best}; a lead of {found.needed:.2f} nats is needed."
        )
    return (
        "Not tested: no labels. A better fit does not mean that more pictures are labelled correctly. The fit of "
        f"this template, measured on {found.searched:,} of the pictures, is above that of the initial template by "
        f"{lead}; a lead of {found.needed:.2f} nats is needed."
    )


def _named(
    programs: Sequence[TemplateClassifier], features: Floats, other: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Predict the classes of n pictures with each of the programs.

    Args:
        programs: the p programs.
        features: the features of the pictures, float32 (n, D).
        other: the index of the program that is compared with the first program.

    Returns:
        The labels, int64 (p, n). And for each picture, the probability that moves to other classes if the program
        `other` replaces the first program: float32 (n,), from 0 to 1.
    """
    labels = np.empty((len(programs), len(features)), dtype=np.int64)
    moved = np.empty(len(features), dtype=np.float32)
    for start in range(0, len(features), BLOCK):
        block = slice(start, start + BLOCK)
        logits = [program.logits(features[block]) for program in programs]
        labels[:, block] = [one.argmax(axis=1) for one in logits]
        moved[block] = np.abs(softmax(logits[0]) - softmax(logits[other])).sum(axis=1) / 2
    return labels, moved
