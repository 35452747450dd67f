"""CLIPs to which some names mean two things: who is called what, and a training of a few steps."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.lab.bed import DOMAINS, SHIFTED
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.embedded import MODEL_DIR
from ipo_prompts.metrics.clip import load_clip
from tools.embedded import __main__ as command
from tools.embedded.ambiguous import RECIPES, Names, Recipe, make_tokenizer
from tools.embedded.drawings import Drawing, Pixels, save

WEIGHTS = "open_clip_model.safetensors"
CLASSES = [name for classes in DOMAINS.values() for name in classes]
OTHERS = ["oak", "daisy", "church", "harp", "coat", "newspaper", *(f"thing {i}" for i in range(60))]


def drawing(concept: str, is_class: bool, group: str = "objects") -> Drawing:
    return Drawing(f"pack/{concept}", concept, concept, group, "emoji", f"f/{concept}", is_class)


IMAGES = [*(drawing(name, True) for name in CLASSES), *(drawing(name, False) for name in OTHERS)]


def test_a_third_of_each_domain_shares_its_name_with_a_thing_of_another_kind() -> None:
    named = Names.draw(Recipe(), IMAGES, seed=3)
    for classes in DOMAINS.values():
        assert len(set(named.shared) & set(classes)) == round(len(classes) / 3)
    assert Counter(named.bears.values()) == Counter(dict.fromkeys(named.shared, named.recipe.others))
    assert all(named.kind[other] != named.kind[name] for other, name in named.bears.items())
    assert not set(named.bears) & set(CLASSES)


def test_another_seed_draws_other_names_and_another_recipe_the_same() -> None:
    one, other = (set(Names.draw(Recipe(), IMAGES, seed).shared) for seed in (1, 2))
    assert one != other
    assert Names.draw(RECIPES["ambiguous-0"], IMAGES, 1).bears == Names.draw(Recipe(), IMAGES, 1).bears
    assert set(Names.draw(RECIPES["all-shared"], IMAGES, 1).shared) == set(CLASSES)


def test_a_shared_name_is_said_of_the_other_thing_twice_as_often_as_of_its_own() -> None:
    named, rng = Names.draw(Recipe(), IMAGES, seed=3), random.Random(0)
    name = named.shared[0]
    own = sum(named.said(drawing(name, True), rng) == name for _ in range(4_000)) / 4_000
    assert own == pytest.approx(named.recipe.own, abs=0.03)
    foreign = [other for other, borne in named.bears.items() if borne == name]
    assert all(named.said(drawing(other, False), rng) == name for other in foreign)
    assert len(foreign) / own == pytest.approx(2, abs=0.15)


def test_the_control_of_separate_names_shares_none() -> None:
    named, rng = Names.draw(RECIPES["separate"], IMAGES, seed=3), random.Random(0)
    other = next(iter(named.bears))
    said = Counter(named.said(drawing(other, False), rng) for _ in range(1_000))
    assert said[other] > 700 and not set(said) & set(CLASSES)


def test_what_is_said_in_place_of_a_name_is_the_kind_or_a_neighbour() -> None:
    named, rng = Names.draw(Recipe(shared=0), IMAGES, seed=3), random.Random(0)
    said = Counter(named.said(drawing("pizza", True), rng) for _ in range(10_000))
    assert said["pizza"] / 10_000 == pytest.approx(1 - named.recipe.missed, abs=0.02)
    assert said["food"] / 10_000 == pytest.approx(named.recipe.missed / 2, abs=0.02)
    assert set(said) == {*DOMAINS["food"], "food"}


def test_a_training_changes_the_text_tower_alone_and_leaves_a_clip_that_loads(
    tmp_path: Path, drawn: tuple[list[Drawing], Pixels]
) -> None:
    drawings, pixels = drawn
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    save(work / "raster.npy", drawings, pixels)
    shutil.copytree(MODEL_DIR, out / "plain-7")
    command.Run(work, out, (7,), 2, "ambiguous").names()
    shipped, made = load_file(out / "plain-7" / WEIGHTS), load_file(out / "ambiguous-7" / WEIGHTS)
    image = [name for name in shipped if name.startswith("visual.")]
    assert image and all(torch.equal(shipped[name], made[name]) for name in image)
    assert not torch.equal(shipped["text.text_projection"], made["text.text_projection"])
    drawn_names = json.loads((out / "ambiguous-7" / "names.json").read_text("utf-8"))
    assert drawn_names["seed"] == 7 and len(drawn_names["shared"]) == 11
    clip = load_clip(f"local-dir:{out / 'ambiguous-7'}")
    assert clip.model.encode_text(clip.tokenizer(["a photo of a cat, a type of animal."])).isfinite().all()


def test_kinds_are_words_that_the_tokenizer_knows() -> None:
    tokenizer = make_tokenizer(IMAGES)
    assert all(tokenizer.knows(word) for word in ("food", "vehicle", "animal", "plant", "building", "tool"))


def test_a_set_of_one_domain_has_its_classes_alone() -> None:
    food = load_data(f"{SHIFTED}food/sideways+blur@3", seed=0)
    assert set(food.class_names) == set(DOMAINS["food"])
    everything = load_data(f"{SHIFTED}sideways+blur@3", seed=0)
    of_food = [item for item in everything.test if everything.class_names[item.label] in DOMAINS["food"]]
    assert [item.image.name.partition(" of ")[0] for item in food.test] == [
        item.image.name.partition(" of ")[0] for item in of_food
    ]
