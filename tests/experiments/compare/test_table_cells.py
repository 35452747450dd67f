"""Cells that are put together: seeds and gaps, and what cannot be compared."""

from dataclasses import replace

import pytest

from ipo_prompts.experiments.compare.printing import details, to_markdown
from ipo_prompts.experiments.compare.scores import align
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.words import verdicts
from ipo_prompts.experiments.run.result import RewardNames
from ipo_prompts.metrics.errors import InputError
from support.scored_cells import altered, gain_of, make_cells, retest


def test_absent_cells_are_marked_with_their_reason():
    reasons = {"hand-written": "no hand-written template exists", "phrases": "failed: the server | hung up"}
    cells = make_cells()
    for place, cell in enumerate(cells):
        if cell.data == "embedded:a" and (cell.row == "hand-written" or (cell.row, cell.seed) == ("phrases", 2)):
            cells[place] = replace(cell, result=None, absent=reasons[cell.row])
    table = build_table(cells)
    assert table.first("embedded:a", "hand-written").remark == "no hand-written template exists"
    assert table.first("average", "hand-written").remark == "no hand-written template exists (embedded:a)"
    assert table.first("embedded:a", "phrases").seeds == 2
    assert table.line("embedded:a", "ipo-default", over="phrases").seeds == 2
    text = to_markdown(table)
    assert "– (note 1)" in text and "(note 1) no hand-written template exists (embedded:a)\n" in text
    assert "| 2 (note 2) " in text and "- (note 2) failed: the server \\| hung up\n" in text
    assert "– (note 1)" in details(table) and "(note 1) no hand-written template exists\n" in details(table)
    assert any(
        "hand-written template are not compared; one of them is absent" in sentence for sentence in verdicts(table)
    )


def test_a_method_that_no_seed_changes_is_compared_under_every_seed():
    whole = make_cells(("embedded:a",))
    cells = [cell for cell in whole if cell.row != "baseline" or cell.seed == 0]
    tables = build_table(cells), build_table(whole)
    alone, of_whole = (gain_of(table, "embedded:a", "ipo-default", "baseline", "H") for table in tables)
    assert alone == of_whole and tables[0].line("embedded:a", "ipo-default", over="baseline").seeds == 3


def test_methods_are_paired_by_seed():
    cells = make_cells(("embedded:a",))
    cells = [cell for cell in cells if (cell.row, cell.seed) != ("phrases", 1)]
    runs = build_table(cells).runs
    ours, theirs = align(runs["embedded:a", "ipo-default"], runs["embedded:a", "phrases"])
    assert ours.seeds == theirs.seeds == (0, 2)
    assert [cell.seed for cell in ours.cells] == [0, 2]


@pytest.mark.parametrize(
    ("about", "sentence"),
    [
        (
            {"images": "other"},
            "embedded:a / baseline / seed 0 and embedded:a / ipo-default / seed 2 were tested on different base",
        ),
        ({"labels": (99,) * 120}, "different base images or groups"),
    ],
)
def test_other_images_cannot_be_compared(about, sentence):
    cells = make_cells(("embedded:a",))
    retest(cells[-1], "test", **about)
    with pytest.raises(InputError, match=sentence):
        build_table(cells)


def test_two_measures_cannot_be_compared():
    cells = make_cells(("embedded:a",))
    cells[0] = altered(cells[0], reward=RewardNames(measure="mean IoU"))
    with pytest.raises(InputError, match="cannot hold the measures accuracy and mean IoU"):
        build_table(cells)
