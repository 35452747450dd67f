"""What a program decides with, as one matrix and a bias."""

from __future__ import annotations

import numpy as np

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.calibration import softmax
from ipo_prompts.metrics.classification import ClipReward
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import named
from ipo_prompts.programs.classifier import TemplateClassifier

NAMES = ["cat", named(["dog", "puppy"]), "bus"]


def test_all_that_is_linear_is_one_matrix_and_a_bias(clip: Clip) -> None:
    images = [item.image for item in load_data("embedded", seed=0).test[:40]]
    features = clip.encode_images(images)
    program = TemplateClassifier(clip, NAMES, "a dark <CLASS>.")
    program.state = program.state.model_copy(update={"temperature": 2.0})
    head = program.head()
    by_hand = (clip.logit_scale * features @ program.class_embeddings().T) / 2
    np.testing.assert_allclose(head.probabilities(features), softmax(by_hand), atol=1e-5)
    assert head.probabilities(features).tobytes() == program.probabilities(images).tobytes()


def test_the_logits_have_the_bits_that_the_search_saw(clip: Clip) -> None:
    items = load_data("embedded", seed=0).test[:40]
    reward = ClipReward(clip, NAMES)
    units = reward.encode([item.image for item in items], [0] * 40)
    seen = reward.score(["a dark <CLASS>."], units)[0]
    head = TemplateClassifier(clip, NAMES, "a dark <CLASS>.").head()
    again = reward.score_logits("again", head.logits, units)
    assert again.losses.tobytes() == seen.losses.tobytes()
