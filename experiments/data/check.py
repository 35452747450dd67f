"""Examines a data set before a run: `ipo data check` reads every picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from ipo_prompts.experiments.data.dataset import (
    OWN,
    PARTS,
    DataSet,
    empty_classes,
    in_threads,
    leaving_out,
    unreadable_content,
)
from ipo_prompts.metrics.decoding import AS_VIEWED, decode, is_transparent
from ipo_prompts.metrics.errors import InputError, printable
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import BASELINE, TokenCounter, too_long

_SHOWN, _ALL = 10, 1000
"""Most lines of a section; `_ALL` is for the pictures that a user should remove, so that one check is enough."""
_BATCH = 2048
_MOSTLY = 0.98
"""A picture is reported if its share of transparent pixels is above this; the share of a thin drawing is lower."""
_NOTED = 1000
"""Most pictures that a run examines for its note on transparency."""


@dataclass(frozen=True)
class Checked:
    """The result of `check_data`.

    Attributes:
        data: the data set that was checked.
        counts: class name → the numbers of its pictures in train, val and test; classes are in label order. If two
            classes share a name (as in ImageNet), the label is added to the name. A picture counts for each class that
            it shows.
        unreadable: picture name → a sentence that says why the picture cannot be read.
        duplicates: sets of pictures that have the same bytes, whatever their parts and classes, because a drawn split
            is drawn anew when pictures are removed. In a benchmark's split, only sets in two parts or classes. Each
            picture is given by its name and its place, such as "(train, cat)".
        cut_names: class name → why the tokenizer would cut the baseline template with this name.
        transparent: the number of pictures that have pixels that are not opaque.
        empty: picture name → why the picture shows next to nothing: it has one colour, or is nearly all transparent.
        fingerprint: see `DataSet.fingerprint`.
    """

    data: DataSet
    counts: dict[str, tuple[int, int, int]]
    unreadable: dict[str, str]
    duplicates: tuple[tuple[tuple[str, str], ...], ...]
    cut_names: dict[str, str]
    transparent: int
    empty: dict[str, str]
    fingerprint: str

    @property
    def ok(self) -> bool:
        """Whether a run can use the data: all pictures are readable, each class has pictures, no class name is cut."""
        return not (self.unreadable or self.cut_names or self.without)

    @property
    def without(self) -> list[str]:
        """The classes that no picture shows, under the names that the source gives them."""
        own = self.data.renamed_from or self.data.class_names
        return [str(own[label]) for label in empty_classes(self.data)]

    def text(self) -> str:
        """Return the report as plain text for a terminal; characters that would move the cursor are spelled out."""
        return "\n".join(map(printable, _lines(self)))


def check_data(
    data: DataSet, tokens: TokenCounter | None = None, progress: Callable[[int, int], None] | None = None
) -> Checked:
    """Read and decode every picture with a few threads. Pictures that cannot be read are listed in the result.

    Args:
        data: the data set. Its test pictures are read too, but no template is scored on them.
        tokens: counts the tokens of texts, to find class names that are too long; None skips this check.
        progress: called after each batch with the number of pictures read so far, and the number of all pictures.
    """
    rows = list(data.items())
    looks: list[_Look] = []
    for start in range(0, len(rows), _BATCH):
        looks += in_threads(_look, [item.picture for _, item in rows[start : start + _BATCH]])
        if progress:
            progress(len(looks), len(rows))
    times = Counter(data.class_names)
    names = [name if times[name] == 1 else f"{name} (label {i})" for i, name in enumerate(data.class_names)]
    counts = {name: [0, 0, 0] for name in names}
    unreadable: dict[str, str] = {}
    places: dict[str, list[tuple[str, str]]] = {}
    apart: dict[str, set[str]] = {}
    for (part, item), look in zip(rows, looks, strict=True):
        class_name = names[item.label]
        counts[class_name][PARTS.index(part)] += 1
        if look.fault:
            unreadable[item.picture.name] = look.fault
        else:
            at = f"({part}, {class_name})"
            places.setdefault(look.content, []).append((item.picture.name, at))
            apart.setdefault(look.content, set()).add(item.group if data.split == OWN else at)
    cuts = {name: too_long(BASELINE, [name], tokens) for name in data.class_names} if tokens else {}
    return Checked(
        data=data,
        counts={name: (train, val, test) for name, (train, val, test) in counts.items()},
        unreadable=unreadable,
        duplicates=tuple(tuple(same) for content, same in places.items() if len(apart[content]) > 1),
        cut_names={name: reason for name, reason in cuts.items() if reason},
        transparent=sum(look.transparent for look in looks),
        empty={item.picture.name: look.empty for (_, item), look in zip(rows, looks, strict=True) if look.empty},
        fingerprint=data.fingerprint_of([look.content for look in looks]),
    )


def faults(pictures: Sequence[Picture]) -> list[str | None]:
    """Decode pictures with a few threads. Return for each a sentence that says why it cannot be read, or None."""
    return [look.fault for look in in_threads(_look, pictures)]


def transparency_note(pictures: Sequence[Picture]) -> str | None:
    """Return a note on how many of the first `_NOTED` search pictures are transparent, and how they are read.

    Pictures that store no transparency are not decoded. Return None if no picture is transparent, or all pictures are
    read as stored.
    """
    viewed = [picture for picture in pictures[:_NOTED] if picture.background == AS_VIEWED]
    return _note(sum(in_threads(_is_transparent, viewed)), len(viewed), "search pictures")


def _note(transparent: int, total: int, what: str) -> str | None:
    if not transparent:
        return None
    return (
        f"{transparent:,} of {total:,} {what} {'is' if transparent == 1 else 'are'} transparent; they are read on "
        "white, as viewers show them (background=as-is reads what lies beneath, as published numbers do)"
    )


def _is_transparent(picture: Picture) -> bool:
    try:
        return is_transparent(picture.bytes(), picture.name)
    except InputError:
        return False  # the encoder reports the error later


@dataclass(frozen=True)
class _Look:
    """The result of reading one picture.

    Attributes:
        content: the digest of the picture's bytes; for an unreadable picture, the text that stands for the digest.
        fault: why the picture cannot be read; None if it can.
        transparent: whether some pixels are not opaque.
        empty: why the picture shows next to nothing; None if it shows something.
    """

    content: str
    fault: str | None = None
    transparent: bool = False
    empty: str | None = None


def _look(picture: Picture) -> _Look:
    content = unreadable_content(picture)
    try:
        data = picture.bytes()
        content = picture.known or content
        image, clear = decode(data, picture.name, picture.background)
    except InputError as error:
        return _Look(content, fault=str(error))
    empty = None
    if clear is not None and clear > _MOSTLY:
        empty = f"{picture.name}: {clear:.1%} of it is see-through"
    elif colours := image.getcolors(1):
        red, green, blue = cast("tuple[int, int, int]", colours[0][1])
        empty = f"{picture.name}: every pixel is #{red:02x}{green:02x}{blue:02x}"
    return _Look(content, None, clear is not None, empty)


def _lines(report: Checked) -> Iterator[str]:
    data, items = report.data, [item for _, item in report.data.items()]
    totals = [len(data.part(part)) for part in PARTS]
    total = sum(totals)
    bases = len({item.group for item in items})
    variants = "" if bases == total else f" of {bases} base pictures"
    yield f"{data.name}: {len(data.class_names)} classes, {total} pictures{variants}"
    if data.split != OWN:
        yield f"split: {data.split}"
    sizes = [sum(counts) for counts in report.counts.values()]
    yield f"largest class : smallest class = {max(sizes) / (min(filter(None, sizes), default=1)):.1f} : 1"
    yield ""
    width = max(len(name) for name in ("class", *report.counts))
    yield f"{'class':<{width}}  " + "  ".join(f"{part:>7}" for part in PARTS)
    for name, counts in (*report.counts.items(), ("all", totals)):
        yield f"{name:<{width}}  " + "  ".join(f"{count:>7}" for count in counts)
    yield from _section("unreadable pictures (a run that opens one stops)", list(report.unreadable.values()), _ALL)
    yield from _section("classes without pictures (a run stops)", report.without)
    same = [" = ".join(f"{name} {at}" for name, at in places) for places in report.duplicates]
    yield from _section("copies of one picture (a run uses them all the same)", same, _ALL)
    cut = list(report.cut_names.values())
    yield from _section("class names that the tokenizer would cut (a run refuses them)", cut)
    pairs = zip(data.renamed_from, data.class_names, strict=False)
    called = [f"{own} = {name}" for own, name in pairs if own != name]
    yield from _section("classes that have another name in prompts than in the data", called)
    yield from _section("pictures with little to see (a run uses them all the same)", list(report.empty.values()))
    yield from _section("left out", list(data.stray))
    note = None if items[0].picture.background != AS_VIEWED else _note(report.transparent, total, "pictures")
    if note:
        yield ""
        yield note
    yield ""
    if not report.ok:
        but_one = ", but keep one of each set of copies" if report.duplicates else ""
        yield f"the data has faults: remove or replace what is named above{but_one}"
        if report.without:
            yield f"classes without pictures are left out with {leaving_out(report.without)}"
    elif report.duplicates:
        yield "all pictures can be used, but better keep only one of each set of copies: a test on copies says less"
    else:
        yield "all pictures can be used"


def _section(title: str, lines: list[str], most: int = _SHOWN) -> Iterator[str]:
    if not lines:
        return
    yield ""
    yield f"{title}: {len(lines)}"
    yield from (f"  {line}" for line in lines[:most])
    if len(lines) > most:
        yield f"  and {len(lines) - most} more"
