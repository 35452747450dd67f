"""What is looked at before a run: every picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.check import check_data
from ipo_prompts.metrics.pictures import Picture


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
    "text.jpg": (lambda: b"this is no picture", "is not a picture of a known format"),
    "cut.jpg": (lambda: saved(noise("RGB", 3), "JPEG")[:700], "is not a readable picture"),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_good_pictures_are_readable_as_rgb(folder, name):
    root = folder({"cat": 3, "dog": 3})
    (root / "cat" / name).write_bytes(GOOD[name]())
    data = load_data(f"folder:{root}", seed=0)
    report = check_data(data)
    assert report.ok, report.text()
    item = next(i for _, i in data.items() if i.group == f"cat/{name}")
    assert item.picture.image().mode == "RGB"


def test_bad_pictures_are_named_and_the_rest_go_on(folder):
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
    assert [sum(counts) for counts in report.counts.values()] == [3, 6]
    assert "largest class : smallest class = 2.0 : 1" in report.text()
    assert "unreadable pictures (a run that opens one stops): 4" in report.text()


def test_pictures_that_are_not_there_are_named_with_the_others(folder, capsys):
    root = folder({"cat": 4, "dog": 4})
    (root / "dog" / "001.png").write_bytes(b"")
    (root / "cat" / "gone.png").symlink_to("nothing.png")
    table = root / "labels.csv"
    names = [f"{name}/{i:03d}.png,{name}" for name in ("cat", "dog") for i in range(5)]
    table.write_text("image,label\n" + "\n".join(names) + "\n")
    assert main(["data", "check", f"folder:{root}"]) == 1
    out = capsys.readouterr().out
    assert "2 classes, 9 pictures" in out
    assert "unreadable pictures (a run that opens one stops): 2" in out
    assert "cat/gone.png: No such file" in out and "dog/001.png is empty" in out
    assert main(["data", "check", f"csv:{table}"]) == 1
    out = capsys.readouterr().out
    assert "unreadable pictures (a run that opens one stops): 3" in out
    assert "row 6 of the table" in out and "names the picture 'cat/004.png', relative to the table: cannot read" in out


def test_an_empty_class_is_a_fault_beside_the_others_and_no_reason_not_to_look(folder, capsys):
    root = folder({"cat": 4, "dog": 4, "bus": 0})
    (root / "dog" / "001.png").write_bytes(b"")
    assert main(["data", "check", f"folder:{root}"]) == 1
    out = capsys.readouterr().out
    assert "largest class : smallest class = 1.0 : 1" in out
    assert "stops): 1\n  the picture" in out and "classes without pictures (a run stops): 1\n  bus\n" in out
    assert """are left out with 'exclude=["bus"]'""" in out and "next: " not in out


def test_the_same_picture_in_two_parts_or_two_classes(folder):
    root = folder({f"{part}/{name}": 2 for part in ("train", "val", "test") for name in ("cat", "dog")})
    (root / "test/dog/001.png").write_bytes((root / "train/dog/000.png").read_bytes())
    (root / "val/dog/001.png").write_bytes((root / "val/cat/001.png").read_bytes())
    (root / "val/cat/copy.png").write_bytes((root / "val/cat/000.png").read_bytes())
    report = check_data(load_data(f"folder:{root}", seed=0))
    found = [{at for _, at in same} for same in report.duplicates]
    assert found == [{"(train, dog)", "(test, dog)"}, {"(val, cat)"}, {"(val, cat)", "(val, dog)"}]
    assert "copies of one picture (a run uses them all the same): 3" in report.text()
    assert report.ok
    assert report.text().endswith(
        "all pictures can be used, but better keep only one of each set of copies: a test on copies says less"
    )
    (root / "train/cat/001.png").write_bytes(b"broken")
    faulty = check_data(load_data(f"folder:{root}", seed=0))
    assert faulty.text().endswith("remove or replace what is named above, but keep one of each set of copies")


def test_the_text_of_a_clean_report(folder):
    root = folder({"cat": 10, "hot dog": 5})
    (root / "notes.txt").write_text("x")
    assert check_data(load_data(f"folder:{root}", seed=0)).text().splitlines() == [
        "folder:pictures: 2 classes, 15 pictures",
        "largest class : smallest class = 2.0 : 1",
        "",
        "class      train      val     test",
        "cat            3        2        5",
        "hot dog        2        1        2",
        "all            5        3        7",
        "",
        "left out: 1",
        "  notes.txt",
        "",
        "all pictures can be used",
    ]


def painted(clear):
    """An RGBA picture of two colours, `clear` of whose 100 rows are see-through."""
    image = Image.new("RGBA", (100, 100), (0, 0, 255, 255))
    image.paste((200, 10, 10, 0), (0, 0, 100, clear))
    image.paste((0, 0, 0, 255), (0, 99, 50, 100))
    return image


def test_transparent_and_empty_pictures_are_named_and_can_be_used(folder):
    root = folder({"cat": 3, "dog": 3})
    painted(40).save(root / "cat" / "cutout.png")
    painted(99).save(root / "cat" / "speck.png")
    Image.new("RGB", (9, 9), "#102030").save(root / "dog" / "plain.png")
    ghost = Image.new("RGBA", (9, 9), (255, 255, 255, 200))
    ghost.putpixel((1, 1), (0, 0, 0, 0))
    ghost.save(root / "dog" / "white on white.png")
    data = load_data(f"folder:{root}", seed=0)
    report = check_data(data)
    assert report.ok
    text = report.text()
    assert "pictures with little to see (a run uses them all the same): 3" in text
    assert "speck.png: 99.0% of it is see-through" in text
    assert "plain.png: every pixel is #102030" in text
    assert "white on white.png: every pixel is #ffffff" in text
    assert (
        "3 of 10 pictures are transparent; they are read on white, as viewers show them "
        "(background=as-is reads what lies beneath, as published numbers do)"
    ) in text
    as_stored = check_data(data.on("as-is"))
    assert "are transparent" not in as_stored.text()
    assert "white on white" not in as_stored.text()


def test_the_report_names_the_data_by_its_fingerprint_and_reads_each_file_once(folder, monkeypatch):
    root = folder({"cat": 3, "dog": 3})
    (root / "cat" / "bad.png").write_bytes(b"no picture")
    (root / "cat" / "gone.png").write_bytes(b"x")
    data = load_data(f"folder:{root}", seed=0)
    (root / "cat" / "gone.png").unlink()
    expected = data.fingerprint
    opened = []
    read = Picture.bytes
    monkeypatch.setattr(Picture, "bytes", lambda self: (opened.append(self.name), read(self))[1])
    assert check_data(data).fingerprint == expected
    assert len(opened) == len(set(opened)) == 8
