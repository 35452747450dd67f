"""Classes that are called by codes: WordNet's numbers get their names, others are refused by a search."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.names import answers, is_code
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.nouns import irregular, synsets
from support.runs import copy_images

CODES = {"n02084071": "dog", "n02123045": "tabby", "n03445924": "golfcart", "n07747607": "orange"}


def test_the_nouns_say_what_is_said_of_a_dog() -> None:
    dog = synsets()[2084071]
    assert [word.text for word in dog.words] == ["dog", "domestic dog", "Canis familiaris"]
    assert (dog.words[0].sense, dog.words[0].tagged) == (1, 42)
    assert [synsets()[above].words[0].text for above in dog.hypernyms] == ["canine", "domestic animal"]
    assert len(synsets()) == 82115
    assert irregular()["mice"] == ("mouse",) and irregular()["oxen"] == ("ox",)


def test_numbers_of_wordnet_get_their_names(folder) -> None:
    data = load_data(f"folder:{folder(dict.fromkeys((*CODES, 'n02085620-Chihuahua', 'bus'), 3))}", seed=0)
    called = dict(zip(data.typed, data.class_names, strict=True))
    assert called["n02084071"] == "dog" and called["n02123045"] == "tabby" and called["n03445924"] == "golfcart"
    assert called["n07747607"] == "orange" and called["n02085620-Chihuahua"] == "Chihuahua" and called["bus"] == "bus"
    assert data.unnamed == () and "n02" not in data.task
    assert set(answers(data)) == set(data.class_names), "what a number means is the label, too"


def test_two_numbers_with_one_name_are_told_apart(folder) -> None:
    root = folder({"n02012849": 3, "n03126707": 3, "n03710637": 3, "n03710721": 3})
    assert load_data(f"folder:{root}", seed=0).class_names == (
        "crane wading bird",
        "crane lifting device",
        "maillot tights",
        "tank suit",
    )


def test_what_somebody_has_written_counts_more(folder) -> None:
    root = folder({"n02084071": 3, "n02123045": 3})
    (root / "classes.yaml").write_text("n02084071: [hound, dog]\n")
    assert load_data(f"folder:{root}", seed=0).class_names == ("hound", "tabby")
    assert load_data(f"folder:{root}", seed=0, class_names={"n02123045": "cat"}).class_names == ("dog", "cat")


def test_a_name_and_the_number_of_the_same_are_one_class_too_many(folder) -> None:
    with pytest.raises(InputError, match=r"WordNet's numbers calls both 'dog' and 'n02084071' 'dog'; .*join"):
        load_data(f"folder:{folder({'dog': 3, 'n02084071': 3})}", seed=0)


@pytest.mark.parametrize("name", ["17", "0_3", "class_3", "Category 12", "c12", "n99999999", "Q144", "9f86d081-884c"])
def test_codes(name: str) -> None:
    assert is_code(name)


@pytest.mark.parametrize(
    "name",
    [
        *("A320", "737-800", "707-320", "DC-10", "C-130", "C-47"),
        "Boeing 737-800",
        "F16",
        "mp3 player",
        "7 up",
        "café",
        "ウシ",
        "facade",
        "acceded",
        "Type R",
        "001.Laysan",
    ],
)
def test_names_with_numbers_in_them_are_names(name: str) -> None:
    assert not is_code(name)


def coded(tmp_path: Path) -> Path:
    """Images of three classes; two folders are called by codes."""
    root = copy_images(tmp_path / "scans")
    for i, own in enumerate(sorted(root.iterdir())):
        if i < 2:
            own.rename(root / f"class_{i}")
    return root


def test_a_search_refuses_them_until_they_are_named(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = coded(tmp_path)
    job = ["optimize", f"folder:{root}", "lm=none", "--out", str(tmp_path / "run")]
    for words in (job, [*job, "--dry-run"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "2 of 6 classes of folder:scans are called by a code, which no CLIP reads: 'class_0', 'class_1'" in said
        assert "write the file classes.yaml into the folder of images" in said
    (root / "class_0").rename(root / "0")
    assert main(job) == 2
    line = re.search(r"a line `(.*)` for each", capsys.readouterr().err)
    assert line
    (root / "classes.yaml").write_text(f"{line[1]}\nclass_1: class_1\n")  # as the message says
    assert load_data(f"folder:{root}", seed=0).unnamed == (), "who writes a code for a name is believed"


def test_the_check_says_what_a_search_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = coded(tmp_path)
    for image in sorted((root / "class_0").iterdir())[1:]:
        image.unlink()
    assert main(["data", "check", f"folder:{root}"]) == 1
    told = capsys.readouterr().out
    assert "2 of 6 classes of folder:scans are called by a code" in " ".join(told.split()) and "next: " not in told
    assert re.search(r"^all +11 ", told, re.M), "what a run would use is told all the same"
