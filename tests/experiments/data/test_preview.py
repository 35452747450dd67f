"""The contact sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.experiments.cli.app import main
from ipo_prompts.experiments.data import load_data
from ipo_prompts.experiments.data.check import COLUMNS, ROWS, contact_sheet
from ipo_prompts.metrics.errors import InputError


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
    assert said.out == f"{out}: 4 train pictures of 2 of 2 classes\n"
    with Image.open(out) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")


def test_the_default_file_is_named_after_the_data(folder, tmp_path, monkeypatch, capsys):
    root = folder({"cat": 4, "dog": 4}, root="my pets")
    monkeypatch.chdir(tmp_path)
    assert main(["data", "preview", f"folder:{root}", "--part", "test"]) == 0
    assert capsys.readouterr().out.startswith("preview-folder-my-pets.png: 4 test pictures")
    assert (tmp_path / "preview-folder-my-pets.png").exists()


def test_what_cannot_be_drawn_or_written(folder, tmp_path, capsys):
    root = folder({"cat": 4, "dog": 4})
    for words, said in (
        (["--part", "tests"], "there is no part 'tests'"),
        (["--out", str(tmp_path / "sheet.jpg")], "does not end in .png"),
        (["--out", str(tmp_path / "nowhere" / "sheet.png")], "cannot write"),
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
