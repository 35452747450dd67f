"""One job, from a plan to a run directory: prepare, search, evaluate once on the sealed pictures, publish.

Cells of a grid use `prepare` and `search_in` alone: their protocol says what they are evaluated on.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from ipo_prompts.experiments.data import Item, fresh
from ipo_prompts.experiments.export import best_target
from ipo_prompts.experiments.publishing import (
    MADE_BY_SEARCHING,
    MADE_OF_FILES,
    draw_search,
    end,
    finish,
    program_of,
    publish_untested,
    save,
)
from ipo_prompts.experiments.report.analysis import ANALYSIS
from ipo_prompts.experiments.report.explain import analyse
from ipo_prompts.experiments.report.gather import read_run
from ipo_prompts.experiments.report.words import token_counter
from ipo_prompts.experiments.run.beforehand import headroom_of
from ipo_prompts.experiments.run.beside import baselines, what_the_head_does, what_they_add
from ipo_prompts.experiments.run.comparison import Compared, compare, near_copies_in_words, over_classes, verdict
from ipo_prompts.experiments.run.config import RunConfig
from ipo_prompts.experiments.run.drawn import as_begun
from ipo_prompts.experiments.run.files import check_writable, digest, holds_run, larger_limit, write_json
from ipo_prompts.experiments.run.live_view import Ui, ensure_local_weights, showing_warnings
from ipo_prompts.experiments.run.names import names_after, what_names_do, write_names
from ipo_prompts.experiments.run.openings import (
    DIGITS,
    Names,
    Openings,
    cost_of_opening,
    count,
    names_digest,
    opening_of,
)
from ipo_prompts.experiments.run.plan import SPLIT_SEED, Plan, plan
from ipo_prompts.experiments.run.prepared import Prepared, encode, encode_sealed, fingerprint, prepare
from ipo_prompts.experiments.run.reading import differs_in_file
from ipo_prompts.experiments.run.rejecting import calibrate
from ipo_prompts.experiments.run.reserve import FILES, refuse_short, refuse_to_open, reserve_of, seconds_of_test
from ipo_prompts.experiments.run.result import PROGRAM, Harmonic, RunResult, Sealed
from ipo_prompts.experiments.run.scores import AnyPart, Comparison, PartName
from ipo_prompts.experiments.run.searching import EarlierRun, SearchedRun, read_earlier, recorded, search_in
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.experiments.tracking import Tracker, tracking
from ipo_prompts.metrics.classification import EncodedPictures, features_of
from ipo_prompts.metrics.clock import BudgetReached, Clock, began, due, keeping, optional
from ipo_prompts.metrics.device import find_device
from ipo_prompts.metrics.errors import InputError, flag, silent
from ipo_prompts.metrics.headroom import Headroom
from ipo_prompts.metrics.reward import Reward, scale_of
from ipo_prompts.metrics.sampling import harmonic_mean
from ipo_prompts.metrics.several import SeveralLabels, Sureness, fit_sureness, is_sigmoid, native, propose
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.lm.connect import REPLAY
from ipo_prompts.programs.record.journal import Journal, read, seconds_of
from ipo_prompts.programs.record.redaction import SHORTEST, too_short
from ipo_prompts.programs.record.score_keeper import units_of
from ipo_prompts.programs.record.trust import outside, resume_command, resumed_by
from ipo_prompts.programs.settling import Blended, blend_in, under


def run_job(config: RunConfig, folder: Path, ui: Ui, *, resume: bool) -> RunResult:
    """Run a job in `folder`: search, choose, open the sealed test pictures once, write the result.

    What it lacks is fetched, and what programs warn of is shown.

    Args:
        config: what to do.
        folder: the run directory.
        ui: what is shown.
        resume: the run that is there is resumed; else a folder that holds one is refused.

    Raises:
        InputError: bad input, or a run directory that does not fit.
        NothingUsable, dspy.LMError: see `search_in`.
    """
    find_device(config.device)  # a wrong one is refused before anything is fetched
    ensure_local_weights([config], quiet=ui.quiet)
    earlier = seconds_of(read(folder)) if resume and holds_run(folder) else 0.0
    timed = keeping(Clock.of(config.max_minutes, earlier, began()))
    logs = silent("dspy", "LiteLLM")  # what they log is raised as an exception, too
    with logs, showing_warnings(ui), ui.running(), timed as one:
        return _run(config, folder, ui, one, resume=resume)


def stopped_early(config: RunConfig, folder: Path, result: RunResult) -> str:
    """Say which limit ended a run, and how it is resumed under a larger one."""
    assert result.limit is not None
    larger = flag(result.limit, larger_limit(config, result.limit, result.seconds["total"], result.needed))
    again = resume_command(folder, config.model_dump(), *shlex.split(larger))
    return f"stopped early: {result.stopped}; resume with a larger limit: {again}"


def _run(config: RunConfig, folder: Path, ui: Ui, one: Clock, *, resume: bool) -> RunResult:
    quoted = shlex.quote(str(folder))
    if not resume and holds_run(folder):
        raise _taken(folder)
    if resume and (before := finished(folder, ui)):
        ui.say(f"the run had finished, and this is its result; a new run that goes on: ipo optimize --from {quoted}")
        return before
    if resume and (told := differs_in_file(folder, config)):
        ui.warn(told)
    check_writable(folder)
    earlier = None
    if config.start_from:  # one that nothing can start from is refused before pictures are encoded
        earlier = recorded(config, read(folder) if holds_run(folder) else ()) or read_earlier(Path(config.start_from))
    if beyond := _not_ours(config):
        ui.say(f"uses what does not ship with ipo: {beyond}")
    planned = plan(config, say=ui.passing)
    if resume and holds_run(folder):
        planned = as_begun(planned, folder)
    ui.say(f"run directory: {folder}")
    prepared, test = _in_time(planned, ui, one, folder)
    with closing(Journal(folder, one.started)) as journal:
        if not resume and journal.events:  # another process was quicker between the first look and the lock
            raise _taken(folder)
        with tracking(prepared.config, folder, ui) as tracker:
            _announce(prepared, journal, ui, earlier.opened if earlier else ())
            ui.scale = scale_of(prepared.reward)
            if planned.data.labelled:
                ui.passing("looking whether words can help")
            room = optional("whether words can help", partial(headroom_of, prepared))
            if room:
                ui.say(room.verdict)
            searched = search_in(prepared, journal, ui, tracker.step)
            refuse_to_open(one, test, prepared.config, folder)
            if not planned.data.labelled:
                return publish_untested(prepared, searched, journal, tracker, ui)
            ui.passing(f"opening the sealed test {prepared.plan.task.unit}")
            parts, others = open_test(prepared, searched, journal, ui)
            one.reserve = FILES
            ui.passing("looking at what each word does")
            return publish(prepared, searched, parts, others, journal, tracker, ui, room)


def _in_time(planned: Plan, ui: Ui, one: Clock, folder: Path) -> tuple[Prepared, float]:
    """Prepare a run, encode its sealed pictures, and keep the time in reserve that its sealed test still needs.

    Returns:
        The run, and the seconds of its test.

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
    with due():  # it was measured to fit
        encode_sealed(prepared, ui)
    if one.limit is not None:
        test = seconds_of_test(prepared)
        one.reserve = reserve_of(test)
    return prepared, test


