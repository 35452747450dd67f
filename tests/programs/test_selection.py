"""The rule that picks the winner, on cases small enough to work out by hand; and what it reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from ipo_prompts.metrics.reward import Score
from ipo_prompts.programs.history import History, Proposed
from ipo_prompts.programs.selection import (
    AS_GOOD,
    BEST_SEARCHED,
    FOLDS,
    POOLED,
    SEARCHED,
    Choice,
    ScoreTable,
    choose_winner,
    folds,
    shortest,
)

Hits = Sequence[float] | np.ndarray[Any, Any]


@dataclass(frozen=True)
class Units:
    labels: Any = None
    groups: Sequence[str] | None = None


INDEPENDENT = Units()


def score(name: str, hits: Hits, loss: float | Sequence[float] = 1.0, places: Sequence[float] | None = None) -> Score:
    contributed = np.asarray(hits)
    if contributed.dtype != np.float64:
        contributed = contributed.astype(bool)
    losses = np.broadcast_to(np.asarray(loss, dtype=np.float64), contributed.shape)
    ordered = None if places is None else np.asarray(places, dtype=np.float64)
    return Score(name, float(contributed.mean()), float(losses.mean()), contributed, losses, places=ordered)


def choose(
    search: dict[str, Score],
    selection: dict[str, Score] | None = None,
    units: Units = INDEPENDENT,
    held_back: Units = INDEPENDENT,
    how: str = "validation",
) -> Choice:
    """Choose among the scores of each part, the initial template's first."""
    initial, *others = search.values()
    history = History(Proposed.of(initial, -1, "initial"))
    for other in others:
        history.add(Proposed.of(other, 0, "list"))
    scored = selection or {}
    rest = None if selection is None else held_back
    return choose_winner(how, history, units, rest, lambda templates, _: [scored[template] for template in templates])


def part(**hits: Hits) -> dict[str, Score]:
    return {name: score(name, row) for name, row in hits.items()}


# The largest gain must be larger than the largest of all gains usually is when signs are flipped.


def test_a_gain_that_one_flip_in_sixteen_reaches_is_taken() -> None:
    assert choose(part(initial=[0, 0, 0, 0], better=[1, 1, 1, 1])) == Choice("better", False, None, None, SEARCHED)


def test_a_gain_that_one_flip_in_eight_reaches_keeps_the_initial_template() -> None:
    assert choose(part(initial=[0] * 9, other=[1] * 3 + [0] * 6)) == Choice("initial", True, None, None, SEARCHED)


def test_the_more_candidates_differ_the_larger_is_the_gain_of_luck() -> None:
    good, other = np.eye(2).repeat(4, axis=1)
    other[-1] = -1
    assert choose(part(initial=[0.0] * 8, good=good)).template == "good"  # 16 flips of 256 reach its gain
    assert choose(part(initial=[0.0] * 8, good=good, twin=good)).template == "good"  # the same 16
    assert choose(part(initial=[0.0] * 8, good=good, other=other)).kept_initial  # 31: a gain of either


