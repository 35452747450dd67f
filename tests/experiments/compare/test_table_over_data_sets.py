"""Tables over several data sets: the means first, one number a data set, all else apart."""

from __future__ import annotations

import re

import pytest

from ipo_prompts.experiments.compare.printing import details, to_markdown
from ipo_prompts.experiments.compare.scores import Placed
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.words import notes
from support.scored_cells import SKILLS, gain_of, make_cells, score_of

DATA = ("a1", "a2", "a3", "a4", "a5")
TODAY = "today's default"


@pytest.fixture(scope="module")
def cells() -> list[Placed]:
    """A row with a label of its own, and one that has no value for new classes."""
    found = make_cells(DATA, {**SKILLS, TODAY: 0.8, "prototype": 1.0})
    for cell in found:
        if cell.row == "prototype":
            del cell.done.tests["new"]
    return found


def lines_of(text: str, method: str) -> list[list[str]]:
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|")
    return [row for row in rows if row[0] == method]


def test_the_first_table_is_the_answer(cells: list[Placed]) -> None:
    table = build_table(cells)
    text = to_markdown(table)
    assert text.splitlines()[2] == "Means over 5 data sets:"
    (first,) = lines_of(text, "ipo-default")
    score = score_of(table, "average", "ipo-default", "H")
    low, high = 100 * score.low, 100 * score.high
    assert first[3] == f"{100 * score.value:.2f} [{low:.1f}, {high:.1f}]"
    verdict = gain_of(table, "average", "ipo-default", "baseline", "H")
    assert first[4].startswith(f"+{100 * verdict.mean:.2f}* [") and first[5] == "–"
    assert first[6:] == ["5", "6", "40", "0"]


def test_each_data_set_has_one_number_a_method(cells: list[Placed]) -> None:
    table = build_table(cells)
    text = to_markdown(table)
    values, gains = lines_of(text, "a3")
    place, gain_place = (header.index("ipo-default") for header in lines_of(text, "data")[:2])
    score = score_of(table, "a3", "ipo-default", "H")
    assert values[place] == f"{100 * score.value:.1f} ±{50 * (score.high - score.low):.1f}"
    gain = gain_of(table, "a3", "ipo-default", "baseline", "H")
    assert gains[gain_place] == f"+{100 * gain.mean:.1f}* ±{50 * (gain.ci95[1] - gain.ci95[0]):.1f}"
    assert "a3" in details(table) and "Gain of ipo-default over each method in H" in details(table)


def test_a_method_without_a_value_for_new_classes_leaves_the_others_theirs(cells: list[Placed]) -> None:
    table = build_table(cells)
    (row,) = lines_of(to_markdown(table), "prototype")
    assert re.fullmatch(r"\d+\.\d\d", row[1]) and row[2:6] == ["–", "–", "–", "–"]
    assert "prototype has no value for new." in notes(table)
    assert gain_of(table, "average", "prototype", "baseline", "base").mean > 0
    without = build_table([cell for cell in cells if cell.row != "prototype"])
    assert score_of(table, "average", "ipo-default", "H") == score_of(without, "average", "ipo-default", "H")


def test_a_method_that_lacks_a_data_set_has_no_mean_and_the_table_says_of_how_many(cells: list[Placed]) -> None:
    kept = [cell for cell in cells if (cell.data, cell.row) != ("a2", "phrases")]
    (row,) = lines_of(to_markdown(build_table(kept)), "phrases")
    assert row[1:] == ["– (note 1)"] * 3 + ["–", "–", "4 of 5", "–", "–", "–"]
