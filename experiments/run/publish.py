"""What a search is worth on every part of the pictures, and the files of its run directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from dspy.utils.saving import get_dependency_versions

from ipo_prompts.experiments.data import Item, fresh
from ipo_prompts.experiments.explain.analysis import analyse
from ipo_prompts.experiments.explain.word_effects import token_counter
from ipo_prompts.experiments.report import write_report
from ipo_prompts.experiments.report.figures import save_search_png
from ipo_prompts.experiments.report.page import FILE_NAME as PAGE
from ipo_prompts.experiments.report.search import follow
from ipo_prompts.experiments.run.baselines import baselines, left_out
from ipo_prompts.experiments.run.comparison import (
    AnyPart,
    Compared,
    Comparison,
    PartName,
    RewardNames,
    compare,
    verdict,
)
from ipo_prompts.experiments.run.earlier import Earlier, identity_of, started
from ipo_prompts.experiments.run.ensemble import what_it_adds
from ipo_prompts.experiments.run.environment import environment
from ipo_prompts.experiments.run.files import digest, write_json
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.offsets import what_they_add
from ipo_prompts.experiments.run.plan import SPLIT_SEED, Plan
from ipo_prompts.experiments.run.prepare import Prepared, encode, fingerprint
from ipo_prompts.experiments.run.result import FILE_NAME as RESULT
from ipo_prompts.experiments.run.result import (
    Data,
    Fingerprinted,
    Harmonic,
    LanguageModels,
    Member,
    RunResult,
    Sealed,
    StrategyUsed,
    chosen,
    used,
    write_result,
)
from ipo_prompts.experiments.run.searching import SearchedRun
from ipo_prompts.experiments.run.tracking import Tracker
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.headroom import Headroom
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.metrics.statistics import harmonic_mean
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.ensemble import scored_as_one
from ipo_prompts.programs.offsets import under
from ipo_prompts.programs.record.journal import Journal, last, read
from ipo_prompts.programs.record.score_keeper import units_of

ANALYSIS, ENVIRONMENT, PROGRAM, PLOT = "analysis.json", "environment.json", "program.json", "search.png"
MADE_BY_SEARCHING = (ANALYSIS, ENVIRONMENT, PROGRAM, RESULT)
MADE_OF_FILES = (PLOT, PAGE)
"""Files that need no pictures and no CLIP."""
DIGITS = 12
"""Of a digest: of a million pictures hardly two begin alike."""


def evaluate(
    prepared: Prepared, searched: SearchedRun, journal: Journal, ui: Ui
) -> tuple[dict[AnyPart, Compared], dict[str, Compared]]:
    """Score the initial and the chosen template everywhere; the sealed pictures are opened here and nowhere else.

    Fresh pictures that cannot be used are named and left out: the result does not need them.

    Returns:
        The parts by name, and further measures of the sealed test by theirs.
    """
    planned, drawn = prepared.plan, prepared.plan.drawn
    members, settled = searched.result.choice.templates, searched.settled
    sides = [prepared.config.initial_template], members

    def compared(encoded: Encoded, reward: Reward) -> Compared:
        units = under(encoded.units, settled.kept) if settled else encoded.units
        initial, optimised = (scored_as_one(reward, side, units) for side in sides)
        names = reward.class_names
        how = encoded.sampling(initial.n)
        return Compared(encoded.items, units, encoded.labels, names, how, initial, optimised)

    parts: dict[AnyPart, Compared] = {"search": compared(prepared.search, prepared.reward)}
    if prepared.selection:
        parts["selection"] = compared(prepared.selection, prepared.reward)
    others = {}
    sealed: tuple[tuple[Literal["test", "new"], Sequence[Item], Sequence[str]], ...] = (
        ("test", drawn.test, drawn.class_names),
        ("new", drawn.new_test, drawn.new_class_names),
    )
    for name, items, class_names in sealed:
        if not items:
            continue
        reward = planned.task.reward(prepared.clip, class_names, prepared.store)
        parts[name] = compared(encode(planned, reward, items, name, ui=ui, seed=SPLIT_SEED), reward)
        hits = {score.template: units_of(score) for score in (parts[name].initial, parts[name].optimised)}
        template = parts[name].optimised.template
        if not journal.find(name, template=template, hits=hits):
            journal.append(name, template=template, hits=hits)
        if note := _seen_before(prepared, items, searched.earlier):
            ui.warn(f"{note}; `ipo data check` names them")
        if name == "test":
            measures = planned.task.other_measures(prepared.clip, class_names, prepared.store)
            for measure, other in measures.items():
                others[measure] = compared(encode(planned, other, items, name, ui=ui, seed=SPLIT_SEED), other)
    if left := fresh(planned.data, drawn, prepared.config.seed):
        try:
            unused = f"fresh (left over; each word is tested on these {planned.task.unit})"
            encoded = encode(planned, prepared.reward, left, unused, ui=ui, seed=prepared.config.seed)
            parts["fresh"] = compared(encoded, prepared.reward)
        except InputError as error:
            ui.say(f"what each word does is not tested on fresh {planned.task.unit}: {error}")
    return parts, others


def _seen_before(prepared: Prepared, sealed: Sequence[Item], earlier: Earlier | None) -> str | None:
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
    room: Headroom | None = None,
) -> RunResult:
    """Write everything that a run directory holds beside its journal and configuration."""
    folder = journal.path.parent
    names = names_of(prepared.plan)
    words = token_counter(prepared.clip)
    members = searched.result.choice.templates
    write_json(folder / ANALYSIS, analyse(_explained(parts, prepared.reward, members), prepared.reward, words, names))
    weighted = [(template, 1.0) for template in members]
    program = TemplateClassifier(prepared.clip, prepared.reward.class_names, weighted)
    if searched.settled and searched.settled.kept:
        program.offsets = searched.settled.kept.settled(prepared.clip, program.class_embeddings())
    program.background = prepared.plan.drawn.search[0].picture.background
    if prepared.selection and _are_pictures(prepared.selection):
        program.calibrate(cast("EncodedPictures", prepared.selection.units))
    metadata = {"dependency_versions": get_dependency_versions()}  # what `program.load` of DSPy compares
    write_json(folder / PROGRAM, program.dump_state() | {"metadata": metadata})
    write_json(folder / ENVIRONMENT, environment(prepared.clip))
    result = _result(prepared, searched, parts, others, _sealed(prepared, journal), journal.seconds, room)
    write_result(folder, result)
    tracker.finish(result, folder)
    finish(journal, result)
    return result


def _are_pictures(part: Encoded) -> bool:
    """Whether units are the pictures with their classes; those of a reward of one's own may be anything."""
    labels = part.units.labels if isinstance(part.units, EncodedPictures) else None
    return labels is not None and labels.tolist() == [item.label for item in part.items]


