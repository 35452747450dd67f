"""Tables in JSON: a list of objects, an object a line, and what Label Studio exports."""

import json

import pytest

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.errors import InputError

ROWS = [{"image": f"{name}/{i:03d}.png", "label": name} for name in ("cat", "dog") for i in range(6)]


@pytest.fixture
def write(folder):
    """Write a table beside the pictures cat/000.png … cat/005.png and dog/000.png … dog/005.png."""
    root = folder({"cat": 6, "dog": 6})

    def make(content, name="labels.json", encoding="utf-8"):
        path = root / name
        path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode(encoding))
        return f"table:{path}"

    return make


def task(image, *answers, question="class", **data):
    """A task as Label Studio 1.x exports it, with an annotation for each answer, and a box that is not read."""
    annotations = [
        {
            "id": i,
            "was_cancelled": answer == ["cancelled"],
            "result": [
                {"type": "rectanglelabels", "from_name": "box", "value": {"rectanglelabels": ["x"], "x": 1.5}},
                {"type": "choices", "from_name": question, "to_name": "image", "value": {"choices": answer}},
            ],
        }
        for i, answer in enumerate(answers)
    ]
    return {"id": 1, "data": {"image": image, **data}, "annotations": annotations, "predictions": [], "meta": {}}


def tasks():
    return [task(row["image"], [row["label"]]) for row in ROWS]


def test_json_and_json_lines_are_read_as_csv_is(write):
    lines = "\n\n".join(json.dumps(row | {"note": [1, [2.5]]}) for row in ROWS)
    csv = "image,label\n" + "".join(f"{row['image']},{row['label']}\n" for row in ROWS)
    specs = [write(ROWS), write(lines, "labels.jsonl"), write(csv, "labels.csv"), write(csv, "labels.txt")]
    specs.append(specs[-2].replace("table:", "csv:"))  # as runs of earlier versions name it
    datas = [load_data(spec, seed=0) for spec in specs]
    assert [data.name for data in datas] == ["json:labels"] * 2 + ["csv:labels"] * 3
    assert len({data.fingerprint for data in datas}) == 1
    assert datas[0].class_names == ("cat", "dog")
    assert [len(datas[0].train), len(datas[0].val), len(datas[0].test)] == [4, 2, 6]


def test_columns_of_json_and_rows_without_a_key(write):
    parts = ["train", "train", "val", "val", "test", "test"]
    rows = [
        {"file_name": row["image"], "label": int(row["label"] == "cat"), "class_name": row["label"], "split": part}
        for row, part in zip(ROWS, parts * 2, strict=True)
    ]
    data = load_data(write([rows[0] | {"group": "g"}, rows[1] | {"group": "g"}, *rows[2:]]), seed=0)
    assert data.class_names == ("dog", "cat") and data.variants
    assert [len(data.train), len(data.val), len(data.test)] == [4, 4, 4]


def test_label_studio(write):
    kept = [*tasks()[:-2], task("dog/004.png", ["cancelled"], ["dog"]), task("dog/005.png")]
    data = load_data(write(kept), seed=0)
    assert data.class_names == ("cat", "dog")
    assert data.stray == ("row 12: nobody chose a class",)
    assert len(list(data.items())) == 11
    with pytest.raises(InputError, match="has a column of labels, so these pictures seem to have labels"):
        load_data(write(kept), seed=0, class_names=["cat", "dog"])
    unlabelled = load_data(write([task(row["image"]) for row in ROWS]), seed=0, class_names=["cat", "dog"])
    assert len(unlabelled.train) == 12 and not unlabelled.labelled


def test_addresses_on_the_server_of_label_studio_are_paths_beside_the_export(write):
    served = [f"/data/local-files/?d={row['image'].replace('/', '%2F')}" for row in ROWS]
    data = load_data(write([task(at, [row["label"]]) for at, row in zip(served, ROWS, strict=True)]), seed=0)
    assert data.fingerprint == load_data(write(ROWS), seed=0).fingerprint
    with pytest.raises(
        InputError, match=r"row 1 .* names the picture 'upload/3/a b.png', relative to the table: cannot"
    ):
        load_data(write([task("/data/upload/3/a%20b.png", ["cat"]), task("/data/cat/001.png", ["cat"])]), seed=0)