def _not_ours(config: RunConfig) -> str:
    """Name the models and hosts that are loaded and asked beyond those that ship with ipo or open_clip lists."""
    local = ("folder:", "csv:", "parquet:")
    found = {key: one for key, one in outside(config.model_dump()).items() if key not in ("strategy", "start_from")}
    return ", ".join(f"{key}={one}" for key, one in found.items() if not one.startswith(local))


def _announce(prepared: Prepared, journal: Journal, ui: Ui, before: Sequence[Openings]) -> None:
    drawn, optimizer, config = prepared.plan.drawn, prepared.plan.optimizer, prepared.config
    how = f"with {optimizer.model}" if optimizer else f"without a language model (strategy {config.strategy['name']})"
    if config.lm.startswith(REPLAY):
        recorded = config.lm.removeprefix(REPLAY)
        ui.say(f"replayed: all answers are those recorded in {recorded}; nothing is asked and nothing is paid")
    if journal.events:
        ui.say("resumed: what was recorded before is read back and shown again; nothing is asked twice")
    rest = f"{len(drawn.selection)} more choose the winner, {len(drawn.test) + len(drawn.new_test)} stay sealed"
    if not prepared.plan.data.labelled:
        rest = "nobody knows their labels"
    ui.say(f"searching {how} on {len(drawn.search)} pictures of {len(drawn.class_names)} classes; {rest}")
    contents, folder = prepared.store.contents, journal.path.parent
    if prepared.plan.data.labelled and (told := cost_of_opening(prepared.plan, contents, folder, before)):
        ui.say(told)
    if short := too_short():
        ui.say(f"{' and '.join(short)}: shorter than {SHORTEST} characters, so it is not blanked in what is written")
    ui.say(f"if it is interrupted: {resume_command(journal.path.parent, config.model_dump())}")


