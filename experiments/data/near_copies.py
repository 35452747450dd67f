"""Finds near copies of pictures, and pictures and class names that a CLIP cannot tell apart.

**Near copies** are, for example, pictures of a burst, a photograph that was saved again, or frames of one film. If near
copies are not declared, each counts as an independent picture, which makes intervals far too narrow. Pictures of the
same class and part are compared by three signs:

- features of the CLIP;
- small grey pictures, which may be moved and enlarged a little and do not depend on the light;
- names or times that follow one another: such pictures are joined at a lower likeness.

The groups that are found are proposals. They are used only if the user gives them as a column `group` of a `csv:` table
(ipo docs data). `benchmarks/near_copies.py` measures how many near copies are found, and how many pictures are
joined falsely.

**Names and pictures that a CLIP cannot tell apart** are reported by `ipo data check`: class names that the tokenizer
cuts to pieces, classes whose texts have nearly the same features, and pictures that have nearly the same features, in
a benchmark's split only pictures of different parts. check.py finds pictures with equal bytes without a CLIP.
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
from ipo_prompts.experiments.data.dataset import NAMES_FILE, OWN, DataSet, Item, in_threads
from ipo_prompts.metrics.arrays import Floats, spread
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.decoding import decode
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.features import FeatureStore, Progress
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import BASELINE, names_of
from ipo_prompts.metrics.text_tower import encode_templates
from ipo_prompts.programs.candidates import has_words

FEATURES, GREY = 0.995, 0.96
"""Two pictures are joined from this cosine of their features, or this correlation of their small grey pictures. The
values were chosen on the shipped drawings so that false joins are few; photographs may need other values."""
FEATURES_NEXT, GREY_NEXT = 0.985, 0.93
"""The same limits for two pictures whose names or times follow one another."""
SECONDS = 2
"""The times of two pictures follow one another if they are at most this many seconds apart."""
MOST = 5000
"""Most pictures in which a run searches for near copies, because each picture must be decoded again."""
SIDE, MARGIN, ENLARGED = 24, 2, 0.92
"""SIDE: the side of the small grey picture, in pixels. MARGIN: how far it may be moved, in pixels. ENLARGED: the share
of each side that is left when the middle of a picture is enlarged."""
_TAKEN = "%Y:%m:%d %H:%M:%S"
PIECES = 4
"""A word of a class name is reported if it has at least this many tokens. A CLIP has seldom learnt such words: most
English words have one or two tokens."""
ALIKE = 0.99
"""Two classes, or two pictures, are reported from this cosine. In the shipped pictures, two classes are below 0.94, and
two different drawings of two parts are below 0.99. Half or more of the copies that were saved again as JPEG are above
the limit, but fewer copies of clean drawings are."""
PICTURES = 1000
"""Most pictures that `alike` compares. Encoding this many takes a minute or two with a ViT-B/16 on two cores."""
CLASSES = 5000
BLOCK = 512
_SHOWN, _PAIRS = 5, 100


def near_copies(items: Sequence[Item], features: Floats) -> list[int]:
    """Find groups of near copies among pictures of one part.

    Args:
        items: n pictures. Pictures that have the same `group` are always joined.
        features: the pictures' features, unit rows (n, D).

    Returns:
        The group number of each picture, from 0. Two pictures are in one group if they are alike, or if a chain of
        pictures connects them in which each is like the next.

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

    Only pictures of the same class are joined, and only within a part if the source has parts.

    Returns:
        The text of the table, and a text that says how many pictures look like near copies: "" if there are none.

    Raises:
        InputError: the pictures are not files, or a picture cannot be read.
    """
    import pandas as pd

    rows = source.rows
    if not all(Path(row.picture.name).is_file() for row in rows):
        raise InputError(
            f"the pictures of {source.where} are in no files of their own; --groups takes folder: or table:."
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
    """Return a text that says how many pictures look like near copies, and the group of each; see `near_copies`.

    Both are empty if there are no pictures or more than `MOST`, or if a picture cannot be read (a file may have been
    removed since its features were stored).
    """
    if not 0 < len(items) <= MOST:
        return "", []
    try:
        groups = near_copies(items, features)
    except InputError:
        return "", []
    return copies_in_words(items, groups), groups


def copies_in_words(items: Sequence[Item], groups: Sequence[int]) -> str:
    """Return a text that says how many pictures were joined with a picture of another declared group; "" for none."""
    declared = Counter(group for group, _ in {*zip(groups, (item.group for item in items), strict=True)})
    joined = sum(declared[group] > 1 for group in groups)
    several = sum(names > 1 for names in declared.values())
    one = f"{several:,} group{'s' * (several != 1)}"
    return f"{joined:,} of {len(items):,} pictures look like near copies, in {one}" if joined else ""


def _look(picture: Picture) -> tuple[Floats, float | None]:
    """Read one picture, and make small grey views of it.

    Returns:
        The views, unit rows (V, P): the first view is the picture itself, and the others are moved or enlarged a
        little. Then the time at which the camera says it took the picture, in seconds; None if it is not stored.

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
    # The rows of a picture of one colour become 0, so it is not like any other picture.
    return (rows / np.where(norms > 1, norms, np.inf)).astype(np.float32), _taken(data)


