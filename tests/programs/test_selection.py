import numpy as np
import pytest

from ipo.metrics.reward import Score
from ipo.programs.selection import choose, cross_validate, paired_gain


def score(name: str, hits: list[int] | np.ndarray, loss: float = 1.0) -> Score:
    right = np.asarray(hits, dtype=bool)
    return Score(name, float(right.mean()), loss, right, np.full(len(right), loss), right.astype(np.int64))


def test_a_clear_winner_is_taken() -> None:
    choice = choose(score("initial", [0] * 20 + [1] * 20), [score("better", [0] * 5 + [1] * 35)], None)
    assert choice.template == "better"
    assert not choice.kept_initial
    assert choice.gain == pytest.approx(15 / 40)


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


def test_variants_of_one_picture_count_once() -> None:
    before = np.zeros(40, dtype=bool)
    after = np.r_[np.ones(10), np.zeros(30)].astype(bool)
    _, independent = paired_gain(before, after, None)
    _, clustered = paired_gain(before, after, [str(i // 10) for i in range(40)])
    assert clustered > 2 * independent


def test_one_group_can_prove_nothing() -> None:
    gain, error = paired_gain(np.zeros(4, dtype=bool), np.ones(4, dtype=bool), ["a"] * 4)
    assert (gain, error) == (1.0, float("inf"))


def test_nothing_to_choose_from_keeps_the_initial_template() -> None:
    assert choose(score("initial", [1, 0]), [], None).kept_initial
    assert cross_validate(score("initial", [1, 0]), [], None).kept_initial


def test_cross_validation_sees_through_luck() -> None:
    # 200 templates that are coin flips: the best of them looks good where it was chosen, and nowhere else.
    rng = np.random.default_rng(0)
    initial = score("initial", rng.random(60) < 0.5)
    flips = [score(f"flip {i}", rng.random(60) < 0.5) for i in range(200)]
    assert max(flip.accuracy for flip in flips) > initial.accuracy + 0.1
    assert cross_validate(initial, flips, None).kept_initial


def test_cross_validation_takes_a_real_gain() -> None:
    rng = np.random.default_rng(1)
    initial = score("initial", rng.random(60) < 0.4)
    others = [score(f"flip {i}", rng.random(60) < 0.4) for i in range(20)] + [score("real", rng.random(60) < 0.9)]
    choice = cross_validate(initial, others, None)
    assert choice.template == "real"
    assert choice.how == "cross-validation"


def test_folds_never_cut_through_a_base_picture() -> None:
    from ipo.programs.selection import _folds

    groups = [f"g{i // 4}" for i in range(48)]
    folds = _folds(groups)
    assert all(len({folds[i] for i in range(48) if groups[i] == g}) == 1 for g in set(groups))
