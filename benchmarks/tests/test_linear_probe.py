"""LP++, held against a short computation that shares no code with it, and as a class of the user's own in a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from benchmarks.lab import linear_probe
from benchmarks.lab.linear_probe import LinearProbe, learn
from ipo_prompts.experiments.compare.methods.base import Absent, Lesson
from ipo_prompts.experiments.compare.methods.pictures import LabelledFeatures
from ipo_prompts.experiments.compare.protocols import score_of
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates
from support.lessons import units


def test_the_probe_is_what_torch_learns(lesson: Callable[..., Lesson], clip: Clip) -> None:
    """Independent of ours: gradients by autograd, steps by torch's SGD, blending as the published code has it."""
    given = lesson(shots=3)
    features, labels = (torch.from_numpy(one) for one in units(given, "search"))
    held, truth = (torch.from_numpy(one) for one in units(given, "selection"))
    features, held = features.double(), held.double()
    texts = encode_templates(clip.model, clip.tokenizer, [BASELINE], given.class_names)[0]
    similar, n = features @ torch.from_numpy(texts).double().T, len(labels)
    line = nn.Linear(features.shape[1], len(texts)).double()
    line.weight.data = functional.one_hot(labels).double().T @ features
    line.bias.data.zero_()
    own = similar[torch.arange(n), labels]
    start = 250 * torch.stack([own[labels == label].mean() for label in range(len(texts))]).mean()
    blend = (start * torch.ones(len(texts), dtype=torch.float64)).requires_grad_(True)
    rate = 4 * n / float(torch.linalg.svdvals(features)[0] ** 2)
    optimizer = torch.optim.SGD(line.parameters(), lr=rate, momentum=0.9)
    best = -1.0
    for epoch in range(300):
        optimizer.zero_grad()
        functional.cross_entropy(line(features) + blend * similar, labels).backward()
        optimizer.step()
        with torch.no_grad():
            if (epoch + 1) % 10 == 0:
                blend -= n / (4 * float((similar**2).sum(0).max())) * blend.grad
            logits = line(held) + blend * (held @ torch.from_numpy(texts).double().T)
            right = float((logits.argmax(1) == truth).double().mean())
            if right >= best:
                best, theirs = right, logits.numpy()
    ours = LinearProbe().fit(given).logits(given.class_names)(held.float().numpy())
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()
    assert np.array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


def test_without_selection_pictures_the_probes_last_epoch_counts(
    lesson: Callable[..., Lesson], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = lesson()
    rows, labels = units(given, "search")
    pictures, texts = LabelledFeatures(rows.astype(np.float64), labels), np.eye(12, rows.shape[1])
    last, _ = learn(pictures, texts, LabelledFeatures(np.zeros((0, rows.shape[1])), np.zeros(0, dtype=np.int64)))
    with monkeypatch.context() as short:
        short.setattr(linear_probe, "EPOCHS", 1)
        first, _ = learn(pictures, texts, LabelledFeatures(np.zeros((0, rows.shape[1])), np.zeros(0, dtype=np.int64)))
    assert not np.array_equal(last, first)
    alone = lesson(selection="search")
    features, _ = units(alone, "search")
    ours, theirs = (LinearProbe().fit(one).logits(given.class_names)(features) for one in (given, alone))
    assert not np.array_equal(ours, theirs)


def test_one_shot_is_enough_and_it_beats_chance_on_other_pictures(lesson: Callable[..., Lesson]) -> None:
    for settings in ({"shots": 1, "selection_shots": 1}, {"shots": 1, "selection": "search"}):
        given = lesson(**settings)
        first, again = (
            score_of(LinearProbe().fit(given), given.prepared.reward, given.prepared.search) for _ in range(2)
        )
        assert np.array_equal(first.predictions, again.predictions) and np.array_equal(first.losses, again.losses)
    given = lesson()
    others = lesson(seed=4).prepared.search
    assert score_of(LinearProbe().fit(given), given.prepared.reward, others).value > 2 / 12


def test_classes_without_pictures_are_gaps_and_no_guesses(lesson: Callable[..., Lesson]) -> None:
    given = lesson()
    with pytest.raises(Absent, match="it knows only the classes that it has seen pictures of"):
        LinearProbe().fit(given).logits([*given.class_names[:3], "unheard of"])
    search = given.prepared.search
    features, labels = units(given, "search")
    few = search._replace(units=EncodedPictures(features[labels > 0], labels[labels > 0]))
    with pytest.raises(Absent, match="a class has no picture that it could learn from"):
        LinearProbe().fit(replace(given, prepared=replace(given.prepared, search=few, selection=None)))
