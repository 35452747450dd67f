"""Fit: its formula by hand, what a word costs, and that no label has a part in it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.classification import EncodedPictures
from ipo_prompts.metrics.fit import Fit, sigmoid_fits, softmax_fits
from ipo_prompts.metrics.scale import Scale

NAMES = ["dog", "cat"]
TWO = ["a photo of a <CLASS>.", "a dark photo of a <CLASS>."]


def test_the_formulas_by_hand() -> None:
    # e^0 + e^0 = 2; with log 3 and 0 the sum is 4. 1 - (1 - 1/2)(1 - 1/2) = 3/4; σ(log 3) = 3/4, 1 - 1/4 · 1/2 = 7/8.
    logits = np.array([[0.0, 0.0], [np.log(3.0), 0.0]], dtype=np.float32)
    assert np.exp(softmax_fits(logits)) == pytest.approx([2, 4], rel=1e-6)
    assert np.exp(sigmoid_fits(logits)) == pytest.approx([3 / 4, 7 / 8], rel=1e-6)


def test_what_is_very_likely_or_unlikely_stays_a_number() -> None:
    far = np.array([[-40.0, -40.0], [90.0, -90.0]], dtype=np.float32)
    assert sigmoid_fits(far) == pytest.approx([np.log(2) - 40, 0], abs=1e-5)
    assert softmax_fits(far) == pytest.approx([np.log(2) - 40, 90], abs=1e-5)


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    return [item.picture for item in load_data("embedded:b", seed=0).train[:12]]


def test_it_is_the_mean_over_pictures_of_the_hook(clip: Any, pictures: list[Any]) -> None:
    reward = Fit(clip, NAMES)
    units = reward.encode(pictures, [0] * 12)
    (score,) = reward.score(TWO[:1], units)
    classes = reward.texts.encode(TWO[:1], NAMES)[0]
    logits = clip.logit_scale * (units.features @ classes.T)
    assert score.value == pytest.approx(np.log(np.exp(logits.astype(np.float64)).sum(axis=1)).mean(), abs=1e-4)
    assert units.labels is None and score.predictions.tolist() == logits.argmax(axis=1).tolist()
    assert score.places is None and reward.spread == 0 and reward.scale == Scale(-np.inf, np.inf, 0, percent=False)


def test_a_word_costs_the_same_wherever_it_comes_from(clip: Any, pictures: list[Any]) -> None:
    free = Fit(clip, NAMES)
    values = {one.template: one.value for one in free.score(TWO, free.encode(pictures))}
    reward = Fit(clip, NAMES, yardstick=TWO, price=0.5, lead=2.0)
    units = reward.encode(pictures)
    spread = abs(values[TWO[0]] - values[TWO[1]]) / np.sqrt(2)  # of two numbers
    assert reward.spread == pytest.approx(spread, abs=1e-5)
    assert reward.scale.lead == pytest.approx(2 * reward.spread) and reward.scale.word == 0
    for scored in (reward.score(TWO, units), reward.score_batch(TWO, units)):
        for one, words in zip(scored, (0, 1), strict=True):
            assert one.value == pytest.approx(values[one.template] - 0.5 * spread * words, abs=1e-4)
            assert one.value == pytest.approx(one.hits.mean())
    first = reward.spread
    for asked in ({"price": 0.5}, {"lead": 2.0}):
        alone = Fit(clip, NAMES, yardstick=TWO, **asked)
        alone.encode(pictures)
        assert alone.spread == first, "either needs it"
    reward.encode(pictures[:4])
    assert reward.spread == first, "search and selection pictures are measured alike"


def test_a_sigmoid_model_has_a_form_of_its_own(clip: Any) -> None:
    reward = Fit(clip, NAMES)
    reward.clip = SimpleNamespace(logit_bias=-10.0)  # type: ignore[assignment]
    logits = np.array([[0.0, 0.0]], dtype=np.float32)
    units = EncodedPictures(np.zeros((1, 2), dtype=np.float32), None)
    assert np.exp(reward.judge(logits, units).hits) == pytest.approx([0.75])


def test_examples_need_no_label(clip: Any) -> None:
    drawn = draw(load_data("embedded:b", seed=0, labels="none"), 1, 0, 0, at_most=4)
    examples = drawn.examples("search")
    assert len(examples) == 4 and not any("label" in one or "class_index" in one for one in examples)
    assert Fit(clip, NAMES).examples(examples).labels is None


def test_variants_of_a_picture_stay_together(clip: Any, pictures: list[Any]) -> None:
    assert Fit(clip, NAMES).encode(pictures[:3], groups=["a", "a", "b"]).groups == ("a", "a", "b")


def test_a_yardstick_that_is_too_long_for_a_class_is_left_out(clip: Any, pictures: list[Any]) -> None:
    long = "a <CLASS>" + " word" * 60
    found, whole = (Fit(clip, NAMES, yardstick=given, price=1) for given in ([TWO[0], long, TWO[1]], TWO))
    for reward in (found, whole):
        reward.encode(pictures)
    assert found.spread == pytest.approx(whole.spread) and found.spread > 0


def test_more_pictures_than_are_taken_at_once_have_their_own_fits() -> None:
    logits = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    assert softmax_fits(logits) == pytest.approx(np.logaddexp.reduce(logits.astype(np.float64), axis=1))
