"""`result.json`: what a run found. The models here are what is written and what is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ipo_prompts.experiments.run.baselines import Baselines
from ipo_prompts.experiments.run.comparison import Comparison, PartName, RewardNames
from ipo_prompts.experiments.run.ensemble import EnsembleFound
from ipo_prompts.experiments.run.files import Content, read_model, write_json
from ipo_prompts.experiments.run.offsets import OffsetsFound
from ipo_prompts.metrics.headroom import Headroom
from ipo_prompts.metrics.verdict import Rounded

if TYPE_CHECKING:
    from ipo_prompts.programs.lm.ledger import Usage
    from ipo_prompts.programs.selection import Choice

FILE_NAME = "result.json"


class Sealed(Content):
    """The sealed units: a digest of them, and how many runs in this folder opened some of them, this one included."""

    digest: str
    opened: int


class Chosen(Content):
    """How the winner was chosen, and what choosing so gains on selection units that had no part in it.

    The gain is None where nothing was held back, the error where the units cannot tell it: see `selection.Choice`.
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


class Started(Content):
    """The `started` entry of `result.json`.

    Attributes:
        run: the directory of the run that this one started from.
        templates, refused: how many of its templates are candidates; how many cannot be scored here.
        same_pictures: whether they were found on the same search pictures, with the same CLIP and reward.
        chose: how many pictures that choose the winner were searched on before; None where it cannot be known.
        opened: how many runs of this chain have opened these sealed pictures, this one included.
        words: that in words, but for `opened`, of which the verdict speaks.
    """

    run: str
    templates: int
    refused: int
    same_pictures: bool
    chose: int | None
    opened: int
    words: str


class RunResult(Content):
    """The content of `result.json`.

    Attributes:
        template: the chosen one; the best of several.
        templates: the members of the classifier; with one, `template`.
        verdict: what the sealed test shows, in words.
        scores: both templates on each part that the run has.
        other_measures: further measures of the sealed test, by name.
        ensemble: what several templates together add; None where that was not asked for.
        offsets: what they add beside the words; None for other rewards.
        ended: why the search ended, in words.
        stopped: the limit that ended it early, or None.
        proposed: templates that were proposed and scored; `templates_scored` counts the initial one as well.
        looked_at: templates that were looked at without being proposed.
        seconds: of the run: `total`, and its parts.
        headroom: what was seen before the search; None for other rewards.
        baselines: what the test pictures get without a search; None for other rewards.
        left_out: what is not said of this run for its reward's sake, in words; empty where nothing is.
        started: the run that this one started from; None for a run that began anew.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    verdict: str
    template: str
    templates: tuple[Member, ...]
    initial_template: str
    reward: RewardNames
    strategy: StrategyUsed
    clip: Fingerprinted
    data: Data
    scores: dict[PartName, Comparison]
    sealed: Sealed
    other_measures: dict[str, Comparison]
    harmonic_mean: Harmonic | None
    ensemble: EnsembleFound | None
    offsets: OffsetsFound | None
    selection: Chosen
    ended: str
    stopped: str | None
    steps: int
    proposed: int
    templates_scored: int
    looked_at: int
    lm: LanguageModels
    seconds: dict[str, float]
    seed: int
    headroom: Headroom | None
    baselines: Baselines | None
    left_out: str
    started: Started | None


def write_result(folder: Path, result: RunResult) -> None:
    """Write `result.json`; see `write_bytes`."""
    write_json(folder / FILE_NAME, result)


def load_result(place: Path) -> RunResult:
    """Read the result of a run directory, or a file.

    Raises:
        InputError: it cannot be read, or is no result.
    """
    return read_model(RunResult, place / FILE_NAME if place.is_dir() else place)


def chosen(choice: Choice) -> Chosen:
    """Return the `selection` entry."""
    return Chosen(
        how=choice.how, kept_initial=choice.kept_initial, gain=choice.gain, standard_error=choice.standard_error
    )


def used(usage: Usage | None) -> Used | None:
    """Return the `lm` entry of one role; None when the role was not used."""
    return Used.model_validate(usage, from_attributes=True) if usage else None
