"""Finds near copies of pictures, and pictures and class names that a CLIP cannot tell apart.

**Near copies** are pictures of a burst, a photograph saved again, frames of one film. Undeclared near copies make
intervals far too narrow, because each counts as a picture of its own. Three signs are used: features of the CLIP; a
small grey picture that may be moved and enlarged a little, which changes of light leave alone; and names or times that
follow one another, after which less likeness is enough. Pictures of one class and part are compared. The groups found
are proposals: they count only if the user gives them as a column `group` of a `csv:` table (docs/own-pictures.md).
`benchmarks/near_copies.py` measures how many near copies are found, and how many pictures are joined falsely.

**What a CLIP cannot tell apart** is reported by `ipo data check`: names that the tokenizer cuts to pieces, classes
whose texts the CLIP encodes alike, and pictures of two parts that it encodes alike. check.py finds equal bytes without
a CLIP.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml
from numpy.lib.stride_tricks import sliding_window_view
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ipo_prompts.experiments.data.assemble import Gathered
from ipo_prompts.experiments.data.dataset import NAMES_FILE, PARTS, DataSet, Item, in_threads
from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.pictures import Picture, decode
from ipo_prompts.metrics.template import BASELINE, names_of
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.candidates import has_words

FEATURES, GREY = 0.995, 0.96
"""Least likeness of two pictures that are joined: cosine of the features, correlation of the small grey pictures. Set
on the shipped drawings so that false joins are few; photographs may need other values."""
FEATURES_NEXT, GREY_NEXT = 0.985, 0.93
"""The same for pictures whose names or times follow one another."""
SECONDS = 2
"""Pictures taken within this many seconds follow one another."""
MOST = 5000
"""Most test pictures in which a run searches for near copies: each is decoded once more."""
SIDE, MARGIN, ENLARGED = 24, 2, 0.92
"""Side of the small grey picture and how far it may be moved, in pixels; share of a side that is enlarged to the
whole."""
_TAKEN = "%Y:%m:%d %H:%M:%S"
PIECES = 4
"""A word of this many tokens or more is reported. The CLIP has seldom learnt such a word: most English words have one
token or two."""
ALIKE = 0.99
"""Least cosine of two classes, or two pictures, that are reported. In the shipped pictures, different classes stay
below 0.94 and different drawings of two parts below 0.99. Of copies saved again as JPEG, half or more are above it; of
copies of clean drawings, fewer."""
PICTURES = 1000
"""Most pictures that are compared, spread over the data: encoding them takes a minute or two with a ViT-B/16 on two
cores."""
CLASSES = 5000
BLOCK = 512
_SHOWN = 5


def near_copies(items: Sequence[Item], features: Floats) -> list[int]:
    """Join near copies among pictures of one part.

    Args:
        items: n pictures; pictures of one group are joined already.
        features: unit rows, (n, D).

    Returns:
        The group of each picture, from 0. Pictures that are alike are in one group, and so is what is like either.

    Raises:
        InputError: a picture cannot be read.
    """
    views, taken = zip(*in_threads(_look, [item.picture for item in items]), strict=True)
    first: dict[str, int] = {}
    joined = [(place, first.setdefault(item.group, place)) for place, item in enumerate(items)]
    labels = np.array([item.label for item in items])
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label).tolist()
        cosines = features[places] @ features[places].T
        greys = _likeness([views[place] for place in places])
        alike = (cosines >= FEATURES) | (greys >= GREY)
        following = _following([items[place].picture.name for place in places], [taken[place] for place in places])
        for one, other in following:
            alike[one, other] |= cosines[one, other] >= FEATURES_NEXT or greys[one, other] >= GREY_NEXT
        joined += [(places[one], places[other]) for one, other in np.argwhere(alike).tolist()]
    ends = np.transpose(joined)
    graph = coo_array((np.ones(len(joined), dtype=bool), ends), shape=(len(items), len(items)))
    groups: list[int] = connected_components(graph, directed=False)[1].tolist()
    return groups


def grouped_table(source: Gathered, clip: Clip, progress: Progress | None = None) -> tuple[str, str]:
    """Make a `csv:` table of all pictures of a folder or table, in which near copies share a group.

    Joined pictures have the same class, and the same part if the source has parts.

    Returns:
        The table, and what was found in words: "" if nothing was.

    Raises:
        InputError: the pictures are in no files of their own, or one cannot be read.
    """
    import pandas as pd

    rows = source.rows
    if not all(Path(row.picture.name).is_file() for row in rows):
        raise InputError(
            f"the pictures of {source.where} are in no files of their own; --groups takes folder: or csv:."
        )
    kinds = {kind: label for label, kind in enumerate(dict.fromkeys((row.part, row.class_name) for row in rows))}
    items = [Item(row.picture, kinds[row.part, row.class_name], row.group or row.key) for row in rows]
    groups = near_copies(items, FeatureStore(clip).encode([row.picture for row in rows], progress))
    first = {group: row.key for row, group in reversed(list(zip(rows, groups, strict=True)))}
    columns = {
        "image": [str(Path(row.picture.name).absolute()) for row in rows],
        "label": [row.class_name for row in rows],
        "split": [row.part for row in rows],
        "group": [first[group] for group in groups],
    }
    table = pd.DataFrame(columns).dropna(axis="columns", how="all")  # drops `split` if the source has no parts
    return table.to_csv(index=False, lineterminator="\n"), copies_in_words(items, groups)


def told_copies(items: Sequence[Item], features: Floats) -> tuple[str, list[int]]:
    """Return how many pictures look like near copies, in words, and the group of each; see `near_copies`.

    Both are empty if there are more than `MOST` pictures, or a picture cannot be read (a file may have gone since its
    features were stored).
    """
    if not 0 < len(items) <= MOST:
        return "", []
    try:
        groups = near_copies(items, features)
    except InputError:
        return "", []
    return copies_in_words(items, groups), groups


def copies_in_words(items: Sequence[Item], groups: Sequence[int]) -> str:
    """Return how many pictures were joined with a picture of another declared group; "" if none was."""
    declared = Counter(group for group, _ in {*zip(groups, (item.group for item in items), strict=True)})
    joined = sum(declared[group] > 1 for group in groups)
    several = sum(names > 1 for names in declared.values())
    one = f"{several:,} group{'s' * (several != 1)}"
    return f"{joined:,} of {len(items):,} pictures look like near copies, in {one}" if joined else ""


def _look(picture: Picture) -> tuple[Floats, float | None]:
    """Read one picture and make it small and grey.

    Returns:
        Unit rows (V, P): the first is the picture as it is, the others are moved or enlarged a little. Then the time
        when it was taken, according to the camera, in seconds; or None.

    Raises:
        InputError: the picture cannot be read.
    """
    from PIL import Image

    data = picture.bytes()
    grey = decode(data, picture.name, picture.background)[0].convert("L")
    width, height = grey.size
    cut = (1 - ENLARGED) / 2
    middle = (cut * width, cut * height, (1 - cut) * width, (1 - cut) * height)
    inner = grey.resize((SIDE, SIDE), Image.Resampling.BOX, middle)
    whole = grey.resize((SIDE, SIDE), Image.Resampling.BOX)
    rows = np.concatenate([_moved(np.asarray(view, np.float32)) for view in (whole, inner)])
    rows -= rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    # A picture of one colour is like no other.
    return (rows / np.where(norms > 1, norms, np.inf)).astype(np.float32), _taken(data)


def _moved(grey: Floats) -> Floats:
    """Return the middle of a picture, then windows up to `MARGIN` pixels away from it: rows (V, P)."""
    size = SIDE - 2 * MARGIN
    steps = sorted(range(2 * MARGIN + 1), key=lambda step: abs(step - MARGIN))
    return sliding_window_view(grey, (size, size))[np.ix_(steps, steps)].reshape(-1, size * size)


def _taken(data: bytes) -> float | None:
    from PIL import Image

    try:
        exif = Image.open(io.BytesIO(data)).getexif()
        return datetime.strptime(str(exif.get_ifd(0x8769).get(0x9003)), _TAKEN).timestamp()
    except (OSError, ValueError):
        return None


def _likeness(pictures: Sequence[Floats]) -> Floats:
    """Return the highest correlation of each pair, where one of the two is not moved or enlarged: (n, n)."""
    views = np.stack(pictures)
    best = np.full((len(views), len(views)), -1, dtype=np.float32)
    for view in range(views.shape[1]):
        np.maximum(best, views[:, view] @ views[:, 0].T, out=best)
    return np.maximum(best, best.T)


def _following(names: Sequence[str], taken: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    """Yield the pairs whose names differ by one in their last number, or that were taken shortly after one another."""
    numbered: dict[tuple[str, str], dict[int, int]] = {}
    for place, name in enumerate(names):
        if match := re.fullmatch(r"(.*?)(\d{1,15})(\D*)", name, flags=re.DOTALL):
            numbered.setdefault((match[1], match[3]), {})[int(match[2])] = place
    for places in numbered.values():
        yield from ((place, places[number + 1]) for number, place in places.items() if number + 1 in places)
    timed = sorted((when, place) for place, when in enumerate(taken) if when is not None)
    yield from ((one, other) for (first, one), (then, other) in pairwise(timed) if then - first <= SECONDS)


def alike(data: DataSet, clip: Clip, progress: Progress | None = None) -> list[str]:
    """Compare class names and pictures; of many, a part that is spread over all. No template is scored.

    Returns:
        Lines to print: for each kind of finding the number, the first or closest ones, and what to do. Empty if nothing
        is alike and everything was compared.

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
    texts = encode_templates(clip.model, clip.tokenizer, [BASELINE], names)[0]
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
        yield "  copies of one picture belong in one part; else the search sees test pictures"
    if len(chosen) < len(rows):
        yield f"{len(chosen):,} of {len(rows):,} pictures, spread over all, were compared for near copies"


