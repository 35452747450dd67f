"""Offsets in a run: whether those asked for are kept, and what they add beside the words, whether asked for or not.

The gain that a run reports is the words' alone: both templates are measured with the offsets of the run, or both
without. What offsets add is said beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ipo_prompts.experiments.run.comparison import Measured, measured
from ipo_prompts.experiments.run.files import Content
from ipo_prompts.metrics.classification import EncodedPictures, features_of
from ipo_prompts.metrics.evidence import paired_difference
from ipo_prompts.metrics.offsets import Kind, fitted
from ipo_prompts.metrics.verdict import Ends, Rounded, points, share
from ipo_prompts.programs.ensemble import scored_as_one
from ipo_prompts.programs.offsets import Settled

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.comparison import AnyPart, Compared
    from ipo_prompts.experiments.run.prepare import Prepared
    from ipo_prompts.metrics.reward import Score

WHAT = "(no labels, no words)"
SealedPart = Literal["test", "new"]
SEALED: tuple[SealedPart, ...] = ("test", "new")


class Effect(Content):
    """Scores without and with something on the same units; the difference is with minus without, no test."""

    without: Measured
    with_: Measured = Field(alias="with")
    difference: Rounded
    ci95: Ends


class Added(Content):
    """What offsets add to each template on one part of the sealed pictures."""

    initial: Effect
    template: Effect


class OffsetsFound(Content):
    """What offsets add, and whether the run has them.

    Attributes:
        kind: those asked for; `mean` where none were.
        kept: whether the program has them; then the scores of the run are with them, else without.
        gain: what choosing with them gained over choosing without on selection pictures left out of the choice; None
            where they were not asked for. They are kept where it exceeds its standard error.
        sealed: what they add, by the part of the sealed pictures.
        words: all that in words; everything that speaks of it prints that.
    """

    kind: Kind
    kept: bool
    gain: Rounded | None
    standard_error: Rounded | None
    sealed: dict[SealedPart, Added]
    words: str


def what_they_add(
    prepared: Prepared, settled: Settled | None, members: Sequence[str], parts: Mapping[AnyPart, Compared]
) -> OffsetsFound | None:
    """Measure both templates the other way on the sealed pictures; None for a reward without classes that compete.

    Args:
        prepared, settled: of the run.
        members: the chosen template; several for an ensemble.
        parts: with both scores as the run has them.
    """
    if not isinstance(prepared.search.units, EncodedPictures):
        return None
    kind: Kind = "mean" if prepared.config.offsets == "none" else prepared.config.offsets
    kept = settled.kept if settled else None
    other = None if kept else fitted(kind, features_of(*prepared.shown))
    sealed: dict[SealedPart, Added] = {}
    for name in SEALED:
        if part := parts.get(name):
            reward = prepared.plan.task.reward(prepared.clip, part.class_names, prepared.store)
            units = replace(part.units, offsets=other)
            again = [scored_as_one(reward, names, units) for names in ([part.initial.template], members)]
            pairs = zip((part.initial, part.optimised), again, strict=True)
            initial, template = (effect(*(pair if other else pair[::-1]), part) for pair in pairs)
            sealed[name] = Added(initial=initial, template=template)
    gain, error = (settled.gain, settled.standard_error) if settled else (None, None)
    found = OffsetsFound(kind=kind, kept=kept is not None, gain=gain, standard_error=error, sealed=sealed, words="")
    same = parts["test"].initial.template == parts["test"].optimised.template
    return found.model_copy(update={"words": _worded(found, same, "template" if len(members) == 1 else "templates")})


def effect(without: Score, with_: Score, part: Compared) -> Effect:
    """Compare two scores on one part of the pictures."""
    difference = paired_difference(without.hits, with_.hits, part.sampling).these
    return Effect(
        without=measured(without, part.sampling),
        with_=measured(with_, part.sampling),
        difference=difference.mean,
        ci95=(difference.low, difference.high),
    )


def _worded(found: OffsetsFound, same: bool, what: str) -> str:
    """Say what they add; `same`: the template is the initial one."""
    would = "; on new classes ".join(_added(added, found.kept, same) for added in found.sealed.values())
    error = "" if found.standard_error is None else f" (standard error {100 * found.standard_error:.1f})"
    for_ = ""
    if found.gain is not None:
        for_ = f"{points(found.gain)} points{error} on selection pictures left out of the choice"
    if found.kept:
        return (
            f"Every score is with {found.kind} offsets {WHAT}, kept for {for_}; without them the same {what} would "
            f"have {would}."
        )
    asked = f" They were asked for and not kept, for {for_}." if for_ else ""
    return f"With {found.kind} offsets {WHAT} the same {what} would have {would}.{asked}"


def _added(added: Added, kept: bool, same: bool) -> str:
    here, initial = ((one.without if kept else one.with_) for one in (added.template, added.initial))
    gain = points(added.template.difference)
    added_by = f"they add {gain}" if kept else f"{gain} over it without"
    beside = "" if same else f", the initial template {100 * initial.value:.1f} %"
    return f"{share(here)} ({added_by}){beside}"
