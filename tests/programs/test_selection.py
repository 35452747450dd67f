"""The rule that picks the winner, on cases small enough to work out by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from ipo.metrics.reward import Score
from ipo.programs.selection import Choice, choose, cross_validate, paired_gain


def score(name: str, hits: Sequence[int] | np.ndarray, loss: float | Sequence[float] = 1.0) -> Score:
    right = np.asarray(hits, dtype=bool)
    losses = np.full(len(right), loss, dtype=np.float64) if isinstance(loss, float) else np.asarray(loss)
    return Score(name, float(right.mean()), float(losses.mean()), right, losses, right.astype(np.int64))


def by_hand(template: str, kept: bool, gain: float, variance: float, how: str) -> Choice:
    return Choice(template, kept, pytest.approx(gain), pytest.approx(math.sqrt(variance)), how)


def test_a_clear_winner_is_taken() -> None:
    # Differences 1, 1, 0, 0: mean 1/2, variance of the mean (4 * 1/4) / 3 / 4 = 1/12.
    choice = choose(score("initial", [0, 0, 1, 1]), [score("better", [1, 1, 1, 1])], None)
    assert choice == by_hand("better", False, 0.5, 1 / 12, "held-back pictures")


def test_a_gain_of_just_one_standard_error_keeps_the_initial_template() -> None:
    # Differences 1, 0, 0, 0: mean 1/4, variance of the mean (9/16 + 3/16) / 3 / 4 = 1/16.
    choice = choose(score("initial", [0, 0, 0, 0]), [score("other", [1, 0, 0, 0])], None)
    assert choice == by_hand("initial", True, 0.25, 1 / 16, "held-back pictures")


def test_a_sure_loss_keeps_the_initial_template() -> None:
    choice = choose(score("initial", [1, 1, 1, 1]), [score("worse", [0, 0, 0, 0])], None)
    assert choice == by_hand("initial", True, -1.0, 0.0, "held-back pictures")


def test_a_template_that_changes_nothing_keeps_the_initial_one() -> None:
    choice = choose(score("initial", [1, 0, 1, 0]), [score("same", [1, 0, 1, 0], 0.5)], None)
    assert choice == by_hand("initial", True, 0.0, 0.0, "held-back pictures")


def test_the_most_accurate_finalist_is_compared_whatever_its_place_and_loss() -> None:
    worse, best = score("worse", [1, 0, 0, 0, 0, 0], 0.1), score("best", [1, 1, 1, 1, 1, 0], 9.0)
    for finalists in ([worse, best], [best, worse]):
        assert choose(score("initial", [0] * 6), finalists, None).template == "best"


def test_variants_of_one_base_picture_are_one_fact() -> None:
    # Two wins: among independent pictures convincing; as two variants of one picture of two, a single win.
    initial, other = score("initial", [0, 0, 0, 0]), score("other", [1, 1, 0, 0])
    assert not choose(initial, [other], None).kept_initial
    # Sums of residuals 1 and -1: variance 2/1 * (1 + 1) / 16.
    assert choose(initial, [other], ["a", "a", "b", "b"]) == by_hand("initial", True, 0.5, 1 / 4, "held-back pictures")


def test_a_gain_within_one_standard_error_keeps_the_initial_template() -> None:
    initial, other = [1, 0] * 20, [0, 1] * 20
    other[0] = 1  # one net win among 39 changes
    choice = choose(score("initial", initial), [score("luck", other)], None)
    assert choice.kept_initial
    assert choice.template == "initial"


def test_loss_breaks_ties_between_finalists() -> None:
    right = [0] * 5 + [1] * 35
    finalists = [score("high loss", right, 2.0), score("low loss", right, 0.5)]
    assert choose(score("initial", [0] * 20 + [1] * 20), finalists, None).template == "low loss"


def test_a_paired_gain_by_hand() -> None:
    before, after = np.array([True, False, False, True]), np.array([True, True, True, False])
    # Differences 0, 1, 1, -1 around 1/4: squares 1/16, 9/16, 9/16, 25/16; in groups -1/4 + 3/4 and 3/4 - 5/4.
    assert paired_gain(before, after, None) == pytest.approx((1 / 4, math.sqrt(44 / 16 / 3 / 4)))
    assert paired_gain(before, after, ["a", "a", "b", "b"]) == pytest.approx(
        (1 / 4, math.sqrt(2 * (1 / 4 + 1 / 4) / 16))
    )


def test_one_group_can_prove_nothing() -> None:
    gain, error = paired_gain(np.zeros(4, dtype=bool), np.ones(4, dtype=bool), ["a"] * 4)
    assert (gain, error) == (1.0, float("inf"))


def test_nothing_to_choose_from_keeps_the_initial_template() -> None:
    initial = score("initial", [1, 0])
    assert choose(initial, [], None) == Choice("initial", True, 0.0, 0.0, "held-back pictures")
    assert cross_validate(initial, [], None) == Choice("initial", True, 0.0, 0.0, "cross-validation")


def test_cross_validation_sees_through_luck() -> None:
    # 200 templates that are coin flips: the best of them looks good where it was chosen, and nowhere else.
    rng = np.random.default_rng(0)
    initial = score("initial", rng.random(60) < 0.5)
    flips = [score(f"flip {i}", rng.random(60) < 0.5) for i in range(200)]
    assert max(flip.value for flip in flips) > initial.value + 0.1
    assert cross_validate(initial, flips, None).kept_initial


def test_cross_validation_takes_a_real_gain() -> None:
    rng = np.random.default_rng(1)
    initial = score("initial", rng.random(60) < 0.4)
    others = [score(f"flip {i}", rng.random(60) < 0.4) for i in range(20)] + [score("real", rng.random(60) < 0.9)]
    choice = cross_validate(initial, others, None)
    assert choice.template == "real"
    assert choice.how == "cross-validation"


def test_cross_validation_by_hand() -> None:
    """Five pictures in five folds. Each is judged by the template that is best on the four others."""
    # Without one of the first three pictures both are right on two of four, and a's loss there is the lower one,
    # though not over all five; without one of the last two, a is right on three.
    a = score("a", [1, 1, 1, 0, 0], [3.0, 3.0, 3.0, 1.0, 1.0])
    b = score("b", [0, 0, 0, 1, 1], [1.0, 1.0, 1.0, 3.5, 4.0])
    # So a judges all: differences 1, 1, 1, 0, 0 around 3/5.
    choice = cross_validate(score("initial", [0] * 5), [b, a], None)
    assert choice == by_hand("a", False, 3 / 5, (3 * 0.16 + 2 * 0.36) / 4 / 5, "cross-validation")


def test_what_a_template_gained_where_it_was_chosen_does_not_count() -> None:
    # Right on one picture alone: without it, any of the four others looks better, and is wrong on it.
    lucky = [score(f"right on {i}", np.eye(5)[i]) for i in range(5)]
    choice = cross_validate(score("initial", [0] * 5), lucky, None)
    assert choice == by_hand("initial", True, 0.0, 0.0, "cross-validation")


def test_base_pictures_are_held_out_whole() -> None:
    a, b = score("a", [1, 1, 0, 0], 0.5), score("b", [0, 0, 1, 0])
    # Learned from one base picture, neither is right on the other.
    choice = cross_validate(score("initial", [0] * 4), [a, b], ["x", "x", "y", "y"])
    assert choice == by_hand("initial", True, 0.0, 0.0, "cross-validation")
    # If the variants were pictures of their own, a would be learned from one and count on the other.
    assert cross_validate(score("initial", [0] * 4), [a, b], None).gain == 0.5


@pytest.mark.parametrize(("pictures", "folds"), [(3, 3), (5, 5), (13, 5)])
def test_base_pictures_are_dealt_into_five_folds(pictures: int, folds: int) -> None:
    """Against a plain loop over folds that are made here, in the order of the names."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        initial, *others = [score(str(t), rng.random(2 * pictures) < 0.5, rng.random(2 * pictures)) for t in range(8)]
        gained = []
        for fold in range(folds):
            held = [i for i in range(2 * pictures) if i // 2 % folds == fold]
            rest = [i for i in range(2 * pictures) if i // 2 % folds != fold]
            winner = max(others, key=lambda s: (s.hits[rest].mean(), -s.losses[rest].mean()))
            gained += [int(winner.hits[i]) - int(initial.hits[i]) for i in held]
        names = [f"picture {i // 2:02d}" for i in range(2 * pictures)]
        assert cross_validate(initial, others, names).gain == pytest.approx(np.mean(gained))
