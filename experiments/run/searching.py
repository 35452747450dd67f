"""Search in a run directory, starting from an earlier run if the configuration names one.

The earlier run is only read. Its templates are scored again, like those of a resumed run: this is exact, it asks no
language model, and an edited record cannot change a result. The data that are read from the earlier run are written to
the journal of the new run before they are used. So the new run can be resumed and replayed without the earlier run.

Templates are fitted to the pictures on which they were found. And the test of the earlier run may be the reason for the
new run. So the journal of the new run records the digests of all search pictures of the earlier run and of the runs
before it, and all openings of sealed pictures by these runs are counted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ipo_prompts.experiments.run.config import CONFIG_FILE, RunConfig, about_preset
from ipo_prompts.experiments.run.files import Content, write_text
from ipo_prompts.experiments.run.openings import DIGITS, Openings, last_opening
from ipo_prompts.experiments.run.prepared import SHOWN, Prepared, drawn_in, record_drawn
from ipo_prompts.experiments.run.reading import PACKAGES, config_of
from ipo_prompts.experiments.run.result import RESULT, Started
from ipo_prompts.experiments.run.ui import Shows
from ipo_prompts.metrics.errors import InputError, input_error
from ipo_prompts.metrics.registry import packages_of
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.metrics.template import key, problem
from ipo_prompts.programs import running, search
from ipo_prompts.programs.describers.multimodal import Describing, by_clip
from ipo_prompts.programs.lm.connect import recorded_events
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.lm.recording import Recorder
from ipo_prompts.programs.record.journal import FILE_NAME, Event, Journal, begin, check_same, read
from ipo_prompts.programs.record.trust import relative_places, resumed_by
from ipo_prompts.programs.running import Job, check_naming
from ipo_prompts.programs.search import Step
from ipo_prompts.programs.selection import why_not_best
from ipo_prompts.programs.templates.settings import BY_CLIP


@dataclass(frozen=True, kw_only=True)
class SearchedRun(running.Searched):
    """A finished search.

    Attributes:
        reward: the reward with the class names after the search for names.
        earlier: the earlier run that the search started from; None if it started from none.
        same_pictures: whether the earlier run had the same search and selection pictures, CLIP, reward and offsets.
    """

    reward: Reward
    earlier: EarlierRun | None
    same_pictures: bool


def search_in(
    prepared: Prepared, journal: Journal, ui: Shows, track: Callable[[Step, Ledger], None] = lambda step, ledger: None
) -> SearchedRun:
    """Search in the run directory that holds the journal, or resume the search that was begun there.

    Args:
        prepared: the prepared run.
        journal: the journal of the run.
        ui: shows the search.
        track: called with each finished step and the ledger of the language models.

    Raises:
        InputError: the directory holds a run with other pictures or another CLIP, or a picture changed during the
            search.
        NothingUsable: the strategy proposed no template that can be scored.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    config, planned = prepared.config, prepared.plan
    check_naming(config.search, prepared.reward)
    pictures = prepared.digest(*SHOWN)
    identity = {"pictures": pictures, "clip": prepared.clip.fingerprint}
    check_same(journal, identity)
    # The folder in which the run began is recorded for people who resume the run in another folder. It is not recorded
    # if all paths are absolute.
    began = {"began_in": os.getcwd()} if relative_places(config.model_dump()) else {}  # noqa: PTH109
    settings = config.model_dump(mode="json")
    used = packages_of(settings)
    begin(journal, identity, config=settings, **began, **({PACKAGES: used} if used else {}))
    comments = "".join(f"# {line}\n" for line in about_preset(config))
    write_text(journal.path.parent / CONFIG_FILE, comments + config.to_yaml())
    record_drawn(journal, prepared, ui.warn)
    earlier = taken_over(config, journal)
    replies = recorded_events(config.lm)
    described = [event for event in recorded_events(config.describer) or () if event.get("role") == "describer"]
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
        called=(config.data,),
        replies=[*(replies or ()), *described],
        replay=replies is not None,  # if only the describer is replayed, the optimizer may ask
    )

    def on_step(step: Step, ledger: Ledger) -> None:
        ui.step(step)
        track(step, ledger)

    found = running.run(job, journal, on_step=on_step, say=ui.passing, showing=ui.search)
    choice = found.result.choice
    if why := why_not_best(choice, found.result.history):  # the view has shown another template as the best
        ui.say(f"chosen is {choice.template!r}, and not the best so far: {why}")
    prepared.contents(*SHOWN)  # refuses pictures that have changed
    same = earlier is not None and earlier.identity == identity_of(config, pictures, prepared.clip.fingerprint)
    if earlier and same:
        known = [one for one in found.result.history if one.template in earlier.templates]
        if other := sum(earlier.templates[one.template] != one.value for one in known):
            ui.warn(f"{other:,} templates have other scores now than {earlier.run} recorded; the scores of now count")
    reward = found.named.reward if found.named else prepared.reward
    return SearchedRun(**vars(found), reward=reward, earlier=earlier, same_pictures=same)


def _describing(prepared: Prepared) -> Describing | None:
    config, asked, pictures = prepared.config, prepared.plan.describer, prepared.search.pictures
    if config.describer in BY_CLIP:
        return by_clip(prepared.store, config.describer, pictures, config.vocabulary)
    if asked is None:
        return None
    from ipo_prompts.programs.describers.multimodal import QUESTIONS, ImageDescriber

    question = config.describer_question

    def recorded(recorder: Recorder) -> tuple[ImageDescriber, None]:
        lm = asked.connect(recorder, "describer", config.temperature, QUESTIONS[question].max_tokens)
        return ImageDescriber(lm, limit=config.described_pictures, question=question), None

    return Describing(config.describer, pictures, recorded)


