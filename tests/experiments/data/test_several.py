"""`labels=several`: what a table says, what k shots are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from ipo_prompts.experiments.data import DataSet, draw, load_data, untested
from ipo_prompts.metrics.errors import InputError

CELLS = ["cat|dog", "dog", "dog|cat|bus", "bus|dog", "dog", "cat", "dog|bus", "dog", "cat|dog", "bus"]


def table(folder: Path, cells: list[str], **columns: list[str]) -> str:
    names = ["image", "label", *columns]
    lines = [",".join(names)]
    for i, row in enumerate(zip(cells, *columns.values(), strict=True)):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(folder / f"{i}.png")
        lines.append(",".join([f"{i}.png", *row]))
    (folder / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"csv:{folder / 't.csv'}"


def load(spec: str) -> DataSet:
    return load_data(spec, seed=0, labels="several")


def test_a_cell_names_all_that_a_picture_shows(tmp_path: Path) -> None:
    data = load(table(tmp_path, CELLS))
    assert data.several
    assert data.class_names == ("bus", "cat", "dog")
    shown = {Path(item.picture.name).name: item.shows for _, item in data.items()}
    assert shown == {
        f"{i}.png": tuple(sorted("bcd".index(one[0]) for one in cell.split("|"))) for i, cell in enumerate(CELLS)
    }
    assert {item.label for _, item in data.items() if item.also == (0, 1, 2)} == {0}  # as rare as cat, and first
    (tmp_path / "other").mkdir()
    other = load(table(tmp_path / "other", ["cat", *CELLS[1:]]))
    assert data.fingerprint != other.fingerprint


def test_k_shots_are_k_pictures_that_show_each_class(tmp_path: Path) -> None:
    data = load(table(tmp_path, CELLS * 2, split=["train"] * 10 + ["val"] * 3 + ["test"] * 7))
    drawn = draw(data, shots=2, selection_shots=1, seed=0)
    for part, k in ((drawn.search, 2), (drawn.selection, 1)):
        counts = Counter(label for item in part for label in item.shows)
        assert min(counts[label] for label in range(3)) >= k
    assert len(drawn.search) <= 6
    assert not {item.group for item in drawn.search} & {item.group for item in drawn.selection}
    everything = draw(data, shots=99, selection_shots=0, seed=0)
    assert everything.search == data.train
    assert drawn.examples("search")[0].label == [data.class_names[label] for label in drawn.search[0].also]
    with pytest.raises(InputError, match="set classes=all"):
        draw(load(table(tmp_path, ["a|b", "b|c", "c|d", "d|a"] * 3)), 1, 1, 0, "base")


@pytest.mark.parametrize("seed", range(3))
def test_pictures_of_the_rarest_class_count_for_the_others_that_they_show(seed: int, tmp_path: Path) -> None:
    cells = ["cat|dog"] * 3 + ["dog"] * 9 + ["dog", "cat"]
    data = load(table(tmp_path, cells, split=["train"] * 12 + ["val", "test"]))
    drawn = draw(data, shots=3, selection_shots=0, seed=seed)
    assert [len(item.shows) for item in drawn.search] == [2, 2, 2], "they show three dogs, too"


def test_a_class_that_no_picture_is_counted_for_is_searched_on_and_tested_where_it_is_shown(tmp_path: Path) -> None:
    cells = ["cat|dog", "cat|dog", "bus", "dog", "dog", "bus", "cat"]
    data = load(table(tmp_path, cells, split=["train"] * 3 + ["test"] * 4))
    assert {item.label for item in data.train} == {0, 1}
    assert {label for item in draw(data, shots=1, selection_shots=0, seed=0).search for label in item.shows} == {
        0,
        1,
        2,
    }
    (tmp_path / "turned").mkdir()
    turned = load(table(tmp_path / "turned", cells, split=["test"] * 3 + ["train"] * 4))
    assert {item.label for item in turned.test} == {0, 1} and untested(turned) == ()


def test_how_rare_a_class_is_counts_pictures_and_not_their_variants(tmp_path: Path) -> None:
    cells = ["cat|dog", *["dog"] * 5, "cat", "cat"]
    groups = ["both", *["dogs"] * 5, "first", "second"]
    data = load(table(tmp_path, cells, group=groups))
    (both,) = [item for _, item in data.items() if len(item.shows) == 2]
    assert data.class_names[both.label] == "dog", "of two pictures, and cat of three"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["cat|", "dog"], r"0.png of the table .* has the label 'cat\|', with nothing beside a \|"),
        (["cat|cat", "dog"], "which names a class twice"),
        (["cat|<CLASS>", "dog"], "has <CLASS> in it"),
    ],
)
def test_what_cannot_be_read_is_said(cells: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        load(table(tmp_path, cells))


def test_it_is_for_tables_of_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reads the labels cat\|sofa of a table"):
        load("embedded")
    with pytest.raises(InputError, match="take the column class_name out"):
        load(table(tmp_path, ["0", "1"], class_name=["cat", "dog"]))
    with pytest.raises(InputError, match="take the names out of the table"):
        load_data(table(tmp_path, CELLS), seed=0, labels="several", exclude=["cat"])