def _explained(parts: dict[AnyPart, Compared], reward: Reward, members: Sequence[str]) -> dict[AnyPart, Compared]:
    """Return the parts on which words are looked at with the best member of an ensemble alone: words are its own."""
    if len(members) == 1:
        return parts
    looked: tuple[AnyPart, ...] = ("fresh", "selection")
    alone = {
        name: replace(parts[name], optimised=reward.score(members[:1], parts[name].units)[0])
        for name in looked
        if name in parts
    }
    return {**parts, **alone}


def finish(journal: Journal, result: RunResult) -> None:
    """Write what is made of the other files, the plot and the page, and end the journal."""
    folder = journal.path.parent
    save_search_png(follow(read(folder), result.template), folder / PLOT, result.reward)
    write_report(folder)
    # The last line: a run that is killed before it writes what is missing when it resumes. The digests tell a resumed
    # one which of the files were lost or damaged since.
    files = {name: digest(folder / name) for name in (*MADE_BY_SEARCHING, *MADE_OF_FILES)}
    journal.append("end", stopped=result.stopped, files=files)


def names_of(planned: Plan) -> RewardNames:
    """Return what the reward of a plan is called."""
    task = planned.task
    return RewardNames(name=planned.config.reward["name"], measure=task.measure, unit=task.unit)


