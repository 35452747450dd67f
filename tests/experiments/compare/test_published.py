"""The published numbers against themselves: rows against printed averages, H against base and new."""

import re

import pytest

from ipo.experiments.compare.published import ablated_settings, ablations_of, data_key, library, published_rows, section
from ipo.metrics.statistics import harmonic_mean

TABLES = [table for table in library().tables if table.protocol == "base-to-new"]
ELEVEN = list(library().tables[0].rows)


def _of(protocol, shots, method):
    return next(t for t in library().tables if (t.protocol, t.shots, t.method) == (protocol, shots, method))


def _mean_of_rows(table):
    base, new = (sum(row[side] for row in table.rows.values()) / len(table.rows) for side in ("base", "new"))
    return base, new, harmonic_mean(base, new)


@pytest.mark.parametrize(
    ("shots", "method", "printed"),
    [
        (1, "ipo", (71.76, 77.00, 74.29)),
        (None, "hand-written", (69.34, 74.22, 71.70)),
        (None, "anchor", (68.27, 73.99, 71.02)),
    ],
)
def test_rows_average_to_the_printed_row(shots, method, printed):
    table = _of("base-to-new", shots, method)
    assert len(table.rows) == 11
    assert tuple(table.average.values()) == printed
    assert _mean_of_rows(table) == pytest.approx(printed, abs=0.0101)


def test_the_mean_of_the_h_values_is_another_number():
    rows = _of("base-to-new", None, "hand-written").rows.values()
    assert sum(row["H"] for row in rows) / 11 == pytest.approx(71.59, abs=0.005)


@pytest.mark.parametrize(
    ("shots", "method", "printed"),
    [
        (None, "hand-written", 71.70),
        (1, "coop", 69.29),
        (1, "cocoop", 72.51),
        (1, "maple", 71.21),
        (1, "promptsrc", 72.41),
        (1, "ipo", 74.29),
    ],
)
def test_h_of_the_average_row_is_that_of_the_averaged_columns(shots, method, printed):
    average = _of("base-to-new", shots, method).average
    assert average["H"] == printed
    assert harmonic_mean(average["base"], average["new"]) == pytest.approx(printed, abs=0.0101)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.method}-{table.shots}")
def test_every_h_follows_from_its_row_or_is_noted(table):
    for data, row in [*table.rows.items(), ("average", table.average)]:
        if harmonic_mean(row["base"], row["new"]) != pytest.approx(row["H"], abs=0.0101):
            assert data in table.note


@pytest.mark.parametrize("method", ["coop", "cocoop", "maple", "promptsrc"])
def test_the_16_shot_rows_of_the_compared_methods_average_to_the_printed_row(method):
    table = _of("base-to-new", 16, method)
    base, new, _ = _mean_of_rows(table)
    assert (base, new) == pytest.approx((table.average["base"], table.average["new"]), abs=0.011)


def test_the_16_shot_row_of_ipo_contradicts_its_own_rows_and_says_so():
    table = _of("base-to-new", 16, "ipo")
    assert table.average == {"base": 79.92, "new": 80.51, "H": 80.21}
    assert _mean_of_rows(table) == pytest.approx((83.24, 78.47, 80.79), abs=0.0101)
    assert "83.24 / 78.47 / 80.79" in table.note


@pytest.mark.parametrize("table", [t for t in library().tables if t.protocol != "base-to-new"], ids=lambda t: t.method)
def test_means_over_targets_are_as_printed_or_noted(table):
    (row,) = table.rows.values()
    targets = [value for column, value in row.items() if column not in ("source", "mean")]
    follows = sum(targets) / len(targets) == pytest.approx(row["mean"], abs=0.0101)
    assert follows == (not table.note)


def test_ablations_follow_from_their_parts_or_are_noted():
    for ablation in library().ablations:
        for setting, row in ablation.values.items():
            if "base" in row and harmonic_mean(row["base"], row["new"]) != pytest.approx(row["H"], abs=0.0101):
                assert setting in ablation.note


def test_what_was_not_read_in_its_source_says_so():
    for entry in [*library().tables, *library().ablations]:
        assert entry.checked == ("not re-checked" not in entry.source)
    unchecked = {(t.protocol, t.method) for t in library().tables if not t.checked}
    assert ("base-to-new", "hand-written") in unchecked
    assert {m for p, m in unchecked if p == "domain-generalization"} == {
        "hand-written",
        "coop",
        "cocoop",
        "maple",
        "promptsrc",
    }


def test_rows_for_a_table_of_ours():
    rows = published_rows("base-to-new", 1, ["eurosat", "Oxford-Pets", "embedded:a"])
    assert {row.data for row in rows} == {"eurosat", "Oxford-Pets"}
    assert {row.method for row in rows} == {"anchor", "hand-written", "ipo"}
    found = next(row for row in rows if row.method == "ipo" and row.data == "Oxford-Pets")
    assert found.values == {"base": 94.48, "new": 97.93, "H": 96.43}
    assert "1-shot" in found.source


def test_the_published_average_stands_only_beside_the_same_eleven():
    assert sum(row.data is None for row in published_rows("base-to-new", 1, ELEVEN)) == 7
    assert not any(row.data is None for row in published_rows("base-to-new", 1, ELEVEN[:-1]))
    assert not any(row.data is None for row in published_rows("base-to-new", 1, [*ELEVEN, "embedded:a"]))


def test_shots_choose_the_rows():
    assert not published_rows("base-to-new", 4, ["eurosat"])[2:]
    ipo = [row.values for row in published_rows("base-to-new", 16, ["dtd"]) if row.method == "ipo"]
    assert ipo == [{"base": 82.14, "new": 66.81, "H": 73.69}]
    assert published_rows("few-shot", 1, ["dtd"]) == []


@pytest.mark.parametrize(
    ("name", "key"), [("UCF101", "ucf101"), ("oxford_flowers", "flowers102"), ("imagenet-a", "imageneta")]
)
def test_usual_names_are_known(name, key):
    assert data_key(name) == key


@pytest.mark.parametrize("setting", ablated_settings())
def test_every_published_value_of_an_ablation_is_printed(setting):
    for ablation in ablations_of(setting):
        text = section(ablation)
        printed = re.findall(r"\d+\.\d\d(?= *\|)", text)
        assert printed == [f"{value:.2f}" for row in ablation.values.values() for value in row.values()]
        assert f"Source: {ablation.source}" in text
