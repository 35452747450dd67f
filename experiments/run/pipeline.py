"""One optimisation, from a configuration to a result on disk: the main job."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import dspy

from ipo.experiments.data import DataSet, Draw, Item, draw, load_data
from ipo.experiments.explain.analysis import Compared, analyse
from ipo.experiments.report import write_report
from ipo.experiments.run.config import RunConfig
from ipo.experiments.run.live_view import Ui
from ipo.experiments.run.plot import plot_search
from ipo.experiments.run.result import SCHEMA, choice_record, comparison, usage_record, write_json, write_text
from ipo.experiments.run.tracking import Tracker, tracking
from ipo.metrics.clip import Clip, load_clip
from ipo.metrics.errors import InputError
from ipo.metrics.features import FeatureStore
from ipo.metrics.reward import ClipReward, EncodedPictures
from ipo.metrics.statistics import harmonic_mean
from ipo.metrics.template import check
from ipo.metrics.text_tower import text_path
from ipo.programs.classifier import TemplateClassifier
from ipo.programs.describers.interrogator import Interrogator
from ipo.programs.describers.multimodal import ImageDescriber
from ipo.programs.lm.connect import Backend, find_backend, recorded_events
from ipo.programs.lm.ledger import Ledger
from ipo.programs.lm.recording import Recorder
from ipo.programs.optimizer import IPO, Step
from ipo.programs.proposer import SmallModelProposer, TemplateProposer
from ipo.programs.record.journal import FILE_NAME, Journal, read

DESCRIPTION_TOKENS = 200
SPLIT_SEED = 0
"""Cuts data without parts of its own: runs that differ in their seed are tested on the same pictures."""
PACKAGES = ("dspy", "litellm", "torch", "open_clip_torch", "datasets", "numpy", "pillow", "scipy", "xllamacpp")


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes:
        result: the content of `result.json`.
        stopped: which budget ended the search early, or None.
        folder: the run directory.
    """

    result: dict[str, Any]
    stopped: str | None
    folder: Path


@dataclass(frozen=True)
class Plan:
    """What a run would see and ask; no picture was opened and no model loaded."""

    data: DataSet
    drawn: Draw
    optimizer: Backend
    describer: Backend | None


@dataclass(frozen=True)
class Prepared(Plan):
    """What was checked and loaded before anything is written.

    Attributes:
        lm_seconds: how long the language models in this process took to load.
    """

    clip: Clip
    store: FeatureStore
    reward: ClipReward
    lm_seconds: float


def plan(config: RunConfig) -> Plan:
    """Find the pictures and the language models of a run.

    Raises:
        InputError: what is wrong with the configuration, the data or the names of the models.
    """
    optimizer = find_backend(config.lm, role="optimizer", api_base=config.lm_api_base, seed=config.seed)
    describer = None
    if config.describer not in ("clip", "none"):
        describer = find_backend(
            config.describer, role="describer", api_base=config.describer_api_base, seed=config.seed
        )
    for backend in (optimizer, describer):
        if config.budget_usd is not None and backend and backend.price(1, 1) is None:
            raise InputError(
                f"the price of {backend.model} is not known, so --budget-usd cannot be kept; use --budget-tokens."
            )
    data = load_data(config.data, seed=SPLIT_SEED, task=config.task)
    drawn = draw_for(data, config)
    return Plan(data, drawn, optimizer, describer)


def draw_for(data: DataSet, config: RunConfig) -> Draw:
    """Draw the pictures of a run; see `draw`.

    Raises:
        InputError: too few classes or pictures.
    """
    shots = 0 if config.selection == "search" else config.selection_shots
    classes: Literal["base", "all"] = "base" if config.classes == "base-to-new" else "all"
    return draw(data, config.shots, shots, config.seed, classes, config.search_pictures)


