"""What a CLIP cannot tell apart: class names, and pictures of different parts. Looked at by `ipo data check`.

Equal bytes are found without a CLIP (check.py). Here: names that its tokenizer cuts to pieces, classes whose texts it
encodes alike, and pictures that it sees alike though their bytes differ, such as a copy of a photograph saved again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import yaml

from ipo_prompts.experiments.data.dataset import NAMES_FILE, PARTS, DataSet
from ipo_prompts.metrics.arrays import spread
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import printable
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.template import ANCHOR, names_of
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.candidates import has_words

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


def alike(data: DataSet, clip: Clip, progress: Progress | None = None) -> list[str]:
    """Compare class names and pictures; of many, some that are spread over all. No picture is scored.

    Returns:
        What to print: of each kind how many there are, the first or closest of them, and what to do. Empty where
        nothing is alike and all was compared.

    Raises:
        InputError: a picture cannot be read.
    """
    return [printable(line) for line in (*_names_alike(data, clip), *_pictures_alike(data, clip, progress))]


def _names_alike(data: DataSet, clip: Clip) -> Iterator[str]:
    names = data.class_names[:CLASSES]
    cuts = [(label, cut) for label, name in enumerate(names) if (cut := _cut(str(name), clip))]
    if cuts:
        yield f"class names with a word that the tokenizer cuts to {PIECES} pieces or more: {len(cuts)}"
        yield from (f"  {names[label]}: {cut}" for label, cut in cuts[:_SHOWN])
        yield f"  a name that CLIP has met may do better; write it {_renaming(data, cuts[0][0], 'NAME')}"
    told = {*data.unnamed, *(names[label] for label, _ in cuts)}
    unknown = [i for i, name in enumerate(names) if name not in told and not any(map(has_words, names_of(name)))]
    if unknown:
        yield f"class names without an English word: {len(unknown)}"
        yield from (f"  {names[label]}" for label in unknown[:_SHOWN])
        yield f"  names=search knows no others; write one that CLIP has met {_renaming(data, unknown[0], 'NAME')}"
    texts = encode_templates(clip.model, clip.tokenizer, [ANCHOR], names)[0]
    pairs = _pairs(texts, np.arange(len(names)))
    if pairs:
        yield f"pairs of classes that the CLIP hardly tells apart by name: {len(pairs)}"
        yield from _listed(pairs, names)
        yield f"  give them other names, or synonyms, {_renaming(data, pairs[0][0], '[NAME, SYNONYM]')}"


def _pictures_alike(data: DataSet, clip: Clip, progress: Progress | None) -> Iterator[str]:
    rows = list(data.items())
    chosen = [rows[i] for i in spread(len(rows), PICTURES)]
    store, sample = FeatureStore(clip), [item.picture for _, item in chosen]
    features = store.encode(sample, progress)
    contents = store.contents(sample)
    pairs = _pairs(features, np.array([PARTS.index(part) for part, _ in chosen]))
    pairs = [pair for pair in pairs if contents[pair[0]] != contents[pair[1]]]  # equal bytes are named already
    if pairs:
        yield f"pairs of pictures in two parts that are near copies to the CLIP: {len(pairs)}"
        yield from _listed(pairs, [f"{item.picture.name} ({part})" for part, item in chosen])
        yield "  copies of one picture belong in one part; else the test has been seen"
    if len(chosen) < len(rows):
        yield f"{len(chosen):,} of {len(rows):,} pictures, spread over all, were compared for near copies"


def _listed(pairs: Sequence[tuple[int, int, float]], names: Sequence[str]) -> Iterator[str]:
    yield from (f"  {names[one]} = {names[other]} (cosine {cosine:.3f})" for one, other, cosine in pairs[:_SHOWN])


def _renaming(data: DataSet, label: int, new: str) -> str:
    """Return where a class gets another name, and the line to write: its key is what the source calls the class."""
    own = (data.renamed_from or data.class_names)[label]
    line = yaml.safe_dump({str(own): "…"}, allow_unicode=True, width=1000).strip().removesuffix("…") + new
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
