"""Tables of synthetic cells: values, intervals, averages, gains, costs."""

from statistics import harmonic_mean

import numpy as np
import pytest

from ipo_prompts.experiments.compare.printing import details, to_markdown
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.words import notes, verdicts
from ipo_prompts.metrics.evidence import paired_difference, score_interval
from ipo_prompts.metrics.sampling import Sampling
from support.scored_cells import CLASSES, PER_CLASS, SKILLS, columns_of, gain_of, make_cell, make_cells, score_of


def test_one_seed_on_one_data_set_is_the_plain_comparison():
    cells = make_cells(("embedded:a",), seeds=1, sides=("test",), protocol="few-shot")
    table = build_table(cells)
    scores = {cell.row: cell.sides["test"] for cell in cells}
    ours, baseline = (scores[method].values == 1 for method in ("ipo-default", "baseline"))
    drawn = Sampling.of(120, scores["baseline"].labels)
    found = score_of(table, "embedded:a", "ipo-default", "test")
    assert (found.low, found.high) == pytest.approx(score_interval(ours, drawn))
    assert found.value == pytest.approx(ours.mean())
    gain = gain_of(table, "embedded:a", "ipo-default", "baseline", "test")
    expected = paired_difference(baseline, ours, drawn)
    assert (gain.mean, *gain.ci95) == pytest.approx((expected.mean, expected.low, expected.high), abs=1e-6)
    assert gain.p == pytest.approx(expected.p, abs=1e-6)
    assert any("One seed" in note for note in notes(table))
    assert all("One seed" in sentence for sentence in verdicts(table) if "IPO shows" in sentence)


def test_average_row_is_h_of_the_averaged_columns_and_the_mean_of_h_is_beside_it():
    table = build_table(make_cells())
    parts = [
        score_of(table, data, "ipo-default", column).value
        for data in ("embedded:a", "embedded:b")
        for column in ("base", "new")
    ]
    base, new = (parts[0] + parts[2]) / 2, (parts[1] + parts[3]) / 2
    assert score_of(table, "average", "ipo-default", "base").value == pytest.approx(base)
    assert score_of(table, "average", "ipo-default", "H").value == pytest.approx(harmonic_mean([base, new]))
    mean_of_h = (harmonic_mean(parts[:2]) + harmonic_mean(parts[2:])) / 2
    assert score_of(table, "average", "ipo-default", "mean of H").value == pytest.approx(mean_of_h)
    assert score_of(table, "embedded:a", "ipo-default", "mean of H") is None


def test_h_interval_follows_from_moving_the_hits():
    """The linearised interval of H against redrawing images within classes a thousand times (a plain bootstrap)."""
    table = build_table(make_cells(("embedded:a",), seeds=1))
    found = score_of(table, "embedded:a", "ipo-default", "H")
    cell = make_cell("embedded:a", "ipo-default", 0, SKILLS["ipo-default"])
    sides = [side.values.reshape(CLASSES, PER_CLASS) for side in cell.sides.values()]
    rng = np.random.default_rng(1)
    rows = np.arange(CLASSES)[:, None]
    drawn = [
        harmonic_mean([side[rows, rng.integers(0, PER_CLASS, side.shape)].mean() for side in sides])
        for _ in range(1000)
    ]
    assert (found.high - found.low) / 2 == pytest.approx(2.1 * np.std(drawn), rel=0.15)


def test_p_is_corrected_for_the_comparisons_of_the_method_in_the_row():
    table = build_table(make_cells(("embedded:a",)))
    gains = table.frame[(table.frame.over != "") & (table.frame["column"] == "H")]
    family = gains[gains.method == "ipo-default"].set_index("over")
    assert {*family.index} == {"baseline", "hand-written", "ensemble-80", "phrases"}
    assert {*family.comparisons} == {4}
    smallest = family.loc[family.p.astype(float).idxmin()]
    assert smallest.p_corrected == pytest.approx(min(1.0, 4 * smallest.p), abs=1e-5)
    assert {*gains[gains.method == "phrases"].comparisons} == {3}


