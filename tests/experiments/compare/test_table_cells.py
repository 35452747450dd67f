"""Cells that are put together: seeds and gaps, and what cannot be compared."""

import pytest

from ipo_prompts.experiments.compare.printing import details, to_markdown
from ipo_prompts.experiments.compare.scores import align
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.words import verdicts
from ipo_prompts.metrics.errors import InputError
from support.scored_cells import gain_of, make_cells


def test_absent_cells_are_marked_with_their_reason():
    cells = [
        cell
        for cell in make_cells()
        if (cell["cell"]["data"], cell["cell"]["method"]) != ("embedded:a", "hand-written")
    ]
    about = {"protocol": "base-to-new", "data": "embedded:a", "method": "hand-written"}
    cells += [{"cell": {**about, "seed": seed}, "absent": "no hand-written template exists"} for seed in range(3)]
    failed = next(cell for cell in cells if cell["cell"]["method"] == "phrases" and cell["cell"]["seed"] == 2)
    cells[cells.index(failed)] = {"cell": failed["cell"], "absent": "failed: the server | hung up"}
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
    cells = [cell for cell in whole if cell["cell"]["method"] != "baseline" or cell["cell"]["seed"] == 0]
    tables = build_table(cells), build_table(whole)
    alone, of_whole = (gain_of(table, "embedded:a", "ipo-default", "baseline", "H") for table in tables)
    assert alone == of_whole and tables[0].line("embedded:a", "ipo-default", over="baseline").seeds == 3


def test_methods_are_paired_by_seed():
    cells = make_cells(("embedded:a",))
    cells = [cell for cell in cells if (cell["cell"]["method"], cell["cell"]["seed"]) != ("phrases", 1)]
    runs = build_table(cells).runs
    ours, theirs = align(runs["embedded:a", "ipo-default"], runs["embedded:a", "phrases"])
    assert ours.seeds == theirs.seeds == (0, 2)
    assert [cell["cell"]["seed"] for cell in ours.cells] == [0, 2]


def _damage(change):
    cells = make_cells(("embedded:a",))
    change(cells)
    return cells


def _other_pictures(cells):
    cells[-1]["picture_ids"]["new"] = "other"


def _other_labels(cells):
    cells[-1]["scores"]["base"]["labels"][0] = 99


def _two_measures(cells):
    cells[0]["measure"] = "mean IoU"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            _other_pictures,
            r"embedded:a / baseline / seed 0 and embedded:a / ipo-default / seed 2 were tested on different new",
        ),
        (_other_labels, "different base pictures or groups"),
        (_two_measures, "cannot hold the measures accuracy and mean IoU"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, sentence):
    with pytest.raises(InputError, match=sentence):
        build_table(_damage(change))