def _result(
    prepared: Prepared,
    searched: SearchedRun,
    parts: dict[AnyPart, Compared],
    others: dict[str, Compared],
    sealed: Sealed,
    seconds: float,
    room: Headroom | None,
) -> RunResult:
    config, data, drawn = prepared.config, prepared.plan.data, prepared.plan.drawn
    found, roles = searched.result, searched.ledger.roles
    named: dict[str, Compared] = {str(name): part for name, part in parts.items() if name != "fresh"}
    named |= {f"other {name}": part for name, part in others.items()}
    tested = set(named) - {"search", "selection"}
    compared = compare({name: part.pair for name, part in named.items()}, tested)
    scores = {name: compared[name] for name in parts if name != "fresh"}
    names = names_of(prepared.plan)
    pictures = fingerprint(prepared, drawn.search, drawn.selection, drawn.test, drawn.new_test)
    settings = {key: value for key, value in config.strategy.items() if key != "name"}
    identity = identity_of(config, fingerprint(prepared, drawn.search, drawn.selection), prepared.clip.fingerprint)
    before = searched.earlier and started(searched.earlier, prepared, identity, found.history, sealed.digest)
    return RunResult(
        verdict=verdict(
            scores["test"],
            names.unit,
            sealed.opened,
            new=scores.get("new"),
            chain=before.opened if before else 1,
            untried=found.ended if len(found.history) == 1 else None,
        ),
        template=found.choice.template,
        templates=tuple(Member(template=template, weight=1.0) for template in found.choice.templates),
        initial_template=config.initial_template,
        reward=names,
        strategy=StrategyUsed(name=config.strategy["name"], settings=settings),
        clip=Fingerprinted(name=prepared.clip.name, fingerprint=prepared.clip.fingerprint),
        data=Data(
            name=data.name, fingerprint=pictures, split=data.split, classes=len(data.class_names), shots=config.shots
        ),
        scores=scores,
        sealed=sealed,
        other_measures={name: compared[f"other {name}"] for name in others},
        harmonic_mean=_harmonic(scores),
        ensemble=what_it_adds(prepared, searched.ensembled, parts),
        offsets=what_they_add(prepared, searched.settled, found.choice.templates, parts),
        selection=chosen(found.choice),
        ended=found.ended,
        stopped=found.stopped,
        steps=len(found.steps) - 1,
        proposed=found.proposed,
        templates_scored=len(found.history),
        looked_at=found.looked_at,
        lm=LanguageModels(optimizer=used(roles.get("optimizer")), describer=used(roles.get("describer"))),
        seconds=_seconds(prepared, searched, seconds),
        seed=config.seed,
        headroom=room,
        baselines=baselines(prepared, parts),
        left_out=left_out(prepared),
        started=before,
    )


def sealed_digest(prepared: Prepared) -> str:
    """Return a digest of the sealed pictures with their labels."""
    drawn = prepared.plan.drawn
    return fingerprint(prepared, drawn.test, drawn.new_test)


def _sealed(prepared: Prepared, journal: Journal) -> Sealed:
    """Count the runs in this folder that opened sealed pictures of this one; the count stays when it is resumed.

    The record has the pictures one by one, for runs that seal a part of them: on base classes, with other labels.
    """
    folder = journal.path.parent.absolute()
    known = journal.find("opened")
    if known is None:
        pictures = _sealed_pictures(prepared)
        beside = [file.parent for file in folder.parent.glob(f"*/{RESULT}") if file.parent != folder]
        runs = 1 + sum(_opened_some(run, pictures) for run in beside)
        known = journal.append("opened", runs=runs, pictures=sorted(pictures))
    return Sealed(digest=sealed_digest(prepared), opened=int(known["runs"]))


def _sealed_pictures(prepared: Prepared) -> set[str]:
    """Return the beginning of the digest of each sealed picture's bytes, however they are read and labelled."""
    sealed = (*prepared.plan.drawn.test, *prepared.plan.drawn.new_test)
    return {content[:DIGITS] for content in prepared.store.contents([item.picture for item in sealed])}


def _opened_some(run: Path, pictures: set[str]) -> bool:
    """Whether a run opened some sealed pictures."""
    opened = last(run, "opened")
    return opened is not None and not pictures.isdisjoint(opened["pictures"])


def _harmonic(scores: dict[PartName, Comparison]) -> Harmonic | None:
    if "new" not in scores:
        return None
    test, new = scores["test"], scores["new"]
    return Harmonic(
        initial=harmonic_mean(test.initial.value, new.initial.value),
        optimised=harmonic_mean(test.optimised.value, new.optimised.value),
    )


def _seconds(prepared: Prepared, searched: SearchedRun, elapsed: float) -> dict[str, float]:
    waited = prepared.lm_seconds + sum(usage.seconds for usage in searched.ledger.roles.values())
    spent = {"lm": waited, **prepared.clip.seconds}
    total = max(elapsed, sum(spent.values()))
    parts = {"total": total, **spent, "other": total - sum(spent.values())}
    return {name: round(seconds, 1) for name, seconds in parts.items()}
