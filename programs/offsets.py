"""Offsets in a search: scored with them, and kept where held-back units show that they are worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ipo_prompts.metrics.classification import ClipReward, fitted_on
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.fit import Fit
from ipo_prompts.metrics.offsets import Fitted, Kind
from ipo_prompts.metrics.reward import Reward, Score, Units, by_embeddings
from ipo_prompts.programs.selection import (
    best_first,
    check_possible,
    cross_fitted_difference,
    pooled_choice,
    tables_of,
)

if TYPE_CHECKING:
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


def check_offsets(kind: Kind, reward: Reward, missing: str | None = None) -> None:
    """Refuse offsets where the reward has no logits of classes that compete, or where no pictures are held back.

    Args:
        kind: of the offsets that are asked for.
        reward: of the search.
        missing: see `check_possible`.

    Raises:
        InputError: says what to leave out or to set.
    """
    if not isinstance(by_embeddings(reward), ClipReward):
        raise InputError(
            f"offsets={kind} needs a reward that adds them to the logits of its classes, as ClipReward does, and "
            f"{type(reward).__name__} has none; leave it out."
        )
    misfit = "pictures without labels" if isinstance(reward, Fit) else None
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
