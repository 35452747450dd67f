"""The search of a job in its run directory: what was paid for and measured is in the journal before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.run.config import CONFIG_FILE, RunConfig
from ipo_prompts.experiments.run.earlier import Earlier, differing, identity_of, taken_over
from ipo_prompts.experiments.run.ensemble import settle_ensemble
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.offsets import Settled, asked_for, settle, under
from ipo_prompts.experiments.run.prepare import Prepared, fingerprint
from ipo_prompts.experiments.run.published_settings import about_preset
from ipo_prompts.experiments.run.tracking import Tracker
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.programs.describers.recorded import describe
from ipo_prompts.programs.describers.shortening import fitted
from ipo_prompts.programs.ensemble import Ensembled, check_ensemble
from ipo_prompts.programs.lm.connect import recorded_events
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.record.journal import Journal
from ipo_prompts.programs.record.score_keeper import ScoreKeeper
from ipo_prompts.programs.search import Earlier as LeftBehind
from ipo_prompts.programs.search import SearchResult, Step, search


@dataclass(frozen=True)
class Searched:
    """A search that is over, what it used, whether offsets are kept, what it started from, and whether an ensemble is
    taken; each None where that was not asked for.
    """

    result: SearchResult
    ledger: Ledger
    settled: Settled | None = None
    earlier: Earlier | None = None
    ensembled: Ensembled | None = None


def search_in(prepared: Prepared, journal: Journal, ui: Ui, tracker: Tracker | None = None) -> Searched:
    """Search in the run directory that the journal lies in, or resume what was begun there.

    Raises:
        InputError: the directory holds a run of other pictures or another CLIP.
        NothingUsable: the strategy gave nothing to score.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    config, planned, drawn = prepared.config, prepared.plan, prepared.plan.drawn
    check_ensemble(config.ensemble, prepared.reward)
    pictures = fingerprint(prepared, drawn.search, drawn.selection)
    _check_same_run(journal, pictures, prepared.clip)
    comments = "".join(f"# {line}\n" for line in about_preset(config))
    write_text(journal.path.parent / CONFIG_FILE, comments + config.to_yaml())
    journal.append("start", config=config.model_dump(), pictures=pictures, clip=prepared.clip.fingerprint)
    earlier = taken_over(prepared, journal)
    ledger = Ledger(
        limit_usd=config.budget_usd,
        limit_tokens=config.budget_tokens,
        limit_seconds=None if config.max_minutes is None else 60 * config.max_minutes,
        elapsed_before=journal.seconds,
    )
    recorder = _recorder(config, journal, ledger)
    record = ScoreKeeper(journal, prepared.reward)
    connected = planned.optimizer and planned.optimizer.connect(
        recorder, role="optimizer", temperature=config.temperature, max_tokens=config.max_tokens
    )

    def on_step(step: Step) -> None:
        ui.step(step)
        if tracker:
            tracker.step(step, ledger)

    offsets = asked_for(prepared)
    searching = offsets if offsets and offsets.kind == "mean" else None  # others would be fitted for each template
    with ui.search(ledger):
        result = search(
            config.search,
            prepared.reward,
            planned.strategy(connected.lm if connected else None),
            under(prepared.search.units, searching),
            under(prepared.selection.units, searching) if prepared.selection else None,
            record=record,
            task=planned.data.task,
            describe=_describing(prepared, recorder, record, ui),
            check_limits=ledger.check_time,
            on_step=on_step,
            earlier=LeftBehind(tuple(earlier.templates), earlier.steps) if earlier else None,
        )
    same = earlier and earlier.identity == identity_of(config, pictures, prepared.clip.fingerprint)
    if earlier and same and (other := differing(earlier, result.history)):
        ui.warn(f"{other:,} scores that {earlier.run} recorded are not those that its templates have now; those count")
    settled = ensembled = None
    if offsets is not None:
        result, settled = settle(prepared, result, offsets, record)
    if config.ensemble > 1:
        result, ensembled = settle_ensemble(prepared, settled.kept if settled else None, result, record)
    return Searched(result, ledger, settled, earlier, ensembled)


def _recorder(config: RunConfig, journal: Journal, ledger: Ledger) -> Recorder:
    # With a replayed optimizer nothing new may be asked; with a replayed describer alone the optimizer may ask.
    replies = recorded_events(config.lm)
    described = [event for event in recorded_events(config.describer) or () if event.get("role") == "describer"]
    return Recorder(journal, ledger, [*(replies or ()), *described], replay=replies is not None)


def _describing(prepared: Prepared, recorder: Recorder, record: ScoreKeeper, ui: Ui) -> Callable[[], list[str]] | None:
    config, planned, encoded = prepared.config, prepared.plan, prepared.search
    room = planned.room  # before anything is paid
    describer: Any
    if by_clip := config.describer in ("clip", "clip-greedy"):
        from ipo_prompts.programs.describers.interrogator import Interrogator

        describer = Interrogator(prepared.clip, greedy=config.describer == "clip-greedy")
    elif planned.describer is not None:
        from ipo_prompts.programs.describers.multimodal import QUESTIONS, ImageDescriber

        question = config.describer_question
        connection = planned.describer.connect(
            recorder, role="describer", temperature=config.temperature, max_tokens=QUESTIONS[question].max_tokens
        )
        describer = ImageDescriber(connection.lm, limit=config.described_pictures, question=question)
    else:
        return None
    names, task = prepared.reward.class_names, planned.data.task

    def described() -> list[str]:
        by = "the CLIP" if by_clip else config.describer
        ui.say(f"describing the search pictures with {by}")
        found = describe(describer, encoded.pictures, encoded.units.labels, names, task, record)
        return fitted(found, room, record, ui.say)

    return described


def _check_same_run(journal: Journal, pictures: str, clip: Clip) -> None:
    start = journal.find("start")
    if start and start.get("pictures") != pictures:
        raise InputError(f"the pictures of the run in {journal.path.parent} have changed since; start a new run.")
    if start and start.get("clip") != clip.fingerprint:
        raise InputError(f"the CLIP of the run in {journal.path.parent} has changed since; start a new run.")
