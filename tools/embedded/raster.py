"""Turns the vector icons of all packages into one array of 64 px RGBA pictures."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from tools.embedded.concepts import Concept, list_concepts, read_emojis, slug
from tools.embedded.sources import SOURCES, Source

SIZE: Final = 64
_MOST_VARIANTS: Final = 2
# Lettering instead of a drawing.
_LETTERING: Final = frozenset({"picon/key"})
# How icon packages spell the drawings of one name.
_PATTERNS: Final = (
    "{}",
    "{}-fill",
    "{}-filled",
    "{}-solid",
    "{}-bold",
    "{}-outline",
    "{}-line",
    "{}-duotone",
    "{}-1",
    "{}-01",
    "{}-24-filled",
    "{}-24-regular",
    "food-{}-24-filled",
    "animal-{}-24-filled",
    "animal-{}",
    "food-{}",
)
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One drawing. ``base`` names the shape: drawings with equal ``base`` are one family."""

    name: str
    concept: str
    label: str
    group: str
    kind: str
    base: str
    is_class: bool


def rasterise(modules: Path) -> tuple[list[Picture], Pixels]:
    """All drawings of all concepts, in a fixed order.

    Returns the pictures and a uint8 array (n, 64, 64, 4), straight alpha.
    """
    concepts = list_concepts(read_emojis(modules))
    pictures: list[Picture] = []
    pixels: list[Pixels] = []
    for source in SOURCES:
        pack = _Pack(modules, source)
        for concept in concepts:
            for picture, image in pack.drawings(concept):
                pictures.append(picture)
                pixels.append(image)
    return pictures, np.stack(pixels)


def save(path: Path, pictures: list[Picture], pixels: Pixels) -> None:
    """Writes ``path`` (.npy) and its index beside it (.json)."""
    np.save(path, pixels)
    index = [asdict(p) for p in pictures]
    path.with_suffix(".json").write_text(json.dumps(index), "utf-8")


def load(path: Path) -> tuple[list[Picture], Pixels]:
    """Reads what ``save`` wrote."""
    index = json.loads(path.with_suffix(".json").read_text("utf-8"))
    pixels: Pixels = np.load(path)
    return [Picture(**row) for row in index], pixels


class _Pack:
    """One installed package, answering with the drawings of a concept."""

    def __init__(self, modules: Path, source: Source) -> None:
        self.source = source
        self.folder = modules / source.package
        self.is_bitmap = (self.folder / "assets").is_dir()
        self.icons: dict[str, Any] = {}
        self.codes: dict[str, str] = {}
        if not self.is_bitmap:
            self.icons = json.loads((self.folder / "icons.json").read_text("utf-8"))
            chars = self.folder / "chars.json"
            if chars.exists() and source.kind != "icon":
                self.codes = json.loads(chars.read_text("utf-8"))

        names = reversed(list(self.icons.get("icons", ())))
        self.labels = {re.sub(r"-\d$", "", name).replace("-", ""): name for name in names}

    def drawings(self, concept: Concept) -> Iterator[tuple[Picture, Pixels]]:
        for emoji in concept.emojis:
            codes = (emoji.code, emoji.code.replace("-fe0f", ""), emoji.code + "-fe0f")
            image = self._by_code(codes) if self._draws_emoji else None
            if image is None and self._draws_emoji and not self.is_bitmap:
                image = self._by_label(emoji.label)
            if image is not None:
                yield self._picture(concept, emoji.label, emoji.code, slug(emoji.label)), image
        if not self._draws_emoji:
            for name in concept.slugs:
                found = 0
                for pattern in _PATTERNS:
                    image = self._icon(pattern.format(name))
                    drawn = pattern.format(name)
                    if f"{self.source.name}/{drawn}" in _LETTERING:
                        continue
                    if image is not None and found < _MOST_VARIANTS:
                        found += 1
                        yield self._picture(concept, concept.name, name, drawn), image

    @property
    def _draws_emoji(self) -> bool:
        return self.source.kind == "emoji" or self.source.family in ("fluent", "emojione")

    def _picture(self, concept: Concept, label: str, key: str, name: str) -> Picture:
        return Picture(
            name=f"{self.source.name}/{name}",
            concept=concept.name,
            label=label,
            group=concept.emojis[0].group,
            kind=self.source.kind,
            base=f"{self.source.family}/{key}",
            is_class=concept.is_class,
        )

    def _by_code(self, codes: tuple[str, ...]) -> Pixels | None:
        for code in codes:
            if self.is_bitmap:
                path = self.folder / "assets" / f"{code}.webp"
                if path.exists():
                    return _shrink(Image.open(path))
            elif code in self.codes:
                return self._icon(self.codes[code])
        return None

    def _by_label(self, label: str) -> Pixels | None:
        found = self.labels.get(slug(label).replace("-", ""))
        return None if found is None else self._icon(found)

    def _icon(self, name: str) -> Pixels | None:
        alias = self.icons.get("aliases", {}).get(name)
        if alias is not None and set(alias) <= {"parent", "hidden"}:
            name = alias["parent"]
        icon = self.icons["icons"].get(name)
        if icon is None:
            return None
        width = icon.get("width", self.icons.get("width", 16))
        height = icon.get("height", self.icons.get("height", 16))
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{width}" height="{height}" '
            f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" '
            f'color="#202020">{icon["body"]}</svg>'
        )
        png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True)
        return _shrink(Image.open(io.BytesIO(bytes(png))))


def _shrink(image: Image.Image) -> Pixels:
    """Square 64 px RGBA; premultiplied while resizing, else edges turn grey."""
    rgba = image.convert("RGBA")
    if rgba.size != (SIZE, SIZE):
        side = max(rgba.size)
        square = Image.new("RGBA", (side, side))
        square.paste(rgba, ((side - rgba.width) // 2, (side - rgba.height) // 2))
        small = square.convert("RGBa").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        rgba = small.convert("RGBA")
    array: Pixels = np.asarray(rgba, dtype=np.uint8)
    return array
