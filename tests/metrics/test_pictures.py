from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ipo_prompts.metrics import pictures
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture


def file_with(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


RED = Image.new("RGB", (8, 8), (200, 10, 10))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (file_with(RED), (200, 10, 10)),
        (file_with(RED.convert("L")), (RED.convert("L").getpixel((0, 0)),) * 3),
        (file_with(RED.quantize(4)), (200, 10, 10)),
        (file_with(RED.convert("RGBA")), (200, 10, 10)),
        (file_with(RED.convert("LA")), (RED.convert("L").getpixel((0, 0)),) * 3),
        (file_with(RED.convert("CMYK"), "TIFF"), (200, 10, 10)),
        (file_with(RED.quantize(4), transparency=0), (255,) * 3),
        (file_with(Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))), (128,) * 3),
        (file_with(Image.new("1", (8, 8), 1)), (255,) * 3),
        (file_with(RED, "WEBP", lossless=True), (200, 10, 10)),
    ],
    ids=["rgb", "grey", "palette", "rgba", "grey-alpha", "cmyk", "transparent-palette", "16-bit", "1-bit", "webp"],
)
def test_every_mode_becomes_rgb(data: bytes, expected: tuple[int, ...]) -> None:
    image = Picture.from_bytes("given", data).image()
    assert image.mode == "RGB"
    pixel = image.getpixel((3, 3))
    assert isinstance(pixel, tuple)
    assert max(abs(a - b) for a, b in zip(pixel, expected, strict=True)) <= 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"bad\.png is empty \(0 bytes\)"),
        (b"hello", r"bad\.png is not a picture of a known format"),
        (file_with(Image.effect_noise((64, 64), 50))[:-200], r"bad\.png is not a readable picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, r"bad\.png is not a (readable )?picture"),
    ],
    ids=["empty", "text", "cut-short", "zeros"],
)
def test_a_bad_file_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.png"
    file.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        Picture.from_path(file).image()
    assert "BytesIO" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: No such file"):
        Picture.from_path(tmp_path / "gone.png")
    with pytest.raises(InputError, match="it is a folder, not a file"):
        Picture.from_path(tmp_path)


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(file_with(RED))
    picture = Picture.from_path(file)
    file.unlink()
    with pytest.raises(InputError, match=r"a\.png: No such file"):
        picture.image()


def test_the_stamp_changes_with_the_file_and_needs_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "YOUNG", 0)
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    before = Picture.from_path(file).stamp
    assert before is not None and before == Picture.from_path(file).stamp
    file.write_bytes(b"other")
    assert Picture.from_path(file).stamp != before
    assert Picture.from_bytes("given", b"one").stamp is None


def test_two_files_that_change_places_change_stamps_though_their_times_are_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "YOUNG", 0)
    first, second = tmp_path / "a.bmp", tmp_path / "b.bmp"
    for file, content in ((first, b"cat"), (second, b"dog")):
        file.write_bytes(content)
        os.utime(file, ns=(10**18, 10**18))
    before = Picture.from_path(first).stamp, Picture.from_path(second).stamp
    second.rename(tmp_path / "c.bmp")
    first.rename(second)
    (tmp_path / "c.bmp").rename(first)
    assert not {Picture.from_path(first).stamp, Picture.from_path(second).stamp} & {*before}
    renamed = Picture.from_path(first).stamp
    first.write_bytes(b"fox")
    os.utime(first, ns=(10**18, 10**18))
    assert Picture.from_path(first).stamp != renamed, "the same inode, size and time of change"


def test_no_stamp_is_trusted_where_all_shall_be_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "YOUNG", 0)
    file = tmp_path / "one.png"
    file.write_bytes(b"1")
    assert Picture.from_path(file).stamp
    monkeypatch.setenv("IPO_VERIFY", "1")
    assert Picture.from_path(file).stamp is None


def test_a_file_that_has_just_changed_has_no_stamp_yet(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    assert Picture.from_path(file).stamp is None


def test_what_is_in_no_file_is_read_once_to_know_it() -> None:
    read: list[bytes] = []
    picture = Picture("row 1", lambda: read.append(b"one") or read[-1])  # type: ignore[func-returns-value]
    assert picture.content() == picture.content() and len(read) == 1
