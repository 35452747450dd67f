"""Counts of right images against open_clip used directly, in both precisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch.nn.functional import normalize

from benchmarks.lab.printed import count_right, halves_of, measure
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip, load_clip
from ipo_prompts.metrics.template import fill

TEMPLATES = ["a photo of a <CLASS>.", "<CLASS>.", "a dark sketch of the <CLASS> in winter."]


@pytest.fixture(scope="module")
def half() -> Clip:
    return load_clip("embedded", device="cpu", precision="fp16")


def test_full_precision_counts_what_the_reward_counts(clip: Clip, cache: Path) -> None:
    halves = halves_of(load_data("embedded:a", seed=0))
    found = measure(clip, halves, TEMPLATES)
    for place, (names, items) in enumerate(
        ((halves.class_names, halves.test), (halves.new_class_names, halves.new_test))
    ):
        reward = ClipReward(clip, names)
        images = reward.encode([item.image for item in items], [item.label for item in items])
        scores = reward.score(TEMPLATES, images)
        assert [found[score.template][place] for score in scores] == [int(score.hits.sum()) for score in scores]


def test_half_precision_counts_what_open_clip_does_in_half_precision(half: Clip, cache: Path) -> None:
    whole = halves_of(load_data("embedded:a", seed=0))
    halves = replace(whole, test=whole.test[::16], new_test=whole.new_test[::16])  # half precision is slow on a CPU
    found = measure(half, halves, TEMPLATES)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{MODEL_DIR}", precision="fp16")
    tokens = open_clip.get_tokenizer(f"local-dir:{MODEL_DIR}")
    model.eval()
    for place, (names, items) in enumerate(
        ((halves.class_names, halves.test), (halves.new_class_names, halves.new_test))
    ):
        batch = torch.stack([preprocess(item.image.rgb()) for item in items]).half()
        labels = np.array([item.label for item in items])
        for template in TEMPLATES:
            with torch.inference_mode():
                images = normalize(model.encode_image(batch), dim=-1)
                texts = normalize(model.encode_text(tokens([fill(template, name) for name in names])), dim=-1)
                logits = model.logit_scale.exp().half() * images @ texts.T
            right = int((logits.argmax(dim=-1).numpy() == labels).sum())
            assert abs(found[template][place] - right) <= 1  # sums in another order


def test_the_precisions_are_two_encoders(half: Clip, clip: Clip) -> None:
    assert (clip.precision, half.precision) == ("fp32", "fp16")
    assert clip.fingerprint != half.fingerprint  # the features of one are never taken for the other's
    images = [item.image for item in load_data("embedded:a", seed=0).test[:8]]
    off = np.abs(half.encode_images(images) - clip.encode_images(images)).max()
    assert 0 < off < 1e-3


def test_logits_of_half_precision_are_rounded_to_it(half: Clip, clip: Clip) -> None:
    """Cosines of 0.2501 and 0.25002 are two logits in float32 and one in float16: the lowest label counts."""
    cosines = np.array([[0.25002], [0.2501]])
    classes = np.hstack([cosines, np.sqrt(1 - cosines**2)]).astype(np.float32)
    image = EncodedImages(np.array([[1, 0]], dtype=np.float32), np.array([1]))
    assert (count_right(clip, classes, image), count_right(half, classes, image)) == (1, 0)


def test_a_template_that_does_not_fit_is_refused_and_the_others_are_measured(clip: Clip, cache: Path) -> None:
    halves = halves_of(load_data("embedded:a", seed=0))
    long = f"{'sun ' * 73}<CLASS>."
    found = measure(clip, halves, [long, TEMPLATES[0]])
    assert isinstance(found[TEMPLATES[0]], tuple)
    assert "tokens, more than the" in str(found[long])
