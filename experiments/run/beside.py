"""Measurements that a result reports beside the gain: baselines, other class names, and the head.

The baselines (guessing, the nearest class mean, CLIP's 80 templates together) show when no template can be a good
answer: if the CLIP is near guessing, or if class means are far more accurate than class names in any template.

The gain that a run reports is the gain of the template alone. The effect of labelled pictures is reported separately.

New class names are a separate change, too. The verdict of a run is about the template alone, with the class names of
the program. This module separates the two changes: it scores both templates with both sets of names. The gain of each
single name is advice: a person may put old names back because of it. So this gain is counted on the search and
selection pictures. If the sealed pictures led a person to change names, the changed names could not be tested on the
same pictures again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.experiments.data.dataset import NAMES_FILE
from ipo_prompts.experiments.run.comparison import Compared, gained, measured
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.experiments.run.openings import names_after
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.experiments.run.scores import (
    AnyPart,
    Baselines,
    HeadFound,
    Measured,
    NamesFound,
    Over,
    Renamed,
    TwoByTwo,
)
from ipo_prompts.metrics.arrays import Floats
from ipo_prompts.metrics.classification import (
    FAR,
    SLIGHT,
    ClipReward,
    EncodedPictures,
    class_means,
    guessed,
    scores_accuracy,
)
from ipo_prompts.metrics.reward import by_embeddings, class_embeddings
from ipo_prompts.metrics.template import imagenet_templates, written
from ipo_prompts.programs.naming import NamesChosen
from ipo_prompts.programs.running import Blended, Searched

MOST_TEXTS = 8000
"""The most texts (templates times classes) of the ensemble: a minute with a ViT-B/16. A larger one is left out."""
MOST = 200
"""The most names that are put back one by one; for each of them, the texts of all classes are encoded."""


def what_stands_beside(prepared: Prepared, searched: Searched, parts: Mapping[AnyPart, Compared]) -> dict[str, Any]:
    """Return the fields of a result beside the gain, by name; a field is None if it does not apply."""
    named = searched.named
    return {
        "names": named and what_names_do(named, parts),
        "baselines": baselines(prepared, parts),
    }


def baselines(prepared: Prepared, parts: Mapping[AnyPart, Compared]) -> Baselines | None:
    """Measure the baselines on the test pictures.

    Return None if pictures are not classified by class embeddings.
    """
    test = parts["test"]
    reward = by_embeddings(test.reward)
    if not isinstance(test.units, EncodedPictures) or not isinstance(reward, ClipReward):
        return None
    pictures = test.units

    def scored(name: str, classes: Floats) -> Measured:
        return measured(reward.score_embeddings([name], [classes], pictures)[0], test.sampling)

    shown = [units for units in prepared.shown if isinstance(units, EncodedPictures)]
    means = means_of_classes(shown, len(test.class_names))
    class_mean = None if means is None else scored("class mean", means)
    ensemble = None
    if len(weighted := [(template, 1.0) for template in imagenet_templates()]) * len(test.class_names) <= MOST_TEXTS:
        ensemble = scored("ensemble", class_embeddings(prepared.clip, weighted, test.class_names))
    guessing = guessed(reward, pictures)
    labelled = sum(len(units.labels) for units in shown if units.labels is not None) / len(test.class_names)
    best = max(test.initial.value, test.optimised.value)
    weak = None
    if scores_accuracy(reward):
        weak = how_weak(best, guessing, class_mean.value if class_mean else None)
    return Baselines(
        guessing=guessing,
        class_mean=class_mean,
        labelled=labelled,
        ensemble=ensemble,
        weak=weak,
    )


def how_weak(
    best: float, guessing: float, class_mean: float | None
) -> Literal["near guessing", "far below the class mean"] | None:
    """Return why no template can be a good answer; None if a template can be one. All arguments are accuracies.

    With few classes, twice the accuracy of guessing is a high accuracy. So "near guessing" also requires that agreement
    beyond chance is slight.

    >>> how_weak(0.09, 0.05, None), how_weak(0.9, 0.5, None), how_weak(0.4, 0.05, 0.65)
    ('near guessing', None, 'far below the class mean')
    """
    if best < 2 * guessing and (best - guessing) / (1 - guessing) < SLIGHT:
        return "near guessing"
    return "far below the class mean" if class_mean is not None and class_mean - best >= FAR else None


def means_of_classes(pictures: list[EncodedPictures], classes: int) -> Floats | None:
    """Return the unit mean feature of each class: float32 (C, D); None if a class has no picture."""
    features = np.concatenate([part.features for part in pictures])
    labels = np.concatenate([part.labels for part in pictures])
    if len(set(labels.tolist())) < classes:
        return None
    return class_means(features, labels, classes)


def what_the_head_does(blended: Blended, test: Compared) -> HeadFound:
    """Measure what labelled pictures add to the template on the sealed test pictures."""
    reward, found = test.reward, blended.found
    assert isinstance(reward, ClipReward)
    both = reward.score_logits("both", blended.program.logits, test.units)
    return HeadFound(
        way=found.way,
        weight=found.weight,
        labelled=float(blended.counts.mean()),
        without=tuple(str(blended.program.labels[i]) for i in np.flatnonzero(blended.counts == 0)),
        left_out=found.left_out,
        both=measured(both, test.sampling),
        over_words=Over(**gained(test.optimised, both, test.sampling)),
    )


def what_names_do(named: NamesChosen, parts: Mapping[AnyPart, Compared]) -> NamesFound:
    """Measure what other class names add.

    Args:
        named: the given names, and the names that the search for names chose.
        parts: both templates on each part of the pictures, with the chosen names.
    """
    found, renamed = named.found, named.renamed
    chose = [part for name, part in parts.items() if name in ("search", "selection")]
    return NamesFound(
        kept=bool(renamed),
        renamed=_one_by_one(named, chose),
        classes=len(named.given),
        alone=tuple(map(str, named.alone)),
        chose=sum(part.optimised.n for part in chose),
        candidates=named.candidates,
        asked=named.asked,
        gain=found.held.hits,
        standard_error=found.held.hits_error,
        loss=found.held.loss,
        loss_error=found.held.loss_error,
        permuted=found.permuted.hits,
        temperature=found.temperature,
        sealed=_two_by_two(named, parts["test"]) if renamed else None,
    )


def _two_by_two(named: NamesChosen, test: Compared) -> TwoByTwo:
    before = named.reward.renamed(named.given)
    initial, template = (before.score([side.template], test.units)[0] for side in (test.initial, test.optimised))
    return TwoByTwo(
        initial_given=measured(initial, test.sampling),
        template_given=measured(template, test.sampling),
        initial_found=measured(test.initial, test.sampling),
        template_found=measured(test.optimised, test.sampling),
        **gained(template, test.optimised, test.sampling),
    )


def _one_by_one(named: NamesChosen, chose: Sequence[Compared]) -> tuple[Renamed, ...]:
    """Measure the effect of each new name: put back the old name of one class at a time.

    This is measured on the search and selection pictures, and it is no test.
    """
    found = [part.optimised for part in chose]
    renamed = []
    for label in named.renamed[:MOST]:
        names = list(named.class_names)
        names[label] = named.given[label]
        before = named.reward.renamed(names)
        without = [before.score([part.optimised.template], part.units)[0] for part in chose]
        were, are = (np.concatenate([one.hits for one in scores]) for scores in (without, found))
        losses = [sum(one.loss * one.n for one in scores) / len(are) for scores in (without, found)]
        given, called = str(named.given[label]), str(named.class_names[label])
        hits = round(float(are.sum()) - float(were.sum()))
        renamed.append(Renamed(given=given, found=called, hits=hits, loss=losses[1] - losses[0]))
    return tuple(renamed)


def write_names(folder: Path, data: DataSet, named: NamesChosen | None) -> None:
    """Write `classes.yaml` into the run directory if the run renamed classes; the file is for the folder of pictures.

    Classes that the search did not see keep their names.
    """
    if named is None or not named.renamed:
        return
    lines = [
        "# The best class names that a run found; put this file beside the folders of pictures.",
        "# They were chosen without sealed pictures. If these lead you to a change, only new pictures can test it.",
    ]
    for own, value in zip(data.renamed_from or data.class_names, written(names_after(data, named)), strict=True):
        line = yaml.safe_dump({str(own): value}, allow_unicode=True, width=1000, default_flow_style=None)
        lines.append(line.strip().removeprefix("{").removesuffix("}") if isinstance(value, str) else line.strip())
    write_text(folder / NAMES_FILE, "\n".join(lines) + "\n")
