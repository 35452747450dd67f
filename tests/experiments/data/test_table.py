import pickle

import pytest

from ipo_prompts.experiments.data import load_data
from ipo_prompts.metrics.errors import InputError, InputFaults


@pytest.fixture
def table(folder):
    """Write a table beside the images cat/000.png … cat/005.png and dog/000.png … dog/005.png."""
    root = folder({"cat": 6, "dog": 6})

    def write(text, encoding="utf-8"):
        path = root / "labels.csv"
        path.write_bytes(text.encode(encoding))
        return f"csv:{path}"

    return write


def test_columns_are_named_and_one_that_names_parts_is_told(table, folder):
    head = "where,image,species,Subset\n"
    spec = table(
        head
        + "".join(
            f"{n}\\\\{i:03d}.png,x,{n},{'Test' if i > 2 else 'TRAIN' if i else 'val'}\n"
            for n in ("cat", "dog")
            for i in range(6)
        )
    )
    columns = {"image": "where", "label": "species"}
    data = load_data(spec, columns=columns)
    assert data.stray == ("the column Subset, which names parts (to use it, type split=Subset)",)
    data = load_data(spec, columns=columns | {"split": "Subset"})
    assert data.stray == () and data.class_names == ("cat", "dog")
    found = {part: [item.group[-7:-4] for item in data.part(part)] for part in ("train", "val", "test")}
    assert found == {"train": ["001", "002"] * 2, "val": ["000"] * 2, "test": ["003", "004", "005"] * 2}
    assert data.test[0].image.rgb().size == (6, 5), "read with slashes where a file has none"
    with pytest.raises(InputError, match=r"no column subset; its columns are: .*; name it: split=Subset"):
        load_data(spec, columns={"split": "subset"})


@pytest.mark.parametrize("spec", ["embedded", "folder:images", "python:mine:gather"])
def test_columns_are_those_of_a_table(spec):
    with pytest.raises(InputError, match="image=, label= and split= are for tables"):
        load_data(spec, columns={"label": "species"})


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_marks_separate_cells(table, mark):
    data = load_data(table(("image,label\n" + rows("{name}/{i:03d}.png,{name}\n")).replace(",", mark)))
    assert data.class_names == ("cat", "dog")


def test_images_that_cannot_be_read_are_left_out_if_the_user_says_so(table, folder, tmp_path):
    spec = table("image,label\n" + rows("{name}/{i:03d}.png,{name}\n"))
    root = tmp_path / "images"
    (root / "cat/001.png").write_bytes(b"text")
    (root / "dog/002.png").unlink()
    for source in (spec, f"folder:{root}"):
        data = load_data(source, skip_unreadable=True, exclude=())
        assert data.stray[0] in ("2 images that cannot be read", "1 images that cannot be read")
        assert all(item.image.rgb() for _, item in data.items())
    with pytest.raises(InputFaults, match=r"rows 3, 10: no image at the path.*"):
        load_data(table("image,label\n" + rows("{name}/{i:03d}.png,{name}\n") + ",cat\n"))


def rows(template, count=6):
    return "".join(template.format(name=n, label=k, i=i) for k, n in enumerate(("cat", "dog")) for i in range(count))


@pytest.mark.parametrize("column", ["image", "path", "file_name"])
def test_names_as_labels(table, column):
    data = load_data(table(f"{column},label\r\n" + rows("{name}/{i:03d}.png,a {name}\r\n"), "utf-8-sig"), seed=0)
    assert data.class_names == ("a cat", "a dog")
    assert [len(data.train), len(data.val), len(data.test)] == [4, 2, 6]
    assert data.name == "csv:labels"
    assert data.train[0].image.rgb().size == (6, 5)


@pytest.mark.parametrize("column", ["labels", "class", "class_name"])
def test_the_usual_columns_of_labels_are_found_as_in_parquet(table, column):
    text = f",image,{column}\n" + rows("{label}{i},{name}/{i:03d}.png,{name}\n")  # pandas numbers rows without a name
    assert load_data(table(text)).class_names == ("cat", "dog")


