"""`result.json`: what a run found. The models here define the format of the file; `comparison.py` fills them."""

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
"""The program of a run, and the program of the initial template with centring."""


class Glimpse(Content):
    """A picture with a thumbnail; `picture` is the end of its name."""

    picture: str
    thumbnail: Thumbnail


class SuggestedName(Content):
    """A class name that fits the pictures better than the name given, with a few of these pictures; not tested.

    Attributes:
        given, found: the name given, and the name found.
        rise: how much better it fits, in nats.
        pictures: a few of the pictures.
    """

    given: str
    found: str
    rise: Rounded
    pictures: tuple[Glimpse, ...]


class Untested(Content):
    """What a run without labels found; it is not tested.

    Attributes:
        pictures: the number of pictures.
        searched: how many of them were searched on.
        lead: the fit of the chosen template less the fit of the initial template, in nats, less the price of its words.
            If the initial template is kept, the lead of the best other template.
        needed: the lead that a template needs to replace the initial template.
        spread: the standard deviation of fit over phrases of the vocabulary, the unit of price and lead.
        changed: for how many pictures the chosen template predicts another class than the initial template.
        changed_by_mean: for how many the initial template predicts another class with centring.
        apart: for how many the chosen template predicts another class than the initial template with centring.
        names: other class names that fit the pictures better; none of them is used.
        about_names: the same in words, with the classes for which no other name is known; empty where there are none.
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
        digest: the digest of the sealed units and their labels.
        opened: the number of this opening of the sealed units or some of them; p is corrected for it.
        elsewhere: how many of the openings were made elsewhere, by `opened=N`.
    """

    digest: str
    opened: int
    elsewhere: int


class Chosen(Content):
    """How the winner was chosen, see `selection.Choice`.

    Attributes:
        how: how the winner was chosen, in words.
        kept_initial: whether the initial template was kept.
        gain: what choosing in this way gains on selection units that were left out of the choice; None if nothing was
            held back.
        standard_error: the standard error of the gain; None if the units cannot tell it.
    """

    how: str
    kept_initial: bool
    gain: Rounded | None
    standard_error: Rounded | None


class Used(Content):
    """The use of one language model."""

    name: str
    calls: int
    cached: int
    tokens_in: int
    tokens_out: int
    usd: Rounded | None


class LanguageModels(Content):
    """The use of the language model of each role; None for a role that was not used."""

    optimizer: Used | None
    describer: Used | None


class Fingerprinted(Content):
    """The name of something, such as a CLIP, and the digest of its content."""

    name: str
    fingerprint: str


class Data(Fingerprinted):
    """The data set of a run.

    Attributes:
        split: see `DataSet.split`.
        classes: the number of classes.
        shots: the most base pictures per class that the search used.
        more: how many more base pictures a run with twice the shots would search and choose with.
        untested: the classes of the search that have no test picture; they competed all the same.
        short: which classes have fewer pictures than asked for, in words; empty where none has.
    """

    split: str
    classes: int
    shots: int
    more: int
    untested: tuple[str, ...]
    short: str = ""


class StrategyUsed(Content):
    """How new templates were found.

    Attributes:
        name: the strategy.
        settings: its settings.
        vocabulary: the vocabulary whose phrases were combined; None where the strategy names none.
        passes_over: why a template that scores better than the best so far may not be proposed, in words.
    """

    name: str
    settings: dict[str, Any]
    vocabulary: str | None = None
    passes_over: str = ""


class Harmonic(Content):
    """Harmonic means of the values on the test pictures of base and new classes."""

    initial: Rounded
    optimised: Rounded


class Started(Content):
    """The `started` entry of `result.json`.

    Attributes:
        run: the directory of the run that this one started from.
        templates: how many templates of that run are candidates.
        refused: how many of its templates cannot be scored here.
        same_pictures: whether the templates were found on the same search pictures, with the same CLIP and reward.
        chose: how many selection pictures were searched on before.
    """

    run: str
    templates: int
    refused: int
    same_pictures: bool
    chose: int


class RunResult(Content):
    """The content of `result.json`.

    Attributes:
        template: the chosen template.
        verdict: what the sealed test shows, in words.
        scores: both templates on each part that the run has.
        other_measures: further measures of the sealed test, by name.
        offsets: what offsets add to the template; None for rewards without offsets.
        head: what labelled pictures add to the template; None where that was not asked for.
        names: the class names after a search for names; None where none was asked for.
        ended: why the search ended, in words.
        stopped: the limit that ended the search early, in words, or None.
        limit, needed: the setting of that limit, and the value that it needs to go on. They are not written to the
            file: a run that is resumed finds them again.
        proposed: how many templates were proposed and scored; `templates_scored` counts the initial template as well.
        scored_only: how many templates were scored without being proposed.
        seconds: the seconds that the run took: `total`, and its parts.
        headroom: whether words can help, as measured before the search; None for rewards where it is not measured.
        over_classes: the mean over classes of the sealed pictures, by part, where the largest class has more than twice
            the pictures of the smallest.
        baselines: the scores of the test pictures without a search; None for rewards where they are not measured.
        left_out: what is not reported, because of the reward or for want of time, in words; else empty.
        started: the run that this one started from; None if it started from none.
        near_copies: how many sealed pictures look like near copies, and the interval if near copies are one draw; empty
            where none do.
        untested: the findings of a run without labels; then no part of the pictures has scores.
        export: the target of `ipo export` that holds the whole program and needs no code of IPO, where there is one.
        above: the `--above` that held-back pictures propose for pictures with several labels; None for other rewards.
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
    """Read a result from a run directory or a file.

    Raises:
        InputError: the file cannot be read, or is no result.
    """
    return read_model(RunResult, place / RESULT if place.is_dir() else place)
