"""Shards of the format WebDataset, written as `tar` and clip_benchmark write them."""

import io
import json
import tarfile

import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.metrics.errors import InputError
from support.same_data import content

pytest.importorskip("datasets")
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def write(tmp_path, encoded):
    """Write a shard in which each sample has an image and, if there is one, a label in a file with the ending."""

    def make(labels, ending="cls", name="shards/0.tar", names=None, start=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as shard:
            for i, label in enumerate(labels):
                files = {"png": encoded(start + i)} | ({} if label is None else {ending: str(label).encode()})
                for one, data in files.items():
                    member = tarfile.TarInfo(f"s{i:04d}.{one}")
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))
        if names is not None:
            (tmp_path / "shards" / "classnames.txt").write_bytes(names)
        return f"table:{tmp_path / 'shards'}"

    return make


def test_numbers_with_class_names_and_folders_named_by_part(write):
    write([0, 1] * 3, name="shards/train/0.tar")
    spec = write([0, 1] * 2, name="shards/test/0.tar", names=b"zebra\r\nant\r\n", start=50)
    data = load_data(spec, seed=0)
    assert data.name == "tar:shards" and data.class_names == ("zebra", "ant")
    assert [len(data.train), len(data.val), len(data.test)] == [4, 2, 4]
    assert {int(item.label) for item in data.test} == {0, 1}
    assert check_data(data).ok
    assert data.test[0].image.rgb().size == (6, 5)


def test_labels_in_json_and_one_shard(write):
    cells = [json.dumps({"label": "ant" if i % 2 else "bee", "split": ["train", "test"][i // 6]}) for i in range(12)]
    spec = write(cells, "json")
    data = load_data(f"{spec}/0.tar", seed=0)
    assert data.class_names == ("ant", "bee")
    assert [len(data.train), len(data.val), len(data.test)] == [4, 2, 6]
    assert content(load_data(spec, seed=0)) == content(data)


@pytest.mark.parametrize(
    ("labels", "ending", "names", "message"),
    [
        ([], "cls", None, "cannot load the shards .*; check that these are shards"),
        ([0, 1], "cls", None, "has numbers as labels, and CLIP reads names; write .*classnames.txt, one name a line"),
        ([0, 1, 2], "cls", b"a\nb\n", "has faults: row 2 of the split rest: no class in the column label"),
        (["cat"], "cls", b"a\nb\n", "cannot load the shards .*: invalid literal for int"),
        ([0, 1], "cls", b"a\na\n", "classnames.txt does not fit the shards .*duplicated.*; write one name a line"),
        ([0, 1], "cls", b"caf\xe9\nb\n", "the class names .*classnames.txt is not text in UTF-8"),
        (['{"label": ["a"]}'], "json", None, "the column label of .* holds List.*; name another one: label=COLUMN"),
        (['{"label": null}', '{"label": "a"}'], "json", None, "row 0 of the split rest: no class in the column label"),
        (["[1]"], "json", None, "has no column label; its columns are: .*json"),
        ([None], "cls", None, "has no column label; its columns are: .*; name it: label=COLUMN"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(write, labels, ending, names, message):
    with pytest.raises(InputError, match=message) as caught:
        load_data(write(labels, ending, names=names), seed=0)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_shards(write, tmp_path):
    spec = write([0])
    whole = (tmp_path / "shards" / "0.tar").read_bytes()
    (tmp_path / "shards" / "0.tar").write_bytes(b"rubbish" * 100 + bytes(1024))
    with pytest.raises(InputError, match=r"cannot load the shards .*; check that these are shards"):
        load_data(spec, seed=0)
    (tmp_path / "shards" / "0.tar").write_bytes(whole[:700])  # its end is padded with zeros
    with pytest.raises(InputError, match=r"0\.tar of the shards .* has no end mark, so a part of it is missing"):
        load_data(spec, seed=0)
    with pytest.raises(InputError, match=r"the shards .*gone\.tar does not exist; give a \.tar file or a folder"):
        load_data(f"{spec}/gone.tar", seed=0)
    (tmp_path / "shards" / "0.tar").unlink()
    with pytest.raises(InputError, match=r"has no \.parquet files"):
        load_data(spec, seed=0)
