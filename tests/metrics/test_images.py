from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.images import LazyImage


def file_with(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


RED = Image.new("RGB", (8, 8), (200, 10, 10))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (file_with(RED.convert("L")), (RED.convert("L").getpixel((0, 0)),) * 3),
        (file_with(RED.quantize(4)), (200, 10, 10)),
        (file_with(RED.convert("CMYK"), "TIFF"), (200, 10, 10)),
        (file_with(Image.new("1", (8, 8), 1)), (255,) * 3),
    ],
    ids=["grey", "palette", "cmyk", "1-bit"],
)
def test_every_mode_becomes_rgb(data: bytes, expected: tuple[int, ...]) -> None:
    image = LazyImage.from_bytes("given", data).rgb()
    assert image.mode == "RGB"
    pixel = image.getpixel((3, 3))
    assert isinstance(pixel, tuple)
    assert max(abs(a - b) for a, b in zip(pixel, expected, strict=True)) <= 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"bad\.png is empty \(0 bytes\)"),
        (b"hello", r"bad\.png is not an image of a known format"),
        (file_with(Image.effect_noise((64, 64), 50))[:-200], r"bad\.png is not a readable image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, r"bad\.png is not (an|a readable) image"),
    ],
    ids=["empty", "text", "cut-short", "zeros"],
)
def test_a_bad_file_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.png"
    file.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        LazyImage.from_path(file).rgb()
    assert "BytesIO" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: No such file"):
        LazyImage.from_path(tmp_path / "gone.png")
    with pytest.raises(InputError, match="it is a folder, not a file"):
        LazyImage.from_path(tmp_path)


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(file_with(RED))
    image = LazyImage.from_path(file)
    file.unlink()
    with pytest.raises(InputError, match=r"a\.png: No such file"):
        image.rgb()


def test_what_is_in_no_file_is_read_once_to_know_it() -> None:
    read: list[bytes] = []
    image = LazyImage("row 1", lambda: read.append(b"one") or read[-1])  # type: ignore[func-returns-value]
    assert image.content() == image.content() and len(read) == 1
