"""What a result says in scores: of each part, and of what was taken beside one template. See `result.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.tasks.base import LABEL
from ipo_prompts.metrics.blend import Way
from ipo_prompts.metrics.offsets import Kind
from ipo_prompts.metrics.verdict import Ends, Rounded, Verdict

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


class Over(Content):
    """A difference, a fraction, with its 95 % interval; no test."""

    difference: Rounded
    ci95: Ends


SealedPart = Literal["test", "new"]


class OverClasses(Over):
    """The mean over the classes of a part that are tested, each of the same weight, where they differ in size.

    Attributes:
        precision: whether the average precisions of pictures with several labels are averaged (mAP), else accuracies.
        classes: how many have test pictures; `single` of them have one, whose variance is that within the others.
        initial, optimised: of the two templates; the difference is optimised minus initial.
    """

    precision: bool
    classes: int
    single: int
    initial: Rounded
    initial_ci95: Ends
    optimised: Rounded
    optimised_ci95: Ends


class Baselines(Content):
    """What the sealed test pictures get without a search.

    Attributes:
        guessing: the value of always naming the class with the most of them.
        class_mean: the nearest mean of the search and selection pictures of a class; None where a class has none.
        labelled: how many of these pictures a class has on average.
        ensemble: CLIP's 80 templates as one classifier; None where they are too many texts.
        weak: what makes any template a poor answer; None where nothing does.
        lead: what class means name more than the template, on search and selection pictures that were left out of their
            class mean in turn; None where few classes have two, or the measure is another than accuracy.
    """

    guessing: Rounded
    class_mean: Measured | None
    labelled: Rounded
    ensemble: Measured | None
    weak: Literal["near guessing", "far below the class mean"] | None
    lead: Over | None = None


class WithAndWithout(Over):
    """Scores without and with something on the same units; the difference is with minus without."""

    without: Measured
    with_: Measured = Field(alias="with")


class Added(Content):
    """What offsets add to each template on one part of the sealed pictures."""

    initial: WithAndWithout
    template: WithAndWithout


class OffsetsFound(Content):
    """What offsets add, and whether the run has them.

    Attributes:
        kind: those asked for; `mean` where none were.
        weighed: whether labels say how classes that differ in size are weighed the same.
        kept: whether the program has them; then the scores of the run are with them, else without.
        gain: what choosing with them gained over choosing without on selection pictures left out of the choice; None
            where they were not asked for. They are kept where it exceeds its standard error.
        sealed: what they add, by the part of the sealed pictures.
    """

    kind: Kind
    weighed: bool
    kept: bool
    gain: Rounded | None
    standard_error: Rounded | None
    sealed: dict[SealedPart, Added]


class TwoByTwo(Over):
    """Either template under the names given and under those found, on the sealed test pictures.

    `difference` is what the names found add to the chosen template.
    """

    initial_given: Measured
    template_given: Measured
    initial_found: Measured
    template_found: Measured


class Renamed(Content):
    """A class with another name, and what the old one alone would change if it were put back.

    `hits` are the pictures that the new name wins of those that searched and chose, `loss` what it changes of their
    mean loss (in nats, lower is better). They chose the name, so they flatter it: a description, and no test.
    """

    given: str
    found: str
    hits: int
    loss: Rounded


class NamesFound(Content):
    """What classes are called after a search for names.

    Attributes:
        kept: whether any class has another name; then all scores of the run are under the names found.
        renamed: those classes, in label order; of more than 200 the first.
        classes: how many were searched for names; `alone` are those of which no other name is known.
        chose: how many pictures searched and chose; `hits` of `renamed` are among them.
        candidates: how many other names were tried, `asked` of them from a language model.
        gain, standard_error: what choosing names so gained on held-back pictures, a fraction.
        loss, loss_error: the same in nats, higher is better; names are taken where it exceeds its standard error and
            `gain` is above 0.
        permuted: the gain where each class tries the candidates of another one.
        temperature: what logits were divided by while names were chosen.
        sealed: either template under either names; None where all classes keep theirs.
    """

    kept: bool
    renamed: tuple[Renamed, ...]
    classes: int
    alone: tuple[str, ...]
    chose: int
    candidates: int
    asked: int
    gain: Rounded
    standard_error: Rounded
    loss: Rounded
    loss_error: Rounded
    permuted: Rounded
    temperature: Rounded
    sealed: TwoByTwo | None


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
