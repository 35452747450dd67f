"""The scores in a result: of each part, and of what was used or compared beside the template. See `result.py`."""

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
    """The names of the reward, of its measure, and of its units (in the plural)."""

    name: str = Field("classification", pattern=r"^[\w.:-]{1,100}$")
    measure: Label = "accuracy"
    unit: Label = "pictures"


CLASSIFICATION = RewardNames()


PartName = Literal["search", "selection", "test", "new"]


AnyPart = PartName | Literal["fresh"]
"""A part of the pictures; `fresh` pictures neither searched nor chose, and test the single words of the template."""


class Measured(Content):
    """One template on one set of n units; `value` is a fraction, and the loss of a classification is in nats."""

    value: Rounded
    loss: Rounded
    n: int
    ci95: Ends


class Comparison(Content):
    """Both templates on one set of units.

    Attributes:
        difference: optimised minus initial, with its verdict, for these classes.
        like_these: the same for other classes of the same kind; None where units have no classes or too few.
    """

    initial: Measured
    optimised: Measured
    difference: Verdict
    like_these: Verdict | None = None


class Over(Content):
    """A difference of fractions with its 95 % interval; no test."""

    difference: Rounded
    ci95: Ends


SealedPart = Literal["test", "new"]


class OverClasses(Over):
    """The mean over the tested classes of a part, each class of the same weight, where classes differ in size.

    Attributes:
        precision: whether average precisions are averaged (mAP, for pictures with several labels); else accuracies.
        classes: how many classes have test pictures.
        single: how many classes have only one test picture; for them the variance within the other classes is used.
        initial, optimised: the means of the two templates; the difference is optimised minus initial.
    """

    precision: bool
    classes: int
    single: int
    initial: Rounded
    initial_ci95: Ends
    optimised: Rounded
    optimised_ci95: Ends


class Baselines(Content):
    """The scores of the sealed test pictures without a search.

    Attributes:
        guessing: the value of always predicting the most frequent class of the test pictures.
        class_mean: nearest class mean, with the means of search and selection pictures; None where a class has none.
        labelled: how many search and selection pictures a class has on average.
        ensemble: CLIP's 80 templates as one classifier; None where these would be too many texts.
        weak: why no template can be a good answer; None where one can.
        lead: the accuracy of class means less the template's on search and selection pictures, each left out of its
            class mean in turn; None if few classes have two pictures, or the measure is not accuracy.
    """

    guessing: Rounded
    class_mean: Measured | None
    labelled: Rounded
    ensemble: Measured | None
    weak: Literal["near guessing", "far below the class mean"] | None
    lead: Over | None = None


class WithAndWithout(Over):
    """The scores without and with something on the same units; the difference is with minus without."""

    without: Measured
    with_: Measured = Field(alias="with")


class Added(Content):
    """What offsets add to each template on one part of the sealed pictures."""

    initial: WithAndWithout
    template: WithAndWithout


class OffsetsFound(Content):
    """What offsets add, and whether the run has them.

    Attributes:
        kind: the offsets that were asked for; `centring` where none were.
        weighed: whether classes differ in size and, by their labels, are weighted equally.
        kept: whether the program has offsets; then the scores of the run are with offsets, else without.
        gain: what choosing with offsets gained over choosing without, on selection pictures left out of the choice;
            None where offsets were not asked for. Offsets are kept if the gain exceeds its standard error.
        standard_error: the standard error of the gain.
        sealed: what offsets add, by the part of the sealed pictures.
    """

    kind: Kind
    weighed: bool
    kept: bool
    gain: Rounded | None
    standard_error: Rounded | None
    sealed: dict[SealedPart, Added]


class TwoByTwo(Over):
    """Both templates with the names given and with the names found, on the sealed test pictures.

    `difference` is what the names found add to the chosen template.
    """

    initial_given: Measured
    template_given: Measured
    initial_found: Measured
    template_found: Measured


class Renamed(Content):
    """A class with a new name, and what the new name changes compared with putting only the old name back.

    This is a description and no test: it is measured on the search and selection pictures, which chose the name and so
    flatter it.

    Attributes:
        given, found: the old name and the new name.
        hits: how many more of these pictures are right with the new name.
        loss: how much the new name changes their mean loss, in nats; lower is better.
    """

    given: str
    found: str
    hits: int
    loss: Rounded


class NamesFound(Content):
    """The class names after a search for names.

    Attributes:
        kept: whether any class has a new name; then all scores of the run are with the names found.
        renamed: the classes with a new name, in label order; at most the first 200.
        classes: for how many classes names were searched.
        alone: the classes for which no other name is known.
        chose: the number of search and selection pictures; the `hits` of `renamed` are among them.
        candidates: how many other names were tried.
        asked: how many of the candidates came from a language model.
        gain, standard_error: what choosing names in this way gained on held-back pictures, a fraction.
        loss, loss_error: the same in nats, higher is better; names are taken if it exceeds its standard error and
            `gain` is above 0.
        permuted: the gain if each class tries the candidates of another class.
        temperature: what logits were divided by while names were chosen.
        sealed: both templates with the names given and found; None where all classes keep their names.
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
    """What a head of labelled pictures adds to the template, if `head=blend` asked for it.

    Attributes:
        kept: whether the program uses the pictures; else the template alone decides.
        way, weight: how the pictures decide, and their weight beside the template; see `metrics/blend.py`.
        alone: how the pictures decide best without the template.
        labelled: the mean number of labelled pictures per class.
        without: the classes that have no labelled pictures.
        left_out: how many pictures were left out in turn to choose the weight; 0 where each class has one.
        words_alone, pictures_alone, both: template, pictures and both on the sealed test pictures.
        over_words: both less the template alone.
        over_pictures: both less the pictures alone.
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
