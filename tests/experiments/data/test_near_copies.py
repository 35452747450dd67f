"""Near copies: what is proposed as a group, what a run says of them, and that nothing is used unasked."""

import csv
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import Item, load_data
from ipo_prompts.experiments.data.assemble import Gathered, row_of_file
from ipo_prompts.experiments.data.near_copies import copies_in_words, grouped_table, near_copies
from ipo_prompts.experiments.embedded import PICTURES_DIR
from ipo_prompts.experiments.run.comparison import Compared, near_copies_in_words
from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.evidence import paired_difference
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.sampling import Sampling

CATS = [path.read_bytes() for path in sorted((PICTURES_DIR / "c" / "cat").iterdir())[:4]]


def changed(data, change=lambda image: image, form="PNG", **settings):
    with Image.open(io.BytesIO(data)) as image:
        white = Image.new("RGB", image.size, "white")
        white.paste(image.convert("RGBA"), mask=image.convert("RGBA"))
    file = io.BytesIO()
    change(white).save(file, form, **settings)
    return file.getvalue()


def darker(image):
    return ImageEnhance.Brightness(image).enhance(0.85)


def groups_of(pictures, features=None, labels=None, groups=None):
    """Those of pictures (name → bytes) whose features say nothing, unless they are given."""
    items = [
        Item(Picture.from_bytes(name, data), (labels or {}).get(name, 0), (groups or {}).get(name, name))
        for name, data in pictures.items()
    ]
    return near_copies(items, np.eye(len(items), dtype=np.float32) if features is None else features)


def test_light_and_compression_are_seen_without_features():
    one, other, *_ = CATS
    pictures = {"a.png": one, "z.jpg": changed(one, form="JPEG", quality=70), "d.png": changed(one, darker), "x": other}
    assert groups_of(pictures) == [0, 0, 0, 1]


def test_features_alone_join_and_classes_never_do():
    pictures = dict(zip("aqxz", CATS, strict=True))
    assert groups_of(pictures) == [0, 1, 2, 3]
    near = math.acos(0.996)
    rows = np.eye(4, dtype=np.float32)
    rows[3] = [math.cos(near), 0, 0, math.sin(near)]
    assert groups_of(pictures, rows) == [0, 1, 2, 0]
    assert groups_of(pictures, rows, labels={"z": 1}) == [0, 1, 2, 3]


def test_less_likeness_is_enough_where_names_or_times_follow_one_another():
    rows = np.eye(3, dtype=np.float32)
    rows[1] = [0.99, math.sqrt(1 - 0.99**2), 0]
    exif = [Image.Exif() for _ in range(3)]
    for one, second in zip(exif, (5, 6, 9), strict=True):
        one.get_ifd(0x8769)[0x9003] = f"2024:05:01 10:00:0{second}"

    def named(names, times=(None, None, None)):
        made = [
            changed(data, **({} if when is None else {"form": "JPEG", "quality": 90, "exif": when}))
            for data, when in zip(CATS[:3], times, strict=True)
        ]
        return groups_of(dict(zip(names, made, strict=True)), rows)

    assert named(("IMG_9.png", "IMG_11.png", "IMG_30.png")) == [0, 1, 2]
    assert named(("IMG_0009.png", "IMG_0010.png", "IMG_0030.png")) == [0, 0, 1]
    assert named(("x", "y", "z"), exif) == [0, 0, 1]
    assert named(("x", "y", "z"), (exif[0], exif[2], exif[1])) == [0, 1, 2]
    exif[1].get_ifd(0x8769)[0x9003] = "2024:05:01 10:00:07"
    assert named(("x", "y", "z"), exif) == [0, 0, 1], "two seconds are soon enough"


def test_declared_groups_stay_and_are_not_counted_as_found():
    pictures = dict(zip("aqxz", CATS, strict=True))
    found = groups_of(pictures, groups={"q": "a"})
    assert found == [0, 0, 1, 2]
    items = [Item(Picture.from_bytes(name, b""), 0, {"q": "a"}.get(name, name)) for name in pictures]
    assert copies_in_words(items, found) == ""
    assert copies_in_words(items, [0, 0, 0, 1]) == "3 of 4 pictures look like near copies, in 1 group"