def _moved(grey: Floats) -> Floats:
    """Return windows of a small picture as rows (V, P): first the middle, then windows up to `MARGIN` pixels away."""
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
    """Return the likeness of each pair of pictures, (n, n).

    It is the highest correlation of any view of one picture with the first view of the other picture.
    """
    views = np.stack(pictures)
    best = np.full((len(views), len(views)), -1, dtype=np.float32)
    for view in range(views.shape[1]):
        np.maximum(best, views[:, view] @ views[:, 0].T, out=best)
    return np.maximum(best, best.T)


def _following(names: Sequence[str], taken: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of pictures, by position, that follow one another.

    The last numbers in their names differ by one, or they were taken at most `SECONDS` apart.
    """
    numbered: dict[tuple[str, str], dict[int, int]] = {}
    for place, name in enumerate(names):
        if match := re.fullmatch(r"(.*?)(\d{1,15})(\D*)", name, flags=re.DOTALL):
            numbered.setdefault((match[1], match[3]), {})[int(match[2])] = place
    for places in numbered.values():
        yield from ((place, places[number + 1]) for number, place in places.items() if number + 1 in places)
    timed = sorted((when, place) for place, when in enumerate(taken) if when is not None)
    yield from ((one, other) for (first, one), (then, other) in pairwise(timed) if then - first <= SECONDS)


def alike(data: DataSet, clip: Clip, progress: Progress | None = None) -> list[str]:
    """Find class names and pictures that the CLIP cannot tell apart. No template is scored.

    Of more than `PICTURES` pictures, a sample that is spread evenly over the data is compared.

    Returns:
        Lines to print. For each kind of problem they say how many there are, list the first or closest of them, and say
        what to do. The list is empty if there is no problem and all pictures were compared.

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
    # A split that was drawn is drawn anew when pictures are removed, so copies within a part are listed, too.
    groups: dict[str, int] = {}
    kinds = [groups.setdefault(item.group if data.split == OWN else part, len(groups)) for part, item in chosen]
    pairs = _pairs(features, np.array(kinds))
    pairs = [pair for pair in pairs if contents[pair[0]] != contents[pair[1]]]  # check.py reports equal bytes
    if pairs:
        yield f"pairs of pictures that are near copies to the CLIP: {len(pairs)}"
        yield from _listed(pairs, [f"{item.picture.name} ({part})" for part, item in chosen], _PAIRS)
        yield "  keep one picture of each pair; else the search may see copies of test pictures"
    if len(chosen) < len(rows):
        yield f"{len(chosen):,} of {len(rows):,} pictures, spread over all, were compared for near copies"


def _listed(pairs: Sequence[tuple[int, int, float]], names: Sequence[str], most: int = _SHOWN) -> Iterator[str]:
    yield from (f"  {names[one]} = {names[other]} (cosine {cosine:.3f})" for one, other, cosine in pairs[:most])
    if len(pairs) > most:
        yield f"  and {len(pairs) - most:,} more"


def _renaming(data: DataSet, label: int, new: str) -> str:
    """Return words that say where a class can be renamed, and what to write there.

    Args:
        data: the data set.
        label: the label of the class.
        new: the text that stands for the new name.
    """
    own = (data.renamed_from or data.class_names)[label]
    line = yaml.safe_dump({str(own): "…"}, allow_unicode=True, width=1000).strip().removesuffix("…") + new
    return f"in {NAMES_FILE}, such as {line}" if data.name.startswith("folder:") else f"as class_names='{{{line}}}'"


def _pairs(rows: np.ndarray, kinds: np.ndarray) -> list[tuple[int, int, float]]:
    """Return the pairs of unit rows of different kinds whose cosine is at least `ALIKE`, the closest pair first.

    Each pair is the two row numbers and the cosine.
    """
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(rows), BLOCK):
        cosines = rows[start : start + BLOCK] @ rows.T
        near = (cosines >= ALIKE) & (kinds[start : start + BLOCK, None] != kinds[None])
        for one, other in np.argwhere(near).tolist():
            if start + one < other:
                found.append((start + one, other, float(cosines[one, other])))
    return sorted(found, key=lambda pair: -pair[2])


def _cut(name: str, clip: Clip) -> str | None:
    """Return the words of a name that have `PIECES` tokens or more, with dots between tokens; None for no such word."""
    words = [word for word in name.replace("_", " ").split() if clip.count(word) - 2 >= PIECES]
    return ", ".join("·".join(clip.pieces(word)) for word in words) or None
