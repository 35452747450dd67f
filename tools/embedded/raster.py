"""Turns the vector icons of all packages into one array of 64 px RGBA images."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from tools.embedded.concepts import Concept, Emoji, list_concepts, read_emojis, slug
from tools.embedded.drawings import Drawing, Pixels
from tools.embedded.sources import SOURCES, Source

SIZE: Final = 64
_MOST_VARIANTS: Final = 2
# Lettering instead of a drawing.
_LETTERING: Final = frozenset({"picon/key"})
# How icon packages spell the drawings of one name.
_PATTERNS: Final = (
    *("{}", "{}-fill", "{}-filled", "{}-solid", "{}-bold", "{}-outline", "{}-line", "{}-duotone", "{}-1", "{}-01"),
    *("{}-24-filled", "{}-24-regular", "food-{}-24-filled", "animal-{}-24-filled", "animal-{}", "food-{}"),
)


def rasterise(
    modules: Path, concepts: list[Concept] | None = None, sources: tuple[Source, ...] | None = None
) -> tuple[list[Drawing], Pixels]:
    """Return all drawings of some concepts, by default those that the CLIP learns from its packages, in fixed order.

    Returns the images and a uint8 array (n, 64, 64, 4), straight alpha.
    """
    concepts = list_concepts(read_emojis(modules)) if concepts is None else concepts
    packs = (Pack(modules, source) for source in sources or SOURCES)
    drawn = [drawing for pack in packs for concept in concepts for drawing in pack.drawings(concept)]
    return [drawing for drawing, _ in drawn], np.stack([image for _, image in drawn])


class Pack:
    """One installed package; gives the drawings of a concept."""

    def __init__(self, modules: Path, source: Source) -> None:
        self._source = source
        self._folder = modules / source.package
        self._draws_emoji = source.kind == "emoji" or source.family in ("fluent", "emojione")
        self._is_bitmap = (self._folder / "assets").is_dir()
        self._icons: dict[str, Any] = {} if self._is_bitmap else self._read("icons.json")
        has_codes = (self._folder / "chars.json").exists() and source.kind != "icon"
        self._codes: dict[str, str] = self._read("chars.json") if has_codes else {}
        names = reversed(list(self._icons.get("icons", ())))
        self._labels = {re.sub(r"-\d$", "", name).replace("-", ""): name for name in names}

    def drawings(self, concept: Concept) -> Iterator[tuple[Drawing, Pixels]]:
        """Every drawing of the concept in this package with its uint8 (64, 64, 4) pixels."""
        if self._draws_emoji:
            for emoji in concept.emojis:
                image = self._emoji(emoji)
                if image is not None:
                    yield self._drawing(concept, emoji.label, emoji.code, slug(emoji.label)), image
            return
        for name in concept.slugs:
            spelt = [pattern.format(name) for pattern in _PATTERNS]
            known = [s for s in spelt if self._svg(s) and f"{self._source.name}/{s}" not in _LETTERING]
            for drawn in known[:_MOST_VARIANTS]:
                image = self._icon(drawn)
                assert image is not None
                yield self._drawing(concept, concept.name, name, drawn), image

    def _read(self, file: str) -> Any:
        return json.loads((self._folder / file).read_text("utf-8"))

    def _drawing(self, concept: Concept, label: str, key: str, name: str) -> Drawing:
        return Drawing(
            name=f"{self._source.name}/{name}",
            concept=concept.name,
            label=label,
            group=concept.emojis[0].group,
            kind=self._source.kind,
            base=f"{self._source.family}/{key}",
            is_class=concept.is_class,
        )

    def _emoji(self, emoji: Emoji) -> Pixels | None:
        """Find an emoji by its code, with or without the variation selector; in vector packages also by its label."""
        codes = (emoji.code, emoji.code.replace("-fe0f", ""), emoji.code + "-fe0f")
        if self._is_bitmap:
            paths = (self._folder / "assets" / f"{code}.webp" for code in codes)
            return next((shrink(Image.open(path)) for path in paths if path.exists()), None)
        image = next((self._icon(self._codes[code]) for code in codes if code in self._codes), None)
        if image is None:
            image = self._icon(self._labels.get(slug(emoji.label).replace("-", ""), ""))
        return image

    def _icon(self, name: str) -> Pixels | None:
        svg = self._svg(name)
        if svg is None:
            return None
        import resvg_py

        png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True)
        return shrink(Image.open(io.BytesIO(bytes(png))))

    def _svg(self, name: str) -> str | None:
        alias = self._icons.get("aliases", {}).get(name)
        if alias is not None and set(alias) <= {"parent", "hidden"}:
            name = alias["parent"]
        icon = self._icons["icons"].get(name)
        if icon is None:
            return None
        width = icon.get("width", self._icons.get("width", 16))
        height = icon.get("height", self._icons.get("height", 16))
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{width}" height="{height}" viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" '
            f'color="#202020">{icon["body"]}</svg>'
        )


def shrink(image: Image.Image) -> Pixels:
    """Return a square 64 px RGBA; premultiplied while resizing, else edges turn grey."""
    rgba = image.convert("RGBA")
    if rgba.size != (SIZE, SIZE):
        side = max(rgba.size)
        square = Image.new("RGBA", (side, side))
        square.paste(rgba, ((side - rgba.width) // 2, (side - rgba.height) // 2))
        rgba = square.convert("RGBa").resize((SIZE, SIZE), Image.Resampling.LANCZOS).convert("RGBA")
    return np.asarray(rgba, dtype=np.uint8)
