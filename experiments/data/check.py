"""Examines a data set before a run: `ipo data check` reads every image."""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ipo_prompts.experiments.data.dataset import (
    OWN,
    PARTS,
    DataSet,
    Item,
    Part,
    empty_classes,
    leaving_out,
    left_out,
)
from ipo_prompts.experiments.data.draw import DRAWN, Draw, base_images
from ipo_prompts.experiments.data.names import names_in_words, unclear_names
from ipo_prompts.metrics.errors import InputError, printable, several
from ipo_prompts.metrics.images import LazyImage, decode, in_threads
from ipo_prompts.metrics.template import BASELINE, TokenCounter, too_long

WIDTH = 80
_SHOWN, _ALL = 12, 1000
"""Most classes of the table, and most lines of a section: all images to remove, so that one check is enough."""
_BATCH = 10_000


@dataclass(frozen=True)
class Checked:
    """The result of `check_data`.

    Attributes:
        data: the data set that was checked.
        unreadable: image name → a sentence that says why the image cannot be read.
        duplicates: sets of images that have the same bytes, whatever their parts and classes, because a drawn split
            is drawn anew when images are removed. In a benchmark's split, only sets in two parts or classes. Each
            image is given by its part and item.
        cut_names: class name → why the tokenizer would cut the baseline template with this name.
        transparent: the number of images that have pixels that are not opaque.
    """

    data: DataSet
    unreadable: dict[str, str]
    duplicates: tuple[tuple[tuple[Part, Item], ...], ...]
    cut_names: dict[str, str]
    transparent: int

    @property
    def ok(self) -> bool:
        """Whether a run can use the data: all images are readable, each class has images, no class name is cut."""
        return not (self.unreadable or self.cut_names or self.without)

    @property
    def without(self) -> list[str]:
        """The classes that no image shows, under the names that the source gives them."""
        return [self.data.typed[label] for label in empty_classes(self.data)]

    def text(self, drawn: Draw | None = None, why: str = "") -> str:
        """Return the report as plain text for a terminal; characters that would move the cursor are spelled out.

        Args:
            drawn: the images that a run would use, of the classes that have images; None if no run can.
            why: why no run can search on the data, if it is not for broken images.
        """
        return "\n".join(map(printable, _lines(self, drawn, why)))


def check_data(
    data: DataSet, tokens: TokenCounter | None = None, progress: Callable[[int, int], None] | None = None
) -> Checked:
    """Read and decode every image with a few threads. Images that cannot be read are listed in the result.

    Args:
        data: the data set. Its test images are read too, but no template is scored on them.
        tokens: counts the tokens of texts, to find class names that are too long; None skips this check.
        progress: called after each batch with the number of images read so far, and the number of all images.
    """
    rows = list(data.items())
    looks: list[_Look] = []
    for start in range(0, len(rows), _BATCH):
        looks += in_threads(_look, [item.image for _, item in rows[start : start + _BATCH]])
        if progress:
            progress(len(looks), len(rows))
    same: dict[str, list[tuple[Part, Item]]] = {}
    for row, look in zip(rows, looks, strict=True):
        if not look.fault:
            same.setdefault(look.content, []).append(row)

    def place(row: tuple[Part, Item]) -> Any:
        part, item = row
        return item.group if data.split == OWN else (part, item.label)

    cuts = {name: too_long(BASELINE, [name], tokens) for name in data.class_names} if tokens else {}
    return Checked(
        data=data,
        unreadable={item.image.name: look.fault for (_, item), look in zip(rows, looks, strict=True) if look.fault},
        duplicates=tuple(tuple(copies) for copies in same.values() if len(set(map(place, copies))) > 1),
        cut_names={name: reason for name, reason in cuts.items() if reason},
        transparent=sum(look.transparent for look in looks),
    )


def faults(images: Sequence[LazyImage]) -> list[str | None]:
    """Decode images with a few threads. Return for each a sentence that says why it cannot be read, or None."""
    return [look.fault for look in in_threads(_look, images)]


@dataclass(frozen=True)
class _Look:
    """The result of reading one image.

    Attributes:
        content: the digest of the image's bytes; empty if the image cannot be read.
        fault: why the image cannot be read; None if it can.
        transparent: whether some pixels are not opaque.
    """

    content: str
    fault: str | None = None
    transparent: bool = False


