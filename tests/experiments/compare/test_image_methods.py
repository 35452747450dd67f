"""Methods that learn from images, held against short computations that share no code with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ipo_prompts.experiments.compare.methods import METHODS, Absent, FittedLogits
from ipo_prompts.experiments.compare.protocols import score_of
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.classification import EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates
from support.lessons import units

NAMES = ("prototype", "gda", "gda-text")


def fitted(name: str, lesson: Prepared) -> FittedLogits:
    found = METHODS.find(name).fit(lesson)
    assert isinstance(found, FittedLogits)
    assert found.templates is None and found.scored_only == 0
    return found


def relabelled(lesson: Prepared, labels: Any, *parts: str) -> Prepared:
    """Give the images of some parts other labels."""
    changed = {}
    for part in parts:
        old = getattr(lesson, part)
        changed[part] = old._replace(units=replace(old.units, labels=labels(old.units.labels)))
    return replace(lesson, **changed)


def test_gda_is_the_published_formula_and_with_text_a_multiple_of_it_is_added(
    lesson: Callable[..., Prepared], clip: Clip
) -> None:
    given = lesson(seed=3)
    features, labels = units(given, "train", "val")
    vectors, classes = torch.tensor(features, dtype=torch.float64), len(given.reward.class_names)
    means = torch.stack([vectors[torch.tensor(labels == label)].mean(dim=0) for label in range(classes)])
    centred = vectors - means[torch.tensor(labels)]
    shared = (len(centred) - 1) * centred.T.cov() + centred.T.cov().trace() * torch.eye(centred.shape[1])
    weights = centred.shape[1] * torch.linalg.pinv(shared) @ means.T
    logits = (vectors @ weights - (means.T * weights).sum(dim=0) / 2).numpy()
    found = fitted("gda", given).logits(given.reward.class_names)(features)
    apart = (logits - logits.mean(axis=1, keepdims=True)) - (found - found.mean(axis=1, keepdims=True))
    assert np.abs(apart).max() < 0.01 * np.abs(logits).max()
    texts = encode_templates(clip.model, clip.tokenizer, [BASELINE], given.reward.class_names)[0]
    both = fitted("gda-text", given).logits(given.reward.class_names)(features)
    assert np.linalg.matrix_rank(both - clip.logit_scale * features @ texts.T, tol=1e-2) <= classes
    assert score_of(fitted("gda-text", given), given.reward, given.train).value > 0.5


@pytest.mark.parametrize(("selection", "parts"), [("validation", ("train", "val")), ("train", ("train",))])
def test_class_means_are_the_mean_images(
    selection: str, parts: tuple[str, ...], lesson: Callable[..., Prepared], clip: Clip
) -> None:
    given = lesson(selection=selection, seed=3)
    features, labels = units(given, *parts)
    means = np.array([features[labels == label].mean(axis=0) for label in range(len(given.reward.class_names))])
    cosines = features @ means.T / np.linalg.norm(means, axis=1)
    found = fitted("prototype", given)
    off = found.logits(given.reward.class_names)(features) - clip.logit_scale * cosines
    assert np.ptp(off, axis=1).max() < 1e-3, "what is the same for all classes changes nothing"
    assert score_of(found, given.reward, given.train).value > 0.5, "its own images"
    some = [given.reward.class_names[5].replace(" ", "_").upper(), given.reward.class_names[2]]
    assert np.ptp(found.logits(some)(features) - clip.logit_scale * cosines[:, [5, 2]], axis=1).max() < 1e-3


@pytest.mark.parametrize("name", NAMES[2:])
def test_classes_without_images_are_gaps_and_no_guesses(name: str, lesson: Callable[..., Prepared]) -> None:
    given = lesson()
    with pytest.raises(Absent, match="it knows only the classes that it has seen images of"):
        fitted(name, given).logits([*given.reward.class_names[:3], "unheard of"])
    search = given.train
    features, labels = units(given, "train")
    few = search._replace(units=EncodedImages(features[labels > 0], labels[labels > 0]))
    with pytest.raises(Absent, match="a class has no image that it could learn from"):
        METHODS.find(name).fit(replace(given, train=few, val=None))
