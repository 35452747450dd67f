"""What is taken beside one template: several together, offsets, and (`head=blend`) labelled pictures.

The class embedding of an ensemble is the mean of its members' unit rows, made unit again. Its members are the templates
that are best on search and selection units together, equally weighted: where the ensemble selection of Caruana,
Niculescu-Mizil, Crew & Ksikes (2004) starts. More fitting than that would need more pictures than a run has.

Whether they are taken is decided as all else is (`selection.py`): each fold of the selection units measures the
ensemble and the one template that the search units and the other folds choose, and the ensemble is taken if its gain
exceeds one standard error. Over the initial template it must gain more than the reward's lead, as a single one must.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipo_prompts.metrics.arrays import Doubles
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
from ipo_prompts.metrics.offsets import Fitted, Kind
from ipo_prompts.metrics.reward import Reward, Score, Units, by_embeddings
from ipo_prompts.programs.selection import (
    POOLED,
    ScoreTable,
    best_first,
    check_possible,
    chosen_without,
    cross_fitted_difference,
    gain_of,
    measured_without,
    pooled_choice,
    tables_of,
)

if TYPE_CHECKING:
    from ipo_prompts.programs.classifier import TemplateClassifier
    from ipo_prompts.programs.record.score_keeper import ScoreKeeper
    from ipo_prompts.programs.search import SearchResult


ALIKE = 1e-4
"""Templates whose losses differ nowhere by more are one to the CLIP, which has read the same words of both."""
Rows = tuple[int, ...]
"""Members as rows of a table, best first."""


@dataclass(frozen=True)
class Ensembled:
    """Whether an ensemble is taken.

    Attributes:
        members: its templates, best first; fewer than were asked for where no more were tried.
        one: the template that is chosen alone.
        kept: whether it is taken in the place of that.
        gain: what it gained over the one, measured on each fold by what was chosen without that fold.
        standard_error: of that gain; None where the units cannot tell it.
    """

    members: tuple[str, ...]
    one: str
    kept: bool
    gain: float
    standard_error: float | None


def check_ensemble(size: int, reward: Reward, missing: str | None = None) -> None:
    """Refuse an ensemble that the reward cannot score, or for which no pictures are held back.

    Args:
        size: templates together; 1 is no ensemble.
        reward: of the search.
        missing: see `check_possible`.

    Raises:
        InputError: says what to leave out or to set.
    """
    if size == 1:
        return
    if by_embeddings(reward) is None:
        raise InputError(
            f"ensemble={size} needs a reward that scores several templates together, and score() of "
            f"{type(reward).__name__} takes single ones; leave it out."
        )
    check_possible(f"ensemble={size}", "ensemble=1", None, missing)


def settle(
    size: int, found: SearchResult, reward: Reward, search_units: Units, selection_units: Units, record: ScoreKeeper
) -> tuple[SearchResult, Ensembled]:
    """Take the best templates of a search together if that is worth it.

    Returns:
        The search with the choice that is taken, and what decided.
    """
    initial = found.history.initial
    templates = [initial.template, *(entry.template for entry in found.history.ranked() if entry is not initial)]
    searched, selected = best_first(record.again(templates, search_units), record.again(templates, selection_units))
    lead = record.scale.lead
    tables = tables_of((searched, selected), (search_units, selection_units), lead)
    known: dict[Rows, Doubles] = {}

    def named(rows: Rows) -> tuple[str, ...]:
        return tuple(searched[row].template for row in rows)

    def hits_of(rows: Rows) -> Doubles:
        if rows not in known:
            known[rows] = scored_as_one(reward, named(rows), selection_units).hits.astype(np.float64)
        return known[rows]

    rows = best_rows(tables[0].pooled(tables[1]), size)
    (gain, error), over_initial = cross_fitted_ensemble(*tables, size, hits_of)
    kept = len(rows) > 1 and over_initial[0] > lead and error is not None and gain > error
    decided = Ensembled(named(rows), found.choice.template, kept, gain, error)
    record.note("ensemble", size=size, members=list(decided.members), kept=kept, gain=gain, standard_error=error)
    if not kept:
        return found, decided
    choice = replace(
        found.choice,
        template=decided.members[0],
        others=decided.members[1:],
        kept_initial=False,
        gain=over_initial[0],
        standard_error=over_initial[1],
        how=POOLED,
    )
    return replace(found, choice=choice), decided


def best_rows(table: ScoreTable, size: int) -> Rows:
    """Return the rows of the best templates that differ, best first, as `choose` compares them."""
    taken: list[int] = []
    for row in np.lexsort((table.losses.mean(axis=1), -table.evidence.mean(axis=1))).tolist():
        if len(taken) == size:
            break
        if all(np.abs(table.losses[row] - table.losses[one]).max() > ALIKE for one in taken):
            taken.append(row)
    return tuple(taken)


def cross_fitted_ensemble(
    searched: ScoreTable, selection: ScoreTable, size: int, hits_of: Callable[[Rows], Doubles]
) -> tuple[tuple[float, float | None], tuple[float, float | None]]:
    """Return what choosing an ensemble gains over choosing one template, and over the initial one, each with its error.

    Args:
        searched, selection: all templates on either part of the units.
        size: how many templates are taken together.
        hits_of: what each selection unit contributes, (n,), under the templates of some rows together.
    """
    together = measured_without(searched, selection, lambda rest: hits_of(best_rows(rest, size)))
    one = chosen_without(searched, selection)
    return gain_of(together - one, selection), gain_of(together - selection.hits[0], selection)


def scored_as_one(reward: Reward, members: Sequence[str], units: Any) -> Score:
    """Score one template, or several together, which `check_ensemble` has found possible."""
    together = by_embeddings(reward)
    if len(members) > 1 and together:
        return together.score_together(members, units)
    (score,) = reward.score(members, units)
    return score


# Offsets in a search: scored with them, and kept where held-back units show that they are worth it.

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


def check_offsets(kind: Kind, reward: Reward, missing: str | None = None) -> None:
    """Refuse offsets where the reward has no logits of classes that compete, or where no pictures are held back.

    Args:
        kind: of the offsets that are asked for.
        reward: of the search.
        missing: see `check_possible`.

    Raises:
        InputError: says what to leave out or to set.
    """
    misfit = None if lets_classes_compete(reward) else type(reward).__name__
    check_possible(f"offsets={kind}", "offsets=none", misfit, missing)


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
