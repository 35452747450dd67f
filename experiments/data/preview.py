"""A contact sheet: a few pictures of each class in one PNG, to see what a data set is before it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ipo_prompts.experiments.data.dataset import PARTS, DataSet, Item, Part, in_threads
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.printable import printable
from ipo_prompts.metrics.whole_file import replacing

if TYPE_CHECKING:
    from PIL.Image import Image

ROWS = 24
"""Classes on a sheet; of more, as many are shown, evenly spaced."""
COLUMNS = 8
"""Pictures of a class."""

_CELL = 112
_GAP = 4
_NAME = 220
_HEAD = 30
_PAPER, _INK, _FAULT = "white", "black", "#c03030"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Sheet:
    """What was drawn.

    Attributes:
        image: RGB.
        classes: how many of the data set's classes are on it.
        pictures: how many pictures.
        unreadable: the sentence for each picture that could not be drawn.
    """

    image: Image
    classes: int
    pictures: int
    unreadable: tuple[str, ...]


def contact_sheet(data: DataSet, part: Part) -> Sheet:
    """Draw one part; the same data give the same sheet, nothing is random.

    Raises:
        InputError: the part has no pictures.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    by_label: dict[int, list[Item]] = {}
    for item in data.part(part):
        by_label.setdefault(item.label, []).append(item)
    if not by_label:
        there = [known for known in PARTS if data.part(known)]
        raise InputError(f"{data.name} has no {part} pictures; choose another part with --part {' or '.join(there)}.")
    labels = _spread(sorted(by_label), ROWS)
    rows = [(label, _spread(by_label[label], COLUMNS)) for label in labels]
    count = sum(len(items) for _, items in rows)

    width = _NAME + max(4, *(len(items) for _, items in rows)) * (_CELL + _GAP)
    sheet = Image.new("RGB", (width, _HEAD + len(rows) * (_CELL + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    # Pillow's own font has no accents.
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 14)
    shown = f"{len(rows)} of {len(data.class_names)} classes" if len(rows) < len(data.class_names) else "all classes"

    def write(x: int, y: int, text: str, room: int, colour: str = _INK) -> None:
        draw.text((x, y), _fitted(printable(text), room, font.getlength), fill=colour, font=font)

    write(_GAP, 6, f"{data.name}, {part}: {shown}, {count} pictures", width - 2 * _GAP)
    unreadable = []
    for i, (label, items) in enumerate(rows):
        top = _HEAD + i * (_CELL + _GAP)
        write(_GAP, top + _CELL // 2 - 18, data.class_names[label].replace("_", " "), _NAME - 2 * _GAP)
        write(_GAP, top + _CELL // 2 + 2, f"{len(by_label[label])} in {part}", _NAME - 2 * _GAP, "gray")
        for column, thumb in enumerate(in_threads(_thumb, items)):
            left = _NAME + column * (_CELL + _GAP)
            if isinstance(thumb, str):
                unreadable.append(thumb)
                draw.rectangle((left, top, left + _CELL, top + _CELL), outline=_FAULT)
                write(left + 8, top + _CELL // 2 - 8, "unreadable", _CELL, _FAULT)
            else:
                sheet.paste(thumb, (left, top))
    return Sheet(sheet, len(rows), count, tuple(unreadable))


def save(sheet: Sheet, path: Path) -> None:
    """Write the PNG, whole or not at all.

    Raises:
        InputError: the path does not end in .png, or cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"a contact sheet is a PNG and {path} does not end in .png; choose another --out.")
    try:
        with replacing(path) as file:
            sheet.image.save(file, "PNG")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another --out.") from error


def _thumb(item: Item) -> Image | str:
    """Return the picture at the size of a cell, or the sentence that says why there is none."""
    from PIL import ImageOps

    try:
        image = item.picture.image()
    except InputError as error:
        return str(error)
    return ImageOps.pad(image, (_CELL, _CELL), color=_PAPER)


def _spread(values: Sequence[_T], count: int) -> list[_T]:
    """Take `count` values, evenly spaced from the first to the last."""
    if len(values) <= count:
        return list(values)
    return [values[i * (len(values) - 1) // (count - 1)] for i in range(count)]


def _fitted(text: str, room: int, measure: Callable[[str], float]) -> str:
    """Cut a text that is too wide."""
    if measure(text) <= room:
        return text
    text = text[:200]
    while text and measure(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"
