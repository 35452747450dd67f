"""The draw and the class halves against what is published; fixtures/README.md says where the numbers come from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.data import DataSet, Item, draw, load_data
from ipo_prompts.experiments.data.published import REGISTRY
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.template import fill

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "published.json").read_text())
DRAWN = [name for name, facts in PUBLISHED.items() if "draws" in facts]
SETUPS = [(shots, seed) for shots in (1, 16) for seed in (1, 2, 3)]

BOUNDARY = {
    "imagenet": ("cleaver", "cliff dwelling"),
    "caltech101": ("helicopter", "ibis"),
    "oxford_pets": ("keeshond", "leonberger"),
    "stanford_cars": ("1998 Eagle Talon Hatchback", "2012 FIAT 500 Abarth"),
    "oxford_flowers": ("petunia", "wild pansy"),
    "food101": ("grilled_salmon", "guacamole"),
    "fgvc_aircraft": ("Cessna 525", "Cessna 560"),
    "sun397": ("indoor ice_skating_rink", "outdoor ice_skating_rink"),
    "dtd": ("marbled", "matted"),
    "eurosat": ("Industrial Buildings", "Pasture Land"),
    "ucf101": ("Long_Jump", "Lunges"),
}


def labels(facts: dict[str, Any], part: str) -> list[int]:
    """The labels of a part in the order of the split file."""
    order = facts[part]["order"] or range(len(facts["classes"]))
    sizes = facts[part]["sizes"]
    return [
        label
        for label, size in zip(order, [sizes] * len(facts["classes"]) if isinstance(sizes, int) else sizes, strict=True)
        for _ in range(size)
    ]


def digest(data: DataSet, shots: int, seed: int) -> str:
    """The hash of the drawn positions, in the form of the index files."""
    drawn = draw(data, shots, min(shots, 4), seed)
    positions = [
        {item.group: i for i, item in enumerate(part)} for part in (data.train, data.val)
    ]  # groups are paths, each one once
    found = [[positions[0][i.group] for i in drawn.train], [positions[1][i.group] for i in drawn.val]]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


@pytest.mark.parametrize("name", DRAWN)
def test_the_index_files_are_rebuilt(name):
    facts = PUBLISHED[name]
    train, val = (
        tuple(Item(LazyImage.from_bytes("", b""), label, f"{part}{i}") for i, label in enumerate(labels(facts, part)))
        for part in ("train", "val")
    )
    assert (len(train), len(val)) == REGISTRY[name].sizes[:2]
    data = DataSet(name, tuple(facts["classes"]), "things", train, val, (), variants=False)
    for shots, seed in SETUPS:
        assert digest(data, shots, seed) == facts["draws"][f"shot_{shots}-seed_{seed}"], (shots, seed)


@pytest.mark.parametrize("name", ["dtd", "oxford_flowers", "oxford_pets"])
def test_the_index_files_are_rebuilt_from_a_split_file_through_the_loader(name, tmp_path):
    entry, facts = REGISTRY[name], PUBLISHED[name]
    images = tmp_path / entry.folder / entry.images
    images.mkdir(parents=True)
    split: dict[str, list[list[object]]] = {}
    for part, order in (("train", labels(facts, "train")), ("val", labels(facts, "val"))):
        split[part] = [[f"{part}{i}.jpg", label, facts["classes"][label]] for i, label in enumerate(order)]
    # As many test images as the official split has; that every class has one is all that matters of them.
    n = len(facts["classes"])
    split["test"] = [[f"test{i}.jpg", i % n, facts["classes"][i % n]] for i in range(entry.sizes[2])]
    for rows in split.values():
        for path, _, _ in rows:
            (images / str(path)).touch()
    (tmp_path / entry.folder / str(entry.split_file)).write_text(json.dumps(split))
    data = load_data(f"{name}:{tmp_path}", seed=0)
    assert data.split.startswith("different: as many images as the official split has, but other ones"), "made paths"
    assert data.class_names == tuple(facts["classes"])
    for shots, seed in SETUPS:
        assert digest(data, shots, seed) == facts["draws"][f"shot_{shots}-seed_{seed}"], (shots, seed)


@pytest.mark.parametrize("name", BOUNDARY)
def test_the_boundary_of_base_and_new_classes(name):
    names = tuple(PUBLISHED[name]["classes"])
    assert len(names) == REGISTRY[name].classes
    one_each = tuple(Item(LazyImage.from_bytes("", b""), label, str(label)) for label in range(len(names)))
    drawn = draw(DataSet(name, names, "things", one_each, one_each, one_each, variants=False), 1, 0, 1, "base")
    assert (drawn.class_names[-1], drawn.new_class_names[0]) == BOUNDARY[name]
    assert len(drawn.class_names) - len(drawn.new_class_names) == len(names) % 2


def test_class_names_read_as_the_field_reads_them():
    said = {name: [fill("<CLASS>", n) for n in facts["classes"]] for name, facts in PUBLISHED.items()}
    assert not any("_" in name for names in said.values() for name in names)
    assert said["caltech101"][:4] == ["face", "leopard", "motorbike", "accordion"]
    assert "2012 Audi TTS Coupe" in said["stanford_cars"]
    assert "indoor ice skating rink" in said["sun397"]
    twice = {name: sorted({n for n in names if names.count(n) > 1}) for name, names in said.items()}
    assert twice == {name: [] for name in PUBLISHED} | {"imagenet": ["missile", "sunglasses"]}
    assert min(said["imagenet"].index(name) for name in twice["imagenet"]) >= 500  # so ties are among new classes only
