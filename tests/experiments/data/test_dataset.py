import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from ipo_prompts.experiments.data import DataSet, Item, default_task, load_data
from ipo_prompts.metrics.pictures import Picture


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, ipo_prompts.experiments.data; print(*{'torch','datasets','dspy','PIL','numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_fingerprint_does_not_depend_on_place_or_file_times(folder, tmp_path):
    root = folder({"cat": 4, "dog": 4})
    copy = shutil.copytree(root, tmp_path / "elsewhere" / "copy", copy_function=shutil.copyfile)
    one, other = (load_data(f"folder:{path}", seed=0) for path in (root, copy))
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 64
    assert one.fingerprint != load_data(f"folder:{root}", seed=1).fingerprint


def made(encoded, names=("cat", "dog"), labels=(0, 1), groups=("a", "b"), numbers=(1, 2)):
    items = tuple(
        Item(Picture.from_bytes(f"p{n}", encoded(n)), label, group)
        for n, label, group in zip(numbers, labels, groups, strict=True)
    )
    return DataSet("made", names, "things", items, (), (), variants=False)


@pytest.mark.parametrize(
    "change",
    [{"names": ("cat", "fox")}, {"labels": (1, 0)}, {"groups": ("a", "a")}, {"numbers": (1, 3)}, {"numbers": (2, 1)}],
)
def test_the_fingerprint_changes_with_names_labels_groups_bytes_and_order(encoded, change):
    assert made(encoded, **change).fingerprint != made(encoded).fingerprint


def test_the_fingerprint_changes_with_the_part_and_not_with_names_of_groups(encoded):
    data = made(encoded)
    assert replace(data, val=data.train, train=()).fingerprint != data.fingerprint
    assert made(encoded, groups=("x", "y")).fingerprint == data.fingerprint


def test_an_unreadable_picture_does_not_stop_the_fingerprint(folder):
    root = folder({"cat": 3, "dog": 3})
    data = load_data(f"folder:{root}", seed=0)
    (root / "cat" / "000.png").unlink()
    assert len(data.fingerprint) == 64


@pytest.mark.parametrize(
    ("names", "task"),
    [
        (["cat", "dog"], "pictures of 2 kinds of things, such as cat, dog"),
        (["cat", "hot_dog", "bus"], "pictures of 3 kinds of things, such as cat, hot dog, bus"),
        ([f"n{i}" for i in range(60)], "pictures of 60 kinds of things, such as n0, n15, n29"),
    ],
)
def test_the_task_names_a_few_classes_of_the_base_half(names, task):
    assert default_task(names) == task


def test_a_given_task_is_kept(folder):
    assert load_data(f"folder:{folder({'cat': 3, 'dog': 3})}", seed=0, task="pets").task == "pets"