def test_with_and_without_eurosat():
    table = build_table(make_cells(("EuroSAT", "dtd", "embedded:a")))
    without = build_table(make_cells(("dtd", "embedded:a")))
    name = "average without EuroSAT"
    assert [scope.name for scope in table.scopes] == ["dtd", "EuroSAT", "embedded:a", "average", name]
    assert score_of(table, name, "ipo-default", "H") == score_of(without, "average", "ipo-default", "H")
    assert sum(sentence.startswith(name) for sentence in verdicts(table)) == len(verdicts(table)) / 2
    assert name not in to_markdown(without)
    assert name not in to_markdown(build_table(make_cells(("eurosat",))))
    assert name not in to_markdown(build_table(make_cells(("eurosat:a", "eurosat:b"))))


def test_cross_dataset_has_a_column_per_target_and_their_mean():
    sides = ("source", "dtd", "eurosat", "ucf101")
    cells = make_cells(("imagenet",), sides=sides, protocol="cross-dataset")
    table = build_table(cells, shots=16)
    assert table.columns == (*sides, "mean", "mean without EuroSAT")
    values = [score_of(table, "imagenet", "ipo-default", side).value for side in sides]
    assert score_of(table, "imagenet", "ipo-default", "mean").value == pytest.approx(sum(values[1:]) / 3)
    assert score_of(table, "imagenet", "ipo-default", "mean without EuroSAT").value == pytest.approx(
        (values[1] + values[3]) / 2
    )
    assert gain_of(table, "imagenet", "ipo-default", "baseline", "mean").covers == "these data sets"
    assert [scope.name for scope in table.scopes] == ["imagenet"]
    assert columns_of(to_markdown(table), "*IPO, published*")[3:8] == ["72.15", "47.01", "48.56", "69.23", "67.36"]


def _leave_out(cells, name):
    for cell in cells:
        if cell.row == "prototype":
            del cell.done.tests[name]
            cell.done.gaps[name] = "no images of these were seen"


def test_a_method_that_cannot_be_tested_everywhere_has_its_values_and_gaps_with_the_reason():
    cells = make_cells(("embedded:a", "embedded:b"), {"baseline": 0.0, "prototype": 2.0, "ipo-default": 1.0})
    _leave_out(cells, "new")
    table = build_table(cells)
    for scope in ("embedded:a", "average"):
        base, new, both = (table.line(scope, "prototype", column) for column in ("base", "new", "H"))
        assert base.value > 0 and new.value is both.value is None
        assert new.gap == both.gap == "no images of these were seen"
        assert gain_of(table, scope, "prototype", "baseline", "base").outcome == "gain"
        compared = table.frame[(table.frame.over != "") & (table.frame[["method", "over"]] == "prototype").any(axis=1)]
        assert {*compared["column"]} == {"base"}
    assert columns_of(details(table), "embedded:a | prototype ")[4:7] == ["– (note 1)"] * 3
    assert "- (note 1) no images of these were seen" in details(table)


def test_a_mean_over_fewer_targets_than_the_others_is_not_made():
    kind = {"sides": ("source", "dtd", "ucf101"), "protocol": "cross-dataset"}
    cells = make_cells(("imagenet",), {"baseline": 0.0, "prototype": 2.0}, **kind)
    _leave_out(cells, "dtd")
    table = build_table(cells)
    gaps = {column: table.line("imagenet", "prototype", column).gap for column in table.columns}
    assert gaps["ucf101"] is None and {column for column, gap in gaps.items() if gap} == {"dtd", "mean"}


def test_optimism_is_the_gain_on_search_minus_the_gain_on_test():
    cells = make_cells(("embedded:a",))
    for cell in cells:
        cell.done.shown["train"] = 0.95 if cell.row == "ipo-default" else 0.25
    table = build_table(cells)
    found = {method: table.first("embedded:a", method) for method in table.methods}
    on_test = gain_of(table, "embedded:a", "ipo-default", "baseline", "base").mean
    assert found["ipo-default"].optimism == pytest.approx(0.7 - on_test)
    assert found["ipo-default"].test == pytest.approx(score_of(table, "embedded:a", "ipo-default", "base").value)
    assert found["baseline"].optimism == pytest.approx(0.0)
