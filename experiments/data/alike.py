"""What a CLIP cannot tell apart: class names, and pictures of different parts. Looked at by `ipo data check`.

Equal bytes are found without a CLIP (check.py). Here: names that its tokenizer cuts to pieces, classes whose texts it
encodes alike, and pictures that it sees alike though their bytes differ, such as a copy of a photograph saved again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import yaml

from ipo_prompts.experiments.data.dataset import PARTS, DataSet
from ipo_prompts.experiments.data.names import NAMES_FILE
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import printable
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.template import ANCHOR
from ipo_prompts.metrics.text_tower import encode_templates

PIECES = 4
"""A word in so many pieces is seldom one that the CLIP has learnt: most words of English are one piece or two."""
ALIKE = 0.99
"""Cosine of two classes, or two pictures, from which on they are named. In the shipped pictures different classes stay
below 0.94 and different drawings of two parts below 0.99; of copies saved again as JPEG half are above it or more, of
clean drawings fewer."""
PICTURES = 1000
"""Pictures at most, spread over the data: encoding them takes a minute or two with a ViT-B/16 on two cores."""
CLASSES = 5000
BLOCK = 512
_SHOWN = 5


@dataclass(frozen=True)
class Alike:
    """What was found.

    Attributes:
        pieces: name → the pieces of its words that are cut to many.
        renaming: first name of `pieces` and of `classes` → how it is given another one, which `…` stands for.
        classes: pairs of classes with their cosine, the closest first; at most a few, of `class_pairs`.
        class_pairs: how many there are.
        copies: pairs of pictures in two parts with their cosine, the closest first; at most a few, of `copy_pairs`.
        copy_pairs: how many there are.
        pictures: how many were compared.
        total: how many there are.
    """

    pieces: dict[str, str]
    renaming: dict[str, str]
    classes: list[tuple[str, str, float]]
    class_pairs: int
    copies: list[tuple[str, str, float]]
    copy_pairs: int
    pictures: int
    total: int

    def lines(self) -> Iterator[str]:
        """Yield what to print; nothing where nothing is alike."""
        yield from map(printable, self._lines())

    def _lines(self) -> Iterator[str]:
        if self.pieces:
            yield f"class names with a word that the tokenizer cuts to {PIECES} pieces or more: {len(self.pieces)}"
            yield from (f"  {name}: {cut}" for name, cut in list(self.pieces.items())[:_SHOWN])
            line = self.renaming[next(iter(self.pieces))].replace("…", "NAME")
            yield f"  a name that CLIP has met may do better; write it {line}"
        if self.class_pairs:
            yield f"pairs of classes that the CLIP hardly tells apart by name: {self.class_pairs}"
            yield from (f"  {one} = {other} (cosine {cosine:.3f})" for one, other, cosine in self.classes)
            line = self.renaming[self.classes[0][0]].replace("…", "[NAME, SYNONYM]")
            yield f"  give them other names, or synonyms, {line}"
        if self.copy_pairs:
            yield f"pairs of pictures in two parts that are near copies to the CLIP: {self.copy_pairs}"
            yield from (f"  {one} = {other} (cosine {cosine:.3f})" for one, other, cosine in self.copies)
            yield "  copies of one picture belong in one part; else the test has been seen"
        if self.pictures < self.total:
            yield f"{self.pictures:,} of {self.total:,} pictures, spread over all, were compared for near copies"


def alike(data: DataSet, clip: Clip, progress: Progress | None = None) -> Alike:
    """Compare class names and pictures; of many, some that are spread over all. No picture is scored.

    Raises:
        InputError: a picture cannot be read.
    """
    names = data.class_names[:CLASSES]
    texts = encode_templates(clip.model, clip.tokenizer, [ANCHOR], names)[0]
    classes = _pairs(texts, np.arange(len(names)))
    rows = list(data.items())
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), PICTURES)).round().astype(int).tolist()]
    store, sample = FeatureStore(clip), [item.picture for _, item in chosen]
    features = store.encode(sample, progress)
    contents = store.contents(sample)
    copies = [
        pair
        for pair in _pairs(features, np.array([PARTS.index(part) for part, _ in chosen]))
        if contents[pair[0]] != contents[pair[1]]  # equal bytes are named already
    ]
    cuts = {label: cut for label, name in enumerate(names) if (cut := _cut(str(name), clip))}
    shown = [*list(cuts)[:1], *(label for label, _, _ in classes[:1])]
    pictures = [f"{item.picture.name} ({part})" for part, item in chosen]
    return Alike(
        pieces={str(names[label]): cut for label, cut in cuts.items()},
        renaming={str(names[label]): _renaming(data, label) for label in shown},
        classes=[(names[a], names[b], cosine) for a, b, cosine in classes[:_SHOWN]],
        class_pairs=len(classes),
        copies=[(pictures[a], pictures[b], cosine) for a, b, cosine in copies[:_SHOWN]],
        copy_pairs=len(copies),
        pictures=len(chosen),
        total=len(rows),
    )


def _renaming(data: DataSet, label: int) -> str:
    """Return where a class gets another name, and the line to write: its key is what the source calls the class."""
    own = (data.renamed_from or data.class_names)[label]
    line = yaml.safe_dump({str(own): "…"}, allow_unicode=True, width=1000).strip()
    return f"in {NAMES_FILE}, such as {line}" if data.name.startswith("folder:") else f"as class_names='{{{line}}}'"


def _pairs(rows: np.ndarray, kinds: np.ndarray) -> list[tuple[int, int, float]]:
    """Return the pairs of unit rows of two kinds with a cosine of at least `ALIKE`, the closest first."""
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(rows), BLOCK):
        cosines = rows[start : start + BLOCK] @ rows.T
        near = (cosines >= ALIKE) & (kinds[start : start + BLOCK, None] != kinds[None])
        for one, other in np.argwhere(near).tolist():
            if start + one < other:
                found.append((start + one, other, float(cosines[one, other])))
    return sorted(found, key=lambda pair: -pair[2])


def _cut(name: str, clip: Clip) -> str | None:
    """Return the pieces of each word of a name that the tokenizer cuts to many, or None."""
    words = [word for word in name.replace("_", " ").split() if clip.count(word) - 2 >= PIECES]
    return ", ".join("·".join(clip.pieces(word)) for word in words) or None
