"""`csv:PATH`: one picture a row, with the columns image, label and, if wanted, class_name, split and group.

A label is a class's name, or a number whose name is in another column; other tables read theirs with the same
functions.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from ipo_prompts.experiments.data.assemble import Gathered, SourceRow, row_of_file
from ipo_prompts.experiments.data.draw import part_in_cell
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import open_lines

IMAGE_COLUMNS = ("image", "path", "file_name")
NAME_COLUMN = "class_name"
_OPTIONAL = (NAME_COLUMN, "split", "group")
MOST_ROWS = 2_000_000
"""Of a table: ImageNet has 1.3 million."""
NO_LABELS = "; if the pictures have no labels, name the classes: class_names=names.txt."
_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def gather_csv(rest: str, *, labelled: bool = True) -> Gathered:
    """Read a table; no picture is opened. Without `labelled`, labels and splits are passed over.

    Columns: `image` (or `path`, `file_name`), relative to the table; `label`, the class's name, or a number from 0 when
    a column `class_name` holds the name; `split`; `group`, the base picture that variants share.

    Raises:
        InputError: names the missing column, or the wrong row (row 1 is the header, as in a spreadsheet).
    """
    path = Path(rest).expanduser()
    where = f"the table {path}"
    rows: list[SourceRow] = []
    pairs: list[tuple[object, str]] = []
    seen: dict[str, int] = {}
    for number, cells in _cells(path, where, labelled):
        at = f"row {number} of {where}"
        image, split = cells["image"], cells.get("split", "")
        file = os.path.abspath(path.parent / image)  # noqa: PTH100 - "./a.png" is "a.png", and links stay links
        if file in seen:
            raise InputError(f"{at} names {image!r} again, after row {seen[file]}; keep one of them.")
        seen[file] = number
        part = part_in_cell(split, at) if labelled else None
        name = cells.get(NAME_COLUMN, cells.get("label", ""))
        pairs.append((cells.get("label"), name))
        said = f"{at} names the picture {image!r}, relative to the table: "
        rows.append(row_of_file(path.parent / image, name, image, part, cells.get("group") or None, said=said))
    names = names_by_number(pairs, where, named=NAME_COLUMN in cells) if rows and labelled else None
    return Gathered(f"csv:{path.stem}", where, rows, names)


def no_column(wanted: Sequence[str], columns: Collection[str], where: str) -> InputError:
    """Say that a table lacks a column, and why where the header is nearly right."""
    hint = "."
    if any(name.lower() in wanted and name not in wanted for name in columns):
        hint = "; write their names in lower case."
    elif len(columns) == 1 and (mark := next((one for one in _MARKS if one in next(iter(columns))), None)):
        hint = f"; separate them by commas, not by {_MARKS[mark]}."
    elif wanted == ("label",):
        hint = NO_LABELS
    return InputError(
        f"{where} has no column {' or '.join(wanted)}; its columns are: {', '.join(columns) or 'none'}{hint}"
    )


def has_labels(rest: str) -> bool:
    """Whether a table can be read and has a column of labels; what is wrong with others `gather_csv` says."""
    try:
        with open_lines(Path(rest).expanduser()) as lines:
            header = [name.strip() for name in next(csv.reader(lines), [])]
    except (OSError, ValueError, csv.Error):  # a ValueError: a NUL in the path, or what is not UTF-8
        return True
    return "label" in header or not set(header) & set(IMAGE_COLUMNS)


def _cells(path: Path, where: str, labelled: bool) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield row number and stripped cells; the image column is called "image" here, whatever its name."""
    try:
        with open_lines(path) as lines:
            reader = csv.DictReader(lines, strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            image = next((name for name in IMAGE_COLUMNS if name in columns), None)
            needed = ((image, IMAGE_COLUMNS), *((("label", ("label",)),) if labelled else ()))
            for column, wanted in needed:
                if column is None or column not in columns:
                    raise no_column(wanted, columns, where)
            twice = next((name for name in (image, "label", *_OPTIONAL) if columns.count(str(name)) > 1), None)
            if twice:
                raise InputError(f"{where} has two columns {twice}; keep one, or give the other another name.")
            for count, row in enumerate(reader):
                number = reader.line_num
                if count >= MOST_ROWS:
                    raise InputError(f"{where} has more than {MOST_ROWS:,} rows; split it, or give a part of it.")
                if None in row or None in row.values():
                    raise InputError(
                        f"row {number} of {where} has more or fewer cells than the header's {len(columns)}; "
                        "put cells with a comma in quotes."
                    )
                others = ("label", *_OPTIONAL) if labelled else ("group",)
                used = {"image": str(image), **{name: name for name in others if name in columns}}
                cells = {name: row[column].strip() for name, column in used.items()}
                blank = next((name for name in ("image", "label", NAME_COLUMN) if cells.get(name) == ""), None)
                if blank:
                    raise InputError(f"row {number} of {where} has an empty cell in the column {blank}; fill it in.")
                yield number, cells
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}; check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{where} is not a CSV file in UTF-8 ({error}); save it as one.") from error


def names_by_number(pairs: Sequence[tuple[object, str]], where: str, *, named: bool) -> tuple[str, ...] | None:
    """Return the class names in the order of the labels, if these are numbers beside names; None if they are names.

    Args:
        pairs: label and class name of each row.
        where: the table's name in messages.
        named: whether a column holds the names of the labels.

    Raises:
        InputError: all labels are numbers without names, for CLIP reads names; or see `numbered_names`.
    """
    if named:
        return numbered_names(pairs, where)
    if pairs and all(is_number(label) for label, _ in pairs):
        raise InputError(
            f"the labels in {where} are numbers and CLIP reads names; "
            f"add a column {NAME_COLUMN} or write names as labels."
        )
    return None


def numbered_names(pairs: Iterable[tuple[object, str]], where: str) -> tuple[str, ...]:
    """Return the class names in the order of their numbers.

    Args:
        pairs: label and class name of each row.
        where: the table's name in messages.

    Raises:
        InputError: a label is not a whole number, labels have a gap, or a label has two names, or a name two labels.

    >>> numbered_names([("1", "dog"), ("0", "cat"), ("1", "dog")], "the table")
    ('cat', 'dog')
    """
    names: dict[int, str] = {}
    for label, name in pairs:
        if not is_number(label):
            raise InputError(
                f"{where} has the label {label!r} beside a column {NAME_COLUMN}, where labels are numbers from 0; "
                f"number them or take the column {NAME_COLUMN} out."
            )
        if len(str(label)) > 12:
            told = f"{str(label)[:12]}…"
            raise InputError(f"the labels in {where} must run from 0 without gaps (see label {told}); renumber them.")
        known = names.setdefault(int(str(label)), name)
        if known != name:
            raise InputError(f"{where} calls the label {label} both {known!r} and {name!r}; give it one name.")
    gap = next((number for number in range(len(names)) if number not in names), None)
    if gap is not None:
        missing = min(names) if min(names) < 0 else gap
        raise InputError(f"the labels in {where} must run from 0 without gaps (see label {missing}); renumber them.")
    ordered = tuple(names[number] for number in sorted(names))
    twice = Counter(ordered).most_common(1)
    if twice and twice[0][1] > 1:
        raise InputError(f"{where} has two labels with the name {twice[0][0]!r}; rename one or join them.")
    return ordered


def is_number(label: object) -> bool:
    """Whether a label is a whole number, as text or as a number."""
    return str(label).strip().removeprefix("-").isdecimal()