def _taken(folder: Path) -> InputError:
    return InputError(
        f"{folder} already holds a run; resume it with {resumed_by(folder)}, or choose another {flag('out')}."
    )


def finished(folder: Path, ui: Ui) -> RunResult | None:
    """Return what a run found that needed no more than it was given; nothing is left to resume.

    A plot or a page that was lost or damaged since is made again of the other files. None where one of those is: then
    the search is followed again, from the replies in the journal, and all of them are written again.
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


def open_test(
    prepared: Prepared, searched: SearchedRun, journal: Journal, ui: Ui
) -> tuple[dict[AnyPart, Compared], dict[str, Compared]]:
    """Score the initial and the chosen template everywhere; the sealed pictures are opened here and nowhere else.

    Fresh pictures that cannot be used are named and left out: the result does not need them.

    Returns:
        The parts by name, and further measures of the sealed test by theirs.
    """
    planned, drawn = prepared.plan, prepared.plan.drawn
    settled, ours = searched.settled, searched.reward
    sides = prepared.config.initial_template, searched.result.choice.template

    def compared(encoded: Encoded, reward: Reward = ours) -> Compared:
        units = under(encoded.units, settled.kept) if settled else encoded.units
        initial, optimised = (reward.score([side], units)[0] for side in sides)
        how = encoded.sampling(initial.n)
        return Compared(encoded.items, units, encoded.labels, reward, how, initial, optimised)

    def measured(items: Sequence[Item], reward: Reward, name: str, seed: int = SPLIT_SEED) -> Compared:
        return compared(encode(planned, reward, items, name, ui=ui, seed=seed), reward)

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
        if note := _seen_before(prepared, items, searched.earlier):
            ui.warn(f"{note}; `ipo data check` names them")
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
    return parts, others


def _seen_before(prepared: Prepared, sealed: Sequence[Item], earlier: EarlierRun | None) -> str | None:
    """Say how many sealed pictures searched or chose too, byte for byte, here or before; None where none did."""
    drawn, store = prepared.plan.drawn, prepared.store
    seen = set(store.contents([item.picture for item in (*drawn.search, *drawn.selection)]))
    seen |= set(earlier.searched or ()) if earlier else set()
    again = sum(content in seen for content in store.contents([item.picture for item in sealed]))
    if not again:
        return None
    return (
        f"{again:,} of {len(sealed):,} sealed pictures {'is' if again == 1 else 'are'} among those that searched or "
        "chose, so the score is too good"
    )


def publish(
    prepared: Prepared,
    searched: SearchedRun,
    parts: dict[AnyPart, Compared],
    others: dict[str, Compared],
    journal: Journal,
    tracker: Tracker,
    ui: Ui,
    room: Headroom | None = None,
) -> RunResult:
    """Write everything that a run directory holds beside its journal and configuration."""
    folder = journal.path.parent
    names, reward = prepared.plan.reward_names, searched.reward
    explained = analyse(parts, reward, token_counter(prepared.clip), names)
    write_json(folder / ANALYSIS, explained)
    write_names(folder, prepared.plan.data, searched.named)
    program = program_of(prepared, searched)
    blended = _learn_from_labels(program, prepared, ui)
    save(program, folder / PROGRAM)
    opening = _opening(prepared, searched, parts, journal)
    optional("the plot of the search", partial(draw_search, folder, searched.result.choice.template, names))
    found = _what_is_shown(prepared, searched, parts, others, opening)
    head = what_the_head_does(blended, parts["test"]) if blended else None
    proposed = program.sureness.proposed if program.sureness else None
    found |= {"export": best_target(program), "above": proposed.above if proposed else None}
    return end(prepared, searched, journal, tracker, ui, head=head, headroom=room, **found)


def _learn_from_labels(program: TemplateClassifier, prepared: Prepared, ui: Ui) -> Blended | None:
    """Give a program what it decides with beside words, from the pictures that searched and chose."""
    labelled = [part for part in (prepared.search, prepared.selection) if part and _are_pictures(part)]
    known, blended = [cast("EncodedPictures", part.units) for part in labelled], None
    held_back = known[-1] if labelled and labelled[-1] is prepared.selection else None
    if held_back is not None:
        optional("how sure the classifier is", partial(program.calibrate, held_back))
    if known and labelled[0] is prepared.search:
        margins = partial(calibrate, program, known[0], held_back, prepared.plan.data.none, prepared.store, ui.passing)
        program.rejection = optional("margins to tell pictures of none of the classes", margins)
        with due():
            blended = blend_in(program, known) if prepared.config.head == "blend" else None
    if isinstance(prepared.reward, SeveralLabels):
        with due():
            shown = cast("Sequence[EncodedPictures]", prepared.shown)
            program.sureness = _sureness(program, shown, held_back=prepared.selection is not None)
    return blended


def _sureness(program: TemplateClassifier, shown: Sequence[EncodedPictures], held_back: bool) -> Sureness:
    """Return how sure each class is by itself: what the CLIP says, or what fits all pictures that are not sealed; and
    above which probability classes are named, by the last of the parts if that was `held_back`.
    """
    if is_sigmoid(program.clip):
        found = native(len(program.class_names))
    else:
        known = [one.shown for one in shown if one.shown is not None]
        found = fit_sureness(program.logits(features_of(*shown)), np.concatenate(known))
    last = shown[-1]
    if not held_back or last.shown is None:
        return found
    return found.model_copy(
        update={"proposed": propose(found.probabilities(program.logits(last.features)), last.shown)}
    )


def _are_pictures(part: Encoded) -> bool:
    """Whether units are the pictures with their classes; those of a reward of one's own may be anything."""
    labels = part.units.labels if isinstance(part.units, EncodedPictures) else None
    return labels is not None and labels.tolist() == [item.label for item in part.items]


