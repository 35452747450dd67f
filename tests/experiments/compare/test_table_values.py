"""Rewards whose units are not right or wrong: a number a unit, under the name of its measure."""

import pytest
from scipy import stats

from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.run.result import RewardNames
from support.scored_cells import altered, gain_of, make_cell, retest, score_of

IOU = {"baseline": [[0.1, 0.2, 0.3, 0.4]], "ipo-default": [[0.3, 0.3, 0.5, 0.7]]}


def _cells(values):
    """Cells whose units have numbers: `values` instead of hits."""
    cells = []
    for method, seeds in values.items():
        for seed, found in enumerate(seeds):
            cell = make_cell("dtd", method, seed, 0.0, ["test"], "few-shot")
            retest(cell, "test", labels=None, hits={"answer": tuple(found)})
            cells.append(altered(cell, reward=RewardNames(measure="mean IoU", unit="scenes")))
    return cells


def test_values_have_t_intervals_by_hand():
    table = build_table(_cells(IOU))
    score = score_of(table, "dtd", "ipo-default", "test")
    # 0.45 with deviations -0.15, -0.15, 0.05, 0.25: squares add up to 0.11, se = sqrt(0.11 / 3 / 4) = 0.09574
    # 95 % of t with 3 degrees of freedom: 3.18245
    assert (score.value, score.low, score.high) == pytest.approx((0.45, 0.45 - 0.30470, 0.45 + 0.30470), abs=1e-5)
    assert (score.n, score.draws) == (4, 4)
    gain = gain_of(table, "dtd", "ipo-default", "baseline", "test")
    # 0.2 with deviations 0, -0.1, 0, 0.1: squares 0.02, times 4/3; two more of the mean square of 0.2, 0.1, 0.2, 0.3,
    # which is 0.045: se = sqrt(0.02 * 4 / 3 + 0.09) / 4 = 0.085391; t with 3 degrees of freedom
    assert (gain.mean, *gain.ci95) == pytest.approx((0.2, 0.2 - 0.271752, 0.2 + 0.271752), abs=1e-5)
    assert gain.p == pytest.approx(2 * stats.t.sf(0.2 / 0.085391, 3), abs=1e-5)


def test_variants_count_once():
    cells = _cells(IOU)
    for cell in cells:
        retest(cell, "test", draws=(0, 0, 1, 1))
    gain = gain_of(build_table(cells), "dtd", "ipo-default", "baseline", "test")
    # Two draws of sums 0.3 and 0.5, deviations -0.1 and 0.1: squares 0.02, times 2/1; two more of the mean square
    # 0.17: se = sqrt(0.04 + 0.34) / 4; t with 1 degree: 12.70620
    half = 12.70620 * (0.04 + 0.34) ** 0.5 / 4
    assert gain.ci95 == pytest.approx((-1.0, 1.0)) and half > 1
    assert gain.p == pytest.approx(2 * stats.t.sf(0.2 / (half / 12.70620), 1), abs=1e-5)


def test_seeds_widen_an_interval_of_values():
    cells = _cells({**IOU, "ipo-default": [*IOU["ipo-default"], [0.32, 0.32, 0.52, 0.72]]})
    score = score_of(build_table(cells), "dtd", "ipo-default", "test")
    # The same spread over scenes as with one seed, t(3); seeds 0.45 and 0.47: variance 0.0002 / 2 with 1 degree.
    scenes = (0.30470 / 3.182446) ** 2
    degrees = (scenes + 0.0001) ** 2 / (scenes**2 / 3 + 0.0001**2 / 1)
    half = stats.t.ppf(0.975, degrees) * (scenes + 0.0001) ** 0.5
    assert (score.value, score.sd) == pytest.approx((0.46, 0.0002**0.5))
    assert (score.low, score.high) == pytest.approx((0.46 - half, 0.46 + half), abs=1e-5)
