"""`result.json`: what a run found. The models here are what is written and what is read; `comparison.py` fills them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content, read_model, write_json
from ipo_prompts.experiments.tasks.base import LABEL
from ipo_prompts.metrics.blend import Way
from ipo_prompts.metrics.clock import Limit
from ipo_prompts.metrics.errors import several
from ipo_prompts.metrics.headroom import Headroom
from ipo_prompts.metrics.offsets import Kind
from ipo_prompts.metrics.verdict import Ends, Rounded, Verdict
from ipo_prompts.programs.lm.ledger import Usage
from ipo_prompts.programs.selection import Choice

RESULT = "result.json"

Thumbnail = Annotated[str, Field(pattern=r"^data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/]+={0,2}$")]
Label = Annotated[str, Field(pattern=LABEL)]


class RewardNames(Content):
    """What was maximised: the reward, the name of its measure, and what its n counts, in the plural."""

    name: str = Field("classification", pattern=r"^[\w.:-]{1,100}$")
    measure: Label = "accuracy"
    unit: Label = "pictures"


CLASSIFICATION = RewardNames()


PartName = Literal["search", "selection", "test", "new"]


AnyPart = PartName | Literal["fresh"]
"""A part of the pictures; `fresh` ones neither searched nor chose, and are there for the words of the template."""


class Measured(Content):
    """One template on one set of n units; `value` is a fraction, the loss of a classification is in nats."""

    value: Rounded
    loss: Rounded
    n: int
    ci95: Ends


class Comparison(Content):
    """Both templates on one set of units.

    Attributes:
        difference: optimised minus initial, with its verdict, for the classes as given.
        like_these: the same for classes like these; None where units have no classes, or too few.
    """

    initial: Measured
    optimised: Measured
    difference: Verdict
    like_these: Verdict | None = None


SealedPart = Literal["test", "new"]


class OverClasses(Content):
    """The mean over the classes of a part that are tested, each of the same weight, where they differ in size.

    Attributes:
        classes: how many have test pictures; `single` of them have one, whose variance is that within the others.
        initial, optimised: of the two templates.
        difference: optimised minus initial, no test; `ci95` its interval.
        words: all that in words; everything that speaks of it prints that.
    """

    classes: int
    single: int
    initial: Rounded
    initial_ci95: Ends
    optimised: Rounded
    optimised_ci95: Ends
    difference: Rounded
    ci95: Ends
    words: str


class Baselines(Content):
    """What the sealed test pictures get without a search.

    Attributes:
        guessing: the value of always naming the class with the most of them.
        class_mean: the nearest mean of the search and selection pictures of a class; None where a class has none.
        labelled: how many of these pictures a class has on average.
        ensemble: CLIP's 80 templates as one classifier; None where they are too many texts.
        weak: what makes any template a poor answer; None where nothing does.
        words: all of it in words, and what is likely to help; everything that speaks of them prints these.
        warning: what `weak` means, in one short sentence; empty where it is None.
    """

    guessing: Rounded
    class_mean: Measured | None
    labelled: Rounded
    ensemble: Measured | None
    weak: Literal["near guessing", "far below the class mean"] | None
    words: str
    warning: str


class WithAndWithout(Content):
    """Scores without and with something on the same units; the difference is with minus without, no test."""

    without: Measured
    with_: Measured = Field(alias="with")
    difference: Rounded
    ci95: Ends


class Added(Content):
    """What offsets add to each template on one part of the sealed pictures."""

    initial: WithAndWithout
    template: WithAndWithout


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
    sealed: dict[SealedPart, WithAndWithout]
    words: str


class TwoByTwo(Content):
    """Either template under the names given and under those found, on the sealed test pictures.

    `difference` is what the names found add to the chosen template, no test; `ci95` its interval.
    """

    initial_given: Measured
    template_given: Measured
    initial_found: Measured
    template_found: Measured
    difference: Rounded
    ci95: Ends


class Renamed(Content):
    """A class with another name, and what the old one alone would change if it were put back.

    `hits` are the test pictures that the new name wins, `loss` what it changes of the mean loss (in nats, lower is
    better); the tests of all names are corrected together.
    """

    given: str
    found: str
    hits: int
    loss: Rounded
    difference: Verdict

    @property
    def shown(self) -> str:
        """Whether the sealed pictures show that the name is better."""
        return {"gain": "shown", "loss": "shown to be worse"}.get(self.difference.outcome, "not shown")


class NamesFound(Content):
    """What classes are called after a search for names.

    Attributes:
        kept: whether any class has another name; then all scores of the run are under the names found.
        renamed: those classes, in label order; of more than 200 the first.
        candidates: how many other names were tried, `asked` of them from a language model.
        gain, standard_error: what choosing names so gained on held-back pictures, a fraction.
        loss, loss_error: the same in nats, higher is better; names are taken where it exceeds its standard error and
            `gain` is above 0.
        permuted: the gain where each class tries the candidates of another one.
        temperature: what logits were divided by while names were chosen.
        sealed: either template under either names; None where all classes keep theirs.
        words: all that in words; everything that speaks of it prints that.
    """

    kept: bool
    renamed: tuple[Renamed, ...]
    candidates: int
    asked: int
    gain: Rounded
    standard_error: Rounded
    loss: Rounded
    loss_error: Rounded
    permuted: Rounded
    temperature: Rounded
    sealed: TwoByTwo | None
    words: str


class Over(Content):
    """A difference on the sealed test pictures, a fraction, with its 95 % interval."""

    difference: Rounded
    ci95: Ends


class HeadFound(Content):
    """What labelled pictures do beside the words, where `head=blend` asked for it.

    Attributes:
        kept: whether they count in the program; else words alone decide.
        way, weight: how pictures decide, and how many times they count beside the words; see `metrics/blend.py`.
        alone: how pictures decide best alone.
        labelled: pictures a class, on average; `without` are the classes that have none.
        left_out: how many were left out in turn to choose; 0 where each class has one.
        words_alone, pictures_alone, both: on the sealed test pictures.
        over_words, over_pictures: both less either.
        words: all that in words; everything that speaks of it prints that.
    """

    kept: bool
    way: Way
    weight: float
    alone: Way
    labelled: Rounded
    without: tuple[str, ...]
    left_out: int
    words_alone: Measured
    pictures_alone: Measured
    both: Measured
    over_words: Over
    over_pictures: Over
    words: str


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
        spread: the standard deviation of fit over phrases of the bank, which price and lead are measured in.
        changed: how many pictures the chosen template names otherwise than the initial one.
        changed_by_mean: how many the initial template names otherwise with the mean picture taken off.
        apart: how many the chosen template names otherwise than that.
        words: the latter three in words; everything that speaks of them prints that.
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
    words: str
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


class Member(Content):
    """One template of the classifier, and its weight."""

    template: str
    weight: float


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
    """

    split: str
    classes: int
    shots: int
    more: int
    untested: tuple[str, ...]

    @property
    def untested_in_words(self) -> str:
        """Say which classes are untested, and what that means; everything that speaks of it prints that."""
        one = len(self.untested) == 1
        return (
            f"Untested, with no picture in the test: {several([repr(name) for name in self.untested])}. "
            f"{'It' if one else 'They'} competed with the others, and nothing is known of how well "
            f"{'its' if one else 'their'} pictures are named."
        )


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
        words: that in words.
    """

    run: str
    templates: int
    refused: int
    same_pictures: bool
    chose: int | None
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
        head: what labelled pictures do beside the words; None where that was not asked for.
        names: what classes are called after a search for names; None where none was asked for.
        ended: why the search ended, in words.
        stopped: the limit that ended it early, in words, or None.
        limit: the setting of that limit. It is not written: a stopped run is resumed, and tells it again.
        proposed: templates that were proposed and scored; `templates_scored` counts the initial one as well.
        looked_at: templates that were looked at without being proposed.
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
    harmonic_mean: Harmonic | None = None
    ensemble: EnsembleFound | None = None
    offsets: OffsetsFound | None = None
    names: NamesFound | None = None
    head: HeadFound | None = None
    selection: Chosen
    ended: str
    stopped: str | None
    limit: Limit | None = Field(None, exclude=True)
    steps: int
    proposed: int
    templates_scored: int
    looked_at: int
    lm: LanguageModels
    seconds: dict[str, float]
    seed: int
    headroom: Headroom | None = None
    over_classes: dict[SealedPart, OverClasses]
    baselines: Baselines | None = None
    left_out: str
    started: Started | None
    near_copies: str = ""
    untested: Untested | None = None

    @property
    def together(self) -> str | None:
        """What the scores are of where several templates are taken: why they are, how sure that was, what it gave."""
        return self.ensemble.words if self.ensemble and self.ensemble.kept else None


def write_result(folder: Path, result: RunResult) -> None:
    """Write `result.json`; see `write_bytes`."""
    write_json(folder / RESULT, result)


def load_result(place: Path) -> RunResult:
    """Read the result of a run directory, or a file.

    Raises:
        InputError: it cannot be read, or is no result.
    """
    return read_model(RunResult, place / RESULT if place.is_dir() else place)


def chosen(choice: Choice) -> Chosen:
    """Return the `selection` entry."""
    return Chosen(
        how=choice.how, kept_initial=choice.kept_initial, gain=choice.gain, standard_error=choice.standard_error
    )


def used(usage: Usage | None) -> Used | None:
    """Return the `lm` entry of one role; None when the role was not used."""
    return Used.model_validate(usage, from_attributes=True) if usage else None
