"""The registered data sets, read from a made root in the CoOp layout."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.experiments.data.dataset import COUNTED, why_different
from ipo_prompts.experiments.data.published import REGISTRY, load_registered
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import problem
from support.coop_root import CLASSES, SIZES, WNID_NAMES, make_root
from support.recorded_images import opened_files


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("coop"))


@pytest.fixture
def root(shared_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root that is only read."""
    monkeypatch.setenv("IPO_DATA_ROOT", str(shared_root))
    return shared_root


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """A root that may be spoiled."""
    return make_root(tmp_path / "root")


SPLIT = [name for name, entry in REGISTRY.items() if entry.rule in ("split", "variants")]
OTHER_IMAGES = "as many images as the official split has, but other ones, or with other class names"
SHIFTED = [name for name, entry in REGISTRY.items() if entry.rule in ("wnids", "numbers")]


def test_the_registry_is_complete_and_its_templates_are_valid():
    assert len(REGISTRY) == 15
    assert len(SPLIT) == 10
    assert len(SHIFTED) == 4
    for entry in REGISTRY.values():
        assert problem(entry.hand_written) is None
        assert (entry.split_file is not None) == (entry.rule == "split")
        assert entry.task[:1].islower()
    # Sums of the sources' own counts: Cars 8,144 to train on, Pets 3,680, SUN 19,850, UCF 9,537; all of Flowers, DTD,
    # EuroSAT and of Caltech without the background and the second folder of faces.
    sizes = {name: entry.sizes for name, entry in REGISTRY.items()}
    trained = {"stanford_cars": 8_144, "oxford_pets": 3_680, "sun397": 19_850, "ucf101": 9_537}
    assert {name: sum(sizes[name][:2]) for name in trained} == trained
    whole = {"oxford_flowers": 8_189, "dtd": 5_640, "eurosat": 27_000, "caltech101": 8_242, "food101": 101_000}
    assert {name: sum(sizes[name]) for name in whole} == whole


@pytest.mark.parametrize("name", SPLIT)
def test_split_files_and_lists_give_parts_labels_names_and_order(root, name):
    data = load_data(name, seed=0)
    assert data.class_names == CLASSES[name]
    assert [len(data.part(part)) for part in SIZES] == [4 * size for size in SIZES.values()]
    assert (data.name, data.hand_written, data.task) == (name, REGISTRY[name].hand_written, REGISTRY[name].task)
    assert not data.variants and all(item.image.stored for _, item in data.items())
    assert check_data(data).ok
    if REGISTRY[name].rule == "split":
        file = root / REGISTRY[name].folder / REGISTRY[name].split_file
        for part, rows in json.loads(file.read_text()).items():
            assert [(item.group, item.label) for item in data.part(part)] == [(path, label) for path, label, _ in rows]


def test_imagenet_tests_on_val_and_selects_on_the_rest_of_train(root):
    data = load_data("imagenet", seed=0)
    assert data.class_names == WNID_NAMES  # two classes with one name are two classes
    assert [len(data.train), len(data.val), len(data.test)] == [20, 0, 12]
    assert {i.group.split("/")[0] for i in data.test} == {"val"}
    assert [i.label for i in data.test] == [label for label in range(4) for _ in range(3)]
    drawn = draw(data, 3, 2, 1)
    assert list(drawn.train) == list(draw(data, 3, 0, 1).train)
    search, selection = ({i.group for i in part} for part in (drawn.train, drawn.val))
    assert len(search) == 12
    assert len(selection) == 8
    assert not search & selection
    assert {g.split("/")[0] for g in selection} == {"train"}
    for shots, val_shots, sizes in ((9, 2, [16, 4]), (6, 1, [16, 4]), (3, 3, [12, 8])):  # of what there is
        drawn = draw(data, shots, val_shots, 1)
        assert [len(drawn.train), len(drawn.val)] == sizes
    report = check_data(data)
    assert report.ok
    rows = re.findall(r"^(.+?) +(\d+) +(\d+) +(\d+)$", report.text(draw(data, 3, 2, 1)), re.M)
    told = {name: tuple(map(int, counts)) for name, *counts in rows}
    each = dict.fromkeys(["tench", "missile (label 1)", "missile (label 2)", "sunglasses"], (3, 2, 3))
    assert told == each | {"all": (12, 8, 12)}


