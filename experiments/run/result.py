"""`result.json`: what a run found. The models here are what is written and what is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ipo_prompts.experiments.run.baselines import Baselines
from ipo_prompts.experiments.run.comparison import (
    CLASSIFICATION,
    FLATTERED,
    SEALED,
    Comparison,
    RewardNames,
    verdict,
)
from ipo_prompts.experiments.run.earlier import Started
from ipo_prompts.experiments.run.ensemble import EnsembleFound
from ipo_prompts.experiments.run.files import Content, read_model, write_json
from ipo_prompts.experiments.run.offsets import OffsetsFound
from ipo_prompts.metrics.evidence import ALPHA, CLASSES_LIKE_THESE
from ipo_prompts.metrics.headroom import Headroom
from ipo_prompts.metrics.verdict import Rounded

if TYPE_CHECKING:
    from ipo_prompts.programs.lm.ledger import Usage
    from ipo_prompts.programs.selection import Choice

FILE_NAME = "result.json"
PartName = Literal["search", "selection", "test", "new"]


class Sealed(Content):
    """The sealed units: a digest of them, and how many runs in this folder opened some of them, this one included."""

    digest: str
    opened: int


class Chosen(Content):
    """How the winner was chosen, and what choosing so gains on selection units that had no part in it.

    The gain is None where nothing was held back, the error where the units cannot tell it: see `selection.Choice`. Runs
    that chose otherwise (`how` says it) have the gain of the best candidate on the pictures that `how` names.
    """

    how: str
    kept_initial: bool
    gain: Rounded | None
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
        template: the chosen one; the best of several.
        templates: the members of the classifier; with one, `template`.
        verdict: what the sealed test shows, in words.
        scores: both templates on each part that the run has.
        other_measures: further measures of the sealed test, by name.
        ensemble: what several templates together add; None where that was not asked for, and in older runs.
        offsets: what they add beside the words; None for other rewards, and in runs of older versions.
        ended: why the search ended, in words; empty where a run of schema 1 did not say it.
        stopped: the limit that ended it early, or None.
        proposed: templates that were proposed and scored; `templates_scored` counts the initial one as well.
        looked_at: templates that were looked at without being proposed.
        seconds: of the run: `total`, and its parts.
        headroom: what was seen before the search; None for other rewards, and in older runs.
        baselines: what the test pictures get without a search; None for other rewards, and in older runs.
        left_out: what is not said of this run for its reward's sake, in words; empty where nothing is.
        started: the run that this one started from; None for a run that began anew.
    """

    version: Literal[3] = Field(default=3, alias="schema")
    verdict: str
    template: str
    templates: tuple[Member, ...]
    initial_template: str
    reward: RewardNames = CLASSIFICATION
    strategy: StrategyUsed
    clip: Fingerprinted
    data: Data
    scores: dict[PartName, Comparison]
    sealed: Sealed
    other_measures: dict[str, Comparison] = Field(default={})
    harmonic_mean: Harmonic | None
    ensemble: EnsembleFound | None = None
    offsets: OffsetsFound | None = None
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
    headroom: Headroom | None = None
    baselines: Baselines | None = None
    left_out: str = ""
    started: Started | None = None


def write_result(folder: Path, result: RunResult) -> None:
    """Write `result.json`; see `write_bytes`."""
    write_json(folder / FILE_NAME, result)


def load_result(place: Path) -> RunResult:
    """Read the result of a run directory, or a file; older schemas are migrated.

    Raises:
        InputError: it cannot be read, or is no result.
    """
    return read_model(RunResult, place / FILE_NAME if place.is_dir() else place, {1: _from_1, 2: _from_2})


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


def _from_2(old: dict[str, Any]) -> dict[str, Any]:
    """Make schema 3 of schema 2, whose differences were clustered by class, had no verdict, and were not corrected."""

    def judged(difference: dict[str, Any], tested: bool) -> dict[str, Any]:
        p, (low, high) = difference["p"], difference["ci95"]
        outcome = "not shown" if p > ALPHA else "gain" if difference["mean"] > 0 else "loss"
        if difference["test"] == "same template":
            outcome = "same templates"
        elif not tested:
            outcome, p = "no test", None
        return {
            **{key: difference[key] for key in ("mean", "ci95")},
            "outcome": outcome,
            "p": p,
            "p_corrected": p,
            "comparisons": 1,
            "family": SEALED if tested else FLATTERED,
            "detectable": min(1.0, (high - low) / 2 * 2.8 / 1.96),
            "within": min(1.0, max(abs(low), abs(high))),
            "covers": CLASSES_LIKE_THESE,
        }

    def compared(name: str, score: dict[str, Any]) -> dict[str, Any]:
        return {**score, "difference": judged(score["difference"], name not in ("search", "selection"))}

    scores = {name: compared(name, score) for name, score in old["scores"].items()}
    others = {name: compared(name, score) for name, score in old.get("other_measures", {}).items()}
    unit = old.get("reward", {}).get("unit", CLASSIFICATION.unit)
    sides = {name: Comparison.model_validate(scores[name]) for name in ("test", "new") if name in scores}
    words = verdict(sides["test"], unit, 1, new=sides.get("new")) if "test" in sides else ""
    sealed = {"digest": "", "opened": 1}
    return {**old, "schema": 3, "verdict": words, "scores": scores, "other_measures": others, "sealed": sealed}


def renamed(content: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return a dictionary with one key renamed, the order kept."""
    return {new if key == old else key: value for key, value in content.items()}


def chosen(choice: Choice) -> Chosen:
    """Return the `selection` entry."""
    return Chosen(
        how=choice.how, kept_initial=choice.kept_initial, gain=choice.gain, standard_error=choice.standard_error
    )


def used(usage: Usage | None) -> Used | None:
    """Return the `lm` entry of one role; None when the role was not used."""
    return Used.model_validate(usage, from_attributes=True) if usage else None
