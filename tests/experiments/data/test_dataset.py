"""What every source ends in, and what its classes are called: `classes.yaml` and `class_names`."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ipo_prompts.experiments.data import default_task, load_data
from ipo_prompts.experiments.data.dataset import without
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.template import BASELINE, named, names_class, names_of
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.classifier import TemplateClassifier
from support.same_data import content

SIGN = named(["dog", "puppy"])


def test_a_file_in_the_folder_names_classes_and_keeps_their_order(folder):
    root = folder({"cat": 3, "n2": 3, "road_sign": 3})
    plain = load_data(f"folder:{root}", seed=0)
    (root / "classes.yaml").write_text("road_sign: [road sign, traffic sign]\nn2: dog\n")
    data = load_data(f"folder:{root}", seed=0)
    assert data.class_names == ("cat", "dog", "road sign")
    assert names_of(data.class_names[2]) == ("road sign", "traffic sign")
    assert [item.label for _, item in data.items()] == [item.label for _, item in plain.items()]
    assert "n2" not in data.task
    assert data.stray == ()
    fewer = load_data(f"folder:{root}", seed=0, class_names={"n2": "dog", "road_sign": "road sign"})
    assert fewer.class_names == data.class_names


def test_classes_that_are_left_out_take_their_names_along(folder):
    root = folder({"cat": 3, "n2": 3, "n3": 3, "road_sign": 3})
    (root / "classes.yaml").write_text("n2: dog\nroad_sign: [road sign, traffic sign]\n")
    data = replace(load_data(f"folder:{root}", seed=0), unnamed=("cat", "n3"))
    few = without(data, ["dog", "n3"])  # by the name that was given, and as the source has it
    assert (few.class_names, few.typed) == (("cat", "road sign"), ("cat", "road_sign"))
    assert few.unnamed == ("cat",)
    assert few.task == default_task(["cat", "road sign"])
    for part in ("train", "val", "test"):
        kept = [(item.image, data.class_names[item.label]) for item in data.part(part) if item.label in (0, 3)]
        assert [(item.image, few.class_names[item.label]) for item in few.part(part)] == kept
    assert without(replace(data, task="signs"), ["dog"]).task == "signs"


def test_data_with_the_names_that_they_have_anyway_stay_the_same():
    data = load_data("embedded", seed=0)
    same = load_data("embedded", seed=0, class_names={"cat": ["cat"], "dog": "dog"})
    assert (same.class_names, same.task) == (data.class_names, data.task)
    assert content(same) == content(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dgo: dog", r"names the class 'dgo', which is not in the data \(did you mean dog\?\); write a class as"),
        ("1: dog", "has the class 1, which YAML does not read as text; write '1': in quotes"),
        ("dog: ''", "has an empty name; write one, or 'dog' again to keep that"),
        ("dog: [dog, 7]", "has the name 7, which is no text; write '7' in quotes"),
        ("dog: [dog, Dog]", "has the name 'Dog' twice; write it once"),
        ("dog: [dog, cat]", "calls both 'cat' and 'dog' 'cat'; take it from one of them"),
        ("dog: a <CLASS>", "has the name 'a <CLASS>', and it has <CLASS>, which stands for the name in templates"),
        ("- dog", "holds no table of classes; write a line for each"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(text, message, folder):
    root = folder({"cat": 3, "dog": 3})
    (root / "classes.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        load_data(f"folder:{root}", seed=0)
    assert "\n" not in str(refused.value)


def test_a_class_has_the_mean_of_its_names_and_the_others_the_same_bits(clip):
    def encode(names):
        return encode_templates(clip.model, clip.tokenizer, [BASELINE], names)[0]

    found, plain, other = encode(["cat", SIGN, "bus"]), encode(["cat", "dog", "bus"]), encode(["puppy"])[0]
    mean = plain[1] + other
    assert np.allclose(found[1], mean / np.linalg.norm(mean), atol=1e-6)
    assert (found[[0, 2]] == plain[[0, 2]]).all()
    several = class_embeddings(clip, [BASELINE, "a sketch of a <CLASS>."], ["cat", SIGN, "bus"])
    assert np.allclose(np.linalg.norm(several, axis=1), 1, atol=1e-6)


def test_templates_name_no_synonym():
    assert names_class("two puppys", SIGN) and names_class("a dog", SIGN)
    assert not names_class("a cat", SIGN)


def test_a_program_keeps_synonyms(clip, tmp_path):
    program = TemplateClassifier(clip, ["cat", SIGN])
    program.save(str(tmp_path / "program.json"))
    again = TemplateClassifier.from_file(tmp_path / "program.json", clip)
    assert names_of(again.class_names[1]) == ("dog", "puppy")
    assert (again.class_embeddings() == program.class_embeddings()).all()
    assert json.loads((tmp_path / "program.json").read_text())["class_names"] == ["cat", ["dog", "puppy"]]
