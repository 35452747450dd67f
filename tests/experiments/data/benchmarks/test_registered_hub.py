"""Registered data sets from copies as the hub has them, written by `datasets` itself and read without network."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.data.benchmarks import REGISTRY
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.metrics.errors import InputError
from support.coop_root import CLASSES, WNID_NAMES, WNIDS, make_root

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("coop"))


@pytest.fixture(autouse=True)
def root(shared_root, tmp_path, monkeypatch):
    monkeypatch.setenv("IPO_DATA_ROOT", str(shared_root))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    return shared_root


def write(folder: Path, split: str, columns: dict, features: dict) -> None:
    folder.mkdir(exist_ok=True)
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    table.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))


@pytest.fixture
def eurosat(root, tmp_path):
    """All pictures of the made EuroSAT, shuffled, in other parts and with the raw class names."""

    def make(stored: str = "image_id", keep: int = 40) -> Path:
        split = json.loads((root / "eurosat/split_zhou_EuroSAT.json").read_text())
        rows = [row for part in split.values() for row in part][:keep]
        random.Random(0).shuffle(rows)
        raw = ["AnnualCrop", "Forest", "HerbaceousVegetation", "Highway"]
        for part, chosen in (("train", rows[::2]), ("test", rows[1::2])):
            files = [root / "eurosat/2750" / path for path, _, _ in chosen]
            columns = {
                "image": [
                    {"bytes": file.read_bytes(), "path": file.name if stored == "path" else None} for file in files
                ],
                "label": [label for _, label, _ in chosen],
            }
            features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=raw)}
            if stored == "image_id":
                columns["image_id"] = [file.stem for file in files]
                features["image_id"] = datasets.Value("string")
            write(tmp_path / "hub", part, columns, features)
        return tmp_path / "hub"

    return make


@pytest.mark.parametrize("stored", ["image_id", "path"])
def test_file_names_put_the_pictures_into_the_split(eurosat, root, stored):
    local = load_data(f"eurosat:{root}", seed=0)
    hub = load_data(f"eurosat:hf:{eurosat(stored)}", seed=0)
    assert hub.class_names == local.class_names
    assert hub.fingerprint == local.fingerprint  # the same bytes, labels, parts and order
    assert hub.name == "eurosat:hf"
    assert hub.split == local.split
    assert [i.group for i in draw(hub, 2, 1, 3).search] == [i.group for i in draw(local, 2, 1, 3).search]


def test_without_file_names_it_is_a_different_split(eurosat):
    path = eurosat("none")
    data = load_data(f"eurosat:hf:{path}", seed=0)
    assert data.split == "different: " + (
        f"the parts of {path}, because 40 of the 40 files of the split are not named there; "
        "4 classes where the official split has 10"
    )
    assert data.class_names == CLASSES["eurosat"]  # respelled
    assert data.hand_written == "a centered satellite photo of <CLASS>."
    assert data.task.startswith("satellite pictures")
    assert data.val  # cut from train
    assert check_data(data).ok


def test_a_copy_that_lacks_pictures_is_a_different_split(eurosat):
    data = load_data(f"eurosat:hf:{eurosat('image_id', keep=38)}", seed=0)
    assert "2 of the 40 files of the split are not named there" in data.split


def test_without_a_split_file_it_is_a_different_split(eurosat, monkeypatch):
    monkeypatch.delenv("IPO_DATA_ROOT")
    data = load_data(f"eurosat:hf:{eurosat()}", seed=0)
    assert "there is no split_zhou_EuroSAT.json in eurosat/ below IPO_DATA_ROOT" in data.split


def test_file_names_that_are_not_unique_do_not_count(eurosat, root, tmp_path, monkeypatch):
    split = json.loads((root / "eurosat/split_zhou_EuroSAT.json").read_text())
    split["test"][0][0] = f"elsewhere/{Path(split['test'][1][0]).name}"
    other = tmp_path / "other/eurosat"
    other.mkdir(parents=True)
    (other / "split_zhou_EuroSAT.json").write_text(json.dumps(split))
    monkeypatch.setenv("IPO_DATA_ROOT", str(tmp_path / "other"))
    assert "several pictures have one file name" in load_data(f"eurosat:hf:{eurosat()}", seed=0).split


def pictures(root: Path, count: int) -> list[dict]:
    files = sorted((root / "dtd/images").rglob("*.jpg"))[:count]
    return [{"bytes": file.read_bytes(), "path": None} for file in files]


def test_imagenet_takes_its_names_from_classnames_and_tests_on_validation(root, tmp_path):
    synonyms = datasets.ClassLabel(names=["tench, Tinca tinca", "projectile, missile", "missile", "dark glasses"])
    features = {"image": datasets.Image(), "label": synonyms}
    for split, labels in (("train", [0, 1, 2, 3] * 2), ("validation", [3, 2, 1, 0]), ("test", [-1] * 3)):
        write(tmp_path / "hub", split, {"image": pictures(root, len(labels)), "label": labels}, features)
    data = load_data(f"imagenet:hf:{tmp_path / 'hub'}", seed=0)
    assert data.class_names == WNID_NAMES
    assert [i.label for i in data.test] == [3, 2, 1, 0]
    assert (len(data.train), data.val, data.stray) == (8, (), ("split test",))


def test_a_shifted_imagenet_is_matched_by_wordnet_id(root, tmp_path):
    wnids = [*WNIDS, "n01440764"]
    columns = {"image": pictures(root, 5), "wnid": wnids, "class_name": ["x"] * 5}
    features = {"image": datasets.Image(), "wnid": datasets.Value("string"), "class_name": datasets.Value("string")}
    write(tmp_path / "hub", "test", columns, features)
    data = load_data(f"imagenet_r:hf:{tmp_path / 'hub'}", seed=0)
    assert data.class_names == WNID_NAMES
    assert [i.label for i in data.test] == [sorted(WNIDS).index(wnid) for wnid in wnids]
    assert data.train == ()


def test_classes_that_cannot_be_matched(root, tmp_path, monkeypatch):
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    write(tmp_path / "hub", "train", {"image": pictures(root, 3), "label": [0, 1, 2]}, features)
    with pytest.raises(InputError, match=r"does not give its classes by WordNet id, .* and 4 names cannot be matched"):
        load_data(f"imagenet_a:hf:{tmp_path / 'hub'}", seed=0)
    monkeypatch.delenv("IPO_DATA_ROOT")
    with pytest.raises(InputError, match=r"imagenet_a:hf needs CLIP's class names, from imagenet/classnames.txt below"):
        load_data(f"imagenet_a:hf:{tmp_path / 'hub'}", seed=0)


def test_copies_that_cannot_be_used_or_reached_say_why():
    with pytest.raises(InputError, match=r"copy of UCF101, flwrlabs/ucf101, cannot be used: all frames of all videos"):
        load_data("ucf101:hf", seed=0)
    with pytest.raises(InputError, match=r"cannot load the .*/none .*: .*its caveat: no val part; "):
        load_data("oxford_pets:hf:./nowhere/none", seed=0)


def test_names_of_the_hub_are_respelled():
    spelled = [
        ("eurosat", "PermanentCrop", "Permanent Crop Land"),
        ("caltech101", "Faces", "face"),
        ("stanford_cars", "Audi TTS Coupe 2012", "2012 Audi TTS Coupe"),
        ("sun397", "/a/abbey", "abbey"),
        ("sun397", "i/ice_skating_rink/outdoor", "outdoor ice_skating_rink"),
        ("eurosat", "River", "River"),
        ("stanford_cars", "2012 Acura RL Sedan", "2012 Acura RL Sedan"),
    ]
    for data, theirs, ours in spelled:
        assert REGISTRY[data].hub.spelled(theirs) == ours
