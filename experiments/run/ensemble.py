"""Several templates together in a run: whether they are taken, and what they add on the sealed pictures.

Unlike offsets they are words, so that the gain that a run reports is theirs where they are taken. What they add to the
one template is said beside it, either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.run.offsets import SEALED, Effect, SealedPart, effect
from ipo_prompts.metrics.verdict import Rounded, points, share
from ipo_prompts.programs.ensemble import scored_as_one

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.comparison import AnyPart, Compared
    from ipo_prompts.experiments.run.prepare import Prepared
    from ipo_prompts.programs.ensemble import Ensembled


class EnsembleFound(Content):
    """What an ensemble adds to the one template, and whether the run has it.

    Attributes:
        members: its templates, equally weighted, best first.
        one: the template that is chosen alone.
        kept: whether it is taken; then the scores of the run are the ensemble's, else the one template's.
        gain: what choosing it gained over choosing one template, on selection pictures left out of the choice; it is
            kept where that exceeds its standard error.
        sealed: the one template and the ensemble, by the part of the sealed pictures.
        words: all that in words; everything that speaks of it prints that.
    """

    members: tuple[str, ...]
    one: str
    kept: bool
    gain: Rounded
    standard_error: Rounded | None
    sealed: dict[SealedPart, Effect]
    words: str


def what_it_adds(
    prepared: Prepared, ensembled: Ensembled | None, parts: Mapping[AnyPart, Compared]
) -> EnsembleFound | None:
    """Measure what the run has not, the one template or the ensemble, on the sealed pictures; None where none is asked.

    Args:
        prepared, ensembled: of the run.
        parts: with the scores as the run has them.
    """
    if ensembled is None:
        return None
    kept, sealed = ensembled.kept, dict[SealedPart, Effect]()
    other = (ensembled.one,) if kept else ensembled.members
    for name in SEALED:
        if part := parts.get(name):
            reward = prepared.plan.task.reward(prepared.clip, part.class_names, prepared.store)
            scores = scored_as_one(reward, other, part.units), part.optimised
            sealed[name] = effect(*(scores if kept else scores[::-1]), part)
    found = EnsembleFound(**vars(ensembled), sealed=sealed, words="")
    return found.model_copy(update={"words": _worded(found, prepared.config.ensemble)})


def _worded(found: EnsembleFound, asked: int) -> str:
    count = len(found.members)
    if count == 1:
        return f"ensemble={asked} was asked for, and the search has no second template that the CLIP reads otherwise."
    error = "" if found.standard_error is None else f" (standard error {100 * found.standard_error:.1f})"
    for_ = f"{points(found.gain)} points{error} on selection pictures left out of the choice"
    measured = "; on new classes ".join(map(_both if found.kept else _together, found.sealed.values()))
    if found.kept:
        return f"{count} templates are taken together, for {for_}; on the sealed test pictures {measured}."
    return (
        f"One template is taken, for the {count} best together gained {for_}; on the sealed test pictures {measured}."
    )


def _both(added: Effect) -> str:
    return (
        f"they have {share(added.with_)}, the one template {share(added.without)}, a difference of {_difference(added)}"
    )


def _together(added: Effect) -> str:
    return f"they would have {share(added.with_)}, a difference of {_difference(added)}"


def _difference(added: Effect) -> str:
    low, high = added.ci95
    return f"{points(added.difference)} points [{points(low)}, {points(high)}], n = {added.with_.n:,}"
