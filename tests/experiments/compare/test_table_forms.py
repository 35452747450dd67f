"""A table as Markdown, CSV and JSON: the same bytes for the same cells, whatever names they bring."""

from dataclasses import replace

import pytest

from ipo_prompts.experiments.compare.documents import documents, to_frame
from ipo_prompts.experiments.compare.grid import GridConfig
from ipo_prompts.experiments.compare.printing import to_markdown
from ipo_prompts.experiments.compare.table import build_table
from ipo_prompts.experiments.compare.words import notes
from support.scored_cells import SKILLS, columns_of, gain_of, make_cells, retest, score_of


def test_the_order_of_data_sets_and_seeds_does_not_matter():
    cells = make_cells(("eurosat", "embedded:a"))
    grid = GridConfig(title="any", protocol="base-to-new", data=["eurosat"], methods=["baseline"], seeds=1)
    turned = [cell for name in SKILLS for cell in cells[::-1] if cell.row == name]
    one, other = (documents(grid, build_table(found, shots=1)) for found in (cells, turned))
    assert one == other


def test_another_split_is_marked_in_every_row():
    cells = make_cells()
    for cell in cells:
        for name in cell.done.tests if cell.data == "embedded:b" else ():
            retest(cell, name, split="different: no split file")
    text = to_markdown(build_table(cells))
    assert "| embedded:b† " in text and "| average† " in text and "| embedded:a " in text
    assert "† embedded:b: different split (no split file); not comparable with published numbers." in text


def test_published_numbers_stand_beside_ours_with_their_source():
    text = to_markdown(build_table(make_cells(("dtd",)), shots=1))
    assert columns_of(text, "*IPO, published* (c)")[3:6] == ["55.45", "62.47", "58.75"]
    assert "(b) published: IPO paper (arXiv 2410.15397), Table 6, CLIP rows." in text


def test_the_frame_is_tidy():
    table = build_table(make_cells(("dtd", "embedded:a")), shots=1)
    rows = to_frame(table).to_dict("records")
    ours = [row for row in rows if row["origin"] == "ours" and not row["over"]]
    keys_of = ("data", "method", "column")
    keys = [tuple(row[key] for key in keys_of) for row in ours]
    assert len(set(keys)) == len(keys) == 2 * 5 * 3 + 5 * 4
    found = next(row for row in ours if (row["data"], row["method"], row["column"]) == ("dtd", "ipo-default", "base"))
    score = score_of(table, "dtd", "ipo-default", "base")
    assert float(found["value"]) == pytest.approx(100 * score.value, abs=1e-4)
    assert (found["n"], found["seeds"]) == (120, 3)
    (over,) = [
        row for row in rows if (row["over"], *(row[key] for key in keys_of)) == ("baseline", "dtd", "phrases", "H")
    ]
    gain = gain_of(table, "dtd", "phrases", "baseline", "H")
    assert float(over["value"]) == pytest.approx(100 * gain.mean, abs=1e-4)
    assert (float(over["p_corrected"]), over["outcome"]) == (gain.p_corrected, gain.outcome)


def test_unequal_numbers_of_labelled_images_are_told():
    cells = make_cells(("embedded:a",), {"baseline": 0.0, "prototype": 0.5, "ipo-default": 1.0})
    assert not any(note.startswith("labels/class") for note in notes(build_table(cells)))
    cells[-3:] = [replace(cell, facts=cell.facts.model_copy(update={"labelled": 7})) for cell in cells[-3:]]
    (note,) = [note for note in notes(build_table(cells)) if note.startswith("labels/class")]
    assert ": 7 by ipo-default; 6 by prototype; 0 by baseline. Rows with the same number have the same budget" in note
