"""Names of folders and labels are read as captions write names; names that somebody wrote for prompts are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.experiments.data.names import (
    answers,
    changed_names,
    names_in_words,
    read_names,
    unclear_names,
)
from ipo_prompts.metrics.template import as_read

READ = {
    "FRUITS": "fruit",
    "flowers (all)": "flower",
    "Birds_2019": "bird",
    "BOOKS_v2": "book",
    "PLANTS_03": "plant",
    "Coins_final": "coin",
    "my dogs": "dog",
    "batch2-apples": "apple",
    "cups-small": "cup",
    "Dog images": "Dog",
    "tree_imgs": "tree",
    "val_soup": "soup",
    "Copy of spoons": "spoon",
    "spoons - Copy (2)": "spoon",
    "trees_v2_final": "tree",
    "ROOFS-v3": "roof",
    "lamps v3": "lamp",
    "Parades 2019": "parade",
    "golfcourses": "golf course",
    "hats": "hat",
    "mice": "mouse",
    "leaves": "leaf",
    "alarm clocks": "alarm clock",
    "Dads tools": "Dads tool",
    "BlackBear": "Black Bear",
    "teddy-bear": "teddy bear",
    "crane (bird)": "crane bird",
    "polar_bear (animal)": "polar bear animal",
    "stop sign (30)": "stop sign",
    "siamese_cat": "siamese cat",
    "shoes": "shoe",
    "cups-120": "cup",
    "no_entry": "no entry",
    "Cafe\u0301": "Café",
}
STAY = [
    *("glasses", "scissors", "species", "jeans", "headphones", "noodles", "nachos", "people", "bus", "forget-me-not"),
    *("Boeing 737-200", "iPhone 12", "A320", "speed limit 50", "2012 BMW M3", "MP3 player", "house-2", "AK-47"),
    *(
        "iPhone",
        "McDonalds",
        "MacBook",
        "MacBook Pro",
        "737-800",
        "SUV",
        "US",
        "BMW",
        "moon",
        "dress shirt",
        "chest x-ray",
        "class photo",
        "test tube",
        "image frame",
        "motion image",
        "steam train",
        "old man",
        "extra small",
        "facebook",
        "St. Bernard",
        "背景",
    ),
]


@pytest.mark.parametrize(("typed", "read"), [*READ.items(), *((name, name) for name in STAY)])
def test_a_name_is_read_as_captions_write_it(typed: str, read: str) -> None:
    assert read_names([typed, "zebra"])[0] == [read, "zebra"]


def test_reading_twice_changes_nothing() -> None:
    once = read_names([*READ, *STAY])[0]
    assert read_names(once)[0] == once


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["001.Black_Bear", "002.Wolves"], ["Black Bear", "wolf"]),
        (
            ["001_Dogs", "02-BIRDS", "04 Trees", "1 - Birdies", "747-jets"],
            ["dog", "bird", "tree", "birdie", "747-jets"],
        ),
        (["10_apples", "wolves"], ["10 apple", "wolf"]),  # no number in front of every name
        (["bat (animal)", "bat (sports)"], ["bat animal", "bat sport"]),
        (["cat", "cats", "dogs"], ["cat", "cats", "dog"]),
        (["DOG", "my dogs"], ["DOG", "my dogs"]),
        (["cups-small", "cups-large"], ["cups-small", "cups-large"]),
        (["chest x-ray", "hand x-ray"], ["chest x-ray", "hand x-ray"]),
        (["hot_dog", "hot-dog"], ["hot_dog", "hot-dog"]),
    ],
)
def test_names_are_read_together_and_stay_apart(typed: list[str], read: list[str]) -> None:
    found, apart = read_names(typed)
    assert found == read and len({*map(as_read, found)}) == len(typed)
    assert all(name in typed for name in apart)


def test_aircraft_keep_the_number_in_front() -> None:
    assert read_names(["737-800", "707-320"])[0] == ["737-800", "707-320"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["akiec", "dog", "cat"], "the meaning of 'akiec'; write it in classes.yaml"),
        (["akiec", "bkl", "dog", "cat"], "the meaning of 'akiec', 'bkl';"),
        (["akiec", "bcc", "bkl", "dog"], "the meaning of 3 of 4 names;"),
        (["dog", "freckled", "737-800", "class_3"], ""),
    ],
)
def test_names_without_a_known_word_are_told(folder, names: list[str], said: str) -> None:
    root = folder(dict.fromkeys(names, 2))
    data = load_data(f"folder:{root}", clean=True)
    assert said in unclear_names(data) and bool(said) is bool(unclear_names(data))
    assert said in " ".join(check_data(data).text().split())


def test_no_name_becomes_one_that_another_class_has() -> None:
    assert read_names(["dogs"], ["dog"])[0] == ["dogs"]


def test_a_data_set_has_the_names_in_prompts_and_the_typed_names(folder) -> None:
    root = folder({"Birds_2019": 3, "hats": 3, "n02084071": 3, "veg": 3})
    data = load_data(f"folder:{root}", clean=True)
    assert data.class_names == ("bird", "hat", "dog", "veg")
    assert answers(data) == data.unread == ("Birds_2019", "hats", "dog", "veg")
    assert data.typed == ("Birds_2019", "hats", "n02084071", "veg")
    assert "hats" not in data.task and "hat" in data.task
    assert names_in_words(data) == "names: Birds_2019 → bird, hats → hat, n02084071 → dog (3 of 4)"
    less = load_data(f"folder:{root}", clean=True, exclude=["hats"])
    assert answers(less) == ("Birds_2019", "dog", "veg") and less.read == {0, 2}
    plain = load_data(f"folder:{root}")
    assert plain.class_names == answers(plain) == ("Birds_2019", "hats", "dog", "veg") and not plain.read


def test_a_line_says_what_changed_and_what_was_kept_apart(folder) -> None:
    data = load_data(f"folder:{folder({'cat': 2, 'cats': 2, 'hats': 2})}", clean=True)
    assert names_in_words(data) == "names: hats → hat (1 of 3); cats: kept apart"
    assert changed_names(data.typed, data.class_names) == "hats → hat (1 of 3)" and not changed_names(["a"], ["a"])


def test_names_that_somebody_wrote_are_not_read(folder, tmp_path: Path) -> None:
    root = folder({"Birds_2019": 3, "hats": 3, "tools": 3})
    (root / "classes.yaml").write_text("hats: straw hats\n")
    data = load_data(f"folder:{root}", clean=True)
    assert data.class_names == ("bird", "straw hats", "tool") and data.read == {0, 2}
    assert answers(data) == data.typed and data.unread == ("Birds_2019", "straw hats", "tools")
    assert not load_data("embedded", clean=True).read
    given = load_data(f"folder:{root}", clean=True, class_names={"hats": "Hats_2019", "tools": "my tools"})
    assert given.class_names == ("bird", "Hats_2019", "my tools") and answers(given) == given.typed


def test_a_code_that_has_a_name_is_called_by_it_in_answers(folder) -> None:
    root = folder({"17": 2, "42": 2, "dog": 2, "Obst_2021": 2})
    named = load_data(f"folder:{root}", class_names={"17": "bus", "42": "dog", "dog": "hound", "Obst_2021": "fruit"})
    assert named.class_names == ("bus", "dog", "fruit", "hound")
    assert answers(named) == ("bus", "42", "Obst_2021", "dog"), "no two classes get one label"
