"""The search of a job in its run directory: a configuration and encoded pictures become a `Job`."""

from __future__ import annotations

from dataclasses import dataclass

from ipo_prompts.experiments.run.config import CONFIG_FILE, RunConfig
from ipo_prompts.experiments.run.earlier import Earlier, differing, identity_of, taken_over
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.prepare import Prepared, fingerprint
from ipo_prompts.experiments.run.published_settings import about_preset
from ipo_prompts.experiments.run.tracking import Tracker
from ipo_prompts.programs import running, search
from ipo_prompts.programs.describers.recorded import Describing, by_clip
from ipo_prompts.programs.ensemble import check_ensemble
from ipo_prompts.programs.lm.connect import recorded_events
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.record.journal import Event, Journal, begin, check_same
from ipo_prompts.programs.running import Job
from ipo_prompts.programs.search import Step


@dataclass(frozen=True)
class SearchedRun(running.Searched):
    """A search that is over, and the run that it started from; None where it began anew."""

    earlier: Earlier | None = None


def search_in(prepared: Prepared, journal: Journal, ui: Ui, tracker: Tracker | None = None) -> SearchedRun:
    """Search in the run directory that the journal lies in, or resume what was begun there.

    Raises:
        InputError: the directory holds a run of other pictures or another CLIP.
        NothingUsable: the strategy gave nothing to score.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    config, planned, drawn = prepared.config, prepared.plan, prepared.plan.drawn
    check_ensemble(config.ensemble, prepared.reward)
    pictures = fingerprint(prepared, drawn.search, drawn.selection)
    identity = {"pictures": pictures, "clip": prepared.clip.fingerprint}
    check_same(journal, identity)
    comments = "".join(f"# {line}\n" for line in about_preset(config))
    write_text(journal.path.parent / CONFIG_FILE, comments + config.to_yaml())
    begin(journal, identity, config=config.model_dump())
    earlier = taken_over(prepared, journal)
    replies, replay = _replies(config)
    job = Job(
        config.search,
        prepared.reward,
        prepared.search.units,
        prepared.selection.units if prepared.selection else None,
        strategy=planned.strategy,
        lm=planned.optimizer,
        temperature=config.temperature,
        max_tokens=config.max_tokens,
        task=planned.data.task,
        describing=_describing(prepared),
        room=planned.room,
        earlier=search.Earlier(tuple(earlier.templates), earlier.steps) if earlier else None,
        replies=replies,
        replay=replay,
    )

    def on_step(step: Step, ledger: Ledger) -> None:
        ui.step(step)
        if tracker:
            tracker.step(step, ledger)

    found = running.run(job, journal, on_step=on_step, say=ui.say, showing=ui.search)
    same = earlier and earlier.identity == identity_of(config, pictures, prepared.clip.fingerprint)
    if earlier and same and (other := differing(earlier, found.result.history)):
        ui.warn(f"{other:,} scores that {earlier.run} recorded are not those that its templates have now; those count")
    return SearchedRun(**vars(found), earlier=earlier)


def _replies(config: RunConfig) -> tuple[list[Event], bool]:
    """Return what recorded runs answer; with a replayed describer alone the optimizer may still ask."""
    replies = recorded_events(config.lm)
    described = [event for event in recorded_events(config.describer) or () if event.get("role") == "describer"]
    return [*(replies or ()), *described], replies is not None


def _describing(prepared: Prepared) -> Describing | None:
    config, asked, pictures = prepared.config, prepared.plan.describer, prepared.search.pictures
    if config.describer in ("clip", "clip-greedy"):
        return by_clip(prepared.clip, config.describer, pictures)
    if asked is None:
        return None
    from ipo_prompts.programs.describers.multimodal import QUESTIONS, ImageDescriber

    question = config.describer_question

    def recorded(recorder: Recorder) -> tuple[ImageDescriber, None]:
        lm = asked.connect(recorder, "describer", config.temperature, QUESTIONS[question].max_tokens)
        return ImageDescriber(lm, limit=config.described_pictures, question=question), None

    return Describing(config.describer, pictures, recorded)
