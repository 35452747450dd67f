"""CoOp, on the real small CLIP and real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.lab.coop import CoOp, SameLabels, _published_epochs, learning_rates
from ipo_prompts.experiments.run.files import build
from ipo_prompts.experiments.run.prepared import Prepared
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.metrics.text_tower import encode_templates

NAMES = ["cat", "birthday cake", "hot_dog"]


def test_coop_before_the_first_epoch_is_the_template_it_starts_from(
    clip: Clip, lesson: Callable[..., Prepared]
) -> None:
    ours = CoOp(epochs=0).fit(lesson()).class_embeddings(NAMES)
    theirs = encode_templates(clip.model, clip.tokenizer, [BASELINE], NAMES)[0]
    assert np.abs(ours - theirs).max() < 1e-5


def test_coop_learns_and_leaves_the_clip_as_it_is(clip: Clip, lesson: Callable[..., Prepared]) -> None:
    given = lesson()
    before = encode_templates(clip.model, clip.tokenizer, [BASELINE], NAMES)
    start, end = (CoOp(epochs).fit(given) for epochs in (0, 100))
    images = given.train.units
    losses = [
        given.reward.score_embeddings([""], [fitted.class_embeddings(given.reward.class_names)], images)[0].loss
        for fitted in (start, end)
    ]
    assert losses[1] < losses[0] - 0.005
    assert end.templates is None
    assert np.array_equal(before, encode_templates(clip.model, clip.tokenizer, [BASELINE], NAMES))
    assert all(weight.grad is None and not weight.requires_grad for weight in clip.model.parameters())


def test_coop_with_the_same_labels_trains_on_what_chooses_the_others_winner(lesson: Callable[..., Prepared]) -> None:
    given = lesson()
    drawn = given.plan.drawn
    together = replace(drawn, train=(*drawn.train, *drawn.val), val=())
    pooled = replace(given, plan=replace(given.plan, drawn=together))
    same = SameLabels(3).fit(given).context
    assert same.equal(CoOp(3).fit(pooled).context)
    assert not same.equal(CoOp(3).fit(given).context)
    shared = build({"shots": 4, "val_shots": 2}, where="the test")
    assert (CoOp().labelled_per_class(shared), SameLabels().labelled_per_class(shared)) == (4, 6)


def test_coops_learning_rates_are_dassls() -> None:
    """A constant warm-up epoch, then a cosine over 50 epochs: half-way after 25, cut off before its end."""
    rates = list(learning_rates(50))
    assert len(rates) == 50
    assert rates[:4] == pytest.approx([1e-5, 0.002, 0.00199802673, 0.0019921147], abs=1e-11)
    assert rates[26] == pytest.approx(0.001)
    assert rates[-1] == pytest.approx(7.8853e-6, abs=1e-10)


@pytest.mark.parametrize(
    ("data", "shots", "epochs"),
    [("embedded", 1, 50), ("dtd", 2, 100), ("dtd", 4, 100), ("dtd", 8, 200), ("imagenet:root", 16, 50)],
)
def test_coop_trains_as_long_as_published(data: str, shots: int, epochs: int) -> None:
    assert _published_epochs(data, shots) == epochs
