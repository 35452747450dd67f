"""`result.json`: what a run found. The models here are what is written and what is read; `comparison.py` fills them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content, read_model
from ipo_prompts.experiments.run.scores import (
    Baselines,
    Comparison,
    HeadFound,
    NamesFound,
    OffsetsFound,
    OverClasses,
    PartName,
    RewardNames,
    SealedPart,
    Thumbnail,
)
from ipo_prompts.metrics.clock import Limit
from ipo_prompts.metrics.verdict import Headroom, Rounded

RESULT = "result.json"
PROGRAM, CENTRING = "program.json", "centring.json"
"""The program of a run, and that of the initial template with centring."""


class Glimpse(Content):
    """A picture, by the end of its name."""

    picture: str
    thumbnail: Thumbnail


class SuggestedName(Content):
    """A name that the pictures fit better than the one given, by `rise` in nats, and a few of them; not tested."""

    given: str
    found: str
    rise: Rounded
    pictures: tuple[Glimpse, ...]


class Untested(Content):
    """What a run without labels found, which nothing has tested.

    Attributes:
        pictures, searched: all of them, and how many of these were searched on.
        lead: the chosen template's fit less the initial one's, in nats, words paid for; where that stays, the best
            other one's.
        needed: the lead from which the initial template is left.
        spread: the standard deviation of fit over phrases of the vocabulary, which price and lead are measured in.
        changed: how many pictures the chosen template names otherwise than the initial one.
        changed_by_mean: how many the initial template names otherwise with centring.
        apart: how many the chosen template names otherwise than that.
        names: other names of classes that the pictures fit better; none of them is taken.
        about_names: that in words, with the classes for which no other name is known; empty where there are neither.
    """

    pictures: int
    searched: int
    lead: Rounded
    needed: Rounded
    spread: Rounded
    changed: int
    changed_by_mean: int
    apart: int
    names: tuple[SuggestedName, ...] = ()
    about_names: str = ""


class Sealed(Content):
    """The sealed units.

    Attributes:
        digest: of them and their labels.
        opened: the how many-th opening of them, or of some of them, this was; p is corrected for it.
        elsewhere: how many of these openings `opened=N` says were made elsewhere.
    """

    digest: str
    opened: int
    elsewhere: int


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


class Fingerprinted(Content):
    """A CLIP, and the digest of what it was."""

    name: str
    fingerprint: str


class Data(Fingerprinted):
    """The data set of a run.

    Attributes:
        split: see `DataSet.split`.
        classes: how many there are.
        shots: base pictures of a class that the search saw at most.
        more: how many more base pictures a run with twice the shots would search and choose with.
        untested: the classes of the search without a test picture, which competed.
        short: which classes gave fewer pictures than asked for, in words; empty where none did.
    """

    split: str
    classes: int
    shots: int
    more: int
    untested: tuple[str, ...]
    short: str = ""


class StrategyUsed(Content):
    """How new templates were looked for.

    Attributes:
        vocabulary: whose phrases were put together; None where the strategy says of none.
        passes_over: why a template may not be proposed that has more than the best so far, in words.
    """

    name: str
    settings: dict[str, Any]
    vocabulary: str | None = None
    passes_over: str = ""


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
        chose: how many pictures that choose the winner were searched on before.
    """

    run: str
    templates: int
    refused: int
    same_pictures: bool
    chose: int


class RunResult(Content):
    """The content of `result.json`.

    Attributes:
        template: the chosen one.
        verdict: what the sealed test shows, in words.
        scores: both templates on each part that the run has.
        other_measures: further measures of the sealed test, by name.
        offsets: what they add beside the words; None for other rewards.
        head: what labelled pictures do beside the words; None where that was not asked for.
        names: what classes are called after a search for names; None where none was asked for.
        ended: why the search ended, in words.
        stopped: the limit that ended it early, in words, or None.
        limit, needed: the setting of that limit, and what it has to be to go on. They are not written: a stopped run is
            resumed, and tells them again.
        proposed: templates that were proposed and scored; `templates_scored` counts the initial one as well.
        scored_only: templates that were looked at without being proposed.
        seconds: of the run: `total`, and its parts.
        headroom: what was seen before the search; None for other rewards.
        over_classes: the mean over classes of the sealed pictures, by part, where the largest class has more than twice
            the pictures of the smallest.
        baselines: what the test pictures get without a search; None for other rewards.
        left_out: what is not said of this run for its reward's sake, in words; empty where nothing is.
        started: the run that this one started from; None for a run that began anew.
        near_copies: how many sealed pictures look like near copies, and the interval if these are one draw each; empty
            where none does.
        untested: what there is to say where nobody knows the labels; then no part of the pictures has scores.
        export: the target of `ipo export` that holds the program and needs nothing of ours, where there is one.
        above: the `--above` that held-back pictures propose for pictures with several labels; None for others.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    verdict: str
    template: str
    initial_template: str
    reward: RewardNames
    strategy: StrategyUsed
    clip: Fingerprinted
    data: Data
    scores: dict[PartName, Comparison]
    sealed: Sealed
    other_measures: dict[str, Comparison]
    harmonic_mean: Harmonic | None = None
    offsets: OffsetsFound | None = None
    names: NamesFound | None = None
    head: HeadFound | None = None
    selection: Chosen
    ended: str
    stopped: str | None
    limit: Limit | None = Field(None, exclude=True)
    needed: float = Field(0.0, exclude=True)
    steps: int
    proposed: int
    templates_scored: int
    scored_only: int
    lm: LanguageModels
    seconds: dict[str, Annotated[float, Field(ge=0, le=1e9)]]
    seed: int
    headroom: Headroom | None = None
    over_classes: dict[SealedPart, OverClasses]
    baselines: Baselines | None = None
    left_out: str
    started: Started | None
    near_copies: str = ""
    untested: Untested | None = None
    export: str = "head"
    above: float | None = None


def load_result(place: Path) -> RunResult:
    """Read the result of a run directory, or a file.

    Raises:
        InputError: it cannot be read, or is no result.
    """
    return read_model(RunResult, place / RESULT if place.is_dir() else place)
