"""Several labels a picture: numbers worked by hand, and scikit-learn's."""

from __future__ import annotations

import dspy
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score

from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.sampling import Sampling
from ipo_prompts.metrics.several import (
    ENOUGH,
    LINES,
    SeveralLabels,
    Sureness,
    compare_precision,
    fit_sureness,
    mean_precision,
    native,
    propose,
    ranking_precision,
    sigmoid_losses,
    softmax_losses,
)

LOGITS = np.array([[3, 2, 1], [1, 3, 2], [2, 1, 3]], dtype=np.float32)
SHOWN = np.array([[True, False, True], [True, False, False], [False, False, True]])


def random_case(n: int = 60, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shown = rng.random((n, classes)) < 0.3
    shown[np.arange(n), rng.integers(0, classes, n)] = True
    return (2 * shown + rng.normal(size=(n, classes))).astype(np.float32), shown


def test_ranking_precision_by_hand() -> None:
    # Places 1 and 3 of two: (1/1 + 2/3) / 2; place 3 of one; place 1 of one.
    assert ranking_precision(LOGITS, SHOWN) == pytest.approx([5 / 6, 1 / 3, 1])
    equal = np.zeros((1, 2), dtype=np.float32)  # the lower label ranks higher
    assert ranking_precision(equal, np.array([[False, True]])) == pytest.approx([0.5])
    assert ranking_precision(equal, np.array([[False, False]])) == pytest.approx([1])


def test_mean_precision_by_hand() -> None:
    # Class 0 has places 1 and 3 among the pictures, (1/1 + 2/3) / 2; class 1 has none; class 2 has places 1 and 3.
    assert mean_precision(LOGITS, SHOWN) == pytest.approx([5 / 6])
    # Without the second picture class 0 has place 1 and class 2 places 1 and 2; the first one twice is first in both.
    assert mean_precision(LOGITS, SHOWN, np.array([[1.0, 0, 1], [2, 0, 0]])) == pytest.approx([1, 1])


def test_they_are_scikit_learns() -> None:
    logits, shown = random_case()
    assert ranking_precision(logits, shown).mean() == pytest.approx(
        label_ranking_average_precision_score(shown, logits)
    )
    assert mean_precision(logits, shown) == pytest.approx([average_precision_score(shown, logits, average="macro")])
    weights = np.random.default_rng(1).integers(0, 3, (2, len(logits))).astype(np.float64)
    expected = [average_precision_score(shown, logits, average="macro", sample_weight=row) for row in weights]
    assert mean_precision(logits, shown, weights) == pytest.approx(expected)


def test_losses_by_hand() -> None:
    logits, shown = np.array([[0, 0, np.log(2)]], dtype=np.float32), np.array([[True, False, True]])
    # Of the sum 1 + 1 + 2 the shares are 1/4 and 1/2.
    assert softmax_losses(logits, shown) == pytest.approx([(np.log(4) + np.log(2)) / 2])
    assert sigmoid_losses(logits, shown) == pytest.approx([(2 * np.log(2) + np.log(1.5)) / 3])


def test_the_interval_holds_the_value_and_knows_variants() -> None:
    logits, shown = random_case()
    noise = np.random.default_rng(2).normal(size=logits.shape).astype(np.float32)
    alone = Sampling.of(len(shown))
    found = compare_precision(noise, logits, shown, alone, resamples=300)
    low, high, gain = found
    assert gain.mean == pytest.approx(high.mean - low.mean)
    assert 0 < gain.low < gain.mean < gain.high
    assert high.low < high.mean < high.high
    assert found == compare_precision(noise, logits, shown, alone, resamples=300)
    # As wide as 95 % of a normal distribution, which sums of so many pictures nearly have.
    drawn = np.random.default_rng(5).multinomial(60, np.full(60, 1 / 60), size=2000).astype(np.float64)
    before, after = (mean_precision(of, shown, drawn) for of in (noise, logits))
    many = compare_precision(noise, logits, shown, alone)
    for one, values in zip(many, (before, after, after - before), strict=True):
        assert one.high - one.low == pytest.approx(2 * 1.96 * values.std(), rel=0.08)
    assert compare_precision(logits, logits, shown, alone, resamples=50)[2] == (0, 0, 0)
    four = [np.repeat(part, 4, axis=0) for part in (noise, logits, shown)]
    *_, apart = compare_precision(*four, Sampling.of(240), resamples=300)
    *_, together = compare_precision(*four, Sampling.of(240, draws=np.repeat(np.arange(60), 4).tolist()), resamples=300)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_sureness_finds_what_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(20, 2, size=(4000, 3)).astype(np.float32)
    true = Sureness(slope=0.8, intercepts=(-16.0, -18.0, -17.0))
    shown = rng.random(logits.shape) < true.probabilities(logits)
    found = fit_sureness(logits, shown)
    assert found.own == 3
    assert np.abs(found.probabilities(logits) - true.probabilities(logits)).max() < 0.05
    few = shown.copy()
    few[np.flatnonzero(few[:, 1])[ENOUGH - 1 :], 1] = False  # one picture too few
    few[np.flatnonzero(few[:, 2])[ENOUGH:], 2] = False
    rare = fit_sureness(logits, few)
    assert rare.own == 2
    assert rare.intercepts[2] < rare.intercepts[1] < rare.intercepts[0]
    separable = fit_sureness(np.array([[1.0, 0.0]] * 4, dtype=np.float32), np.array([[True, False]] * 4))
    assert np.isfinite([separable.slope, *separable.intercepts]).all()


def test_the_line_that_is_proposed_has_the_highest_f1_of_all_names() -> None:
    rng = np.random.default_rng(0)
    shown = rng.random((80, 6)) < 0.2
    probabilities = (0.3 / (1 + np.exp(-2 * shown - rng.normal(size=shown.shape)))).astype(np.float32)  # none above .3
    found = propose(probabilities, shown)

    def f1(line: float) -> float:
        named = probabilities > line
        return float(2 * (named & shown).sum() / (named.sum() + shown.sum()))

    assert found.f1 == pytest.approx(max(map(f1, LINES)), abs=1e-4) and found.f1 == pytest.approx(
        f1(found.above), abs=1e-4
    )
    assert 0.1 < found.above < 0.3 and found.n == 80
    assert 0.05 < found.ci95[1] - found.ci95[0] < 0.2 and found.ci95[0] < found.f1 < found.ci95[1]
    assert f1(0.5) == 0


def test_where_several_lines_are_alike_the_middle_one_is_proposed() -> None:
    apart = propose(np.array([[0.9, 0.1]] * 4, dtype=np.float32), np.array([[True, False]] * 4))
    assert (apart.above, apart.f1, apart.ci95) == (0.5, 1.0, (1.0, 1.0))
    nothing = propose(np.array([[0.9, 0.1]], dtype=np.float32), np.array([[False, False]]))
    assert (nothing.f1, nothing.ci95) == (0, (0, 0))


def test_the_reward_goes_through_the_one_hook(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, clip.width)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    shown = rng.random((6, 3)) < 0.6
    reward = SeveralLabels(clip, ["cat", "dog", "bus"])
    named = [[name for name, there in zip(reward.class_names, row, strict=True) if there] for row in shown]
    rows = zip(features, named, strict=True)
    pictures = reward.examples([dspy.Example(features=row, label=names) for row, names in rows])
    assert pictures.shown is not None and pictures.shown.tolist() == shown.tolist() and shown.sum(axis=1).max() > 1
    score = reward.score(["a photo of a <CLASS>."], pictures)[0]
    logits = clip.logit_scale * features @ reward.texts.encode([score.template], reward.class_names)[0].T
    assert score.hits == pytest.approx(ranking_precision(logits, shown))
    assert score.losses == pytest.approx(softmax_losses(logits, shown), rel=1e-5)
    monkeypatch.setattr(clip, "logit_bias", -10.0)  # as SigLIP has it
    assert reward.score([score.template], pictures)[0].losses == pytest.approx(
        sigmoid_losses(logits - 10, shown), rel=1e-5
    )
    assert native(3).probabilities(logits - 10)[0] == pytest.approx(1 / (1 + np.exp(10 - logits[0])), rel=1e-5)


def test_the_resamples_are_those_of_the_seed_however_many_are_measured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, shown = random_case()
    noise = np.random.default_rng(2).normal(size=logits.shape).astype(np.float32)
    alone = Sampling.of(len(shown))
    found = [compare_precision(noise, logits, shown, alone, seed, resamples=50) for seed in (0, 1)]
    assert found[0] != found[1]
    monkeypatch.setattr("ipo_prompts.metrics.several.AT_ONCE", 7 * len(shown))  # seven at once, at last one
    assert compare_precision(noise, logits, shown, alone, 1, resamples=50) == found[1]


def test_intervals_are_moved_by_what_resamples_are_too_high() -> None:
    logits, shown = random_case(20, 3)
    noise = np.random.default_rng(2).normal(size=logits.shape).astype(np.float32)
    found, *_ = compare_precision(noise, logits, shown, Sampling.of(20), resamples=4000)
    drawn = np.random.default_rng(6).multinomial(20, np.full(20, 1 / 20), size=4000).astype(np.float64)
    before = mean_precision(noise, shown, drawn)
    assert before.mean() - found.mean > 0.03, "pictures that are drawn twice"
    ends = found.mean + np.quantile(before, [0.025, 0.975]) - before.mean()
    assert found[1:] == pytest.approx(tuple(ends), abs=0.015)


@pytest.mark.parametrize("other", [0.0, 28.0])
def test_where_logits_separate_all_the_weak_prior_decides(other: float) -> None:
    """Class 0 is shown by enough pictures for an intercept of its own, class 1 by one too few."""
    rows = np.linspace(-1, 1, 2 * ENOUGH)[:, None] * [2.0, 1.0] + [30.0, other]
    shown = np.zeros(rows.shape, dtype=bool)
    shown[-ENOUGH:, 0], shown[-ENOUGH + 1 :, 1] = True, True
    found = fit_sureness(rows.astype(np.float32), shown)
    assert found.own == 1
    own, shared = found.intercepts
    sign, spread = np.where(shown, -1.0, 1.0), rows.std()

    def loss(log_slope: float, intercept: float) -> float:
        fits = np.logaddexp(0, sign * (np.exp(log_slope) / spread * rows + intercept)).sum()
        return float(fits + log_slope**2 / 20 + intercept**2 / 200)

    def of_class(intercept: float) -> float:
        fits = np.logaddexp(0, sign[:, 0] * (found.slope * rows[:, 0] + intercept)).sum()
        return float(fits + (intercept - shared) ** 2 / 200)

    at = float(np.log(found.slope * spread))
    for step in (-0.02, 0.02):
        assert loss(at, shared) < min(loss(at + step, shared), loss(at, shared + step))
        assert of_class(own) < of_class(own + step)
