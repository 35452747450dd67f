"""The drawings that every stage works on: one array of 64 px RGBA images and what is known of each."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Drawing:
    """One drawing. ``base`` names the shape: drawings with equal ``base`` are one family."""

    name: str
    concept: str
    label: str
    group: str
    kind: str
    base: str
    is_class: bool


def as_floats(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return the same image or images as float32 in [0, 1]."""
    return np.divide(pixels, 255, dtype=np.float32)


def by_concept(drawings: list[Drawing], rows: Iterable[int]) -> dict[str, list[int]]:
    """Return concept -> the ``rows``, indices into ``images``, that draw it."""
    found: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        found[drawings[row].concept].append(row)
    return found


def names(drawings: list[Drawing]) -> list[str]:
    """Return every name that captions can hold, sorted: of concepts, of single drawings and of groups."""
    return sorted({name for p in drawings for name in (p.concept, p.label, group_name(p))})


def group_name(drawing: Drawing) -> str:
    """Return the name of a group in captions: ``"animals"`` for ``"animals-nature"``."""
    return drawing.group.split("-")[0]


def save(path: Path, drawings: list[Drawing], pixels: Pixels) -> None:
    """Writes ``path`` (.npy) and its index beside it (.json)."""
    np.save(path, pixels)
    path.with_suffix(".json").write_text(json.dumps([asdict(p) for p in drawings]), "utf-8")


def load(path: Path) -> tuple[list[Drawing], Pixels]:
    """Reads what ``save`` wrote: the images and uint8 (n, 64, 64, 4)."""
    index = json.loads(path.with_suffix(".json").read_text("utf-8"))
    return [Drawing(**row) for row in index], np.load(path)
