"""`result.json`: what a run found. The models here are what is written and what is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from ipo.experiments.run.files import Content, read_model, write_json
from ipo.metrics.statistics import Difference, accuracy_interval, mean_interval, paired_difference

if TYPE_CHECKING:
    from ipo.metrics.reward import Score
    from ipo.programs.lm.ledger import Usage
    from ipo.programs.selection import Choice

FILE_NAME = "result.json"
PartName = Literal["search", "selection", "test", "new"]
Rounded = Annotated[float, AfterValidator(lambda value: round(float(value), 6))]
"""Six decimals: far below any interval, far above what differs between processors."""
Ends = tuple[Rounded, Rounded]
"""The two ends of a 95 % interval."""
Label = Annotated[str, Field(pattern=r"^[\w@ .,%/+()-]{1,40}$")]
"""A short name, which may stand in a plot as it is."""


class Measured(Content):
    """One template on one set of n units; `value` is a fraction, the loss of a classification is in nats."""

    value: Rounded
    loss: Rounded
    n: int
    ci95: Ends


class Gain(Content):
    """Optimised minus initial value on the same units; `test` is what p comes from."""

    mean: Rounded
    ci95: Ends
    p: Rounded
    test: str


class Comparison(Content):
    """Both templates on one set of units."""

    initial: Measured
    optimised: Measured
    difference: Gain


class Chosen(Content):
    """How the winner was chosen, and its gain on the units that chose it; the error is None where it is not known."""

    how: str
    kept_initial: bool
    gain: Rounded
    standard_error: Rounded | None


class Used(Content):
    """What one language model was used for."""

    name: str
    calls: int
    cached: int
    tokens_in: int
    tokens_out: int
    usd: Rounded | None


class LanguageModels(Content):
    """What each role used; None for a role that was not used."""

    optimizer: Used | None
    describer: Used | None


class Member(Content):
    """One template of the classifier, and its weight."""

    template: str
    weight: float


class Fingerprinted(Content):
    """A CLIP, and the digest of what it was."""

    name: str
    fingerprint: str


class Data(Fingerprinted):
    """The data set of a run."""

    split: str
    classes: int
    shots: int


class RewardNames(Content):
    """What was maximised: the reward, the name of its measure, and what its n counts, in the plural."""

    name: Label = "classification"
    measure: Label = "accuracy"
    unit: Label = "pictures"


CLASSIFICATION = RewardNames()


class StrategyUsed(Content):
    """How new templates were looked for."""

    name: str
    settings: dict[str, Any]


class Harmonic(Content):
    """Harmonic mean of the values on test and new classes."""

    initial: Rounded
    optimised: Rounded


class RunResult(Content):
    """The content of `result.json`.

    Attributes:
        templates: the members of the classifier; with one, `template`.
        scores: both templates on each part that the run has.
        other_measures: further measures of the sealed test, by name.
        ended: why the search ended, in words; empty where a run of schema 1 did not say it.
        stopped: the limit that ended it early, or None.
        proposed: templates that were proposed and scored; `templates_scored` counts the initial one as well.
        looked_at: templates that were looked at without being proposed.
        seconds: of the run: `total`, and its parts.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    template: str
    templates: tuple[Member, ...]
    initial_template: str
    reward: RewardNames = CLASSIFICATION
    strategy: StrategyUsed
    clip: Fingerprinted
    data: Data
    scores: dict[PartName, Comparison]
    other_measures: dict[str, Comparison] = Field(default={})
    harmonic_mean: Harmonic | None
    selection: Chosen
    ended: str
    stopped: str | None
    steps: int
    proposed: int
    templates_scored: int
    looked_at: int = 0
    lm: LanguageModels
    seconds: dict[str, float]
    seed: int


def write_result(folder: Path, result: RunResult) -> None:
    """Write `result.json`; see `write_bytes`."""
    write_json(folder / FILE_NAME, result)


def load_result(place: Path) -> RunResult:
    """Read the result of a run directory, or a file; older schemas are migrated.

    Raises:
        InputError: it cannot be read, or is no result.
    """
    return read_model(RunResult, place / FILE_NAME if place.is_dir() else place, {1: _from_1})


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Make schema 2 of schema 1, which knew classification, one strategy, and the accuracy by that name."""
    scores = {
        part: {**score, **{side: renamed(score[side], "accuracy", "value") for side in ("initial", "optimised")}}
        for part, score in old["scores"].items()
    }
    return {
        **old,
        "schema": 2,
        "scores": scores,
        "strategy": {"name": "history", "settings": {}},
        "ended": old["stopped"] or "",
        "proposed": old["templates_scored"] - 1,
    }


def renamed(content: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return a dictionary with one key renamed, the order kept."""
    return {new if key == old else key: value for key, value in content.items()}


def comparison(initial: Score, optimised: Score, groups: Sequence[str] | None) -> Comparison:
    """Compare two templates on the same units.

    Args:
        initial, optimised: scores on the same units in the same order.
        groups: length n, what is not independent of each other: base pictures, else classes.
    """
    found = paired(initial.hits, optimised.hits, groups)
    if initial.template == optimised.template:
        found = Difference(0.0, 0.0, 0.0, 1.0, "same template")  # nothing was measured, so nothing is uncertain
    gain = Gain(mean=found.mean, ci95=(found.low, found.high), p=found.p, test=found.test)
    return Comparison(initial=_measured(initial, groups), optimised=_measured(optimised, groups), difference=gain)


def paired(before: npt.NDArray[Any], after: npt.NDArray[Any], groups: Sequence[str] | None) -> Difference:
    """Compare what each unit contributes, (n,) both.

    Units that are right or wrong have an exact test, others a t interval and its p, clustered by group.
    """
    if before.dtype == bool and after.dtype == bool:
        return paired_difference(before, after, groups)
    from ipo.metrics import evidence

    difference = after.astype(np.float64) - before.astype(np.float64)
    found = evidence.spread([evidence.Crossed(difference[None], groups)])
    effect = evidence.effect_of(found.mean, [found.pictures], "t over groups" if groups else "t")
    return Difference(effect.mean, effect.low, effect.high, effect.p, effect.test)


def _measured(score: Score, groups: Sequence[str] | None) -> Measured:
    if score.hits.dtype == bool:
        low, high = accuracy_interval(score.hits, groups)
    else:  # a mean of any numbers, yet a fraction itself
        low, high = (min(1.0, max(0.0, end)) for end in mean_interval(score.hits, groups))
    return Measured(value=score.value, loss=score.loss, n=score.n, ci95=(low, high))


def chosen(choice: Choice) -> Chosen:
    """Return the `selection` entry."""
    error = choice.standard_error if math.isfinite(choice.standard_error) else None
    return Chosen(how=choice.how, kept_initial=choice.kept_initial, gain=choice.gain, standard_error=error)


def used(usage: Usage | None) -> Used | None:
    """Return the `lm` entry of one role; None when the role was not used."""
    return Used.model_validate(usage, from_attributes=True) if usage else None


def verdict(result: RunResult) -> str:
    """Say in words whether the sealed test shows a gain."""
    if result.template == result.initial_template:
        return "Nothing convincing was found: the initial template stays."
    gain = result.scores["test"].difference
    where = (
        f"on {result.reward.unit} that the search never saw (p {'< 0.0001' if gain.p < 0.0001 else f'= {gain.p:.4f}'})"
    )
    if gain.ci95[0] > 0:
        return f"A gain {where}."
    if gain.ci95[1] < 0:
        return f"A loss {where}: keep the initial template."
    return f"No evidence of a gain {where}."