@pytest.mark.parametrize("other", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_a_sure_loss_or_no_change_keeps_the_initial_template(other: list[int]) -> None:
    assert choose(part(initial=[1, 1, 1, 1], other=other)).template == "initial"


def test_nothing_to_choose_from_keeps_the_initial_template() -> None:
    assert choose(part(initial=[1, 0])) == Choice("initial", True, None, None, SEARCHED)
    assert choose(part(initial=[1, 0]), part(initial=[1, 0])) == Choice("initial", True, 0.0, None, POOLED)


def test_variants_of_one_base_image_are_one_fact() -> None:
    both = part(initial=[0, 0, 0, 0], other=[1, 1, 1, 1])
    assert not choose(both).kept_initial
    assert choose(both, units=Units(groups=["a", "a", "b", "b"])).kept_initial


def test_one_draw_proves_nothing_and_parts_share_none() -> None:
    both, two = part(initial=[0, 0], other=[1, 1]), Units(groups=["x", "y"])
    assert choose(both, units=Units(groups=["x", "x"])).kept_initial
    assert choose(both, units=two).kept_initial
    assert choose(both, both, two, two).template == "other"  # four draws of two names, two in each part


# Where it is known, the place of the right class among all is compared instead of the hits.


def placed(**places: Sequence[float]) -> dict[str, Score]:
    return {name: score(name, np.array(row) == 1, places=row) for name, row in places.items()}


def test_the_place_of_the_right_class_says_more_than_a_hit() -> None:
    """No template names an image; one of them nearly does."""
    both = placed(initial=[9, 8, 9, 8], nearer=[2, 2, 2, 3])
    assert choose(both).template == "nearer"
    assert choose({name: replace(one, places=None) for name, one in both.items()}).kept_initial


def test_places_count_by_their_logarithm() -> None:
    # Seven times halved. Once doubled: 9 flips of 256 gain as much. Once doubled four times over: more than a third.
    initial = [2] * 7 + [1]
    assert not choose(placed(initial=initial, other=[1] * 7 + [2])).kept_initial
    assert choose(placed(initial=initial, other=[1] * 7 + [16])).kept_initial


def test_places_choose_and_hits_report() -> None:
    searched = placed(initial=[3, 3, 3, 3], other=[2, 2, 2, 2])
    found = choose(searched, placed(initial=[4, 4, 4, 4, 4], other=[1, 1, 2, 2, 2]))
    assert (found.template, found.gain) == ("other", pytest.approx(2 / 5))


def test_where_a_template_has_no_places_hits_are_compared() -> None:
    mixed = placed(initial=[9, 8, 9, 8], nearer=[2, 2, 2, 3]) | part(other=[1, 1, 1, 1])
    assert choose(mixed).template == "other"


def test_the_best_of_many_coin_flips_seldom_wins_and_a_real_gain_does() -> None:
    rng = np.random.default_rng(0)
    left = flattered = 0
    for _ in range(100):
        flips = part(initial=rng.random(60) < 0.5, **{f"flip {i}": rng.random(60) < 0.5 for i in range(50)})
        flattered += max(flip.value for flip in flips.values()) > flips["initial"].value + 0.05
        left += not choose(flips).kept_initial
        assert choose({**flips, "real": score("real", rng.random(60) < 0.95)}).template == "real"
    assert flattered > 80
    assert left < 20  # one in ten by the rule


# Which one is the best: by train and validation units together.


def test_every_unit_of_both_parts_counts_alike() -> None:
    search = part(initial=[0] * 10, lucky=[1] * 10, good=[1] * 9 + [0], other=[0] * 10)
    selection = part(initial=[0] * 4, lucky=[1, 0, 0, 0], good=[1, 1, 1, 0], other=[1, 1, 1, 1])
    assert choose(search).template == "lucky"  # 10 of 10
    assert choose(search, selection).template == "good"  # 12 of 14, not 11 or 4
    assert choose({**search, "good": score("good", [1] * 7 + [0] * 3)}, selection).template == "lucky"  # 10 is less


def test_the_loss_breaks_ties_and_then_the_order_of_the_search() -> None:
    hits = [1] * 8 + [0] * 2
    initial = score("initial", [0] * 10)
    search = {"initial": initial, "k": score("k", hits, 1.0), "b": score("b", hits, 1.5), "c": score("c", hits, 2.0)}
    selection = {**search, "b": score("b", hits, 0.1)}
    assert choose(search).template == "k"
    assert choose(search, selection).template == "b"  # 0.8 on average
    level = {**search, "b": score("b", hits, 2.0), "c": score("c", hits, 1.0), "k": score("k", hits, 2.0)}
    assert choose(search, level).template == "k"  # k and c have 1.5
    uneven = {**search, "k": score("k", hits, [0.5] * 9 + [14.0])}  # 1.85 on average
    assert choose(uneven, uneven).template == "b"


def test_units_may_be_numbers() -> None:
    search = part(initial=np.array([0.2, 0.3, 0.1]), other=np.array([0.6, 0.8, 0.5]))
    found = choose(search, search)
    assert (found.template, found.gain) == ("other", pytest.approx(1.3 / 3))
    # Differences 0.4, 0.5, 0.4 around 1.3/3.
    assert found.standard_error == pytest.approx(math.sqrt((2 * (1 / 30) ** 2 + (2 / 30) ** 2) / 2 / 3))


def test_the_papers_choice_is_the_highest_on_the_train_units() -> None:
    search = part(initial=[0, 0, 0, 1], lucky=[1, 0, 0, 1], other=[0] * 4)
    selection = part(initial=[1] * 4, lucky=[0] * 4, other=[0] * 4)
    assert choose(search, selection, how="train") == Choice("lucky", False, None, None, BEST_SEARCHED)
    assert choose(part(initial=[1], other=[0]), how="train") == Choice("initial", True, None, None, BEST_SEARCHED)
    surer = {"initial": score("initial", [0, 1], 1.0), "surer": score("surer", [0, 1], 0.9)}
    assert choose(surer, how="train").template == "surer"


# The reported gain: of the procedure, on units that had no part in the choice.


def test_what_a_fold_holds_does_not_change_the_choice_that_judges_it() -> None:
    rng = np.random.default_rng(3)
    names = ["initial", *(f"flip {i}" for i in range(8))]
    units = Units(labels=np.arange(30) % 3)
    for _ in range(10):
        search, selection = ({name: rng.random(30) < 0.3 + 0.04 * i for i, name in enumerate(names)} for _ in range(2))
        fold = folds(ScoreTable.of("val", list(part(**selection).values()), units))
        gained = 0.0
        for k in range(FOLDS):
            rest = {name: row[fold != k] for name, row in selection.items()}
            winner = choose(part(**search), part(**rest), units, Units(labels=units.labels[fold != k])).template
            gained += float(selection[winner][fold == k].sum()) - float(selection["initial"][fold == k].sum())
        assert choose(part(**search), part(**selection), units, units).gain == pytest.approx(gained / 30)


def test_the_choice_that_judges_a_fold_takes_the_shortest_too() -> None:
    # On all units "a b" is right on one less of 25, and nine differ: within half an error of 0.12.
    search = part(**{"initial": [0] * 20, "a b c": [1] * 16 + [0] * 4, "a b": [0] * 4 + [1] * 16})
    selection = part(**{"initial": [0] * 5, "a b c": [1] * 5, "a b": [1] * 4 + [0]})
    assert choose(search, selection) == Choice("a b", False, pytest.approx(0.8), pytest.approx(0.2), POOLED)


def test_a_fold_where_the_initial_template_stays_gains_nothing() -> None:
    # Who loses one of the four wins is not convincing any more.
    search = part(initial=[0] * 5, other=[0] * 5)
    selection = part(initial=[0] * 5, other=[1, 1, 1, 1, 0])
    assert choose(search, selection) == Choice("other", False, 0.0, None, POOLED)


def test_the_reported_gain_is_not_flattered_where_all_templates_are_equal() -> None:
    rng = np.random.default_rng(1)
    labels, names = np.repeat(np.arange(5), 4), [f"flip {i}" for i in range(20)]
    reported, flattered = [], []
    for _ in range(300):
        difficulty = rng.random(40)

        def flips(units: slice, difficulty: Any = difficulty) -> dict[str, Score]:
            return part(**{name: (difficulty[units] + rng.random(20)) / 2 < 0.5 for name in ("initial", *names)})

        search, selection = flips(slice(20)), flips(slice(20, 40))
        reported.append(choose(search, selection, Units(labels=labels), Units(labels=labels)).gain)
        flattered.append(max(selection[name].value for name in names) - selection["initial"].value)
    gains = np.array(reported, dtype=float)
    assert (gains != 0).mean() > 0.1 and np.mean(flattered) > 0.1
    assert abs(gains.mean()) < 4 * gains.std() / math.sqrt(300) < 0.02


# Folds.


def table(units: Units, n: int) -> ScoreTable:
    return ScoreTable.of("val", [score("initial", [0] * n)], units)


@pytest.mark.parametrize(("per_class", "classes"), [(2, 68), (1, 19), (4, 10), (12, 3)])
def test_folds_are_balanced_over_classes(per_class: int, classes: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(classes), per_class))
    found = folds(table(Units(labels=labels), len(labels)))
    assert np.ptp(np.bincount(found, minlength=FOLDS)) <= 1
    for label in range(classes):
        assert np.ptp(np.bincount(found[labels == label], minlength=FOLDS)) <= 1


