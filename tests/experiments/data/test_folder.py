import unicodedata

import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.errors import InputError


def test_class_folders_are_cut_into_half_a_fifth_and_the_rest(folder):
    data = load_data(f"folder:{folder({'dog': 10, 'cat': 20})}", seed=0)
    assert data.class_names == ("cat", "dog")
    assert data.name == "folder:images"
    assert not data.variants
    sizes = {part: [sum(i.label == c for i in data.part(part)) for c in (0, 1)] for part in ("train", "val", "test")}
    assert sizes == {"train": [6, 3], "val": [4, 2], "test": [10, 5]}


def test_the_cut_depends_on_the_seed_and_not_on_the_place(folder):
    counts = {"cat": 9, "dog": 9}
    one, other = folder(counts, "one"), folder(counts, "other")

    def train(root, seed):
        return [i.group for i in load_data(f"folder:{root}", seed=seed).train]

    assert train(one, 3) == train(other, 3)
    assert train(one, 3) != train(one, 4)


def test_the_cut_is_the_same_on_every_machine(folder):
    data = load_data(f"folder:{folder({'cat': 6, 'dog': 5})}", seed=3)
    assert [i.group for i in data.train] == ["cat/001.png", "cat/004.png", "dog/000.png", "dog/004.png"]
    assert [i.group for i in data.val] == ["cat/005.png", "dog/002.png"]


def test_given_parts_are_kept_and_need_no_seed(folder):
    root = folder({f"{part}/{name}": 2 for part in ("train", "validation", "test") for name in ("cat", "dog")})
    one, other = (load_data(f"folder:{root}", seed=seed) for seed in (0, 1))
    assert [(p, i.group, i.label) for p, i in one.items()] == [(p, i.group, i.label) for p, i in other.items()]
    assert {i.group.split("/")[0] for i in one.val} == {"validation"}


@pytest.mark.parametrize("held", ["test", "val"])
def test_val_is_cut_from_train_where_only_one_other_part_is_given(folder, held):
    root = folder({"train/cat": 10, "train/dog": 5, f"{held}/cat": 2, f"{held}/dog": 2})
    data = load_data(f"folder:{root}", seed=0)
    assert [len(data.train), len(data.val), len(data.test)] == [12, 3, 4]
    assert all(i.group.startswith("train/") for i in data.val)
    assert all(i.group.startswith(f"{held}/") for i in data.test)


def test_spaces_unicode_and_nested_folders(folder):
    decomposed = unicodedata.normalize("NFD", "café noir")
    data = load_data(f"folder:{folder({decomposed: 3, 'hot dog/a b': 3, '木': 3}, 'my images ü')}", seed=0)
    assert set(data.class_names) == {"café noir", "hot dog", "木"}
    assert data.train[0].image.rgb().mode == "RGB"


def test_stray_files_are_left_out_and_counted(folder):
    root = folder({"cat": 3, "dog": 3})
    (root / "README.md").write_text("x")
    (root / "cat" / "labels.txt").write_text("x")
    (root / "cat" / "._000.png").write_text("x")
    (root / ".git").mkdir()
    data = load_data(f"folder:{root}", seed=0)
    assert data.stray == (".git", "README.md", "cat/._000.png", "cat/labels.txt")
    assert len(list(data.items())) == 6


