"""What is looked at before a run: every image."""

from __future__ import annotations

import io
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.experiments.run.final_test import rows_of
from ipo_prompts.metrics.images import LazyImage
from ipo_prompts.metrics.reward import Score
from support.results import scored_part


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(mode, bands):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, bands), dtype=np.uint8)
    return (
        Image.fromarray(pixels.squeeze()).convert(mode)
        if bands != 4
        else Image.merge(mode, [Image.fromarray(pixels[..., b]) for b in range(4)])
    )


GOOD = {
    "cmyk.jpg": lambda: saved(noise("CMYK", 4), "JPEG"),
    "palette.png": lambda: saved(noise("P", 3), "PNG", transparency=b"\x00\x80" * 128),
    "grey 16 bit.png": lambda: saved(Image.fromarray(np.full((9, 9), 30000, np.uint16)), "PNG"),
    "grey.JPEG": lambda: saved(noise("L", 1), "JPEG"),
    "animated.gif": lambda: saved(noise("P", 3), "GIF", save_all=True, append_images=[noise("P", 3)]),
}
BAD = {
    "empty.jpg": (lambda: b"", "is empty (0 bytes)"),
    "text.jpg": (lambda: b"this is no image", "is not an image of a known format"),
    "cut.jpg": (lambda: saved(noise("RGB", 3), "JPEG")[:700], "is not a readable image"),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_good_images_are_readable_as_rgb(folder, name):
    root = folder({"cat": 3, "dog": 3})
    (root / "cat" / name).write_bytes(GOOD[name]())
    data = load_data(f"folder:{root}", seed=0)
    report = check_data(data)
    assert report.ok, report.text()
    item = next(i for _, i in data.items() if i.group == f"cat/{name}")
    assert item.image.rgb().mode == "RGB"


def test_bad_images_are_named_and_the_rest_go_on(folder):
    root = folder({"cat": 3, "dog": 3})
    for name, (make, _) in BAD.items():
        (root / "dog" / name).write_bytes(make())
    data = load_data(f"folder:{root}", seed=0)
    (root / "cat" / "001.png").unlink()
    report = check_data(data)
    assert not report.ok
    assert set(report.unreadable) == {str(root / "dog" / name) for name in BAD} | {str(root / "cat" / "001.png")}
    for name, (_, reason) in BAD.items():
        assert reason in report.unreadable[str(root / "dog" / name)]
    assert "cannot be searched on yet: unreadable images (4)" in report.text()


def test_images_that_are_not_there_are_named_with_the_others(folder, capsys):
    root = folder({"cat": 4, "dog": 4})
    (root / "dog" / "001.png").write_bytes(b"")
    (root / "cat" / "gone.png").symlink_to("nothing.png")
    table = root / "labels.csv"
    names = [f"{name}/{i:03d}.png,{name}" for name in ("cat", "dog") for i in range(5)]
    table.write_text("image,label\n" + "\n".join(names) + "\n")
    assert main(["data", "check", f"folder:{root}"]) == 1
    out = capsys.readouterr().out
    assert "2 classes, 9 images" in out and "unreadable images (2)" in out
    assert "cat/gone.png: No such file" in out and "dog/001.png is empty" in out
    assert main(["data", "check", f"csv:{table}"]) == 1
    out = capsys.readouterr().out
    assert "unreadable images (3)" in out
    assert "row 6 of the table" in out and "names the image 'cat/004.png', relative to the table: cannot read" in out


def test_an_empty_class_is_a_fault_beside_the_others_and_no_reason_not_to_look(folder, capsys):
    root = folder({"cat": 4, "dog": 4, "bus": 0})
    (root / "dog" / "001.png").write_bytes(b"")
    assert main(["data", "check", f"folder:{root}"]) == 1
    out = capsys.readouterr().out
    assert "unreadable images (1), classes without images (1)" in " ".join(out.split())
    assert """no images: bus; add some, or type 'exclude=["bus"]'""" in out and "next: " not in out
    assert re.search(r"^all +2 +2 +4$", out, re.M), "what a run would draw of the others"


def test_the_same_image_in_two_parts_or_two_classes(folder):
    root = folder({f"{part}/{name}": 2 for part in ("train", "val", "test") for name in ("cat", "dog")})
    (root / "test/dog/001.png").write_bytes((root / "train/dog/000.png").read_bytes())
    (root / "val/dog/001.png").write_bytes((root / "val/cat/001.png").read_bytes())
    (root / "val/cat/copy.png").write_bytes((root / "val/cat/000.png").read_bytes())
    data = load_data(f"folder:{root}", seed=0)
    report = check_data(data)
    found = [{(part, data.class_names[item.label]) for part, item in same} for same in report.duplicates]
    assert found == [{("train", "dog"), ("test", "dog")}, {("val", "cat")}, {("val", "cat"), ("val", "dog")}]
    assert report.ok
    text = report.text()
    assert re.search("copies within a class.*: 2\n", text) and re.search("copies in several classes.*: 1\n", text)


def test_the_text_of_a_clean_report(folder):
    root = folder({"cats": 10, "hot dog": 5})
    (root / "notes.txt").write_text("x")
    data = load_data(f"folder:{root}", clean=True)
    report = check_data(data)
    assert report.text(draw(data, 4, 2, 0)).splitlines() == [
        "folder:images can be used",
        "2 classes, 15 images",
        "names: cats → cat (1 of 2); your own, before a search: ipo docs class-names",
        "",
        "class        train        val       test",
        "cat              3          2          5",
        "hot dog          2          1          2",
        "all              5          3          7",
        "words and images are tried; half of the classes have 4 or more labelled",
        "7 test images measure an accuracy to within 37 points",
        "left out: notes.txt",
    ]


def test_what_is_missing_for_a_test_and_for_images_is_said(folder):
    root = folder({"cat": 1, "dog": 12, "bus": 2})
    data = load_data(f"folder:{root}")
    text = " ".join(check_data(data).text(draw(data, 1, 1, 0)).split())
    assert "words are tried, and images from 2 on; half of the classes have 1 or more labelled" in text
    assert "not tested, for want of a second image: 'cat'" in text
    assert "imbalanced" in text


def test_with_test_images_of_one_class_nothing_is_tested(folder):
    data = load_data(f"folder:{folder({'cat': 9, 'dog': 1, 'bus': 1})}")
    text = check_data(data).text(draw(data, 1, 1, 0))
    assert "nothing is tested: a test needs images of two classes or more" in text
    assert "measure an accuracy" not in text and "imbalanced" not in text


@pytest.mark.parametrize(("sizes", "balanced"), [((20, 7), True), ((20, 8), False)])
def test_the_check_and_a_run_call_the_same_classes_imbalanced_and_the_command_shown_says_so(
    folder, capsys, sizes, balanced
):
    root = folder(dict(zip(("cat", "dog"), sizes, strict=True)))
    drawn = draw(load_data(f"folder:{root}", seed=0), 4, 2, 0)
    right = Score("a <CLASS>", 1.0, 1.0, np.ones(len(drawn.test), dtype=bool), np.ones(len(drawn.test)))
    labels, groups = [item.label for item in drawn.test], [item.group for item in drawn.test]
    rows = rows_of({"test": scored_part(right, [], labels, groups, ["cat", "dog"])}, "accuracy")
    assert any(row.measure == "mean over classes" for row in rows) == balanced
    assert main(["data", "check", f"folder:{root}"]) == 0
    out = capsys.readouterr().out
    assert ("the classes are imbalanced" in out) == balanced
    assert ("verdict=balanced" in out.splitlines()[-1]) == balanced


def test_the_command_shown_leaves_out_what_was_typed_and_what_the_check_advises(folder, capsys):
    root = folder({"cat": 4, "dog": 4, "fox": 4, "bus": 0})
    assert main(["data", "check", f"folder:{root}", "exclude=[fox]"]) == 1
    command = shlex.split(capsys.readouterr().out.splitlines()[-1].partition(": ")[2])
    assert [word for word in command if "exclude" in word] == ['exclude=["fox", "bus"]']
    assert main([*command[1:], "--clip=embedded", "--dry-run"]) == 0


def test_of_many_classes_the_smallest_are_shown_and_all_names(folder):
    root = folder({f"thing_{chr(97 + i)}": 2 + (i != 20) for i in range(26)})
    data = load_data(f"folder:{root}", clean=True)
    text = check_data(data).text(draw(data, 4, 2, 0))
    rows = [line for line in text.splitlines() if re.search(r" \d+ +\d+ +\d+$", line)]
    assert len(rows) == 13 and any(row.startswith(data.class_names[20]) for row in rows)
    assert all(name in " ".join(text.split()) for name in data.class_names)
    assert all(len(line) <= 80 for line in text.splitlines())


def painted(clear):
    """An RGBA image of two colours, `clear` of whose 100 rows are see-through."""
    image = Image.new("RGBA", (100, 100), (0, 0, 255, 255))
    image.paste((200, 10, 10, 0), (0, 0, 100, clear))
    image.paste((0, 0, 0, 255), (0, 99, 50, 100))
    return image


def test_transparent_images_are_counted_and_can_be_used(folder):
    root = folder({"cat": 3, "dog": 3})
    painted(40).save(root / "cat" / "cutout.png")
    data = load_data(f"folder:{root}", seed=0)
    report = check_data(data)
    assert report.ok
    assert "transparent, and read on white: 1" in report.text()


def test_each_file_is_read_once(folder, monkeypatch):
    root = folder({"cat": 3, "dog": 3})
    (root / "cat" / "bad.png").write_bytes(b"no image")
    (root / "cat" / "gone.png").write_bytes(b"x")
    data = load_data(f"folder:{root}", seed=0)
    (root / "cat" / "gone.png").unlink()
    opened = []
    read = LazyImage.bytes
    monkeypatch.setattr(LazyImage, "bytes", lambda self: (opened.append(self.name), read(self))[1])
    check_data(data)
    assert len(opened) == len(set(opened)) == 8