def test_a_run_says_what_the_interval_is_with_near_copies_as_one_draw(clip):
    data = load_data("embedded:c", seed=0)
    items = [replace(item, label=0) for item in data.test if item.label == 0]
    items += [replace(item, label=1) for item in data.test if item.label == 1]
    reward = ClipReward(clip, data.class_names[:2])
    saved = [(item.label, changed(item.picture.bytes(), form="JPEG", quality=95)) for item in items]
    again = [
        Item(Picture.from_bytes(f"{i}-{turn}.jpg", data), label, f"{i}-{turn}")
        for turn in range(4)
        for i, (label, data) in enumerate(saved)
    ]

    told, compared = [], []

    def said(pictures):
        labels = [item.label for item in pictures]
        units = reward.encode([item.picture for item in pictures], labels)
        assert isinstance(units, EncodedPictures)
        one, other = (reward.score([template], units)[0] for template in ("a <CLASS>.", "a photo of a dark <CLASS>."))
        right = np.arange(len(pictures)) % 2 == 0
        one, other = replace(one, hits=~right), replace(other, hits=right | (np.array(labels) == 0))
        sampling = Sampling.of(len(pictures), labels)
        told.append(paired_difference(one.hits, other.hits, sampling).these)
        compared.append(Compared(pictures, units, np.array(labels), reward, sampling, one, other))
        return near_copies_in_words(compared[-1])

    assert said(items) == ""
    lost = Picture.absent("lost.png", InputError("it is lost."))
    assert near_copies_in_words(replace(compared[0], items=[replace(items[0], picture=lost), *items[1:]])) == ""
    words = said(again)
    once, four_times = told
    low, high = re.search(r"interval is \[(.*), (.*)\]\.", words).groups()
    assert (float(low), float(high)) == pytest.approx((100 * once.low, 100 * once.high), abs=3)
    assert four_times.high - four_times.low < 0.6 * (once.high - once.low), "undeclared it is far too narrow"
    n = len(again)
    assert words.startswith(f"{n} of {n} pictures look like near copies, in {len(items)} groups; grouped, the interval")


def test_the_check_writes_groups_on_demand_and_the_table_is_data(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        folder = tmp_path / "things" / name
        folder.mkdir(parents=True)
        for number, file in enumerate(sorted((PICTURES_DIR / "c" / name).iterdir())[:5]):
            (folder / f"{2 * number}.png").write_bytes(changed(file.read_bytes()))
    (tmp_path / "things" / "cat" / "1.png").write_bytes(changed(CATS[0], darker))
    command = ["data", "check", "folder:things", "--clip", "embedded"]
    assert main(command) == 0
    assert "near copies, in" not in capsys.readouterr().out, "it is not looked for unasked"
    assert main([*command, "--groups", "groups.csv"]) == 0
    assert "2 of 11 pictures look like near copies, in 1 group: groups.csv proposes" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "groups.csv").open()))
    assert {row["group"] for row in rows if row["image"].endswith(("cat/0.png", "cat/1.png"))} == {"cat/0.png"}
    assert len({row["group"] for row in rows}) == 10 and "split" not in rows[0]
    found = load_data("csv:groups.csv", seed=0)
    assert found.variants and len({item.group for _, item in found.items()}) == 10
    assert not load_data("folder:things", seed=0).variants


def test_a_proposal_keeps_parts_and_classes_apart(cache, clip, tmp_path):
    places = ["train/cat/a.png", "train/cat/b.png", "test/cat/c.png", "train/dog/d.png"]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(CATS[0])
    rows = [row_of_file(tmp_path / one, one.split("/")[1], one, one.split("/")[0]) for one in places]
    table, told = grouped_table(Gathered("made", "the folder", rows), clip)
    found = list(csv.DictReader(io.StringIO(table)))
    assert [row["group"] for row in found] == [places[0], places[0], places[2], places[3]]
    assert [row["split"] for row in found] == ["train", "train", "test", "train"]
    assert told == "2 of 4 pictures look like near copies, in 1 group"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["folder:things"], "--groups compares pictures as a CLIP sees them; name one, as in --clip ViT-B-16/"),
        (
            ["embedded:a", "--clip", "embedded"],
            "a table of files, which embedded:a is not; it takes folder:PATH",
        ),
        (
            ["folder:things", "--clip", "embedded"],
            "groups.csv is there already; read it, or choose another",
        ),
    ],
)
def test_what_cannot_be_grouped_is_refused_at_once(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groups.csv").touch()
    assert main(["data", "check", *words, "--groups", "groups.csv"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
