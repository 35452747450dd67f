"""`IPO` adds the labelled images of both sets as `ipo optimize` does."""

from __future__ import annotations

from typing import Any

import dspy
import numpy as np
import pytest

from ipo_prompts import IPOClassifier
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.blend import Labelled, blend
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.features import FeatureStore
from ipo_prompts.programs import running
from ipo_prompts.programs.classifier import TemplateClassifier
from ipo_prompts.programs.optimizer import IPO
from ipo_prompts.programs.running import blend_in, calibrate_words

TEMPLATES = ["a sketch of a <CLASS>.", "a rotated <CLASS>."]


@pytest.fixture(scope="module")
def known(clip: Clip) -> tuple[list[str], Any, Any]:
    """Names, features and labels of six images of each of three classes."""
    data = load_data("embedded:upside-down", seed=0)
    items = [item for label in (0, 3, 5) for item in [one for _, one in data.items() if one.label == label][:6]]
    labels = np.repeat(np.arange(3), 6)
    return [data.class_names[i] for i in (0, 3, 5)], FeatureStore(clip).encode([i.image for i in items]), labels


def ipo(**more: Any) -> IPO:
    return IPO(lm="none", strategy=TEMPLATES, classifier="text+images", **more)


def test_images_of_both_sets_stand_beside_the_words_that_were_found(clip: Clip, known: tuple[Any, Any, Any]) -> None:
    names, features, labels = known
    examples = [dspy.Example(features=row, label=names[label]) for row, label in zip(features, labels, strict=True)]
    student = TemplateClassifier(clip, names)
    program = ipo().compile(student, trainset=examples[::2], valset=examples[1::2])
    words = TemplateClassifier(clip, names, program.template)
    order = np.r_[0:18:2, 1:18:2]
    found = blend(words.logits, Labelled(features[order], labels[order], 3))
    assert found.weight > 0 and program.images is not None and student.images is None
    assert program.images.temperature == found.temperature
    np.testing.assert_allclose(
        program.logits(features), words.logits(features) + found.added.logits(features), atol=1e-3
    )
    auto, alone = (IPO(lm="none", strategy=TEMPLATES, **own) for own in ({}, {"classifier": "text"}))
    assert auto.compile(student, trainset=examples[::2], valset=examples[1::2]).dump_state() == program.dump_state()
    assert alone.compile(student, trainset=examples[::2], valset=examples[1::2]).dump_state() == words.dump_state()
    kept = IPOClassifier(clip, strategy=TEMPLATES).fit(features, [names[i] for i in labels])
    assert kept.program_.images is not None and kept.score(features, [names[i] for i in labels]) > 0.9


def test_a_image_is_not_judged_by_its_variants(clip: Clip, known: tuple[Any, Any, Any]) -> None:
    names, features, labels = known
    groups = [f"image {i // 2}" for i in range(18)]
    rows = zip(features, labels, groups, strict=True)
    examples = [dspy.Example(features=row, label=names[label], group=group) for row, label, group in rows]
    program = ipo().compile(TemplateClassifier(clip, names), trainset=examples[:9], valset=examples[9:])
    words = TemplateClassifier(clip, names, program.template).logits
    apart, together = (blend(words, Labelled(features, labels, 3, of)) for of in (None, groups))
    assert program.images is not None and program.images.temperature == together.temperature != apart.temperature


def test_views_teach_where_left_out_images_agree(clip: Clip) -> None:
    data, store = load_data("embedded:upside-down", seed=0), FeatureStore(clip)
    items = [item for label in range(8) for item in [one for _, one in data.items() if one.label == label][:4]]
    examples = [dspy.Example(image=item.image, label=data.class_names[item.label]) for item in items]
    program = ipo().compile(TemplateClassifier(clip, data.class_names[:8]), trainset=examples)
    words = TemplateClassifier(clip, data.class_names[:8], program.template)
    images, labels = [item.image for item in items], np.array([item.label for item in items])
    features, views = store.encode(images), store.views(images)
    assert views.shape == (32, 3, clip.width) and len({row.tobytes() for row in views[0]}) == 3
    plain, seen = (blend(words.logits, Labelled(features, labels, 8, views=more)) for more in (None, views))
    assert program.images is not None
    assert program.images.temperature == min(plain, seen, key=lambda one: one.loss).temperature
    before = store.encoded
    assert store.views(images).tobytes() == views.tobytes() and store.encoded == before, "they are stored"


@pytest.mark.parametrize(("shuffled", "most"), [(True, 100), (False, 100), (False, 10)])
def test_views_are_encoded_only_once_the_gate_is_open(
    clip: Clip, known: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch, *, shuffled: bool, most: int
) -> None:
    monkeypatch.setattr(running, "MOST_VIEWED", most)  # more images are too dear
    names, features, labels = known
    given = np.random.default_rng(1).permutation(labels) if shuffled else labels
    asked = []

    def see() -> Any:
        asked.append(1)
        return np.repeat(features[:, None], 2, axis=1)

    program = TemplateClassifier(clip, names)
    found = blend_in(program, [EncodedImages(features, given)], see, gate=True)
    assert found.sure == (program.images is not None) == (not shuffled)
    assert bool(asked) == (found.sure and most == 100)


@pytest.mark.parametrize(
    ("spec", "labels", "within"),
    [("embedded:upside-down", 5, 0.08), ("embedded:upside-down", 2, 0.08), ("embedded", 1, 0.08)],
)
def test_words_and_images_are_as_sure_as_they_are_right(clip: Clip, spec: str, labels: int, within: float) -> None:
    """Over six draws of ten classes; the images that test were not learnt from."""
    data, sure, right = load_data(spec, seed=0), [], []
    reward = ClipReward(clip, data.class_names)
    items = [item for _, item in data.items()]
    every = reward.encode([item.image for item in items], [item.label for item in items])
    rng = np.random.default_rng(0)
    for _ in range(6):
        classes = rng.permutation(len(data.class_names))[:10].tolist()
        places = [rng.permutation(np.flatnonzero(every.labels == label)).tolist() for label in classes]
        learnt, test = (
            every.part([i for own in places for i in own[of]], classes) for of in (slice(labels), slice(labels, None))
        )
        program = TemplateClassifier(clip, [data.class_names[label] for label in classes])
        calibrate_words(program, program.text_only(), None, None, [learnt])
        blend_in(program, [learnt], None, gate=labels > 2)
        assert program.images
        for one, kind in ((program, 0), (program.text_only(), 1)):
            found = one.head().probabilities(test.features)
            sure.append((kind, found.max(axis=1).mean()))
            right.append((kind, (found.argmax(axis=1) == test.labels).mean()))
    for kind in (0, 1):
        apart = np.mean([a - b for (k, a), (_, b) in zip(sure, right, strict=True) if k == kind])
        assert abs(apart) < within, ("words and images", "words")[kind]