def test_folds_split_no_draw() -> None:
    names = [f"image {i}" for i in np.random.default_rng(0).permutation(np.repeat(np.arange(13), 3))]
    found = folds(table(Units(groups=names), len(names)))
    assert {len({fold for fold, other in zip(found, names, strict=True) if other == name}) for name in names} == {1}
    assert set(found.tolist()) == set(range(FOLDS))


def test_a_draw_counts_for_the_class_of_its_first_unit() -> None:
    assert folds(table(Units(np.array([0, 1, 1, 0]), ["a", "b", "a", "c"]), 4)).tolist() == [0, 2, 0, 1]


def test_fewer_draws_than_folds_are_a_fold_each() -> None:
    assert folds(table(INDEPENDENT, 3)).tolist() == [0, 1, 2]
    assert folds(table(Units(groups=["x", "x"]), 2)).tolist() == [0, 0]


def test_a_single_held_back_draw_measures_what_the_train_units_choose() -> None:
    search = part(initial=[0] * 5, a=[1, 1, 1, 1, 0], b=[0] * 5)
    selection = part(initial=[0, 0], a=[0, 1], b=[1, 1])
    found = choose(search, selection, held_back=Units(groups=["x", "x"]))
    assert (found.gain, found.standard_error) == (0.5, None)