@pytest.mark.parametrize(
    ("address", "place"),
    [("/data/upload/3/{}.png", "its folder `media`"), ("/data/local-files/?d=pets%2F{}.png", "its LOCAL_FILES_DOC")],
)
def test_an_export_in_another_folder_than_its_pictures_is_refused_in_one_sentence(write, address, place, capsys):
    spec = write([task(address.format(i), [row["label"]]) for i, row in enumerate(ROWS)])
    assert main(["data", "check", spec]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"such as '{address.format(0)}', and there is no " in said and f"copy the export into {place}" in said
    assert said.endswith("type table:FOLDER/labels.json.")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "t.json", r"the table .*t.json is not JSON \(.*\); write \[{\"image\": \"a.jpg\", \"label\": \"cat\"}"),
        ("", "t.jsonl", "the table .*t.jsonl holds no rows; write"),
        ([], "t.json", "the table .*t.json holds no rows; write"),
        ({"cat/000.png": "cat"}, "t.json", "row 1 of .* is no object with the keys image and label; write"),
        ([["cat/000.png", "cat"]], "t.json", "row 1 of .* is no object with the keys"),
        ('{"image": "cat/000.png", "label": "cat"}\n' * 2, "t.json", r"is not JSON \(Extra data.*called \.jsonl"),
        ('{"image": "cat/000.png", "label": "cat"}\n{', "t.jsonl", "row 2 of the table .* is not JSON"),
        ("[" * 100_000, "t.jsonl", "row 1 of the table .* is not JSON .it is nested too deep"),
        ('{"image": "\\ud800"}', "t.jsonl", "row 1 of the table .* is not JSON .*surrogates"),
        ([{"image": "cat/000.png"}], "t.json", "has no column label; its columns are: image; if the pictures"),
        ([{"Image": "cat/000.png"}], "t.json", "its columns are: Image; write their names in lower case"),
        ([*ROWS, {"image": "cat/000.png"}], "t.json", "row 13 of .* has an empty cell in the column label"),
        ([*ROWS, {"image": "cat/000.png", "label": "dog"}], "t.json", "row 13 of .* names .* again, after row 1"),
        ([*ROWS, {"image": "no.png", "label": "dog"}], "t.json", "row 13 of .* names the picture 'no.png'"),
        ([{"image": "cat/000.png", "label": [["cat"]]}], "t.json", "row 1 of .* has no text as label; write a text"),
        ([{"image": "cat/000.png", "label": ["a|b"]}], "t.json", "row 1 of .* has no text as label"),
        ([{"image": {"bytes": "x"}, "label": "cat"}], "t.json", "row 1 of .* has no text as image; write a text"),
        ([{"image": "cat/000.png", "label": 0.5}], "t.json", "row 1 of .* has no text as label"),
        ([{"image": "cat/000.png", "label": 0}], "t.json", "are numbers and CLIP reads names; add a column class_name"),
        ([*tasks(), task("cat/000.png", ["cat"], ["dog"])], "t.json", "annotations that disagree, at row 13; settle"),
        (
            [task("cat/000.png", ["cat"]), task("a", ["bad"], question="quality")],
            "t.json",
            "2 questions, class, quality",
        ),
        (
            [{"data": {"image": "a"}, "annotations": [{"result": {"a": 1}}]}],
            "t.json",
            "row 1 of .* no task of Label St",
        ),
        ([{"data": {"image": "a"}, "annotations": None}], "t.json", "row 1 of .* is no task of Label Studio"),
        (
            [task("/data/local-files/?d=../../etc/x.png", ["cat"])],
            "t.json",
            "row 1 of .* names a picture outside of its",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(write, content, name, message):
    with pytest.raises(InputError, match=message) as caught:
        load_data(write(content, name), seed=0)
    assert "\n" not in str(caught.value)


def test_the_command_ends_with_code_2(write, capsys):
    assert main(["data", "check", write([[1]])]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_other_encodings_are_named(write):
    rows = [row | {"label": "café"} for row in ROWS]
    for name in ("t.json", "t.jsonl"):
        text = json.dumps(rows if name == "t.json" else rows[0], ensure_ascii=False)
        for encoding in ("latin-1", "utf-16"):
            with pytest.raises(InputError, match=r"the table .* is not JSON in UTF-8 \(.*\); write"):
                load_data(write(text, name, encoding), seed=0)


def test_pictures_of_label_studio_on_another_machine_are_named_as_such(write):
    spec = write([task("s3://pets/1.jpg", ["cat"], note="http://example.org")])
    with pytest.raises(InputError, match=r"row 1 of .* has a picture on another machine, 's3://pets/1.jpg'; export"):
        load_data(spec, seed=0)
