"""The scores in a result: of the templates on each part of the pictures, and of baselines, names and heads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ipo_prompts.experiments.run.files import Content
from ipo_prompts.experiments.tasks.base import LABEL
from ipo_prompts.metrics.blend import Way
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
"""A part of the pictures.

`fresh` pictures are left over: no template was searched or chosen with them. They test the single words of a template.
"""


class Measured(Content):
    """The score of one template on n units. `value` is a fraction; for a classification, `loss` is in nats."""

    value: Rounded
    loss: Rounded
    n: int
    ci95: Ends


class Comparison(Content):
    """The scores of both templates on one set of units.

    Attributes:
        difference: the value of the optimised template minus that of the initial template, with its verdict. It holds
            for these classes.
        like_these: the same difference, with its verdict for other classes of the same kind; None if units have no
            classes or too few.
    """

    initial: Measured
    optimised: Measured
    difference: Verdict
    like_these: Verdict | None = None


class Over(Content):
    """A difference of two fractions with its 95 % interval; it is no test."""

    difference: Rounded
    ci95: Ends


SealedPart = Literal["test", "new"]


class OverClasses(Over):
    """The mean accuracy over the tested classes of a part; each class has the same weight, whatever its size.

    Attributes:
        classes: how many classes have test pictures.
        single: how many classes have only one test picture; their variance is taken from the other classes.
        initial, optimised: the means of the two templates; the difference is optimised minus initial.
    """

    classes: int
    single: int
    initial: Rounded
    initial_ci95: Ends
    optimised: Rounded
    optimised_ci95: Ends


class Baselines(Content):
    """The scores of the sealed test pictures without a search.

    Attributes:
        guessing: the value if the most frequent class of the test pictures is always predicted.
        class_mean: the score of the nearest class mean, with the means of search and selection pictures; None if a
            class has no such picture.
        labelled: how many search and selection pictures a class has on average.
        ensemble: the score of CLIP's 80 templates as one classifier; None if these were too many texts.
        weak: why no template can be a good answer; None if a template can be one.
    """

    guessing: Rounded
    class_mean: Measured | None
    labelled: Rounded
    ensemble: Measured | None
    weak: Literal["near guessing", "far below the class mean"] | None


class TwoByTwo(Over):
    """The scores of both templates with the given and with the found class names, on the sealed test pictures.

    `difference` says how much the found names add to the chosen template.
    """

    initial_given: Measured
    template_given: Measured
    initial_found: Measured
    template_found: Measured


class Renamed(Content):
    """A class with a new name, and the effect of the new name.

    The effect is the difference to putting back the old name of this class alone. It is a description and no test: it
    is measured on the search and selection pictures. The name was chosen with these pictures, so they flatter it.

    Attributes:
        given, found: the old name and the new name.
        hits: how many more of these pictures are classified correctly with the new name.
        loss: how much the new name changes the mean loss of these pictures, in nats; lower is better.
    """

    given: str
    found: str
    hits: int
    loss: Rounded


class NamesFound(Content):
    """The class names after a search for names.

    Attributes:
        kept: whether any class has a new name; if so, all scores of the run are with the new names.
        renamed: the classes with a new name, in label order; at most the first 200.
        classes: the number of classes for which names were searched.
        alone: the classes for which no other name is known.
        chose: the number of search and selection pictures; the `hits` of `renamed` are counted on these pictures.
        candidates: how many other names were tried.
        asked: how many of the candidates came from a language model.
        gain, standard_error: the gain of this way of choosing names on held-back pictures, and its standard error, as
            fractions.
        loss, loss_error: the same gain as a fall of the loss, and its standard error, in nats; higher is better. New
            names are taken if `loss` exceeds `loss_error` and `gain` is above 0.
        permuted: the gain if each class tries the candidates of another class, a fraction.
        temperature: the number that logits were divided by while names were chosen.
        sealed: the scores of both templates with the given and with the new names; None if all classes keep their
            names.
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
    """What labelled pictures add to the template, if the program decides with both.

    Attributes:
        way, weight: how the classifier made from pictures decides beside the template, and its weight; see
            `metrics/blend.py`.
        labelled: the mean number of labelled pictures per class.
        without: the classes that have no labelled pictures.
        left_out: how many pictures were left out in turn to choose the weight; 0 if none could be left out.
        both: the score of template and pictures together on the sealed test pictures.
        over_words: this score less the score of the template alone.
    """

    way: Way
    weight: float
    labelled: Rounded
    without: tuple[str, ...]
    left_out: int
    both: Measured
    over_words: Over
