"""What is looked at before a run: every picture, and a contact sheet."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.check import COLUMNS, ROWS, check_data, contact_sheet, transparency_note
from ipo_prompts.metrics.errors import InputError
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


def test_sixteen_bits_of_grey_keep_their_tone(tmp_path):
    for value, tone in ((0, 0), (30000, 117), (65535, 255)):
        path = tmp_path / "grey.png"
        Image.fromarray(np.full((9, 9), value, np.uint16)).save(path)
        assert Picture.from_path(path).image().getpixel((4, 4)) == (tone,) * 3


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
    assert main(["data", "preview", f"folder:{root}", "--out", str(root / "sheet.png")]) == 0


def test_an_empty_class_is_a_fault_beside_the_others_and_no_reason_not_to_look(folder, capsys):
    root = folder({"cat": 4, "dog": 4, "bus": 0})
    (root / "dog" / "001.png").write_bytes(b"")
    assert main(["data", "check", f"folder:{root}"]) == 1
    out = capsys.readouterr().out
    assert "largest class : smallest class = 1.0 : 1" in out
    assert "stops): 1\n  the picture" in out and "classes without pictures (a run stops): 1\n  bus\n" in out
    assert """are left out with 'exclude=["bus"]'""" in out and "next: " not in out
    assert main(["data", "preview", f"folder:{root}", "--out", str(root / "new" / "sheet.png")]) == 0
    assert "without pictures: 'bus'" in capsys.readouterr().err and (root / "new" / "sheet.png").is_file()


def test_labels_with_bars_are_checked_as_one_class_only_when_that_is_said(folder, capsys):
    root = folder({"cat": 4, "dog": 4})
    rows = [
        f"{name}/{i:03d}.png,{label}" for name, label in (("cat", "cat|sofa"), ("dog", "dog|sofa")) for i in range(4)
    ]
    table = root / "rooms.csv"
    table.write_text("image,label\n" + "\n".join(rows) + "\n")
    assert main(["data", "check", f"csv:{table}"]) == 2
    assert "8 pictures of csv:rooms have a label with a |, such as 'cat|sofa'" in capsys.readouterr().err
    of_all = ["--data", f"csv:{table}"]
    for refused in (
        ["optimize", *of_all, "--lm", "none", "--out", str(root / "run")],
        ["optimize", *of_all, "--lm", "none", "--dry-run"],
        ["evaluate", *of_all, "--template", "a <CLASS>."],
    ):
        assert main(refused) == 2
        assert "shows; set labels=several, or keep such classes with labels=given." in capsys.readouterr().err
    assert not (root / "run").exists()
    assert main(["evaluate", *of_all, "--template", "a <CLASS>.", "labels=given"]) == 0
    assert main(["optimize", *of_all, "--lm", "none", "--dry-run", "labels=given"]) == 0
    capsys.readouterr()
    assert main(["data", "check", f"csv:{table}", "labels=given"]) == 0
    assert "csv:rooms: 2 classes, 8 pictures" in capsys.readouterr().out
    assert main(["data", "check", f"csv:{table}", "labels=several"]) == 0
    out = capsys.readouterr().out
    assert "csv:rooms: 3 classes, 8 pictures" in out and re.search(r"^sofa +\d+ +\d+ +4$", out, re.M), out


def test_all_files_that_are_not_there_are_named_at_once(folder):
    root = folder({"cat": 4, "dog": 4})
    table = root / "labels.csv"
    table.write_text("image,label\n" + "".join(f"{n}/{i:03d}.png,{n}\n" for n in ("cat", "dog") for i in range(5)))
    with pytest.raises(
        InputError, match=r"2 pictures cannot be read: .*cat/004.png, .*dog/004.png; .* `ipo data check"
    ):
        load_data(f"csv:{table}", seed=0)


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


def test_one_check_lists_all_copies_whatever_the_split(folder):
    root = folder({"cat": 30, "dog": 30})
    for number in range(14):
        (root / "cat" / f"copy {number}.png").write_bytes((root / "cat" / f"{number:03d}.png").read_bytes())
    text = check_data(load_data(f"folder:{root}", seed=0)).text()
    listed = re.findall(r"^  /.* = (/.*) \(\w+, cat\)$", text, re.M)
    assert len(listed) == 14
    for copy in listed:
        Path(copy).unlink()
    assert not check_data(load_data(f"folder:{root}", seed=0)).duplicates


class Letters:
    """Counts letters, so that lengths can be read off."""

    context_length = 30

    def count(self, text):
        return len(text)


def test_names_that_the_tokenizer_would_cut(folder):
    long = "a very long name of a thing"
    report = check_data(load_data(f"folder:{folder({'cat': 3, long: 3})}", seed=0), Letters())
    assert list(report.cut_names) == [long]
    assert not report.ok
    assert "more than the 30 that fit" in report.text()


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


def test_names_cannot_move_the_terminals_cursor(folder):
    root = folder({"cat": 3, "dog": 3})
    (root / "cat" / "a\x1b[2Jb.jpg").write_bytes(b"")
    text = check_data(load_data(f"folder:{root}", seed=0)).text()
    assert "\x1b" not in text and "a\\x1b[2Jb.jpg" in text


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


def test_the_note_of_a_run_counts_transparent_pictures(folder):
    root = folder({"cat": 3, "dog": 3})
    painted(40).save(root / "cat" / "cutout.png")
    (root / "dog" / "bad.png").write_bytes(b"no picture")
    pictures = [item.picture for _, item in load_data(f"folder:{root}", seed=0).items()]
    note = transparency_note(pictures, "search pictures")
    assert note is not None
    assert note.startswith("1 of 8 search pictures is transparent; they are read on white")
    assert transparency_note([picture.on("as-is") for picture in pictures], "search pictures") is None
    assert transparency_note([p for p in pictures if "cutout" not in p.name], "search pictures") is None


def test_all_classes_and_their_pictures_are_on_the_sheet(folder):
    root = folder(
        {f"train/{name}": 2 for name in "abc"} | {f"{p}/{name}": 1 for p in ("val", "test") for name in "abc"}
    )
    data = load_data(f"folder:{root}", seed=0)
    sheet = contact_sheet(data, "train")
    assert (sheet.classes, sheet.pictures, sheet.unreadable) == (3, 6, ())
    colours = {tuple(colour) for colour in np.asarray(sheet.image).reshape(-1, 3)}
    assert {item.picture.image().getpixel((2, 2)) for item in data.train} <= colours
    assert not {item.picture.image().getpixel((2, 2)) for item in data.test} & colours


def test_of_many_classes_and_pictures_the_same_sample_is_drawn_each_time(folder):
    counts = {
        f"{part}/{i:02d}": COLUMNS + 5 if part == "train" else 1 for part in ("train", "val", "test") for i in range(30)
    }
    data = load_data(f"folder:{folder(counts)}", seed=0)
    one, other = contact_sheet(data, "train"), contact_sheet(data, "train")
    assert (one.classes, one.pictures) == (ROWS, ROWS * COLUMNS)
    assert one.image.tobytes() == other.image.tobytes()


def test_a_sheet_that_shows_some_of_the_pictures_says_of_how_many(folder, tmp_path, capsys):
    root = folder({f"{part}/{name}": COLUMNS + 5 for part in ("train", "test") for name in ("cat", "dog")})
    of = len(load_data(f"folder:{root}", seed=0).train)
    assert main(["data", "preview", f"folder:{root}", "--out", str(tmp_path / "sheet.png")]) == 0
    assert capsys.readouterr().out.endswith(f"sheet.png: {2 * COLUMNS} of {of} train pictures, 2 of 2 classes\n")


def test_names_are_drawn_whatever_they_hold(folder):
    names = ("a <b>&amp; {x}", "line\nbreak \u202eturned", "猫 🐈", "x" * 200)
    data = load_data(f"folder:{folder(dict.fromkeys(names, 3))}", seed=0)
    plain = load_data(f"folder:{folder({f'n{i}': 3 for i in range(4)}, 'plain')}", seed=0)
    assert contact_sheet(data, "train").image.size == contact_sheet(plain, "train").image.size


def test_accents_are_drawn(folder):
    def drawn(name: str) -> bytes:
        data = load_data(f"folder:{folder({name: 3, 'dog': 3}, f'of {name}')}", seed=0)
        return contact_sheet(data, "train").image.crop((0, 0, 220, 146)).tobytes()

    assert drawn("caf\N{LATIN SMALL LETTER E WITH ACUTE}") != drawn("caf\N{LATIN SMALL LETTER E WITH GRAVE}")


def test_unreadable_pictures_are_marked_and_the_rest_is_drawn(folder, tmp_path, capsys):
    root = folder({f"{part}/{name}": 2 for part in ("train", "val", "test") for name in ("cat", "dog")})
    (root / "train/cat/000.png").write_bytes(b"")
    out = tmp_path / "sheet.png"
    assert main(["data", "preview", f"folder:{root}", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "not drawn: the picture" in said.err
    assert said.out == f"{out}: 4 of 4 train pictures, 2 of 2 classes\n"
    with Image.open(out) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")


def test_the_default_file_is_named_after_the_data(folder, tmp_path, monkeypatch, capsys):
    root = folder({"cat": 4, "dog": 4}, root="my pets")
    monkeypatch.chdir(tmp_path)
    assert main(["data", "preview", f"folder:{root}", "--part", "test"]) == 0
    assert capsys.readouterr().out.startswith("preview-folder-my-pets.png: 4 of 4 test pictures")
    assert (tmp_path / "preview-folder-my-pets.png").exists()


def test_what_cannot_be_drawn_or_written(folder, tmp_path, capsys):
    root = folder({"cat": 4, "dog": 4})
    for words, said in (
        (["--part", "tests"], "'tests' is not one of 'train', 'val', 'test'"),
        (["--out", str(tmp_path / "sheet.jpg")], "does not end in .png"),
        (["--out", str(root / "cat" / "000.png" / "sheet.png")], "000.png is a file; choose another place"),
    ):
        assert main(["data", "preview", f"folder:{root}", *words]) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*.part"))


def test_a_part_without_pictures(sealed):
    from dataclasses import replace

    with pytest.raises(InputError, match="made has no train pictures; choose another part with --part test"):
        contact_sheet(replace(sealed(4), train=(), val=()), "train")


def test_saving_replaces_the_file_whole(folder, tmp_path: Path):
    out = tmp_path / "sheet.png"
    out.write_text("old")
    assert main(["data", "preview", f"folder:{folder({'cat': 4, 'dog': 4})}", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