def prepare(config: RunConfig, ui: Ui) -> Prepared:
    """Load and check everything that a run needs; write nothing but features to the cache.

    Raises:
        InputError: see `plan`, or what is wrong with the pictures or the models.
    """
    planned = plan(config)
    drawn = planned.drawn
    clip = load_clip(config.clip)
    store = FeatureStore(clip)
    others = [name for spec in config.also_fit for name in load_data(spec, seed=SPLIT_SEED).class_names]
    reward = ClipReward(clip, drawn.class_names, store, also_fit=(*drawn.new_class_names, *others))
    check(config.initial_template, (*drawn.class_names, *drawn.new_class_names, *others), clip)
    _encode(reward, drawn.search, ui, "search")
    _encode(reward, drawn.selection, ui, "selection")
    started = time.monotonic()
    for backend in (planned.optimizer, planned.describer):
        if backend:
            backend.load()
    loading = time.monotonic() - started
    return Prepared(planned.data, drawn, planned.optimizer, planned.describer, clip, store, reward, loading)


def optimize(config: RunConfig, folder: Path, ui: Ui, *, resume: bool = False) -> Outcome:
    """Run the main job in `folder`: search, select, open the sealed test pictures once, write the result.

    Args:
        config: what to do.
        folder: the run directory.
        ui: where progress goes.
        resume: go on with the run that is there; else a folder that holds one is refused.

    Raises:
        InputError: bad input, or a run directory that does not fit.
        NothingUsable: the language model gave nothing to score.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    started = time.monotonic()
    taken = InputError(f"{folder} already holds a run; go on with --resume {folder}, or choose another --out.")
    if not resume and _holds_events(folder):
        raise taken
    if resume and (finished := _finished(folder)):
        return finished
    check_writable(folder)
    prepared = prepare(config, ui)
    journal = Journal(folder, started)
    try:
        if not resume and journal.events:  # another process was quicker between the first look and the lock
            raise taken
        with tracking(config, folder, ui) as tracker:
            return _run(config, prepared, journal, folder, ui, tracker)
    finally:
        journal.close()


def check_writable(folder: Path) -> None:
    """Refuse a run directory that cannot be made or written, before hours go into encoding; nothing is made yet.

    Raises:
        InputError: names the folder that is in the way.
    """
    there = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), None)
    if there is None or not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} is a file" if there and there.is_file() else f"{there} cannot be written"
        raise InputError(f"cannot make the run directory {folder}: {why}; choose another --out.")


def _run(config: RunConfig, prepared: Prepared, journal: Journal, folder: Path, ui: Ui, tracker: Tracker) -> Outcome:
    drawn, reward = prepared.drawn, prepared.reward
    pictures = _fingerprint(prepared, drawn.search, drawn.selection)
    _check_same_run(journal, pictures, reward.clip)
    write_text(folder / "config.yaml", config.to_yaml())
    journal.append("start", config=config.model_dump(), pictures=pictures, clip=reward.clip.fingerprint)

    ledger = Ledger(
        limit_usd=config.budget_usd,
        limit_tokens=config.budget_tokens,
        limit_seconds=None if config.max_minutes is None else 60 * config.max_minutes,
        elapsed_before=journal.seconds,
    )

    def on_step(step: Step) -> None:
        ui.step(step)
        tracker.step(step, ledger)

    # With a replayed optimizer nothing may be asked; a replayed describer alone leaves the optimizer free to ask.
    replies = recorded_events(config.lm)
    described = [event for event in recorded_events(config.describer) or () if event.get("role") == "describer"]
    recorder = Recorder(journal, ledger, [*(replies or ()), *described], replay=replies is not None)
    ipo = IPO(
        reward=reward,
        proposer=_proposer(config, prepared.optimizer, recorder),
        describer=_describer(config, prepared, recorder),
        task=prepared.data.task,
        journal=journal,
        on_step=on_step,
        **{
            name: getattr(config, name)
            for name in (
                "steps",
                "candidates_per_step",
                "history_size",
                "history_scores",
                "initial_template",
                "pin_initial",
                "floor",
                "selection",
                "patience",
                "seed",
            )
        },
    )
    ui.say(
        f"searching with {prepared.optimizer.model} on {len(drawn.search)} pictures of {len(drawn.class_names)} "
        f"classes; {len(drawn.selection)} more choose the winner, {len(drawn.test) + len(drawn.new_test)} stay sealed"
    )
    with ui.search(ledger):
        program = ipo.compile(
            TemplateClassifier(reward.clip, drawn.class_names, config.initial_template),
            trainset=drawn.examples("search"),
            valset=drawn.examples("selection") or None,
        )

    if drawn.selection:
        program.calibrate(_encode(reward, drawn.selection, ui, "selection"))
    ui.say("opening the sealed test pictures")
    parts = _compare_parts(config, prepared, program.template, journal, ui)
    scores = {name: comparison(part.initial, part.optimised, part.groups) for name, part in parts.items()}
    ui.say("looking at what each word does")
    write_json(folder / "analysis.json", analyse(parts, reward))
    result = _result(config, prepared, program, scores, ledger, journal)
    program.save(str(folder / "program.json"))
    plot_search(program.steps, program.template, folder / "search.png")
    write_json(folder / "environment.json", environment(prepared.clip))
    write_json(folder / "result.json", result)
    tracker.finish(result, folder)
    journal.append("end", stopped=program.stopped)
    write_report(folder)
    return Outcome(result, program.stopped, folder)


def _proposer(config: RunConfig, backend: Backend, recorder: Recorder) -> TemplateProposer:
    connection = backend.connect(
        recorder, role="optimizer", temperature=config.temperature, max_tokens=config.max_tokens
    )
    return SmallModelProposer(connection.lm) if connection.small else TemplateProposer(connection.lm)


def _describer(config: RunConfig, prepared: Prepared, recorder: Recorder) -> dspy.Module | None:
    if config.describer == "clip":
        return Interrogator(prepared.clip)
    if prepared.describer is None:
        return None
    connection = prepared.describer.connect(
        recorder, role="describer", temperature=config.temperature, max_tokens=DESCRIPTION_TOKENS
    )
    return ImageDescriber(connection.lm, limit=config.described_pictures)


def _compare_parts(
    config: RunConfig, prepared: Prepared, template: str, journal: Journal, ui: Ui
) -> dict[str, Compared]:
    """Score the initial and the chosen template everywhere; the test pictures are opened here and nowhere else."""
    drawn, data = prepared.drawn, prepared.data
    new_reward = ClipReward(prepared.clip, drawn.new_class_names, prepared.store)
    parts: list[tuple[Literal["search", "selection", "test", "new"], ClipReward, tuple[Item, ...]]] = [
        ("search", prepared.reward, drawn.search),
        ("selection", prepared.reward, drawn.selection),
        ("test", prepared.reward, drawn.test),
        ("new", new_reward, drawn.new_test),
    ]
    found: dict[str, Compared] = {}
    for name, reward, items in parts:
        if not items:
            continue
        pictures = _encode(reward, items, ui, name)
        initial, optimised = reward.score([config.initial_template, template], pictures)
        if name in ("test", "new"):
            hits = {score.template: score.bits for score in (initial, optimised)}
            if not journal.find(name, template=template, hits=hits):
                journal.append(name, template=template, hits=hits)
        found[name] = Compared(items, pictures, reward.class_names, clusters(items, data), initial, optimised)
    return found


def clusters(items: Sequence[Item], data: DataSet) -> list[str]:
    """Say which pictures are not independent: variants of one base picture, else pictures of one class."""
    return [item.group if data.variants else str(item.label) for item in items]


def _result(
    config: RunConfig, prepared: Prepared, program: Any, scores: dict[str, Any], ledger: Ledger, journal: Journal
) -> dict[str, Any]:
    drawn = prepared.drawn

    def harmonic(which: str) -> float:
        return round(harmonic_mean(scores["test"][which]["accuracy"], scores["new"][which]["accuracy"]), 6)

    lm_seconds = prepared.lm_seconds + sum(usage.seconds for usage in ledger.roles.values())
    parts = {"lm": lm_seconds, **prepared.clip.seconds}
    total = max(journal.seconds, sum(parts.values()))
    return {
        "schema": SCHEMA,
        "template": program.template,
        "templates": [{"template": template, "weight": weight} for template, weight in program.templates],
        "initial_template": config.initial_template,
        "clip": {"name": prepared.clip.name, "fingerprint": prepared.clip.fingerprint},
        "data": {
            "name": prepared.data.name,
            "fingerprint": _fingerprint(prepared, drawn.search, drawn.selection, drawn.test, drawn.new_test),
            "split": prepared.data.split,
            "classes": len(prepared.data.class_names),
            "shots": config.shots,
        },
        "scores": scores,
        "harmonic_mean": (
            {"initial": harmonic("initial"), "optimised": harmonic("optimised")} if "new" in scores else None
        ),
        "selection": choice_record(program.choice),
        "stopped": program.stopped,
        "steps": len(program.steps) - 1,
        "templates_scored": sum(len(step.scored) for step in program.steps),
        "lm": {role: usage_record(ledger.roles.get(role)) for role in ("optimizer", "describer")},
        "seconds": {
            "total": round(total, 1),
            "lm": round(parts["lm"], 1),
            "text": round(parts["text"], 1),
            "image": round(parts["image"], 1),
            "other": round(total - sum(parts.values()), 1),
        },
        "seed": config.seed,
    }


def _holds_events(folder: Path) -> bool:
    """Whether there is a run to go on with; one that was killed before its first line has left nothing."""
    file = folder / FILE_NAME
    return file.is_file() and file.stat().st_size > 0


def _finished(folder: Path) -> Outcome | None:
    """Return what a run found that needed no more than it was given; nothing is left to go on with."""
    events = read(folder) if _holds_events(folder) else []
    file = folder / "result.json"
    if not events or events[-1]["type"] != "end" or events[-1]["stopped"] or not file.is_file():
        return None
    return Outcome(json.loads(file.read_text(encoding="utf-8")), None, folder)


def _check_same_run(journal: Journal, pictures: str, clip: Clip) -> None:
    start = journal.find("start")
    if start is None:
        return
    if start["pictures"] != pictures:
        raise InputError(f"the pictures of the run in {journal.path.parent} have changed since; start a new run.")
    if start["clip"] != clip.fingerprint:
        raise InputError(f"the CLIP of the run in {journal.path.parent} has changed since; start a new run.")


def _encode(reward: ClipReward, items: Sequence[Item], ui: Ui, what: str) -> EncodedPictures | Any:
    if not items:
        return None
    return reward.encode(
        [item.picture for item in items],
        [item.label for item in items],
        [item.group for item in items],
        ui.pictures(what),
    )


def _fingerprint(prepared: Prepared, *parts: Sequence[Item]) -> str:
    """Return a digest of the classes and of the pictures used, part by part: bytes and labels, not paths."""
    used = []
    for items in parts:
        contents = prepared.store.contents([item.picture for item in items])
        used.append([[content, item.label] for content, item in zip(contents, items, strict=True)])
    names = [prepared.drawn.class_names, prepared.drawn.new_class_names]
    return hashlib.sha256(json.dumps([names, used]).encode()).hexdigest()


def environment(clip: Clip) -> dict[str, Any]:
    """Return versions and models: what another machine needs to make the same run."""
    versions = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": clip.device,
        "packages": versions,
        "clip": {"name": clip.name, "fingerprint": clip.fingerprint, "context_length": clip.context_length},
        "text_path": text_path(clip.model),
    }