EVENT = "earlier"
MOST = 5_000
"""The most templates that are taken over; if there are more, only the best are. A default run has some sixty."""


class EarlierRun(Content):
    """The data that a new run takes over from an earlier run, as the journal of the new run holds them.

    Attributes:
        run: the directory of the earlier run.
        templates: the recorded value of each template of the earlier run, by template.
        steps: the number of steps of the earlier run and the runs before it.
        identity: everything that the scores of the earlier run depend on, see `identity_of`. With the same identity, a
            template has the same score.
        searched: the beginning of the digest of each search picture of the earlier run and the runs before it.
        opened: the openings of sealed pictures by the earlier run and the runs before it.
    """

    run: str
    templates: dict[str, float]
    steps: int = Field(ge=0)
    identity: dict[str, Any]
    searched: tuple[str, ...]
    opened: tuple[Openings, ...]


def read_earlier(folder: Path) -> EarlierRun:
    """Read the run to start from; its search pictures are taken from its record.

    Raises:
        InputError: the folder holds no run, the run has no templates, the run opened its test and has no result, or a
            file cannot be read.
    """
    events, config = read(folder), config_of(folder)
    file = folder / FILE_NAME
    try:
        start = next(event for event in reversed(events) if event["type"] == "start")
        before = next((_checked(event, file) for event in reversed(events) if event["type"] == EVENT), None)
        found = [event for event in events if event["type"] == "scores" and event["kind"] in ("search", EVENT)]
        identity = identity_of(config, start["pictures"], start["clip"])
        values = {str(one["template"]): float(one["accuracy"]) for event in found for one in event["scores"]}
        done = len({event["step"] for event in found if event["step"] >= 0})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} is not as this version writes it ({error!r}); start from another run.") from error
    if any(event["type"] == "test" for event in events) and not (folder / RESULT).is_file():
        raise InputError(
            f"the run in {folder} has opened its test and has not written its result; resume it with "
            f"{resumed_by(folder)} before another run starts from it."
        )
    drawn, own = drawn_in(folder), last_opening(folder)
    templates = _valid(values, file)
    if not templates:
        raise InputError(f"the run in {folder} has scored no template yet, so there is nothing to start from.")
    return EarlierRun(
        run=str(folder.absolute()),
        templates=templates,
        steps=done + (before.steps if before else 0),
        identity=identity,
        searched=tuple(sorted({*(before.searched if before else ()), *(drawn.search if drawn else ())})),
        opened=(*(before.opened if before else ()), *([own] if own else ())),
    )


def identity_of(config: RunConfig, pictures: str, clip: str) -> dict[str, Any]:
    """Return everything that the scores of a template depend on, by name.

    These are the search and selection pictures (`pictures` is their digest), the CLIP (`clip` is its fingerprint), the
    reward and the offsets.
    """
    return {"pictures": pictures, "clip": clip, "reward": config.reward, "offsets": config.offsets}


def taken_over(config: RunConfig, journal: Journal) -> EarlierRun | None:
    """Return the earlier run that a run starts from, and record it in the journal; None if it starts from none.

    If the run is resumed or replayed, the earlier run is read from the record. Otherwise, its folder is read.

    Raises:
        InputError: see `read_earlier`.
    """
    if config.start_from is None:
        return None
    known = recorded(config, journal.events) or read_earlier(Path(config.start_from))
    if journal.find(EVENT):
        return known
    return _checked(journal.append(EVENT, **known.model_dump(mode="json")), journal.path)


def recorded(config: RunConfig, events: Sequence[Event]) -> EarlierRun | None:
    """Return the earlier run as a journal records it; None if no journal does.

    The journal of the run itself comes first (`events`), then the journal of the replayed run.
    """
    own = next((event for event in reversed(events) if event["type"] == EVENT), None)
    if own is not None:
        return _checked(own, Path(FILE_NAME))
    start = Path(config.start_from or "").parts
    for event in reversed(recorded_events(config.lm) or ()):
        # If the replayed run is itself the run to start from, its record names another earlier run.
        if event["type"] == EVENT and Path(str(event.get("run"))).parts[-len(start) :] == start:
            return _checked(event, Path(config.lm))
    return None


def started(earlier: EarlierRun, prepared: Prepared, searched: SearchedRun) -> Started:
    """Return how many templates were taken over, and how many selection pictures were earlier search pictures."""
    taken = sum(entry.source == "earlier run" for entry in searched.result.history)
    fresh = [template for template in earlier.templates if key(template) != key(prepared.config.initial_template)]
    known = set(earlier.searched)
    chose = sum(content[:DIGITS] in known for content in prepared.contents("selection"))
    return Started(
        run=earlier.run, templates=taken, refused=len(fresh) - taken, same_pictures=searched.same_pictures, chose=chose
    )


def _valid(values: Mapping[str, float], file: Path) -> dict[str, float]:
    """Return the values of the usable templates of a record, by template; of more than `MOST`, only the best."""
    found: dict[str, tuple[str, float]] = {}
    for template, value in values.items():
        if not math.isfinite(value):
            raise InputError(f"{file} has the score {value} for {template[:80]!r}; start from another run.")
        if problem(template) is None:
            found.setdefault(key(template), (template, value))
    best = set(sorted(found, key=lambda name: found[name][1], reverse=True)[:MOST])
    return dict(pair for name, pair in found.items() if name in best)


def _checked(event: Event, file: Path) -> EarlierRun:
    try:
        return EarlierRun.model_validate({name: event.get(name) for name in EarlierRun.model_fields})
    except ValidationError as error:
        raise input_error(error, f"what {file} says of the run that it started from") from error