def _what_is_shown(
    prepared: Prepared,
    searched: SearchedRun,
    parts: dict[AnyPart, Compared],
    others: dict[str, Compared],
    opening: Openings,
) -> dict[str, Any]:
    """Return the fields of a result that speak of the test: scores, the verdict, what else they show."""
    drawn, found = prepared.plan.drawn, searched.result
    balanced = prepared.config.verdict == "balanced"
    named: dict[str, Compared] = {str(name): part for name, part in parts.items() if name != "fresh"}
    named |= {f"other {name}": part for name, part in others.items()}
    tested = set(named) - {"search", "selection"}
    pairs = {name: part.pair for name, part in named.items()}
    compared = compare(pairs, tested, opening=opening.number, balanced=balanced, tests=opening.tests)
    scores = {name: compared[name] for name in parts if name != "fresh"}
    said = verdict(
        scores["test"],
        prepared.plan.task.unit,
        opening.number,
        new=scores.get("new"),
        elsewhere=opening.elsewhere,
        untried=found.ended if len(found.history) == 1 else None,
    )
    near_copies = optional("near copies", partial(near_copies_in_words, parts["test"], balanced)) or ""
    classes = {item.label for item in drawn.test}
    digest = fingerprint(prepared, drawn.test, drawn.new_test)
    return {
        "sealed": Sealed(digest=digest, opened=opening.number, elsewhere=opening.elsewhere),
        "verdict": f"{said} {near_copies}".rstrip(),
        "scores": scores,
        "near_copies": near_copies,
        "classes_untested": tuple(name for label, name in enumerate(drawn.class_names) if label not in classes),
        "other_measures": {name: compared[f"other {name}"] for name in others},
        "harmonic_mean": _harmonic(scores),
        "offsets": optional("what offsets add", partial(what_they_add, prepared, searched.settled, parts)),
        "names": optional("what other names do", partial(what_names_do, searched.named, parts)),
        "over_classes": over_classes(parts, balanced),
        "baselines": optional("what is known without a search", partial(baselines, prepared, parts)),
    }


def _opening(
    prepared: Prepared, searched: SearchedRun, parts: Mapping[AnyPart, Compared], journal: Journal
) -> Openings:
    """Count this opening of the sealed pictures, one by one, for runs that seal a part of them."""
    drawn, data = prepared.plan.drawn, prepared.plan.data
    contents = prepared.store.contents([item.picture for item in (*drawn.test, *drawn.new_test)])
    before = searched.earlier.opened if searched.earlier else ()
    this, pictures = opening_of(*_found(parts["test"])), {content[:DIGITS] for content in contents}
    names = Names(names_digest(data.class_names), names_digest(names_after(data, searched.named)))
    return count(this, pictures, names, prepared.config.opened, journal, before)


def _found(part: Compared) -> tuple[str, dict[str, Any]]:
    """Return the chosen template, and what it and the initial one contributed on each unit."""
    return part.optimised.template, {one.template: units_of(one) for one in (part.initial, part.optimised)}


def _harmonic(scores: dict[PartName, Comparison]) -> Harmonic | None:
    test, new = scores["test"], scores.get("new")
    if new is None:
        return None
    return Harmonic(
        initial=harmonic_mean(test.initial.value, new.initial.value),
        optimised=harmonic_mean(test.optimised.value, new.optimised.value),
    )
