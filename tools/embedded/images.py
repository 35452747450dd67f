"""Writes the shipped images, ``split.json`` and ``NOTICE.md``."""

import io
import json
import shutil
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tools.embedded import teacher, words
from tools.embedded.concepts import slug
from tools.embedded.domains import DOMAINS, draw
from tools.embedded.drawings import Drawing, Pixels
from tools.embedded.pages import fill
from tools.embedded.sources import EMOJI_DATA, EMOJI_DATA_VERSION, HELD_BACK, SOURCES
from tools.embedded.splits import Split

SCHEMA: Final = 1


def write(out: Path, drawings: list[Drawing], pixels: Pixels, split: Split) -> None:
    """Replaces ``out/images``, ``out/split.json`` and ``out/NOTICE.md``.

    File names are numbers, not the icons' names: "sun-outline" would give
    away what only the image may show.
    """
    folder = out / "images"
    for domain in DOMAINS:  # another stage writes the held-back images
        shutil.rmtree(folder / domain, ignore_errors=True)
    counts = dict.fromkeys(split.classes, 0)
    table: dict[str, list[Any]] = {part: [] for part in split.parts}
    paths: dict[str, int] = {}
    for part, rows in split.parts.items():
        for row in rows:
            name = drawings[row].concept
            counts[name] += 1
            path = f"{slug(name)}/{counts[name]:02d}.webp"
            paths[path] = row
            table[part].append([path, split.classes.index(name), name, drawings[row].base])
    for domain in DOMAINS:
        images = draw([(drawings[row].name, pixels[row]) for row in paths.values()], domain)
        for path, image in zip(paths, images, strict=True):
            target = folder / domain / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(lossless(image))
    (out / "split.json").write_text(one_row_a_line(split.classes, table), "utf-8")
    (out / "NOTICE.md").write_text(notice({drawings[row].name.split("/")[0] for row in paths.values()}), "utf-8")


def notice(shipped: set[str]) -> str:
    """Return ``NOTICE.md``; ``shipped`` are the names of the sources whose images ship."""
    emoji = f"{EMOJI_DATA} (names) | {EMOJI_DATA_VERSION}"
    return fill(
        "NOTICE.md.j2",
        sources=SOURCES,
        shipped=shipped,
        emoji=emoji,
        teacher=teacher.PACKAGE,
        teacher_version=teacher.VERSION,
        words=words.WORD_LIST,
        words_version=words.WORD_LIST_VERSION,
        held_back=HELD_BACK,
    )


def lossless(image: Pixels) -> bytes:
    """Return an image, uint8 (height, width, 3), as WebP."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", lossless=True, quality=100, method=4)
    return buffer.getvalue()


def one_row_a_line(classes: tuple[str, ...], table: dict[str, list[Any]]) -> str:
    """Return JSON that diffs well: one image a line."""
    parts = [f' "schema": {SCHEMA}', f' "classes": {json.dumps(classes)}']
    parts += [f' "{part}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n ]" for part, rows in table.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"
