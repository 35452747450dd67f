"""Make the program of a run: the words that the search chose, and what labelled pictures add to them."""

from __future__ import annotations

from dataclasses import replace

from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.experiments.tasks.base import Encoded
from ipo_prompts.metrics.classification import EncodedPictures, scores_accuracy
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.running import Searched, blend_in, calibrate_words


def program_of(prepared: Prepared, searched: Searched) -> TemplateClassifier:
    """Return the program that a run found. Its temperature and its pictures come from search and selection pictures."""
    config, data, choice = prepared.config, prepared.plan.data, searched.result.choice
    program = TemplateClassifier(prepared.clip, searched.reward.class_names, choice.template)
    answers = data.answers[: len(program.class_names)]
    if answers != program.class_names:
        program.state = replace(program.state, labels=answers)
    parts = [units for part in (prepared.search, prepared.selection) if (units := _pictures(part))]
    if parts:
        accuracy = scores_accuracy(prepared.reward)
        initial = TemplateClassifier(prepared.clip, prepared.reward.class_names, config.initial_template)
        calibrate_words(program, initial, choice.gain if accuracy else None, searched.named, parts)
        if accuracy and config.head != "words":
            blend_in(program, parts, gate=config.head == "auto")
    return program


def _pictures(part: Encoded | None) -> EncodedPictures | None:
    """Return the units of a part if they are the encoded pictures of the part, with the same labels; else None.

    A user-written reward may have other units.
    """
    units = part and part.units
    if not isinstance(units, EncodedPictures):
        return None
    return units if part and units.labels.tolist() == [item.label for item in part.items] else None
