"""What is taken beside a template: offsets, and (`head=blend`) labelled pictures.

Offsets stay where held-back units show that they are worth it, which is decided as all else is (`selection.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipo_prompts.metrics.blend import Blend, Kept, Labelled, blend
from ipo_prompts.metrics.calibration import fit_temperature
from ipo_prompts.metrics.classification import (
    EncodedPictures,
    features_of,
    fitted_on,
    lets_classes_compete,
    scores_accuracy,
)
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.offsets import Fitted
from ipo_prompts.metrics.reward import Reward, Score, Units
from ipo_prompts.programs.selection import best_first, cross_fitted_difference, pooled_choice, tables_of

if TYPE_CHECKING:
    from ipo_prompts.programs.classifier import TemplateClassifier
    from ipo_prompts.programs.record.score_keeper import ScoreKeeper
    from ipo_prompts.programs.search import SearchResult


BESIDE = -1
"""The step of what is scored beside the search: before the first, so that no reader of a journal takes it for one."""
Way = tuple[Sequence[Score], Sequence[Score]]
"""Scores of all templates on the search and on the held-back units: the initial one, then the others, best first."""


@dataclass(frozen=True)
class Settled:
    """Whether the offsets that were asked for are kept.

    Attributes:
        kept: what is kept; None where choosing with them gained no more than its standard error.
        gain: what choosing with them gained over choosing without, on held-back units left out of the choice.
        standard_error: of that gain; None where the units cannot tell it.
    """

    kept: Fitted | None
    gain: float
    standard_error: float | None


def check_offsets(kind: str, reward: object, missing: str | None, name: str | None = None) -> None:
    """Refuse offsets where the reward has no logits of classes that compete, or where no pictures are held back.

    Args:
        kind: of the offsets that are asked for; `none` asks for none.
        reward: of the search, or its class.
        missing: what would hold pictures back where none are, beside selection=held-back, else None.
        name: what the reward is called; by its class if left out.

    Raises:
        InputError: says what to leave out or to set.
    """
    if kind == "none":
        return
    if not lets_classes_compete(reward):
        what = name or type(reward).__name__
        raise InputError(f"offsets={kind} is for classes that compete, and not for {what}; leave it out.")
    if missing:
        raise InputError(
            f"offsets={kind} is taken only where held-back pictures show that it helps, and none are held back; set "
            f"selection=held-back and {missing}, or offsets=none."
        )


def under(units: Any, offsets: Fitted | None) -> Any:
    """Return units that are scored with these offsets."""
    return replace(units, offsets=offsets) if offsets else units


def settle_offsets(
    found: SearchResult, offsets: Fitted, search_units: Units, held_back: Units, record: ScoreKeeper
) -> tuple[SearchResult, Settled]:
    """Choose among the templates of a search with and without offsets, and keep what is worth it.

    Both ways choose by the rule of `selection.py`, and are compared on each fold of the held-back pictures by what
    they choose without it; there the offsets are those of the search pictures alone. They stay if their gain exceeds
    its standard error.

    Returns:
        The search with the choice of the way that is kept, and what decided.
    """
    initial = found.history.initial
    templates = [initial.template, *(one.template for one in found.history.ranked() if one is not initial)]
    units, lead = (search_units, held_back), record.scale.lead

    def scored(how: Fitted | None, name: str) -> Way:
        parts = (
            record.score(BESIDE, templates, under(of, how), kind=f"{part} {name}")
            for part, of in zip(("search", "selection"), units, strict=True)
        )
        return best_first(*parts)

    # Balanced pictures flatter offsets that are fitted on them: what is measured on is left out of the fit.
    searched = fitted_on(offsets.kind, search_units)
    fair = scored(searched, f"with {offsets.kind} offsets of the search pictures")
    way = scored(None, "without offsets")
    gain, error = cross_fitted_difference(tables_of(fair, units, lead), tables_of(way, units, lead))
    kept = error is not None and gain > error
    record.note("offsets", kind=offsets.kind, kept=kept, gain=gain, standard_error=error)
    if kept:
        way = scored(offsets, f"with {offsets.kind} offsets")
    return replace(found, choice=pooled_choice(*way, *units, lead)), Settled(offsets if kept else None, gain, error)


# `head=blend`: labelled pictures of search and selection are added to the words of a program.


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