@pytest.mark.parametrize("kind", [".thumbs", "__MACOSX", "@eaDir"])
def test_folders_of_other_programs_are_left_out_at_every_depth(folder, kind):
    above = {f"{part}/{name}": 2 for part in ("train", "val", "test") for name in ("cat", "dog")}
    for root, places in (
        (folder({"cat": 3, "dog/sub": 3, kind: 1, f"cat/{kind}": 1, f"dog/sub/{kind}": 1}, "one"), 3),
        (folder(above | {kind: 1, f"train/{kind}": 1, f"train/cat/{kind}": 1}, "two"), 3),
    ):
        data = load_data(f"folder:{root}", seed=0)
        assert data.class_names == ("cat", "dog")
        assert not any(kind in item.image.name for _, item in data.items())
        assert len(data.stray) == places and all(name.endswith(kind) for name in data.stray)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "has no images"),
        ({"cat": 5}, "has one class only ('cat') and a classifier needs"),
        ({"cat": 5, "dog": 0, "bus": 5}, "1 of 3 classes .* has no images: 'dog'; .* with 'exclude=\\[\"dog\"\\]'"),
        ({"cat": 1, "dog": 1}, "is left to test with: the only image of a class is searched on"),
        (
            {"cat": 3, "a <CLASS>": 3},
            "a class whose name 'a <CLASS>' has <CLASS> in it, which stands for",
        ),
        ({"hot_dog": 3, "Hot dog": 3}, "read the same in a prompt: 'Hot dog' and 'hot_dog'"),
        (
            {"train/cat": 3, "test/cat": 1, "labels/cat": 1},
            r"split folders \(test, train\) beside other folders \(labels",
        ),
        ({"val/cat": 3, "val/dog": 3, "test/cat": 1}, "none to train on"),
        ({"val/cat": 3, "dev/cat": 3, "train/cat": 1}, r"two folders for one part \(dev, train, val\)"),
        ({"train": 3, "test": 3}, "the split folder .*test has no class folders"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(folder, tmp_path, counts, message):
    (tmp_path / "images").mkdir(exist_ok=True)
    folder(counts)
    message = message.replace("('cat')", r"\('cat'\)")
    with pytest.raises(InputError, match=message) as caught:
        load_data(f"folder:{tmp_path / 'images'}", seed=0)
    assert "\n" not in str(caught.value)


def test_classes_of_one_and_two_images_are_used_for_what_they_can_be(folder):
    data = load_data(f"folder:{folder({'cat': 30, 'dog': 1, 'bus': 2})}", seed=0)
    sizes = {part: [sum(i.label == c for i in data.part(part)) for c in range(3)] for part in ("train", "val", "test")}
    assert sizes == {"train": [1, 9, 1], "val": [0, 6, 0], "test": [1, 15, 0]}
    assert draw(data, 4, 2, 0).untested == ["'dog'"]


def test_small_classes_do_not_move_the_images_of_others(folder):
    counts = {"cat": 12, "dog": 9}
    plain = load_data(f"folder:{folder(counts, 'plain')}", seed=3)
    more = load_data(f"folder:{folder(counts | {'elk': 1}, 'more')}", seed=3)
    assert [(part, i.group) for part, i in plain.items()] == [
        (part, i.group) for part, i in more.items() if i.label < 2
    ]


def test_a_class_that_is_left_out_leaves_the_others_as_they_are(folder):
    root = folder({"bus": 5, "cat": 9, "dog": 0, "fox": 1})
    data = load_data(f"folder:{root}", seed=1, exclude=["dog", "bus"])
    assert data.class_names == ("cat", "fox") and data.task == "pictures of 2 kinds of things, such as cat, fox"
    whole = load_data(f"folder:{root}", seed=1, exclude=["dog"])
    assert [(p, i.group) for p, i in data.items()] == [(p, i.group) for p, i in whole.items() if i.label != 0]
    (root / "classes.yaml").write_text("bus: [coach, omnibus]\ndog: puppy\n")
    assert load_data(f"folder:{root}", seed=1, exclude=["coach", "dog"]).class_names == ("cat", "fox")
    wrong = (["dgo"], "'dgo', which is not in the data .did you mean dog"), (["cat", "dog", "bus"], "leaves 1 of 4")
    for excluded, message in wrong:
        with pytest.raises(InputError, match=message):
            load_data(f"folder:{root}", seed=1, exclude=excluded)


def shelves(*places: str) -> dict[str, int]:
    return dict.fromkeys(places, 2)


@pytest.mark.parametrize(
    "counts",
    [
        shelves("cat/indoor", "cat/outdoor", "dog/indoor", "dog/outdoor"),
        shelves("cat/anna", "cat/bob", "dog/anna", "dog/carl"),
        shelves("cat/2026-06", "cat/2026-07", "dog/session_1", "dog/session_2"),
        shelves("cat/train", "cat/test", "dog/val", "dog/testing"),
        shelves("cat", "cat/persian", "cat/siamese", "dog"),
        shelves(*(f"{part}/{name}" for part in ("train", "test") for name in ("cat/a", "cat/b", "dog/a", "dog/b"))),
    ],
)
def test_sub_folders_of_classes_may_be_sessions_dates_and_parts(folder, counts):
    assert load_data(f"folder:{folder(counts)}", seed=0).class_names == ("cat", "dog")


def test_a_folder_of_folders_of_classes_is_refused_unless_its_folders_are_named_as_classes(folder):
    root = folder(shelves("food/apple", "food/bread", "food/carrot", "trip/2026-06", "trip/2026-07", "home/img"))
    words = (
        rf"food in the folder .* holds the folders apple, bread, carrot, which look like classes; to use these, type "
        rf"folder:{root}/food; if food, home, trip are the classes, say so with 'class_names=\{{food: food\}}'\.$"
    )
    for whole in (True, False):
        with pytest.raises(InputError, match=words):
            load_data(f"folder:{root}", seed=0, whole=whole)
    assert load_data(f"folder:{root}", seed=0, class_names={"food": "food"}).class_names == ("food", "home", "trip")
    (root / "classes.yaml").write_text("food: food\n")
    assert load_data(f"folder:{root}", seed=0).class_names == ("food", "home", "trip")
    split = folder(
        shelves(*(f"{part}/cat/{kind}" for part in ("train", "test") for kind in ("tabby", "manx"))), "parts"
    )
    (split / "train/dog").mkdir()
    (split / "train/dog/0.png").write_bytes((split / "train/cat/manx/000.png").read_bytes())
    with pytest.raises(InputError, match=r"cat in .* holds .* manx, tabby, .* move them up into the split folders; if"):
        load_data(f"folder:{split}", seed=0)


def test_a_misspelt_folder_is_told_the_one_beside_it(folder) -> None:
    root = folder({"cat": 3, "dog": 3})
    with pytest.raises(InputError, match=r"imges does not exist \(did you mean folder:.*/images\?\); give"):
        load_data(f"folder:{root.with_name('imges')}", seed=0)
    with pytest.raises(InputError, match=r"x/images does not exist; give"):
        load_data(f"folder:{root.parent / 'x' / 'images'}", seed=0)
