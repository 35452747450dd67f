"""Search in a run directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dspy

from ipo_prompts.experiments.data.names import answers
from ipo_prompts.experiments.run.config import about_preset
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.experiments.run.live_view import Ui
from ipo_prompts.experiments.run.prepared import SHOWN, Prepared, record_drawn
from ipo_prompts.experiments.tasks import Encoded
from ipo_prompts.metrics.blend import Linear
from ipo_prompts.metrics.classification import EncodedImages, scores_accuracy
from ipo_prompts.metrics.errors import InputError, several
from ipo_prompts.metrics.template import written
from ipo_prompts.programs import running
from ipo_prompts.programs.bench import Step
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.describe import QUESTIONS, ImageDescriber, describe, given_descriptions
from ipo_prompts.programs.journal import Journal, begin, check_same
from ipo_prompts.programs.lm.ledger import Ledger
from ipo_prompts.programs.redaction import redacted
from ipo_prompts.programs.running import Searched, blend_in, calibrate_words, check_naming
from ipo_prompts.programs.search_settings import SearchSettings
from ipo_prompts.programs.selection import why_not_best
from ipo_prompts.programs.trust import CONFIG_FILE, placed

_ONLY_SHOWN = "This file only shows the settings of the run; to run with others, copy it to another folder."
"""The first line of `config.yaml`: the settings are read from the journal."""


def search_in(prepared: Prepared, journal: Journal, ui: Ui, track: Callable[[Step, Ledger], None]) -> running.Searched:
    """Search in the run directory that holds the journal, or resume the search that was begun there.

    Args:
        prepared: the prepared run.
        journal: the journal of the run.
        ui: shows the search.
        track: called with each finished step and the ledger of the language models.

    Raises:
        InputError: the directory holds a run with other images or another CLIP, or an image changed during the
            search.
        NothingUsable: the strategy proposed no template that can be scored.
        dspy.LMError: the language model cannot be reached; the run can be resumed.
    """
    config, planned = prepared.config, prepared.plan
    settings: SearchSettings = planned.search
    if config.names == "auto" and not scores_accuracy(prepared.reward):  # a reward of the user's own
        settings = config
    check_naming(settings, prepared.reward)
    images = prepared.digest(*SHOWN)
    identity = {"images": images, "clip": prepared.clip.fingerprint}
    classes = redacted({"classes": written(planned.drawn.class_names)})["classes"]
    begun = next((event for event in journal.events if event["type"] == "start"), {})
    if (before := begun.get("classes", classes)) != classes:
        others = [repr(name) for name in (*before, *classes) if before.count(name) != classes.count(name)]
        raise InputError(
            f"{journal.path.parent} holds a search with other class names or synonyms ({several(others)}); "
            "name the classes as then, or start a new run."
        )
    check_same(journal, identity)
    _, place = placed(config.data)
    relative = place and not Path(place).expanduser().is_absolute()
    began = {"began_in": os.getcwd()} if relative else {}  # noqa: PTH109  # for people who resume in another folder
    begin(journal, identity, config=config.model_dump(mode="json"), classes=classes, **began)
    comments = "".join(f"# {line}\n" for line in (_ONLY_SHOWN, *about_preset(config)))
    write_text(journal.path.parent / CONFIG_FILE, comments + config.to_yaml())
    record_drawn(journal, prepared, ui.warn)
    data = planned.data
    ledger = running.ledger_of(settings, journal)
    lm = planned.optimizer
    asked = lm.connect(ledger, "optimizer", config.temperature, config.max_tokens) if lm else None

    def on_step(step: Step) -> None:
        ui.step(step)
        track(step, ledger)

    kept = () if config.names == "search" else [i for i in range(len(data.class_names)) if i not in data.read]
    with ui.search(ledger):
        found = running.run(
            settings,
            prepared.reward,
            planned.strategy,
            *prepared.shown,
            ledger=ledger,
            lm=asked,
            journal=journal,
            task=data.task,
            describe=partial(_descriptions, prepared, journal, ledger, ui) if config.describer != "none" else None,
            called=(begun.get("config", {}).get("data", config.data),),  # as it was called before it was moved
            typed={label: data.typed[label] for label in data.read},
            kept=kept,
            on_step=on_step,
            say=ui.passing,
        )
    choice = found.result.choice
    if why := why_not_best(choice, found.result.history):  # the view has shown another template as the best
        ui.say(why)
    for part in SHOWN:
        for item in getattr(planned.drawn, part):
            item.image.bytes()  # refuses images that have changed
    return found


def _descriptions(prepared: Prepared, journal: Journal, ledger: Ledger, ui: Ui) -> list[str]:
    """Describe the train images with the multimodal model of the run, or with the descriptions that are given."""
    config, described, asked = prepared.config, prepared.train, prepared.plan.describer
    ui.passing(f"describing the train images with {config.describer}")
    describer: Any = partial(dspy.Prediction, descriptions=given_descriptions(config.describer))
    if asked:
        question = config.describer_question
        lm = asked.connect(ledger, "describer", config.temperature, QUESTIONS[question].max_tokens)
        describer = ImageDescriber(lm, limit=config.described_images, question=question)
    labels, names = described.units.labels, prepared.reward.class_names
    return describe(describer, described.images, labels, names, prepared.plan.data.task, journal)


# The program: the words that the search chose, and what labelled images add to them.


def program_of(prepared: Prepared, searched: Searched) -> tuple[TemplateClassifier, Linear | None]:
    """Return the program that a run found. Its temperature and its images come from train and validation images.

    Return also the classifier that these images make without words; None if images may not be added.
    """
    config, data, choice = prepared.config, prepared.plan.data, searched.result.choice
    names = searched.reward.class_names
    program = TemplateClassifier(prepared.clip, names, choice.template, answers(data)[: len(names)])
    parts = [units for part in (prepared.train, prepared.val) if (units := _images(part))]
    alone = None
    if parts:
        accuracy = scores_accuracy(prepared.reward)
        initial = TemplateClassifier(prepared.clip, prepared.reward.class_names, config.initial_template)
        calibrate_words(program, initial, choice.gain if accuracy else None, searched.named, parts)
        if accuracy and config.classifier != "text":
            shown = [image for part in (prepared.train, prepared.val) if part for image in part.images]
            see = partial(prepared.store.views, shown)
            alone = blend_in(program, parts, see, gate=config.classifier == "auto").alone
    return program, alone


def _images(part: Encoded | None) -> EncodedImages | None:
    """Return the units of a part if they are the encoded images of the part, with the same labels; else None.

    A user-written reward may have other units.
    """
    units = part and part.units
    if not isinstance(units, EncodedImages):
        return None
    return units if part and units.labels.tolist() == [item.label for item in part.items] else None
