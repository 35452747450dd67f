"""Pictures without labels as data: the forms in which they and their classes come, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.data.dataset import UNLABELLED
from ipo_prompts.experiments.data.draw import SAMPLE
from ipo_prompts.experiments.run.reading import load_config
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import written

Folder = Callable[..., Path]


@pytest.fixture
def flat(folder: Folder) -> Path:
    top = folder({"x": 12})
    for file in (top / "x").iterdir():
        file.rename(top / file.name)
    (top / "x").rmdir()
    (top / "notes.txt").write_text("no picture")
    return top


def load(spec: str, names: Any, labels: Any = "given") -> Any:
    return load_data(spec, seed=0, class_names=names, labels=labels)


def test_a_flat_folder_a_nested_one_and_a_table(flat: Path, folder: Folder) -> None:
    nested = folder({"2023/may": 3, "2024": 2}, "holiday")
    (flat / "t.csv").write_text("image,group\n000.png,a\n001.png,a\n002.png,b\n")
    for spec, count, variants in ((f"folder:{flat}", 12, 0), (f"folder:{nested}", 5, 0), (f"csv:{flat}/t.csv", 3, 1)):
        data = load(spec, ["cat", "hot_dog"])
        assert (len(data.train), data.val, data.test, data.variants) == (count, (), (), bool(variants))
        assert {item.label for item in data.train} == {UNLABELLED} and not data.labelled
        assert data.class_names == ("cat", "hot_dog") and "hot dog" in data.task
    assert load(f"folder:{flat}", ["a", "b"]).stray == ("notes.txt", "t.csv")


def test_names_come_in_a_text_file_a_table_or_a_list(flat: Path, tmp_path: Path) -> None:
    text, table = tmp_path / "names.txt", tmp_path / "names.yaml"
    text.write_text("# classes\ncat\n\n dog \n")
    table.write_text("sofa: [sofa, couch]\ncat: cat\n")
    sentences = ["Cats have whiskers.", "A cat purrs. "]
    (tmp_path / "cupl.json").write_text(json.dumps({"sofa": ["sofa", "couch"], "cat": sentences}))
    (tmp_path / "list.json").write_text('["cat", "dog"]')
    for given, names in (
        (str(tmp_path / "cupl.json"), [["sofa", "couch"], ["cat", "Cats have whiskers.", "A cat purrs."]]),
        (str(tmp_path / "list.json"), ["cat", "dog"]),
        (str(text), ["cat", "dog"]),
        (str(table), [["sofa", "couch"], "cat"]),
        ("[cat, [dog, hound]]", ["cat", ["dog", "hound"]]),
    ):
        config = load_config(None, [f"data=folder:{flat}", f"class_names={given}"])
        assert written(load(config.data, config.class_names).class_names) == names
        assert not isinstance(config.class_names, str)  # a run elsewhere needs no file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the class names .*names.json is not JSON \(.*\); write {\"sofa\": \[\"sofa\", \"couch\"\]}"),
        (b"7", "names.json holds no class names; write a list of them, or a table"),
        ('["caf\u00e9"]'.encode("latin-1"), "names.json is not JSON in UTF-8"),
        (b'{"cat": {"a": "b"}, "dog": "dog"}', "the class 'cat' has the name {'a': 'b'}, which is no text"),
        (b'{"cat": [], "dog": "dog"}', "the class 'cat' has 0 names; write 1 to"),
    ],
)
def test_a_wrong_file_of_names_in_json_is_one_sentence(flat: Path, content: bytes, message: str) -> None:
    (flat / "names.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(f"folder:{flat}", str(flat / "names.json"))


def test_hidden_labels_leave_no_trace(folder: Folder) -> None:
    top = folder({"cat": 5, "dog": 5})
    data = load(f"folder:{top}", None, "none")
    assert data.class_names == ("cat", "dog") and not data.labelled
    assert {item.label for item in data.train} == {UNLABELLED} and len(data.train) == 10
    assert load(f"folder:{top}", ["cat", "bird"], "none").class_names == ("cat", "bird")
    (top / "t.csv").write_text("image,label\ncat/000.png,7\ncat/001.png,8\n")
    assert len(load(f"csv:{top}/t.csv", ["cat", "bird"], "none").train) == 2


def test_half_of_few_pictures_is_searched_on_and_a_sample_of_many(sealed: Any) -> None:
    from dataclasses import replace

    def unlabelled(count: int) -> Any:
        data = sealed(2, per_class=count)
        items = tuple(replace(item, label=UNLABELLED) for _, item in data.items())
        return replace(data, train=items, val=(), test=(), labelled=False)

    few, many = unlabelled(12), unlabelled(900)
    for data, most, searched in ((few, None, len(few.train) // 2), (few, 3, 3), (many, None, SAMPLE)):
        drawn = draw(data, 4, 2, 0, at_most=most)
        assert (len(drawn.search), drawn.selection) == (searched, ())
        assert {i.group for i in drawn.search} | {i.group for i in drawn.test} == {i.group for i in data.train}
        assert not {i.group for i in drawn.search} & {i.group for i in drawn.test}
    assert draw(many, 4, 2, 0).search != draw(many, 4, 2, 1).search
    with pytest.raises(InputError, match=r"base-to-new tests .* have no labels; set classes=all"):
        draw(few, 4, 2, 0, "base")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "class_names has no names and a classifier needs at least two"),
        (["cat"], "class_names has 1 name and a classifier"),
        (["cat", "Cat"], "class_names has two classes, 'cat' and 'Cat', that read the same"),
        (["cat", ["dog", "cat"]], "class_names calls both 'cat' and 'dog' 'cat'"),
        (["cat", "d" * 201], "entry 2 has a name of 201 characters, more than 200; shorten"),
        (["cat", ""], "entry 2 has an empty name"),
        (["cat", 7], "entry 2 has the name 7, which is no text"),
        (["cat", "a <CLASS>"], "entry 2 has the name 'a <CLASS>'"),
        (None, "has pictures but no class folders; .* or, if they have no labels, name the classes: class_names="),
    ],
)
def test_bad_names_are_one_sentence(flat: Path, names: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(f"folder:{flat}", names)
    assert str(caught.value).count("\n") == 0


def test_labels_beside_a_list_of_names_are_refused(folder: Folder, tmp_path: Path) -> None:
    top = folder({"cat": 3, "other": 3})
    (top / "t.csv").write_text("image,label\ncat/000.png,cat\n")
    for spec in (f"folder:{top}", f"csv:{top}/t.csv", "embedded:b"):
        with pytest.raises(InputError, match=r"seem to have labels, .* or set labels=none so that they are not used"):
            load(spec, ["cat", "dog"])
    with pytest.raises(InputError, match="has no pictures; put pictures there"):
        (tmp_path / "empty").mkdir()
        load(f"folder:{tmp_path / 'empty'}", ["cat", "dog"])


def test_check_and_evaluate(flat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"folder:{flat}", "class_names=[cat, dog]"]
    assert main(["data", "check", *words, "--clip", "embedded"]) == 0
    told = capsys.readouterr().out
    assert "2 classes, 12 pictures" in told and "no label" in told and "a random sample of 6 is searched on" in told
    assert "'class_names=[cat, dog]'" in told
    two = ["--template", "a <CLASS>.", "--template", "a photo of a <CLASS>."]
    assert main(["evaluate", words[1], *two, "--data", words[0]]) == 0
    told = capsys.readouterr().out
    assert told.startswith("not tested: no labels") and "accuracy  " not in told
    assert main(["data", "check", words[0], "steps=3"]) == 2
    assert "data check takes class_names=, labels=, exclude= besides the data, not steps=" in capsys.readouterr().err
