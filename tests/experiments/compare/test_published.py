"""The published numbers against themselves: rows against printed averages, H against base and new."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from ipo_prompts.experiments.compare import published
from ipo_prompts.experiments.compare.published import (
    ablated_settings,
    ablations_of,
    data_key,
    library,
    published_rows,
    section,
)
from ipo_prompts.experiments.data.benchmarks import REGISTRY
from ipo_prompts.metrics.sampling import harmonic_mean

TABLES = [table for table in library().tables if table.protocol == "base-to-new"]
ELEVEN = list(library().tables[0].rows)
SHA256 = "c651f4c5a11ec72012064a566f35fb97a7c0ec34463d71ad978f1a6b2272a4d1"
NUMBERS = 1_374
"""Printed numbers in the file."""
BASE_PICTURES = {
    "imagenet": 25_000,
    "caltech101": 1_549,
    "oxford_pets": 1_881,
    "stanford_cars": 4_002,
    "oxford_flowers": 1_053,
    "food101": 15_300,
    "fgvc_aircraft": 1_666,
    "sun397": 9_950,
    "dtd": 864,
    "eurosat": 4_200,
    "ucf101": 1_934,
}
"""Test pictures of the base classes in the official splits."""


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
        (None, "baseline", (68.27, 73.99, 71.02)),
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


def _bounds(base, new):
    """What H can be, where base and new were rounded to two decimals."""
    return harmonic_mean(base - 0.005, new - 0.005), harmonic_mean(base + 0.005, new + 0.005)


def _h_differs(row):
    low, high = _bounds(row["base"], row["new"])
    rounding = 0.005 if round(row["H"], 2) == row["H"] else 0.0005  # one H is printed with three decimals
    return not low - rounding - 1e-9 <= row["H"] <= high + rounding + 1e-9


def _differences():
    """Every printed number that its neighbours contradict beyond rounding: (where, row, column) → what they give."""
    found = {}
    for place, table in enumerate(library().tables):
        for name, row in [*table.rows.items(), *([("average", table.average)] if table.average else [])]:
            if "H" in row and _h_differs(row):
                found["tables", place, name, "H"] = harmonic_mean(row["base"], row["new"])
            targets = [value for column, value in row.items() if column not in ("source", "mean")]
            if "mean" in row and abs(sum(targets) / len(targets) - row["mean"]) > 0.0101:
                found["tables", place, name, "mean"] = sum(targets) / len(targets)
        for side in ("base", "new") if table.average and table.rows else ():
            mean = sum(row[side] for row in table.rows.values()) / len(table.rows)
            if abs(mean - table.average[side]) > 0.0101:
                found["tables", place, "average", side] = mean
    for place, ablation in enumerate(library().ablations):
        for name, row in ablation.values.items():
            if _h_differs(row):
                found["ablations", place, name, "H"] = harmonic_mean(row["base"], row["new"])
    for table in library().templates:
        for place, row in enumerate(table.rows):
            if _h_differs(row.model_dump()):
                found["templates", table.data, place, "H"] = harmonic_mean(row.base, row.new)
    return found


def _noted():
    found = {}
    for part in ("tables", "ablations"):
        for place, entry in enumerate(getattr(library(), part)):
            for name, follows in entry.follows.items():
                found |= {(part, place, name, column): value for column, value in follows.items()}
    for table in library().templates:
        for place, row in enumerate(table.rows):
            found |= {("templates", table.data, place, column): value for column, value in row.follows.items()}
    return found


def test_what_contradicts_its_neighbours_beyond_rounding_is_noted_and_nothing_else_is():
    differences = _differences()
    assert set(_noted()) == set(differences)
    assert _noted() == pytest.approx(differences, abs=0.00501)
    assert len(differences) == 12


def test_the_numbers_are_those_that_were_read():
    file = Path(published.__file__).with_name("published.yaml")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SHA256
    whole = library()
    rows = [row for table in whole.tables for row in (*table.rows.values(), table.average)]
    rows += [row for ablation in whole.ablations for row in ablation.values.values()]
    rows += [{"base": row.base, "new": row.new, "H": row.H} for table in whole.templates for row in table.rows]
    assert sum(len(row) for row in rows) == NUMBERS


@pytest.mark.parametrize("method", ["coop", "cocoop", "maple", "promptsrc"])
def test_the_16_shot_rows_of_the_compared_methods_average_to_the_printed_row(method):
    table = _of("base-to-new", 16, method)
    base, new, _ = _mean_of_rows(table)
    assert (base, new) == pytest.approx((table.average["base"], table.average["new"]), abs=0.011)


def test_the_16_shot_row_of_ipo_contradicts_its_own_rows_and_says_so():
    table = _of("base-to-new", 16, "ipo")
    assert table.average == {"base": 79.92, "new": 80.51, "H": 80.21}
    assert _mean_of_rows(table) == pytest.approx((83.24, 78.47, 80.79), abs=0.0101)
    (row,) = (row for row in published_rows("base-to-new", 16, ELEVEN) if row.data is None and row.method == "ipo")
    assert "83.24" in row.note and "78.47" in row.note and "Not a target." in row.note


def test_every_number_was_read_in_the_paper():
    for entry in [*library().tables, *library().ablations]:
        assert entry.source.startswith("IPO paper (arXiv 2410.15397), Table"), entry.source
    assert all(table.checked for table in library().templates)


def test_rows_for_a_table_of_ours():
    rows = published_rows("base-to-new", 1, ["eurosat", "Oxford-Pets", "embedded:a"])
    assert {row.data for row in rows} == {"eurosat", "Oxford-Pets"}
    compared = {"coop", "cocoop", "maple", "promptsrc", "coprompt"}
    assert {row.method for row in rows} == {"baseline", "hand-written", "ipo", *compared}
    found = next(row for row in rows if row.method == "ipo" and row.data == "Oxford-Pets")
    assert found.values == {"base": 94.48, "new": 97.93, "H": 96.43}
    assert "1-shot" in found.source
    assert found.note == "The printed H (96.43) does not follow from its neighbours, which give 96.17."
    assert [row.note for row in rows if row.data == "eurosat"] == [""] * 8


def test_the_published_average_stands_only_beside_the_same_eleven():
    assert sum(row.data is None for row in published_rows("base-to-new", 1, ELEVEN)) == 8
    assert not any(row.data is None for row in published_rows("base-to-new", 1, ELEVEN[:-1]))
    assert not any(row.data is None for row in published_rows("base-to-new", 1, [*ELEVEN, "embedded:a"]))


def test_shots_choose_the_rows():
    assert not published_rows("base-to-new", 4, ["eurosat"])[2:]
    ipo = [row.values for row in published_rows("base-to-new", 16, ["dtd"]) if row.method == "ipo"]
    assert ipo == [{"base": 82.14, "new": 66.81, "H": 73.69}]
    assert published_rows("few-shot", 1, ["dtd"]) == []


@pytest.mark.parametrize(
    ("name", "key"), [("UCF101", "ucf101"), ("oxford_flowers", "flowers102"), ("Caltech", "caltech101")]
)
def test_usual_names_are_known(name, key):
    assert data_key(name) == key


@pytest.mark.parametrize("setting", ablated_settings())
def test_every_published_value_of_an_ablation_is_printed(setting):
    for ablation in ablations_of(setting, ELEVEN):
        text = section(ablation)
        printed = re.findall(r"\d+\.\d\d(?= *\|)", text)
        assert printed == [f"{value:.2f}" for row in ablation.values.values() for value in row.values()]
        assert f"Source: {ablation.source}" in text


def test_the_printed_mean_over_targets_counts_the_source():
    (row,) = (row for row in published_rows("cross-dataset", 16, ["imagenet"]) if row.method == "ipo")
    values = dict(row.values)
    mean = values.pop("mean")
    assert sum(values.values()) / len(values) == pytest.approx(mean, abs=0.005)
    assert "which give 66.88" in row.note and "+1.14 over CoCoOp, not +1.62" in row.note


def test_food101_is_said_to_start_from_another_template():
    rows = [row for row in published_rows("base-to-new", 1, ELEVEN) if "hand-written template" in row.note]
    assert [(row.method, row.data) for row in rows] == [("ipo", "food101")]
    start = re.search('"(a photo of a .*food[.])"', rows[0].note)[1]
    assert start.replace("of a", "of").replace("[CLASS]", "<CLASS>") == REGISTRY["food101"].hand_written


def test_printed_templates_are_those_of_the_paper():
    tables = library().templates
    assert [table.data for table in tables] == list(REGISTRY)[:11]
    final = [row for table in tables for row in table.rows if row.note]
    assert Counter(row.note for row in final) == {"Final template, 1 shot.": 12, "Final template, 16 shots.": 11}
    assert not any(row.decides for row in final)
    distinct = {(table.data, row.template) for table in tables for row in table.rows if "16" not in row.note}
    assert len(distinct) == 237
    assert sum(len(table.rows) for table in tables) == 251
    assert sum(row.decides for table in tables if table.decides for row in table.rows) == 187
    for table in tables:
        (baseline,) = (row for row in table.rows if row.template == "a photo of a <CLASS>.")
        assert library().tables[0].rows[data_key(table.data)] == {
            "base": baseline.base,
            "new": baseline.new,
            "H": baseline.H,
        }


def _is_a_count(percent, n):
    hits = int(percent * n / 100)
    return any(abs(round(100 * near / n, 2) - percent) < 0.0051 for near in (hits, hits + 1))


def test_rows_decide_where_they_print_whole_numbers_of_the_official_test_pictures():
    for table in library().templates:
        base = BASE_PICTURES[table.data]
        new = REGISTRY[table.data].sizes[2] - base
        known = library().tables[1].rows[data_key(table.data)]
        assert _is_a_count(known["base"], base) and _is_a_count(known["new"], new), "these sizes are the official ones"
        counts = [(_is_a_count(row.base, base), _is_a_count(row.new, new)) for row in table.rows if row.decides]
        share = sum(map(sum, counts)) / (2 * len(counts))
        assert share == 1 if table.decides else share < 0.4, table.data
        assert bool(table.note) != table.decides
