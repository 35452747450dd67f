"""Writes the held-back images: base images that no CLIP has met, for half of the sets that claims are made on.

CLIPs learn from all drawings of the packages of ``sources.csv`` except the shipped ones, on which methods were
developed. So the held-back images are from other packages, and none is like a drawing that a CLIP learns from
(``duplicates.py``).
"""

import random
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.lab.bed import HELD_BACK
from ipo_prompts.experiments.embedded import CLEAN_DOMAIN
from tools.embedded import drawings, raster, sources
from tools.embedded.concepts import list_concepts, read_emojis, slug
from tools.embedded.domains import draw
from tools.embedded.drawings import Drawing, Pixels
from tools.embedded.duplicates import looks_like
from tools.embedded.images import lossless, one_row_a_line
from tools.embedded.splits import PER_CLASS, split
from tools.embedded.tint import tint

SEED: Final = 23
AMBIGUOUS: Final = frozenset({"hamburger"})
"""Classes whose name icon packages also give to something else: to the three bars of a menu."""
NEEDED: Final = sum(PER_CLASS.values())


def write(out: Path, work: Path) -> None:
    """Replaces ``out/held-back`` and ``out/held-back.json``; needs the stage that fetches."""
    sources.fetch(work / HELD_BACK, sources.HELD_BACK)
    drawings, pixels = find(work)
    folder = out / HELD_BACK
    shutil.rmtree(folder, ignore_errors=True)
    table: dict[str, list[Any]] = {part: [] for part in PER_CLASS}
    classes = tuple(dict.fromkeys(drawing.concept for drawing in drawings))
    for label, name in enumerate(classes):
        rows = [row for row, drawing in enumerate(drawings) if drawing.concept == name]
        parts = (part for part, count in PER_CLASS.items() for _ in range(count))
        for number, (row, part) in enumerate(zip(rows, parts, strict=True), 1):
            path = f"{slug(name)}/{number:02d}.webp"
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(lossless(draw([(drawings[row].name, pixels[row])], CLEAN_DOMAIN)[0]))
            table[part].append([path, label, name, drawings[row].base])
    (out / f"{HELD_BACK}.json").write_text(one_row_a_line(classes, table), "utf-8")


def find(work: Path) -> tuple[list[Drawing], Pixels]:
    """Return as many drawings of each class as its parts need, class by class, in the order of the parts.

    Classes with too few are left out, and the last one if there is an odd number, as in ``splits.py``.
    """
    modules = work / "npm" / "node_modules"
    shipped = split(drawings.load(work / "raster.npy")[0]).classes
    wanted = {*shipped} - AMBIGUOUS
    concepts = [concept for concept in list_concepts(read_emojis(modules)) if concept.name in wanted]
    met, met_pixels = raster.rasterise(modules, concepts)
    new, new_pixels = raster.rasterise(work / HELD_BACK / "node_modules", concepts, sources.HELD_BACK)
    rows = list(_chosen(met, met_pixels, new, new_pixels))
    rows = rows[: len(rows) - len(rows) % (2 * NEEDED)]
    tinted = tint([*met, *new], np.concatenate([met_pixels, new_pixels]))
    return [new[row] for row in rows], tinted[[len(met) + row for row in rows]]


def _chosen(met: list[Drawing], met_pixels: Pixels, new: list[Drawing], new_pixels: Pixels) -> Iterator[int]:
    """Yields rows of ``new``: for a class one of each package, by seed, unlike all drawings met or chosen before."""
    known, by_class = drawings.by_concept(met, range(len(met))), drawings.by_concept(new, range(len(new)))
    for concept, rows in by_class.items():
        seen = looks_like(new_pixels[rows], met_pixels[known[concept]])
        twins = looks_like(new_pixels[rows], new_pixels[rows])
        by_package: dict[str, list[int]] = defaultdict(list)
        chosen: list[int] = []
        for i, row in enumerate(rows):
            if not seen[i].any():
                by_package[new[row].base.split("/")[0]].append(i)
        packages = sorted(by_package)
        random.Random(f"{SEED}/{concept}").shuffle(packages)
        for package in packages:
            unlike = [i for i in by_package[package] if not twins[i, chosen].any()]
            chosen += unlike[:1]
        if len(chosen) >= NEEDED:
            yield from (rows[i] for i in chosen[:NEEDED])
