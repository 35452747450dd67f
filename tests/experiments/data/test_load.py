import json

import pytest

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.metrics.errors import InputError
from support.same_data import content


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "unknown data ''; use embedded"),
        ("foldr:x", r"unknown data 'foldr:x' \(did you mean folder\?\); use embedded"),
        ("embeded", r"did you mean embedded\?"),
        ("IMAGES", "^IMAGES stands for images of yours; type the path of their folder in its place"),
        ("embedded:e", "there are no images embedded:e; there are: embedded:a, embedded:b, embedded:c, embedded:d"),
        ("embedded:A", r"did you mean a\?"),
        ("folder:", "needs a path"),
        ("table:", "table: needs a path"),
        ("csv:", "needs a path"),
        ("parquet:", "needs a path"),
        ("hf:", "needs the name"),
    ],
)
def test_an_unknown_spec_lists_the_forms_and_the_nearest(spec, message):
    with pytest.raises(InputError, match=message):
        load_data(spec, seed=0)


def test_a_bare_path_is_told_its_form(folder, tmp_path):
    root = folder({"cat": 3, "dog": 3})
    with pytest.raises(InputError, match=r"did you mean folder:.*images\?"):
        load_data(str(root), seed=0)
    (tmp_path / "labels.csv").touch()
    with pytest.raises(InputError, match=r"did you mean table:.*labels.csv\?"):
        load_data(str(tmp_path / "labels.csv"), seed=0)


@pytest.mark.parametrize("form", ["", "table:"])
def test_the_path_of_an_image_is_told_its_folder(form, folder, monkeypatch):
    monkeypatch.chdir(folder({"cat": 3, "dog": 3}).parent)
    said = "^images/cat/000.png is an image, not a table; name the folder that holds .*: folder:images.$"
    with pytest.raises(InputError, match=said):
        load_data(f"{form}images/cat/000.png", seed=0)
    monkeypatch.chdir("images/cat")
    with pytest.raises(InputError, match=r"class folders: folder:\.\.\.$"):
        load_data(f"{form}000.png", seed=0)


@pytest.fixture
def shipped(folder, tmp_path, monkeypatch):
    """A made split in place of the shipped one: 2 classes, 2 base images each and part, 2 variants of each."""
    counts = {f"{domain}/{part}": 8 for domain in "ab" for part in ("train", "val", "test")}
    root = folder(counts, "shipped")
    split = {"schema": 1, "classes": ["zebra", "ant"]}
    for part in ("train", "val", "test"):
        rows = enumerate([(0, "zebra"), (0, "zebra"), (1, "ant"), (1, "ant")] * 2)
        split[part] = [[f"{part}/{i:03d}.png", label, name, f"{name}/{part}{i // 4}"] for i, (label, name) in rows]
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split))
    monkeypatch.setattr(embedded, "IMAGES_DIR", root)
    monkeypatch.setattr(embedded, "SPLIT_FILE", file)
    return file, split


def test_the_embedded_images_keep_their_parts_labels_and_groups(shipped):
    data, same, other = (load_data(spec, seed=s) for spec, s in (("embedded", 0), ("embedded:a", 1), ("embedded:b", 0)))
    assert [i.image.name for i in data.train] == [i.image.name for i in same.train]
    assert (data.name, other.name) == ("embedded:a", "embedded:b")
    assert data.class_names == ("zebra", "ant")
    assert data.variants
    assert [i.group for i in data.train[:3]] == ["zebra/train0", "zebra/train0", "ant/train0"]
    assert content(data) != content(other)


@pytest.mark.parametrize("domain", embedded.DOMAINS)
def test_the_images_that_ship_can_be_used(domain):
    data = load_data(f"embedded:{domain}", seed=0)
    assert check_data(data).ok
    parts = [{item.group for item in data.part(part)} for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))
