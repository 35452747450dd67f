"""What is known of the sealed test without a search: guessing, the nearest class mean, CLIP's 80 templates together.

They stand beside the answer, and say when no template can be the answer: where the CLIP is near guessing, or where the
mean picture of a class tells far more than its name in any sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ipo_prompts.experiments.run.comparison import Measured, measured
from ipo_prompts.experiments.run.files import Content
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures, class_means, scores_accuracy
from ipo_prompts.metrics.headroom import SLIGHT, guessed
from ipo_prompts.metrics.reward import by_embeddings, class_embeddings
from ipo_prompts.metrics.template import imagenet_templates
from ipo_prompts.metrics.verdict import Rounded, share

if TYPE_CHECKING:
    from ipo_prompts.experiments.run.comparison import AnyPart, Compared
    from ipo_prompts.experiments.run.prepare import Prepared
    from ipo_prompts.metrics.arrays import Floats

FAR = 0.2
"""A class mean that is better by this is far better than the best template."""
MOST_TEXTS = 8000
"""Templates times classes of the ensemble, which is left out where there are more: a minute with a ViT-B/16."""


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


def baselines(prepared: Prepared, parts: Mapping[AnyPart, Compared]) -> Baselines | None:
    """Measure them on the test pictures as they are, without offsets; None where no labelled pictures are classified
    by class embeddings.
    """
    test = parts["test"]
    made = prepared.plan.task.reward(prepared.clip, test.class_names, prepared.store)
    reward = by_embeddings(made)
    if not isinstance(test.units, EncodedPictures) or test.units.labels is None or not isinstance(reward, ClipReward):
        return None
    pictures = replace(test.units, offsets=None)

    def scored(name: str, classes: Floats) -> Measured:
        return measured(reward.score_embeddings([name], [classes], pictures)[0], test.sampling)

    shown = prepared.shown
    means = means_of_classes([units for units in shown if isinstance(units, EncodedPictures)], len(test.class_names))
    class_mean = None if means is None else scored("class mean", means)
    ensemble = None
    if len(weighted := [(template, 1.0) for template in imagenet_templates()]) * len(test.class_names) <= MOST_TEXTS:
        ensemble = scored("ensemble", class_embeddings(prepared.clip, weighted, test.class_names))
    guessing = guessed(reward, pictures)
    labelled = sum(len(units.labels) for units in shown if units.labels is not None) / len(test.class_names)
    best = max(test.initial.value, test.optimised.value)
    weak = how_weak(best, guessing, class_mean.value if class_mean else None) if scores_accuracy(reward) else None
    found = Baselines(
        guessing=guessing,
        class_mean=class_mean,
        labelled=labelled,
        ensemble=ensemble,
        weak=weak,
        words="",
        warning="",
    )
    return in_words(found, best)


def left_out(prepared: Prepared) -> str:
    """Say that nothing is known without a search, where pictures are classified and `score` is the reward's own."""
    if not isinstance(prepared.search.units, EncodedPictures) or by_embeddings(prepared.reward):
        return ""
    return (
        "Left out: guessing, class means, CLIP's 80 templates and whether words can help need class embeddings, and "
        f"score() of {type(prepared.reward).__name__} takes templates alone."
    )


def how_weak(
    best: float, guessing: float, class_mean: float | None
) -> Literal["near guessing", "far below the class mean"] | None:
    """Say what makes any template a poor answer, from accuracies.

    Twice guessing is much where classes are few, so that agreement beyond chance has to be slight as well.

    >>> how_weak(0.09, 0.05, None), how_weak(0.9, 0.5, None), how_weak(0.4, 0.05, 0.65)
    ('near guessing', None, 'far below the class mean')
    """
    if best < 2 * guessing and (best - guessing) / (1 - guessing) < SLIGHT:
        return "near guessing"
    return "far below the class mean" if class_mean is not None and class_mean - best >= FAR else None


def means_of_classes(pictures: list[EncodedPictures], classes: int) -> Floats | None:
    """Return the unit mean of each class: float32 (C, D); None where a class has no picture."""
    features = np.concatenate([part.features for part in pictures])
    labels = np.concatenate([part.labels for part in pictures])
    if len(set(labels.tolist())) < classes:
        return None
    return class_means(features, labels, classes)


def in_words(found: Baselines, best: float) -> Baselines:
    """Fill in `words` and `warning`; `best` is the accuracy of the better template."""
    return found.model_copy(update={"words": _words(found, best), "warning": _warning(found, best)})


def _words(found: Baselines, best: float) -> str:
    told = [f"guessing {100 * found.guessing:.1f} %"]
    if found.class_mean:
        told.append(f"the nearest class mean of {found.labelled:.3g} pictures a class {share(found.class_mean)}")
    if found.ensemble:
        told.append(f"CLIP's 80 templates together {share(found.ensemble)}")
    words = f"Known without a search, on the same test pictures: {', '.join(told)}."
    if found.class_mean and found.class_mean.value - best >= FAR:
        words += (
            " Class names that this CLIP knows better, or another CLIP, are likely to help more than words around them."
        )
    elif found.weak:
        words += " Another CLIP is likely to help more than words."
    return words


def _warning(found: Baselines, best: float) -> str:
    says = f"templates name {100 * best:.1f} % at best"
    if found.weak == "near guessing":
        return f"This CLIP is near guessing on these pictures: {says}, guessing {100 * found.guessing:.1f} %."
    if found.weak and found.class_mean:
        mean = f"class means {100 * found.class_mean.value:.1f} %"
        return f"This CLIP sees far more here than words tell it: {says}, {mean}."
    return ""
