import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ipo_prompts.experiments.data import load_data, tables
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.metrics.device import Unreachable
from ipo_prompts.metrics.errors import InputError, InputFaults
from support.same_data import content

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def write(tmp_path, encoded):
    """Write a parquet file with `datasets` itself: bytes inside, as its own writer embeds them."""

    def make(columns, features=None, name="made.parquet", images=True, start=0):
        count = len(next(iter(columns.values())))
        if images:
            cells = [{"bytes": encoded(start + i), "path": None} for i in range(count)]
            columns = {"image": cells, **columns}
            features = {"image": datasets.Image(), **(features or {})} if features is not None else None
        table = datasets.Dataset.from_dict(columns, features=datasets.Features(features) if features else None)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        table.to_parquet(str(path))
        return path

    return make


TEXT = {"label": datasets.Value("string")}
SPLIT = {"split": datasets.Value("string")}
LABELS = {"label": datasets.ClassLabel(names=["zebra", "ant"])}


def test_class_labels_keep_their_order_and_images_are_read_when_asked(write):
    data = load_data(f"parquet:{write({'label': [0, 1] * 5}, LABELS)}", seed=0)
    assert data.class_names == ("zebra", "ant")
    assert data.name == "parquet:made"
    assert [len(data.train), len(data.val), len(data.test)] == [4, 2, 4]
    assert data.train[0].image.rgb().size == (6, 5)
    assert data.train[0].image.name.startswith("row ")
    assert check_data(data).ok


def test_text_labels_and_groups(write):
    columns = {"label": ["cat", "dog"] * 6, "group": [f"{i % 2}{i // 4}" for i in range(12)]}
    data = load_data(f"parquet:{write(columns, TEXT | {'group': datasets.Value('string')})}", seed=0)
    assert data.class_names == ("cat", "dog")
    assert data.variants
    assert [len(data.train), len(data.val), len(data.test)] == [4, 4, 4]


def test_a_column_split_says_the_parts(write):
    columns = {"label": ["cat", "dog"] * 6, "split": ["Train"] * 4 + ["dev"] * 2 + ["test"] * 6}
    for name in ("made.parquet", "train.parquet"):  # a file of its own says nothing beside it
        data = load_data(f"parquet:{write(columns, TEXT | SPLIT, name)}", seed=0)
        found = {part: [int(item.group[4:11]) for item in data.part(part)] for part in ("train", "val", "test")}
        assert found == {"train": [0, 1, 2, 3], "val": [4, 5], "test": [6, 7, 8, 9, 10, 11]}


def test_columns_are_named(write, tmp_path):
    columns = {"fine": [0, 1] * 3, "coarse": [1, 1] * 3, "fold": ["Train", "Train", "val", "val", "TEST", "TEST"]}
    features = {"fine": LABELS["label"], "coarse": LABELS["label"], "fold": datasets.Value("string")}
    write(columns, features, "set/train.parquet")
    for spec in (f"hf:{tmp_path / 'set'}", f"table:{tmp_path / 'set'}"):
        data = load_data(spec, columns={"label": "fine"})
        assert data.class_names == ("zebra", "ant")
        assert data.stray == ("the column fold, which names parts (to use it, type split=fold)",)
        data = load_data(spec, columns={"label": "fine", "split": "fold"})
        assert [len(data.train), len(data.val), len(data.test)] == [2, 2, 2]
        assert data.stray == ()


def test_a_column_split_of_the_hub_has_no_known_meaning(write, tmp_path):
    columns = {"label": ["cat", "dog"] * 3, "split": ["fold 1", "fold 2"] * 3}
    write(columns, TEXT | SPLIT, "set/train.parquet")
    data = load_data(f"hf:{tmp_path / 'set'}", seed=0)
    assert [len(data.train), len(data.val), len(data.test)] == [2, 2, 2]


@pytest.mark.parametrize("struct", [True, False])
def test_paths_are_relative_to_the_table(folder, tmp_path, monkeypatch, struct):
    root = folder({"cat": 3, "dog": 3})
    paths = [f"{name}/{i:03d}.png" for i in range(3) for name in ("cat", "dog")]
    cells = [{"bytes": None, "path": path} for path in paths] if struct else paths
    features = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    kinds = datasets.Features({"image": features if struct else datasets.Value("string"), **TEXT})
    table = datasets.Dataset.from_dict({"image": cells, "label": ["cat", "dog"] * 3}, kinds)
    table.to_parquet(str(root / "table.parquet"))
    monkeypatch.chdir(tmp_path)
    for spec in [f"{kind}:images{file}" for kind in ("parquet", "table") for file in ("", "/table.parquet")]:
        data = load_data(spec, seed=0)
        assert check_data(data).ok
        assert data.class_names == ("cat", "dog")
    (root / "dog/001.png").unlink()
    (reason,) = check_data(data).unreadable.values()
    assert "row 3 of rest" in reason and "images/dog/001.png: No such file" in reason


def test_structs_and_plain_bytes_of_other_writers(write, tmp_path):
    path = write({"label": ["cat", "dog"] * 3}, None)
    assert load_data(f"parquet:{path}", seed=0).train[0].image.rgb().mode == "RGB"
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = pq.read_table(path).column("image").to_pylist()
    plain = pa.table({"image": [cell["bytes"] for cell in cells], "label": ["cat", "dog"] * 3})
    pq.write_table(plain, tmp_path / "plain.parquet")
    assert load_data(f"parquet:{tmp_path / 'plain.parquet'}", seed=0).val[0].image.rgb().mode == "RGB"


