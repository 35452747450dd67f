"""Picture files and names made to break whoever reads them: one sentence each, and nothing hangs."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ipo_prompts.experiments.embedded import PICTURES_DIR
from support import soak
from support.runs import Ended, ipo

PICTURE = (PICTURES_DIR / "a" / "cat" / "01.webp").read_bytes()
OPTIMIZE = ("lm=none", "strategy=list", "describer=none", "shots=1", "selection_shots=1", "strategy.file=templates.txt")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *more: bytes, data: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + pixels


def tiff(entry: tuple[int, int, int, int], following: int) -> bytes:
    return struct.pack("<2sHIH", b"II", 42, 8, 1) + struct.pack("<HHII", *entry) + struct.pack("<I", following)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def unix_socket(path: Path) -> None:
    place = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(place)


CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"I am a picture.",
    "HTML": b"<html><img src=x></html>",
    "NULs": bytes(10_000),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch /tmp/owned) (w) file\nshowpage\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "a truncated picture": PICTURE[: len(PICTURE) // 2],
    "a head alone": PICTURE[:16],
    "a bomb of pixels": png(30_000, 30_000, data=bytes(1000)),
    "a bomb of pixels that Pillow refuses": png(2**31 - 1, 2**31 - 1),
    "a width of zero": png(0, 10),
    "a bomb of text": png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))), data=bytes(200)),
    "ten thousand texts": png(8, 8, *[chunk(b"tEXt", b"a\0b")] * 10_000, data=bytes(200)),
    "a chunk without end": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IHDR",
    "a GIF that promises": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b"," * 100,
    "a TIFF in a circle": tiff((256, 4, 1, 8), 8),
    "a TIFF of many strips": tiff((273, 4, 2**31, 8), 0),
    "a PPM of many pixels": b"P6\n99999 99999\n255\n",
    "a PPM of words": b"P3\n" + b"# a comment\n" * 10_000 + b"9 9 255\n" + b"x " * 100,
    "a BMP below zero": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, -9, -9, 1, 24, 0, 0, 0, 0, 0, 0),
    "a JPEG of markers": b"\xff\xd8" + b"\xff\xe1\xff\xff" * 10_000,
    "an AVIF of boxes": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\0\0\0\x01meta" * 1000,
    "a JPEG 2000 of boxes": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2h" * 100,
    "a pickle": b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.",
}
KINDS: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("/nowhere"),
    "a link to the root": lambda path: path.symlink_to("/"),
    "a link to memory": lambda path: path.symlink_to("/proc/self/mem"),
    "a folder": lambda path: path.mkdir(),
    "a terabyte": sparse,
    "a socket": unix_socket,
}
NAMES: dict[str, bytes] = {
    "not UTF-8": b"\xff\xfe",
    "right to left": "\u202egnp.tac".encode(),
    "two lines": b"a\nipo: all is well.",
    "a cursor that moves": b"\x1b[2J\x1b]0;owned\x07",
    "markup": b"<img src=x onerror=alert(1)>[red]{0}",
    "a flag": b"--help",
    "a formula": b"=cmd|calc",
    "long": b"x" * 240,
    "half a character": b"\xed\xa0\xbd",
    "invisible": "\u200b\u3164".encode(),
}
CASES = [*(("content", name) for name in CONTENTS), *(("kind", name) for name in KINDS), *(("name", n) for n in NAMES)]
AMONG_TESTS = [("content", "EPS"), ("content", "a bomb of text"), ("kind", "a terabyte"), ("name", "two lines")]


def put(folder: Path, what: str, name: str) -> None:
    """Make the class `cat` of nothing else, and a class folder of that name too."""
    for number in range(6):
        stem = os.fsencode(folder) + b"/" + (NAMES[name] if what == "name" else b"") + b"%d.png" % number
        path = Path(os.fsdecode(stem))
        if what == "kind":
            KINDS[name](path)
        else:
            path.write_bytes(CONTENTS[name] if what == "content" else PICTURE + b"%d" % number)
    if what == "name":
        folder.rename(Path(os.fsdecode(os.fsencode(folder.parent) + b"/" + NAMES[name])))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, clip: object) -> Path:
    from ipo_prompts.programs.classifier import TemplateClassifier

    file = tmp_path_factory.mktemp("program") / "program.json"
    TemplateClassifier(clip, ("cat", "car", "bus"), "a photo of a <CLASS>.").save(str(file))  # type: ignore[arg-type]
    return file


@pytest.mark.parametrize(("what", "name"), CASES if soak.BY_HAND else AMONG_TESTS)
def test_each_command_ends_in_time_and_in_words(
    cache: Path,
    light: None,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pictures: Path,
    program: Path,
    record_property: Callable[[str, object], None],
    what: str,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pictures, "pets")
    shutil.rmtree("pets/cat")
    Path("pets/cat").mkdir()
    Path("templates.txt").write_text("a drawing of a <CLASS>.\n")
    put(tmp_path / "pets" / "cat", what, name)
    commands = (
        ("data", "check", "folder:pets"),
        ("optimize", "data=folder:pets", *OPTIMIZE, "--out", "run"),
        ("predict", str(program), "pets"),
    )
    record_property("tried", len(commands))
    for words in commands:
        ended: Ended = ipo(capfd, *words)
        assert ended.code in (0, 1, 2), words
        told = [line for line in ended.err.splitlines() if line.startswith("ipo: ")]
        assert ended.code == 0 or told or words[0] == "data", ended
        assert words[0] != "optimize" or len(told) == (ended.code != 0), told
        assert all(len(line) < 2_000 for line in told)
        odd = {one for one in ended.out + ended.err if not one.isprintable() and one not in "\n\r\t"}
        assert not odd, (words, odd)
    assert not Path("/tmp/owned").exists()