@pytest.mark.parametrize("name", SHIFTED)
def test_shifted_imagenets_have_test_images_only(root, name):
    data = load_data(name, seed=0)
    assert data.class_names == (tuple(f"thing {i}" for i in range(11)) if name == "imagenetv2" else WNID_NAMES)
    assert (data.train, data.val) == ((), ())
    assert [i.label for i in data.test] == [label for label in range(len(data.class_names)) for _ in range(3)]
    assert check_data(data).ok
    with pytest.raises(InputError, match=f"{name} has test images only, none to search with"):
        draw(data, 1, 1, 0)


def test_class_names_of_a_shifted_imagenet_may_lie_beside_imagenet(own_root):
    (own_root / "imagenet-rendition" / "classnames.txt").unlink()
    assert load_data(f"imagenet_r:{own_root}", seed=0).class_names == WNID_NAMES


def test_other_counts_are_not_the_official_split(root):
    data = load_data("eurosat", seed=0)
    assert data.split == (
        "different: 4 classes where the official split has 10; 20 train images where the official split has 13500; "
        "8 val images where the official split has 5400; 12 test images where the official split has 8100"
    )
    assert f"split: {data.split}" in check_data(data).text()
    small = replace(REGISTRY["eurosat"], classes=4, sizes=(20, 8, 13))
    assert load_registered(small, str(root), None).split == (
        "different: 12 test images where the official split has 13"
    )


def test_where_no_list_of_the_images_is_known_the_counts_are_said_to_be_all(root):
    small = replace(REGISTRY["fgvc_aircraft"], classes=4, sizes=(20, 8, 12))
    data = load_registered(small, str(root), None)
    assert data.split == COUNTED and why_different(data.split) is None
    assert f"split: {COUNTED}" in check_data(data).text()
    assert [name for name, entry in REGISTRY.items() if entry.digest is None] == ["imagenet", "fgvc_aircraft", *SHIFTED]


def _swap_two_of_a_class(split: dict) -> None:
    split["train"][0], split["test"][0] = split["test"][0], split["train"][0]


def _rename(split: dict) -> None:
    for row in [row for rows in split.values() for row in rows if row[1] == 0]:
        row[2] = "barred"


def _reorder(split: dict) -> None:
    split["train"][:2] = split["train"][1::-1]


@pytest.mark.parametrize(
    ("change", "official"), [(None, True), (_swap_two_of_a_class, False), (_rename, False), (_reorder, False)]
)
def test_the_published_split_is_known_by_every_image_and_name(tmp_path, change, official):
    published = Path(__file__).parent / "fixtures" / "split_zhou_DescribableTextures.json.xz"
    split = json.loads(lzma.decompress(published.read_bytes()))
    if change:
        change(split)
    for path, _, _ in (row for rows in split.values() for row in rows):
        file = tmp_path / "dtd" / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").write_text(json.dumps(split))
    assert load_data(f"dtd:{tmp_path}", seed=0).split == ("official" if official else f"different: {OTHER_IMAGES}")


def test_loading_and_drawing_open_no_image(root):
    with opened_files() as opened:
        for name in REGISTRY:
            data = load_data(name, seed=0)
            if data.train:
                draw(data, 2, 1, 1, "base")
    read = [path for path in opened if path.startswith(str(root))]
    assert {Path(path).suffix for path in read} == {".json", ".txt"}
    assert len({path for path in read if path.endswith(".json")}) == 9


def test_a_given_root_and_task_win(root, own_root):
    with opened_files() as opened:
        assert load_data(f"dtd:{own_root}", seed=0, task="textures").task == "textures"
    assert any(path.startswith(str(own_root / "dtd")) for path in opened)
    assert not any(path.startswith(str(root)) for path in opened)


# --- bad input: one sentence each