def test_numbers_with_a_name_column(write):
    features = {"label": datasets.Value("int64"), "class_name": datasets.Value("string")}
    path = write({"label": [0, 1] * 3, "class_name": ["zebra", "ant"] * 3}, features)
    assert load_data(f"parquet:{path}", seed=0).class_names == ("zebra", "ant")


def test_a_folder_of_files_named_by_split(write, tmp_path):
    for start, split in ((0, "train"), (10, "validation"), (20, "test")):
        write({"label": [0, 1] * 2}, LABELS, f"set/{split}-00000-of-00001.parquet", start=start)
    (tmp_path / "set" / "README.md").write_text("no table")
    data = load_data(f"parquet:{tmp_path / 'set'}", seed=0)
    assert [len(data.train), len(data.val), len(data.test)] == [4, 4, 4]


def test_hidden_test_labels_make_val_the_test_part(write, tmp_path):
    for start, split, labels in ((0, "train", [0, 1] * 3), (10, "validation", [0, 1] * 2), (20, "test", [-1] * 4)):
        write({"label": labels}, LABELS, f"set/{split}-00000-of-00001.parquet", start=start)
    data = load_data(f"parquet:{tmp_path / 'set'}", seed=0)
    assert [len(data.train), len(data.val), len(data.test)] == [4, 2, 4]
    assert data.stray == ("split test",)


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        ({"kind": ["a", "b"]}, {"kind": datasets.Value("string")}, "has no column label; its columns are: image, kind"),
        (
            {"label": [0, 2] * 3},
            {"label": datasets.ClassLabel(names=["a", "b", "c"])},
            "1 of 3 classes .* has no images: 'b'",
        ),
        ({"label": [0, 1, -1]}, LABELS, "has faults: row 2 of the split rest: no class in the column label"),
        ({"label": [-1, -1]}, LABELS, "has no labelled images"),
        ({"label": [3, 4]}, {"label": datasets.Value("int64")}, "are numbers and CLIP reads names"),
        (
            {"fine": [0, 1], "coarse": [0, 1]},
            {"fine": LABELS["label"], "coarse": LABELS["label"]},
            r"has several label columns \(fine, coarse\); name the right one: label=fine",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(write, columns, features, message):
    with pytest.raises(InputError, match=message):
        load_data(f"parquet:{write(columns, features)}", seed=0)


def test_all_faults_are_told_at_once(write):
    columns = {"image": ["a.png", "https://host/1.png"], "kind": ["a", "b"], "split": ["later", "train"]}
    with pytest.raises(InputFaults) as caught:
        load_data(f"parquet:{write(columns, images=False)}")
    assert [re.search("column label|address|no part", fault)[0] for fault in caught.value.args[1]] == [
        "column label",
        "address",
        "no part",
    ]


def test_a_parquet_file_that_is_missing_or_torn(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_data(f"parquet:{tmp_path / 'none.parquet'}", seed=0)
    with pytest.raises(InputError, match=r"has no \.parquet files"):
        load_data(f"parquet:{tmp_path}", seed=0)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(
        InputError, match=r"cannot load the parquet data .*torn.parquet: .*check that these are"
    ) as caught:
        load_data(f"parquet:{tmp_path / 'torn.parquet'}", seed=0)
    assert "\n" not in str(caught.value)


def test_a_bad_image_in_a_table_is_named_by_its_row(write, tmp_path, encoded):
    cells = [{"bytes": encoded(i) if i else b"", "path": None} for i in range(6)]
    path = write({"image": cells, "label": [0, 1] * 3}, {"image": datasets.Image(), **LABELS}, images=False)
    assert list(check_data(load_data(f"parquet:{path}", seed=0)).unreadable) == ["row 0 of rest of parquet:made"]


def test_the_hub_offline_fails_with_one_clear_sentence(tmp_path):
    code = "from ipo_prompts.experiments.data import load_data; load_data('hf:nobody/nothing', seed=0)"
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith(
        "ipo_prompts.metrics.errors.InputError: cannot load the Hugging Face data set nobody/nothing (HF_HUB_O"
    )
    assert "use folder:, csv: or parquet:" in said


def test_without_network_a_copy_is_read_at_once_and_no_copy_is_said(write, monkeypatch):
    """A copy lies in the cache as `datasets` keeps what it fetched."""

    def silent(ask, what, advice):
        raise Unreachable(f"the hub does not answer about {what}; {advice}.")

    monkeypatch.setattr(tables, "reach", silent)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(Unreachable, match="does not answer about the Hugging Face data set nobody/things; check"):
        load_data("hf:nobody/things")
    expected = load_data(f"parquet:{write({'label': [0, 1] * 3}, LABELS, 'train.parquet')}")
    kept = next(Path(datasets.config.HF_DATASETS_CACHE).glob("parquet/*/0.0.0/*/dataset_info.json")).parent
    copy = Path(datasets.config.HF_DATASETS_CACHE, "nobody___things/default/0.0.0", kept.name)
    copy.parent.mkdir(parents=True)
    kept.rename(copy)
    (copy / "parquet-train.arrow").rename(copy / "things-train.arrow")
    info = (copy / "dataset_info.json").read_text()
    (copy / "dataset_info.json").write_text(info.replace('"dataset_name": "parquet"', '"dataset_name": "things"'))
    assert content(load_data("hf:nobody/things")) == content(expected)
    assert not datasets.config.HF_HUB_OFFLINE