def _listed(pairs: Sequence[tuple[int, int, float]], names: Sequence[str]) -> Iterator[str]:
    yield from (f"  {names[one]} = {names[other]} (cosine {cosine:.3f})" for one, other, cosine in pairs[:_SHOWN])


def _renaming(data: DataSet, label: int, new: str) -> str:
    """Return where a class is given another name, and the line to write; its key is the source's name of the class."""
    own = (data.renamed_from or data.class_names)[label]
    line = yaml.safe_dump({str(own): "…"}, allow_unicode=True, width=1000).strip().removesuffix("…") + new
    return f"in {NAMES_FILE}, such as {line}" if data.name.startswith("folder:") else f"as class_names='{{{line}}}'"


def _pairs(rows: np.ndarray, kinds: np.ndarray) -> list[tuple[int, int, float]]:
    """Return the pairs of unit rows that have two kinds and a cosine of at least `ALIKE`, the closest first."""
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(rows), BLOCK):
        cosines = rows[start : start + BLOCK] @ rows.T
        near = (cosines >= ALIKE) & (kinds[start : start + BLOCK, None] != kinds[None])
        for one, other in np.argwhere(near).tolist():
            if start + one < other:
                found.append((start + one, other, float(cosines[one, other])))
    return sorted(found, key=lambda pair: -pair[2])


def _cut(name: str, clip: Clip) -> str | None:
    """Return the pieces of each word of a name that the tokenizer cuts to `PIECES` or more; None if there is none."""
    words = [word for word in name.replace("_", " ").split() if clip.count(word) - 2 >= PIECES]
    return ", ".join("·".join(clip.pieces(word)) for word in words) or None
