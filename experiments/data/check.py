"""Looks at every picture of a data set before a run does: `ipo data check`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from ipo_prompts.experiments.data.dataset import OWN, PARTS, DataSet, Item, Part, in_threads, unreadable_content
from ipo_prompts.metrics.decoding import AS_VIEWED, Background, decode_and_look, is_transparent
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.printable import printable
from ipo_prompts.metrics.template import ANCHOR, TokenCounter, too_long

_SHOWN = 10
_BATCH = 2048
_MOSTLY = 0.98
"""A picture of which more is see-through is named: a thin drawing has less."""
_NOTED = 1000
"""Pictures that a run looks at for its note on transparency."""


@dataclass(frozen=True)
class Place:
    """Where a picture is."""

    name: str
    part: Part
    class_name: str


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        name: of the data set.
        split: see `DataSet.split`.
        counts: class name → pictures in train, val and test, in label order; two classes with one name (ImageNet has
            such) get their labels added.
        base_pictures: how many pictures are left when variants count once.
        unreadable: picture name → the sentence that says why.
        duplicates: pictures with the same bytes that are in two parts or two classes.
        cut_names: class name → why the tokenizer would cut it, in the plainest template.
        stray: what the source holds besides pictures.
        transparent: how many pictures have pixels that are not opaque.
        empty: picture name → what little there is to see: it is of one colour, or nearly all of it is see-through.
        background: how the pictures were read.
        fingerprint: see `DataSet.fingerprint`.
    """

    name: str
    split: str
    counts: dict[str, tuple[int, int, int]]
    base_pictures: int
    unreadable: dict[str, str]
    duplicates: tuple[tuple[Place, ...], ...]
    cut_names: dict[str, str]
    stray: tuple[str, ...]
    transparent: int
    empty: dict[str, str]
    background: Background
    fingerprint: str

    @property
    def ok(self) -> bool:
        """Whether nothing stops a run: all pictures are readable, no class name is cut."""
        return not (self.unreadable or self.cut_names)

    def text(self) -> str:
        """Return plain text for a terminal; characters that would move its cursor are spelled out."""
        return "\n".join(map(printable, _lines(self)))


def check_data(
    data: DataSet, tokens: TokenCounter | None = None, progress: Callable[[int, int], None] | None = None
) -> Checked:
    """Read and decode every picture with a few threads; a bad one is reported and the rest are still read.

    Args:
        data: the data set; its test pictures are opened too, but nothing is scored.
        tokens: the tokenizer that class names must fit; None skips that check.
        progress: called now and then with how many pictures were read, and of how many.
    """
    rows = list(data.items())
    looks: list[_Look] = []
    for start in range(0, len(rows), _BATCH):
        looks += in_threads(_look, rows[start : start + _BATCH])
        if progress:
            progress(len(looks), len(rows))
    names = _told_apart(data.class_names)
    counts = {name: [0, 0, 0] for name in names}
    unreadable: dict[str, str] = {}
    places: dict[str, list[Place]] = {}
    for (part, item), look in zip(rows, looks, strict=True):
        class_name = names[item.label]
        counts[class_name][PARTS.index(part)] += 1
        if look.fault:
            unreadable[item.picture.name] = look.fault
        else:
            places.setdefault(look.content, []).append(Place(item.picture.name, part, class_name))
    cuts = {name: too_long(ANCHOR, [name], tokens) for name in data.class_names} if tokens else {}
    return Checked(
        name=data.name,
        split=data.split,
        counts={name: (train, val, test) for name, (train, val, test) in counts.items()},
        base_pictures=len({item.group for _, item in rows}),
        unreadable=unreadable,
        duplicates=tuple(tuple(same) for same in places.values() if len({(p.part, p.class_name) for p in same}) > 1),
        cut_names={name: reason for name, reason in cuts.items() if reason},
        stray=data.stray,
        transparent=sum(look.transparent for look in looks),
        empty={item.picture.name: look.empty for (_, item), look in zip(rows, looks, strict=True) if look.empty},
        background=rows[0][1].picture.background,
        fingerprint=data.fingerprint_of([look.content for look in looks]),
    )


def transparency_note(pictures: Sequence[Picture], what: str) -> str | None:
    """Say how many of the first pictures are transparent and what that means; None when none is, or all are as stored.

    Args:
        pictures: what a run searches on; those that store no transparency are not decoded.
        what: their name in the sentence.
    """
    looked = [picture for picture in pictures[:_NOTED] if picture.background == AS_VIEWED]
    return _note(sum(in_threads(_is_transparent, looked)), len(looked), what)


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
        return False  # the encoder says what is wrong with it


def _told_apart(class_names: tuple[str, ...]) -> list[str]:
    times = Counter(class_names)
    return [name if times[name] == 1 else f"{name} (label {label})" for label, name in enumerate(class_names)]


@dataclass(frozen=True)
class _Look:
    """What one picture is: the digest of its bytes, or of its name when they cannot be read, and what was seen."""

    content: str
    fault: str | None = None
    transparent: bool = False
    empty: str | None = None


def _look(row: tuple[Part, Item]) -> _Look:
    picture = row[1].picture
    content = unreadable_content(picture)
    try:
        data = picture.bytes()
        content = hashlib.sha256(data).hexdigest()
        image, clear = decode_and_look(data, picture.name, picture.background)
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
    totals = [sum(counts) for counts in zip(*report.counts.values(), strict=True)]
    total = sum(totals)
    variants = "" if report.base_pictures == total else f" of {report.base_pictures} base pictures"
    yield f"{report.name}: {len(report.counts)} classes, {total} pictures{variants}"
    if report.split != OWN:
        yield f"split: {report.split}"
    sizes = [sum(counts) for counts in report.counts.values()]
    yield f"largest class : smallest class = {max(sizes) / min(sizes):.1f} : 1"
    yield ""
    width = max(len(name) for name in ("class", *report.counts))
    yield f"{'class':<{width}}  " + "  ".join(f"{part:>7}" for part in PARTS)
    for name, counts in (*report.counts.items(), ("all", totals)):
        yield f"{name:<{width}}  " + "  ".join(f"{count:>7}" for count in counts)
    yield from _section("unreadable pictures, at which a run that opens them stops", list(report.unreadable.values()))
    same = [" = ".join(f"{p.name} ({p.part}, {p.class_name})" for p in places) for places in report.duplicates]
    yield from _section("same picture in two parts or classes, which a run uses all the same", same)
    cut = list(report.cut_names.values())
    yield from _section("class names that the tokenizer would cut, which a run refuses", cut)
    yield from _section("pictures with little to see, which a run uses all the same", list(report.empty.values()))
    yield from _section("left out, not pictures", list(report.stray))
    note = None if report.background != AS_VIEWED else _note(report.transparent, total, "pictures")
    if note:
        yield ""
        yield note
    yield ""
    if not report.ok:
        yield "the data has faults: remove or replace what is named above"
    elif report.duplicates:
        yield "all pictures can be used, but better remove the copies first: a test on them says less"
    else:
        yield "all pictures can be used"


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if not lines:
        return
    yield ""
    yield f"{title}: {len(lines)}"
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN} more"
