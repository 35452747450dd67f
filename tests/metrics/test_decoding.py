from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from pillow_heif import register_heif_opener

from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.features import FeatureStore, contents
from ipo_prompts.metrics.images import ENDINGS, FORMATS, LazyImage, decode, read_file

WRITTEN = {kind: endings for kind, endings in FORMATS.items() if kind != "HEIF"}
"""The formats that Pillow reads and writes without a further package."""


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def pixels(data: bytes, *, stored: bool = False) -> np.ndarray[Any, Any]:
    image, _ = decode(data, "given", stored=stored)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def elsewhere(data: bytes) -> np.ndarray[Any, Any]:
    """Decode by libjpeg and libpng as torchvision calls them, turned by EXIF: RGB, or RGBA where there is alpha."""
    raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    mode = torchvision.io.ImageReadMode.RGB if data[:2] == b"\xff\xd8" else torchvision.io.ImageReadMode.RGB_ALPHA
    found = torchvision.io.decode_image(raw, mode=mode, apply_exif_orientation=True)
    return found.permute(1, 2, 0).numpy().astype(float)


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """Write a PNG by hand; without data, its pixels are missing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


GRADIENT = np.stack(np.meshgrid(np.arange(0, 240, 10), np.arange(0, 160, 10)), -1).astype(np.uint8)
RGB = Image.fromarray(np.dstack([GRADIENT, np.full(GRADIENT.shape[:2], 90, np.uint8)]))
ALPHA = Image.fromarray(np.linspace(0, 255, RGB.width * RGB.height).astype(np.uint8).reshape(RGB.height, RGB.width))


def with_alpha() -> Image.Image:
    image = RGB.copy()
    image.putalpha(ALPHA)
    return image


def on_white(rgba: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    alpha = rgba[..., 3:] / 255
    mixed: np.ndarray[Any, Any] = rgba[..., :3] * alpha + 255 * (1 - alpha)
    return mixed


@pytest.mark.parametrize(
    "data",
    [
        encoded(with_alpha()),
        encoded(with_alpha().convert("LA")),
        encoded(RGB.quantize(16), transparency=bytes(range(0, 256, 16))),
        encoded(RGB.quantize(16), transparency=3),
    ],
    ids=["rgba", "grey-alpha", "palette-of-alphas", "palette-one-clear"],
)
def test_transparency_is_read_on_white_as_another_decoder_has_it(data: bytes) -> None:
    assert np.abs(pixels(data) - on_white(elsewhere(data))).max() <= 1
    assert (pixels(data, stored=True) != pixels(data)).any()
    assert decode(data, "given")[1]


@pytest.mark.parametrize("stored", [False, True])
def test_decimal_numbers_are_refused(stored: bool) -> None:
    data = encoded(Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), "TIFF")
    with pytest.raises(InputError, match=r"^the image a\.tif has decimal numbers .*; save it with 8 bits\.$"):
        decode(data, "a.tif", stored=stored)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_colour_that_stands_for_clear_is_white(mode: str) -> None:
    image = RGB.convert(mode)
    data, stored = encoded(image, transparency=image.getpixel((3, 3))), np.asarray(image.convert("RGB")).astype(int)
    clear = (stored == stored[3, 3]).all(-1, keepdims=True)
    assert np.array_equal(pixels(data), np.where(clear, 255, stored))
    assert decode(data, "given")[1]


def test_stored_pixels_are_those_that_lie_beneath() -> None:
    hidden = Image.new("RGBA", (8, 8), (200, 10, 10, 0))
    assert pixels(encoded(hidden)).min() == 255
    assert pixels(encoded(hidden), stored=True)[0, 0].tolist() == [200, 10, 10]
    assert np.array_equal(pixels(encoded(with_alpha()), stored=True), np.asarray(RGB))


def test_whether_an_image_is_transparent_is_for_its_pixels_to_say() -> None:
    half = Image.new("RGBA", (10, 10), (0, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 10, 5))
    assert decode(encoded(half), "given")[1]
    assert not decode(encoded(Image.new("RGBA", (4, 4), "red")), "given")[1]
    assert not decode(encoded(RGB, "JPEG"), "given")[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_image_is_turned_by_its_exif(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(RGB.resize((48, 32)), "JPEG", exif=exif, quality=95, subsampling=0)
    turned = pixels(data)
    assert turned.shape == ((48, 32, 3) if orientation > 4 else (32, 48, 3))
    assert np.abs(turned - elsewhere(data)).max() <= 2
    assert pixels(data, stored=True).shape == (32, 48, 3)


def test_damaged_exif_turns_nothing() -> None:
    data = encoded(RGB, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 30)
    assert pixels(data).shape == (16, 24, 3)


def test_cmyk_is_converted_and_adobes_inverted_numbers_are_turned_back() -> None:
    data = encoded(RGB.resize((48, 32)).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data  # Pillow writes the inverted form, as Photoshop does
    assert np.abs(pixels(data) - elsewhere(data)).max() <= 3
    assert np.abs(pixels(data) - np.asarray(RGB.resize((48, 32)))).mean() < 5


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled(kind: str) -> None:
    wide = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    seen = pixels(encoded(Image.fromarray(wide), kind))
    assert np.abs(seen[..., 0] - wide / 257).max() <= 1
    assert (seen[..., 0] == seen[..., 2]).all()


def test_sixteen_bits_a_colour_are_scaled() -> None:
    row = b"\0" + struct.pack(">6H", 65535, 32768, 0, 257, 514, 771)
    assert pixels(png(2, 1, bits=16, data=row)).tolist() == [[[255, 128, 0], [1, 2, 3]]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {} if kind != "WEBP" else {"lossless": True}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert pixels(data)[0, 0].tolist() == [255, 0, 0]


def test_every_format_of_an_image_folder_is_read() -> None:
    for kind, endings in WRITTEN.items():
        assert np.abs(pixels(encoded(Image.new("RGB", (16, 16), (200, 10, 10)), kind)) - (200, 10, 10)).max() <= 12
        assert set(endings) <= ENDINGS


def test_heic_is_named_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {".heic", ".heif"} <= ENDINGS
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brands in (b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic"):
        with pytest.raises(InputError, match=r"IMG_1\.HEIC is HEIC, .*; `pip install pillow-heif` to read it, or"):
            decode(b"\0\0\0\x1cftyp" + brands, "IMG_1.HEIC")


def test_heic_is_read_with_its_decoder() -> None:
    register_heif_opener()
    data = encoded(Image.new("RGB", (64, 48), (200, 10, 10)), "HEIF")
    assert decode(data, "IMG_1.HEIC")[0].size == (64, 48)
    assert np.abs(pixels(data) - (200, 10, 10)).max() <= 12


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "PCX", "TGA", "SGI", "ICNS", "DDS", "IM"])
def test_other_formats_are_not_opened(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)  # what Ghostscript would be started with
    data = encoded(Image.new("RGB", (32, 32), "red"), kind)
    with pytest.raises(InputError, match=r"trap\.png is not an image of a known format"):
        decode(data, "trap.png")


@pytest.mark.parametrize("side", [8001, 13_000, 30_000, 60_000])
def test_a_huge_image_is_refused_before_it_is_decoded(side: int, recwarn: pytest.WarningsRecorder) -> None:
    data = png(side, side)  # without pixels: decoding it would fail with another sentence
    with pytest.raises(InputError) as caught:
        decode(data, "huge.png")
    words = str(caught.value)
    assert f"the image huge.png has {side * side / 1e6:,.0f} million pixels, more than 64; make it smaller" in words
    assert not [warning for warning in recwarn if "bomb" in str(warning.message).lower()]
    assert words.endswith(f"or set IPO_MAX_MEGAPIXELS={int(side * side / 1e6) + 1} to read it.")


def test_the_words_of_the_message_let_the_image_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)
    data = encoded(Image.new("1", (9000, 8000)))
    with pytest.raises(InputError, match="or set IPO_MAX_MEGAPIXELS=73 to read it"):
        decode(data, "huge.png")
    monkeypatch.setenv("IPO_MAX_MEGAPIXELS", "73")
    assert decode(data, "huge.png")[0].size == (9000, 8000)


def test_the_limit_can_be_lowered_and_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPO_MAX_MEGAPIXELS", "0.0001")
    with pytest.raises(InputError, match=r"more than 0\.0001"):
        decode(encoded(RGB), "given")
    for wrong in ("many", "-1", "nan", "inf"):
        monkeypatch.setenv("IPO_MAX_MEGAPIXELS", wrong)
        with pytest.raises(InputError, match=r"IPO_MAX_MEGAPIXELS is .*such as 200"):
            decode(encoded(RGB), "given")


def test_cut_and_flipped_files_give_one_sentence_or_an_image() -> None:
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {"GIF": {"save_all": True, "append_images": [RGB]}}
    for kind in WRITTEN:
        whole = encoded(RGB, kind, **options.get(kind, {}))
        for _ in range(40):
            data = bytearray(whole[: int(rng.integers(1, len(whole) + 1))])
            for place in rng.integers(0, len(data), 4):
                data[place] = int(rng.integers(0, 256))
            try:
                assert decode(bytes(data), "given")[0].mode == "RGB"
            except InputError as error:
                assert "given" in str(error)
                assert "\n" not in str(error)


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for file in (pipe, tmp_path / "zero.png"):
        with pytest.raises(InputError, match=r"\.png: it is a pipe, a socket or a device, not a file"):
            LazyImage.from_path(file)
        with pytest.raises(OSError, match="no regular file"):  # it took the place of a file after that was found
            read_file(str(file))


def test_a_link_to_an_image_is_read_and_a_path_with_a_nul_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(RGB))
    (tmp_path / "b.png").symlink_to("a.png")
    assert LazyImage.from_path(tmp_path / "b.png").rgb().size == RGB.size
    with pytest.raises(InputError, match=r"null (byte|character)"):
        LazyImage.from_path(tmp_path / "a\0b.png")


def test_a_name_that_is_not_utf8_can_be_kept_and_told(clip: Clip, tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    file.write_bytes(encoded(RGB))
    image = LazyImage.from_path(file)
    assert image.name.encode("utf-8").endswith(rb"\udcff.png")
    assert FeatureStore(clip, tmp_path).encode([image]).shape[0] == 1


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"sparse\.png has 1,099,511,627,776 bytes, more than an image takes"):
        LazyImage.from_path(tmp_path / "sparse.png").rgb()


def test_the_feature_cache_tells_apart_how_images_are_read(clip: Clip, tmp_path: Path) -> None:
    data = encoded(with_alpha())
    viewed, as_stored = (LazyImage("a.png", lambda: data, stored=stored) for stored in (False, True))
    store = FeatureStore(clip, tmp_path)
    white, stored = store.encode([viewed]), store.encode([as_stored])
    assert store.encoded == 2
    assert np.abs(white - stored).max() > 1e-3
    assert np.array_equal(FeatureStore(clip, tmp_path).encode([as_stored]), stored)
    assert contents([viewed]) != contents([as_stored])
    opaque = clip.encode_images([LazyImage.from_bytes("b", encoded(RGB))])
    assert np.allclose(opaque, stored, atol=1e-5)


def test_decoding_imports_no_decoder_before_it_is_needed() -> None:
    code = "import sys, ipo_prompts.metrics.images; print('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