def test_numbers_with_names_keep_their_order(table):
    text = "image,label,class_name\n" + rows("{name}/{i:03d}.png,{label},{name}\n").replace("cat\n", "zebra\n")
    assert load_data(table(text), seed=0).class_names == ("zebra", "dog")


def test_split_and_group(table):
    parts = ["Train", "train", "val", "val", "test", "test"]
    text = "image,label,split,group\n" + "".join(
        f"{name}/{i:03d}.png,{name},{part},{name}{i // 2}\n" for name in ("cat", "dog") for i, part in enumerate(parts)
    )
    data = load_data(table(text), seed=0)
    assert data.variants
    assert [i.group for i in data.val] == ["cat1", "cat1", "dog1", "dog1"]


def test_groups_stay_whole_when_cut(table):
    text = "image,label,group\n" + "".join(
        f"{n}/{i:03d}.png,{n},{n}{i // 2}\n" for n in ("cat", "dog") for i in range(6)
    )
    data = load_data(table(text), seed=0)
    parts = [{i.group for i in data.part(part)} for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [2, 2, 2]
    assert len(set.union(*parts)) == 6


def test_columns_that_are_not_read_may_have_any_names(table):
    data = load_data(table("image,label,,,note,note\n" + rows("{name}/{i:03d}.png,{name},,,a,b\n")), seed=0)
    assert data.class_names == ("cat", "dog")


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_every_cell_is_text(folder, ending):
    root = folder({"NA": 2, "001": 2, "1e3": 2, "none": 2})
    path = root / f"labels.{ending}"
    lines = [
        "image,label,note",
        *(f"{name}/00{i}.png,{name}," for name in ("NA", "001", "1e3", "none") for i in (0, 1)),
    ]
    path.write_text("\n".join(lines).replace(",", "\t" if ending == "tsv" else ","), encoding="utf-8")
    assert load_data(f"csv:{path}", seed=0).class_names == ("001", "1e3", "NA", "none")


def test_a_row_is_named_wherever_it_stands(table):
    """Blank lines and cells of several lines are counted as a spreadsheet does."""
    text = "image,label,note\n" + rows("{name}/{i:03d}.png,{name},ok\n", 5).replace("ok", '"a\nb"', 1)
    for line in ("cat/005.png", "cat/000.png,cat,x"):
        with pytest.raises(InputFaults, match="has faults: row 13"):
            load_data(table(f"{text}\n{line}\n"), seed=0)


HEAD = "image,label,split,group\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column image or path or file_name; its columns are: none"),
        ("file,label\n", "no column image or path or file_name; its columns are: file, label"),
        ("image,Label\n", "no column label; its columns are: image, Label; name it: label=Label"),
        ("Image,label\n", "no column image or path or file_name; .*; name it: image=Image"),
        ("image,label,label\n", "two columns label; keep one, or give the other another name"),
        ("image,kind\n", "no column label; its columns are: image, kind"),
        ("image,label\n", "has no images"),
        ("image,label\ncat/000.png,cat\ndog/nope.png,dog\n", "row 3 of .*labels.csv names the image 'dog/nope.png'"),
        ("image,label\n\ncat/000.png\n", "row 3: no class in the column label"),
        ("image,label\ncat/000.png, \n", "row 2: no class in the column label"),
        (
            "image,label\ncat/000.png,cat\n\ncat, or dog.png,cat\ncat/001.png,cat\ndog/a,b,dog\n",
            "rows 4, 6: more cells than the header; put a cell with a comma in quotes",
        ),
        (
            "image,label\ncat/000.png,cat\ncat/./000.png,dog\n",
            r"row 3 \(as row 2\): the same image .*, in another cl",
        ),
        ("image,label\ncat/000.png,cat\ndog/000.png,None\ndog/001.png,nan\n", "rows 3, 4: no class .*None, NaN, nan"),
        ("image,label\ncat/000.png,cat\nhttps://host/1.png,dog\n", "row 3: an address, and IPO fetches none; download"),
        ("image,label\ncat/000.png,cat\ns3://bucket/1.png,dog\n", "row 3: an address, and IPO fetches none; download"),
        (HEAD + "cat/000.png,cat,later,\n", "row 2: no part in the column split; write train, val or test"),
        (HEAD + "cat/000.png,cat,train,\ndog/000.png,dog,,\n", "dog/000.png of .* has no split while others have one"),
        (
            HEAD + "cat/000.png,cat,train,g\ncat/001.png,cat,test,g\ndog/000.png,dog,train,\n",
            "the group 'g' of .* is in two parts: cat/000.png is in 'cat' \\(train\\), cat/001.png in 'cat' \\(test\\)",
        ),
        (HEAD + "cat/000.png,cat,,g\ndog/001.png,dog,,g\n", "the group 'g' of .* is in two classes"),
        ("image,label\ncat/000.png,0\ndog/000.png,1\n", "are numbers and CLIP reads names; add a column class_name"),
        ("image,label,class_name\ncat/000.png,0,cat\ndog/000.png,2,dog\n", r"from 0 without gaps \(see label 1\)"),
        ("image,label,class_name\ncat/000.png,0,cat\ndog/000.png,0,dog\n", "the label 0 both 'cat' and 'dog'"),
        (
            "image,label,class_name\ncat/000.png,0,cat\ndog/000.png,1,cat\n",
            "same in a prompt: 'cat' and 'cat'",
        ),
        ("image,label,class_name\ncat/000.png,x,cat\n", "has the label 'x' beside a column class_name"),
        ('image,label\ncat/000.png,cat\n"dog/000.png,dog\n', "row 3 of .* is no CSV .unexpected end of data."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(table, text, message):
    with pytest.raises(InputError, match=message) as caught:
        load_data(table(text), seed=0)
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_at_once(table):
    lines = [
        ",cat,train",
        "cat/000.png,,test",
        "cat/000.png,cat,val",
        "cat/no.png,cat,later",
        "cat/1",
        "dog/no.png,dog,",
    ]
    spec = table("\n".join(["image,label,split", *lines, "dog/000.png,dog,test", ""]))
    with pytest.raises(InputFaults) as caught:
        load_data(spec, seed=0)
    rows, said = zip(*(fault.split(": ", 1) for fault in caught.value.args[1]), strict=True)
    assert rows == (
        "row 2",
        "rows 3, 6",
        "row 5",
        "row 4 (as row 3)",
        "rows 5, 6, 7",
    )
    for word, fault in zip(("image", "label", "split", "same image", "no image"), said, strict=True):
        assert word in fault
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(InputFaults) as caught:
        load_data(table("file,kind,split\ncat/000.png,cat,later\n"), seed=0)
    assert len(caught.value.args[1]) == 3, "two columns and a part"


def test_a_table_that_is_missing_or_not_text(table, tmp_path):
    with pytest.raises(InputError, match=r"cannot read the table .*none.csv: No such file"):
        load_data(f"csv:{tmp_path / 'none.csv'}", seed=0)
    with pytest.raises(InputError, match="is not text in UTF-8"):
        load_data(table("image,label\ncafé,x\n", "latin-1"), seed=0)
    with pytest.raises(InputError, match="is not text in UTF-8"):
        load_data(table("image,label\n", "utf-16"), seed=0)


def test_json_lines_are_a_table(folder):
    root = folder({"cat": 3, "7": 3})
    lines = [
        f'{{"image": "{name}/00{i}.png", "label": {label}}}'
        for name, label in (("cat", '"cat"'), ("7", 7))
        for i in range(3)
    ]
    (root / "labels.jsonl").write_text("\n".join(lines) + "\n")
    data = load_data(f"table:{root / 'labels.jsonl'}", seed=0)
    assert (data.name, data.class_names, len(list(data.items()))) == ("json:labels", ("7", "cat"), 6)
    whole = '{"image": "cat/000.png", "label": "cat"}\n'
    for text, message in (
        (whole + "\n{'image'}\n[1]\n" + whole, r"rows 3, 4: no JSON object.*; row 5 \(as row 1\)"),
        ("[" * 100_000 + "\n", "row 1: no JSON object; write one on each line"),
        ('{"image": "cat/000.png"}\n', "no column label"),
    ):
        (root / "labels.jsonl").write_text(text)
        with pytest.raises(InputError, match=message):
            load_data(f"table:{root / 'labels.jsonl'}", seed=0)