def _look(image: LazyImage) -> _Look:
    try:
        _, transparent = decode(image.bytes(), image.name, stored=image.stored)
        return _Look(image.content(), None, transparent)
    except InputError as error:
        return _Look("", str(error))


def _lines(report: Checked, drawn: Draw | None, why: str) -> Iterator[str]:
    data = report.data
    items = [item for _, item in data.items()]
    bases = len({item.group for item in items})
    found = {
        "unreadable images": report.unreadable,
        "classes without images": report.without,
        "names that are too long": report.cut_names,
    }
    faults = why or ", ".join(f"{what} ({len(ones)})" for what, ones in found.items() if ones)
    verdict = f"cannot be searched on yet: {faults}" if faults else "can be used"
    yield from _wrapped(f"{data.name} {verdict}")
    variants = "" if bases == len(items) else f" of {bases:,} base images"
    split = "" if data.split == OWN else f"; split: {data.split}"
    yield f"{len(data.class_names):,} classes, {len(items):,} images{variants}{split}"
    if read := names_in_words(data, _ALL):
        yield from _wrapped(f"{read}; your own, before a search: ipo docs class-names")
    yield from _wrapped(unclear_names(data))
    yield ""
    kept = (drawn or data).class_names
    times = Counter(kept)
    names = [f"{name} (label {i})" if times[name] > 1 else str(name) for i, name in enumerate(kept)]
    heads = DRAWN if drawn else PARTS
    counts = [base_images(getattr(drawn or data, head)) for head in heads]
    yield from _table(names, heads, counts)
    if drawn:
        yield from _notes(drawn, counts)
    if report.transparent and not items[0].image.stored:
        yield f"transparent, and read on white: {report.transparent:,}"
    yield from _wrapped(left_out(data))
    if report.without:
        yield from _wrapped(f"no images: {several(report.without)}; add some, or type {leaving_out(report.without)}")
    yield from _section("too long; write shorter names", list(report.cut_names.values()))
    unreadable = sorted(report.unreadable.values(), key=lambda line: [int(n) for n in re.findall(r"\d+", line)])
    yield from _section("unreadable; replace or remove each (and its row of a table)", unreadable)
    within: list[str] = []
    across: list[str] = []
    for copies in report.duplicates:
        line = " = ".join(f"{item.image.name} ({part}, {data.class_names[item.label]})" for part, item in copies)
        (within if len({item.label for _, item in copies}) == 1 else across).append(line)
    yield from _section("copies within a class; keep one of each, or the test looks too good", within)
    yield from _section("copies in several classes; keep each in its own class", across)


def _table(names: Sequence[str], heads: Sequence[str], counts: Sequence[Counter[int]]) -> Iterator[str]:
    """Yield a table of the base images of each class and part; of many classes, those with the fewest images."""
    fewest = sorted(range(len(names)), key=lambda i: sum(count[i] for count in counts))[:_SHOWN]
    first = "class" if len(names) <= _SHOWN else f"the {_SHOWN} smallest classes"
    width = max(map(len, (first, *names)))
    yield f"{first:<{width}}" + "".join(f"{head:>11}" for head in heads)
    for i in sorted(fewest):
        yield f"{names[i]:<{width}}" + "".join(f"{count[i]:>11,}" for count in counts)
    yield f"{'all':<{width}}" + "".join(f"{count.total():>11,}" for count in counts)


def _notes(drawn: Draw, counts: Sequence[Counter[int]]) -> Iterator[str]:
    """Yield what a run tries with these images, and what is missing for a test."""
    from ipo_prompts.metrics.blend import FEWEST  # imported here because it loads scipy

    test = counts[-1]
    middle = drawn.labelled
    tried = "words and images are tried" if middle >= FEWEST else f"words are tried, and images from {FEWEST} on"
    yield from _wrapped(f"{tried}; half of the classes have {middle:g} or more labelled")
    if len(test) < 2:
        yield "nothing is tested: a test needs images of two classes or more"
    else:
        precise = f"to within {98 / math.sqrt(test.total()):.0f} points"
        yield f"{test.total():,} test images measure an accuracy {precise}"
    if drawn.untested:
        yield from _wrapped(f"not tested, for want of a second image: {several(drawn.untested)}")
    if drawn.imbalanced:
        yield "the classes are imbalanced: add verdict=balanced to judge the mean over classes"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{title}: {len(lines):,}"
    yield from (f"  {line}" for line in lines[:_ALL])
