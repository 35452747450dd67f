"""`head=blend`: labelled pictures of search and selection are added to the words of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipo_prompts.metrics.blend import Blend, Kept, Labelled, blend
from ipo_prompts.metrics.calibration import fit_temperature
from ipo_prompts.metrics.classification import EncodedPictures, features_of, scores_accuracy
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import Reward
from ipo_prompts.programs.classifier import TemplateClassifier


@dataclass(frozen=True)
class Blended:
    """What was made of the labelled pictures.

    Attributes:
        found: how they stand beside the words.
        program: with them, where they count; also in a program that words alone decide.
        counts: int64 (C,), the labelled pictures of each class.
    """

    found: Blend
    program: TemplateClassifier
    counts: Any


def blend_in(program: TemplateClassifier, parts: Sequence[EncodedPictures]) -> Blended:
    """Add labelled pictures to a program that has words alone, and fit its temperature on those left out.

    Args:
        program: with the templates that were found; it is changed.
        parts: the pictures of search and selection, with labels.
    """
    features, labels = features_of(*parts), np.concatenate([part.labels for part in parts])
    apart = [part.groups or [f"{number} {i}" for i in range(len(part))] for number, part in enumerate(parts)]
    groups = [group for of_part in apart for group in of_part]
    pictures = Labelled(features, labels, len(program.class_names), groups)
    found = blend(program.logits(features), pictures, program.clip.logit_scale)
    counts = np.bincount(labels, minlength=pictures.classes)
    if found.weight > 0:
        program.pictures = Kept.of(found, program.clip.logit_scale, np.flatnonzero(counts == 0).tolist())
        program.temperature = 1.0
        if found.held:
            logits, true, numbers = found.held
            program.temperature = fit_temperature(logits, true, [groups[i] for i in numbers])
    return Blended(found, program, counts)


def check_head(head: object, reward: Reward, student: TemplateClassifier) -> None:
    """Refuse a head that there is not, and pictures beside words where accuracy is not what is maximised.

    Raises:
        InputError: says what to give.
    """
    if head not in ("words", "blend"):
        raise InputError(f"head= is 'words' or 'blend', not {head!r}.")
    same = tuple(reward.class_names) == tuple(student.class_names)
    if head == "blend" and not (scores_accuracy(reward) and same):
        raise InputError(
            f"head='blend' is for the accuracy of labelled pictures, and not for {type(reward).__name__}; leave it out."
        )