def _edited(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        file = root / "eurosat" / "split_zhou_EuroSAT.json"
        split = json.loads(file.read_text())
        change(split)
        file.write_text(json.dumps(split))

    return spoil


def _written(path: str, text: str) -> Callable[[Path], None]:
    return lambda root: (root / path).write_text(text) and None


def _relabelled(split: dict) -> None:
    for rows in split.values():
        for row in rows:
            row[1] += row[1] == 3


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("eurosat", lambda r: (r / "eurosat/split_zhou_EuroSAT.json").unlink(), r"EuroSAT.json is missing; take it"),
    ("eurosat", _edited(lambda s: s.pop("val")), "not an object with the lists train, val and test"),
    (
        "eurosat",
        _edited(lambda s: s["val"].append(["x.jpg", "3", "Forest"])),
        r"entry 8 of val .* not \[path, la",
    ),
    ("eurosat", _edited(lambda s: s["test"].append(s["train"][0])), r"twice, in train and in test; keep one"),
    ("eurosat", _edited(lambda s: s["val"].append(["nope.jpg", 1, "Forest"])), r"not in .*2750 \(absent: 1 of 41\)"),
    ("eurosat", _edited(_relabelled), r"must run from 0 without gaps \(see label 3\)"),
    ("eurosat", _edited(lambda s: s.update(val=[r for r in s["val"] if r[1] != 2])), r"no images in the val part"),
    ("eurosat", lambda r: (r / "eurosat").rename(r / "x"), "there is no folder .*eurosat, where EuroSAT is expected"),
    ("fgvc_aircraft", lambda r: (r / "fgvc_aircraft/variants.txt").unlink(), "cannot read .*variants.txt, a part of"),
    ("fgvc_aircraft", _written("fgvc_aircraft/images_variant_val.txt", "0 747\n"), "line 1 of .* the variant '747'"),
    ("imagenet", lambda r: (r / "imagenet/classnames.txt").unlink(), "no .*classnames.txt, which pairs WordNet ids"),
    ("imagenet", _written("imagenet/classnames.txt", "n01440764 tench\n"), "folder n03773504 of .* has no name in"),
    ("imagenet", lambda r: (r / "imagenet/images/val").rename(r / "y"), "cannot read the folder .*val: No such file"),
    (
        "imagenetv2",
        lambda r: (r / "imagenetv2/imagenetv2-matched-frequency-format-val/4").rename(r / "y"),
        "must be 0 to 10",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "message"), BAD)
def test_what_is_wrong_is_one_sentence(own_root, name, spoil, message):
    spoil(own_root)
    with pytest.raises(InputError, match=message) as caught:
        load_data(f"{name}:{own_root}", seed=0)
    assert "\n" not in str(caught.value)


def test_an_unset_root_says_how_to_set_it(monkeypatch, capsys):
    monkeypatch.delenv("IPO_DATA_ROOT", raising=False)
    assert main(["data", "check", "eurosat"]) == 2
    said = capsys.readouterr().err
    assert "IPO_DATA_ROOT is not set; set it to the folder that holds eurosat/, or write eurosat:PATH_OF_ROOT" in said
    assert said.count("\n") == 1


# --- ipo data list


@pytest.fixture
def listed(root, capsys) -> Iterator[list[str]]:
    assert main(["data", "list"]) == 0
    yield capsys.readouterr().out.splitlines()


def test_the_list_says_what_is_there(listed, root):
    assert len(listed) == 16
    assert [line.split()[0] for line in listed[1:]] == list(REGISTRY)
    assert all(" yes " in line for line in listed[1:])
    assert listed[1].split()[2:6] == ["1000", "1,281,167", "-", "50,000"]
    assert listed[10].endswith("a centered satellite photo of <CLASS>.")


def test_the_list_says_what_is_missing(own_root, monkeypatch, capsys):
    (own_root / "eurosat/split_zhou_EuroSAT.json").unlink()
    (own_root / "dtd/images").rename(own_root / "x")
    (own_root / "ucf101").rename(own_root / "y")
    monkeypatch.setenv("IPO_DATA_ROOT", str(own_root))
    assert main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "  no split file  " in lines["eurosat"]
    assert "  no images  " in lines["dtd"]
    assert "  no  " in lines["ucf101"]