def test_the_gain_counts_units_and_its_error_draws() -> None:
    # Draws of three, two and one unit, a fold each, gain 3, 1, 0: sums around 2/3 are 1, -1/3, -2/3; 3/2 · 14/9 / 36.
    search, selection = part(initial=[0] * 10, a=[1] * 10), part(initial=[0] * 6, a=[1, 1, 1, 1, 0, 0])
    found = choose(search, selection, held_back=Units(groups=list("xxxyyz")))
    assert (found.gain, found.standard_error) == (pytest.approx(2 / 3), pytest.approx(math.sqrt(7 / 108)))


def test_the_shortest_of_the_equally_good_is_taken() -> None:
    n = 400
    best = np.arange(n) < 200
    lucky = np.roll(best, 5) & ~(np.arange(n) == 100)  # 11 units differ, and one less is right
    worse = np.arange(n) < 180
    names = [
        "a photo of a <CLASS>",
        "one two three four <CLASS>",
        "one two three <CLASS>",
        "<CLASS>",
        "one <CLASS> two",
    ]
    rows = [np.zeros(n, dtype=bool), best, lucky, worse, best]
    table = ScoreTable.of("search", [score(name, hits) for name, hits in zip(names, rows, strict=True)], INDEPENDENT)
    assert shortest(table, 1) == 4  # as good, and shorter
    assert shortest(table.take(np.arange(n) >= 0), 1) == 4
    without = ScoreTable.of("search", [score(names[i], rows[i]) for i in range(4)], INDEPENDENT)
    assert shortest(without, 1) == 2  # not clearly worse; the shortest of all is, by 20 units
    assert shortest(without, 3) == 3


def test_a_shorter_template_within_one_error_but_not_within_half_is_not_taken() -> None:
    # On one less of 16 units right, and three differ: worse by 0.06, with an error of 0.11.
    hits = {"initial": [0] * 16, "a b c": [1] * 15 + [0], "a b": [0] + [1] * 13 + [0, 1]}
    assert choose(part(**hits)).template == "a b c"


def test_what_only_equals_the_initial_template_is_not_taken_for_being_short() -> None:
    n = 100
    initial, equal = np.arange(n) < 40, (np.arange(n) >= 7) & (np.arange(n) < 47)
    best = (np.arange(n) < 20) | (np.arange(n) >= 68)  # 12 ahead of both, on ten draws of ten units that swing widely
    better = equal | (np.arange(n) == 99)
    draws = [("part", unit // 10) for unit in range(n)]

    def table(short: Any) -> ScoreTable:
        hits = np.stack([initial, best, short]).astype(np.float64)
        return ScoreTable(hits, np.ones_like(hits), hits, np.array([5, 6, 1]), [None] * n, draws)

    difference = table(equal).hits[1] - table(equal).hits[2]
    error = math.sqrt(table(equal).sampling.these(difference).value)
    assert difference.mean() < AS_GOOD * error, "as good as the best"
    assert shortest(table(equal), 1) == 1
    assert shortest(table(better), 1) == 2
