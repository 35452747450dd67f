"""`table:PATH`: a table with one row for each picture. The ending of the file's name says how it is written.

CSV and JSON Lines are read here, and parquet and shards in `hub.py`. The columns are `image`, `label` and, if the
user wants them, `class_name`, `split` and `group`. A label is the name of a class, or its number; the name is then in
the column `class_name`. Cells of CSV are separated by commas, or by tabs if the file's name ends in `.tsv`. All cells
are text, so `NA` and `001` are ordinary labels. Other sources also use the functions for labels.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast

from ipo_prompts.experiments.data.assemble import Gathered, SourceRow, row_of_file
from ipo_prompts.experiments.data.draw import part_in_cell
from ipo_prompts.experiments.data.sources.folder import refuse_picture
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import open_lines

IMAGE_COLUMNS = ("image", "path", "file_name")
NAME_COLUMN = "class_name"
_OPTIONAL = (NAME_COLUMN, "split", "group")
NO_LABELS = "; few labels are enough: write the class of about six pictures of each class into a column label."
_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_HUB = "ipo_prompts.experiments.data.sources.hub"
_READERS = {".parquet": f"{_HUB}:gather_parquet", ".tar": f"{_HUB}:gather_shards"}


def gather_table(rest: str) -> Gathered:
    """Read a table, or a folder of parquet files or WebDataset shards; see `gather_csv` and `hub.py`.

    A file with another ending than `.jsonl`, `.parquet`, `.tar` and `.tsv` is read as CSV.
    """
    refuse_picture(rest)
    path = Path(rest).expanduser()
    ending = path.suffix.lower()
    if path.is_dir():
        ending = ".tar" if next(path.rglob("*.tar"), None) else ".parquet"
    reader = resolve_name(_READERS[ending]) if ending in _READERS else gather_csv
    return cast("Gathered", reader(rest))


def gather_csv(rest: str) -> Gathered:
    """Read a table in CSV or JSON Lines; no picture is opened.

    The table has these columns: `image` (or `path`, or `file_name`), the path of the picture, relative to the table;
    `label`, the name of the class, or its number from 0 if a column `class_name` holds the name; `split`, the part; and
    `group`, a name that all variants of a base picture share.

    Raises:
        InputError: the table cannot be read, a column is missing, or a row is wrong. The message names the column or
            row; row 1 is the header, as in a spreadsheet, or the first line of JSON.
    """
    path = Path(rest).expanduser()
    where = f"the table {path}"
    cells = _cells(path, where)
    none = cells["image"].str[:0]
    labels = cells.get("label", none)
    names = cells.get(NAME_COLUMN, labels)
    rows: list[SourceRow] = []
    seen: dict[str, int] = {}
    columns = (cells.index, cells["image"], names, cells.get("split", none), cells.get("group", none))
    for number, image, name, split, group in zip(*columns, strict=True):
        at = f"row {number} of {where}"
        file = os.path.abspath(path.parent / image)  # noqa: PTH100 - "./a.png" is "a.png", and links stay links
        if file in seen:
            raise InputError(f"{at} names {image!r} again, after row {seen[file]}; keep one of them.")
        seen[file] = number
        said = f"{at} names the picture {image!r}, relative to the table: "
        rows.append(row_of_file(path.parent / image, name, image, part_in_cell(split, at), group or None, said=said))
    pairs = list(zip(labels, names, strict=True))
    numbered = names_by_number(pairs, where, named=NAME_COLUMN in cells) if rows else None
    kind = "json" if path.suffix.lower() == ".jsonl" else "csv"
    return Gathered(f"{kind}:{path.stem}", where, rows, numbered)


def no_column(wanted: Sequence[str], columns: Collection[str], where: str) -> InputError:
    """Return the error for a table that lacks a column.

    If the header is nearly right, the message says how to correct it.

    Args:
        wanted: the names that the missing column may have.
        columns: the names of the table's columns.
        where: the table's name in the message.
    """
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


def _cells(path: Path, where: str) -> Any:
    """Return a frame of the used columns, indexed by row number.

    The column of picture paths is always called "image".
    """
    cells = _read(path, where)
    header = list(cells.columns)
    image = next((name for name in IMAGE_COLUMNS if name in header), None)
    if image is None or "label" not in header:
        raise no_column(("label",) if image else IMAGE_COLUMNS, header, where)
    if twice := next((name for name in (image, "label", *_OPTIONAL) if header.count(name) > 1), None):
        raise InputError(f"{where} has two columns {twice}; keep one, or give the other another name.")
    used = [image, *(name for name in ("label", *_OPTIONAL) if name in header)]
    found = cells[used].rename(columns={image: "image"})
    for name in found.columns.intersection(["image", "label", NAME_COLUMN]):
        if blank := found.index[found[name] == ""].tolist():
            raise InputError(f"row {blank[0]} of {where} has an empty cell in the column {name}; fill it in.")
    return found


def _read(path: Path, where: str) -> Any:
    """Return a frame of cells without surrounding spaces, indexed by row number. Blank rows are left out.

    Raises:
        InputError: pandas or the operating system reports an error; the message says in one sentence what is wrong.
    """
    form = "JSON Lines" if path.suffix.lower() == ".jsonl" else "CSV"
    try:
        with open_lines(path) as lines:
            cells = _read_json(lines) if form == "JSON Lines" else _read_csv(lines, path)
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}; check the path.") from error
    except (ValueError, csv.Error) as error:  # also: text that is not UTF-8, a path with a NUL
        if uneven := re.match(r"Expected (\d+) fields in line (\d+)", str(error)):
            raise InputError(
                f"row {uneven[2]} of {where} has more or fewer cells than the header's {uneven[1]}; put cells with a "
                "comma in quotes."
            ) from error
        raise InputError(f"{where} is not a {form} file in UTF-8 ({error}); save it as one.") from error
    return cells.apply(lambda column: column.str.strip())


def _read_csv(lines: Any, path: Path) -> Any:
    import pandas as pd

    rows = pd.read_csv(
        lines,
        sep="\t" if path.suffix.lower() == ".tsv" else ",",
        header=None,
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,  # so that row numbers count blank lines
        engine="python",  # the C engine does not tell a missing cell from an empty one
    )
    found = rows.dropna(how="all")
    if short := found.index[found.isna().any(axis=1)].tolist():
        raise ValueError(f"Expected {len(found.columns)} fields in line {short[0] + 1}")
    header = rows.iloc[0].fillna("").str.strip()
    return found.drop(index=0, errors="ignore").set_axis(header, axis=1).rename(lambda row: row + 1)


def _read_json(lines: Any) -> Any:
    import pandas as pd

    rows = pd.read_json(lines, lines=True, dtype=False)
    return rows.astype(object).where(rows.notna(), "").astype(str).rename(lambda row: row + 1)


def names_by_number(pairs: Sequence[tuple[object, str]], where: str, *, named: bool) -> tuple[str, ...] | None:
    """Return the class names in label order if labels are numbers that have names; None if labels are names themselves.

    Args:
        pairs: the label and the class name of each row.
        where: the table's name in messages.
        named: whether a column of the table holds the names of the labels.

    Raises:
        InputError: all labels are numbers and there is no column of names; or see `numbered_names`.
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
        pairs: the label and the class name of each row.
        where: the table's name in messages.

    Raises:
        InputError: a label is not a whole number, the numbers have a gap, a label has two names, or a name has two
            labels.

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
        known = names.setdefault(int(str(label)), name)
        if known != name:
            raise InputError(f"{where} calls the label {label} both {known!r} and {name!r}; give it one name.")
    gap = next((min(place, label) for place, label in enumerate(sorted(names)) if place != label), None)
    if gap is not None:
        raise InputError(f"the labels in {where} must run from 0 without gaps (see label {gap}); renumber them.")
    ordered = tuple(names[number] for number in sorted(names))
    twice = Counter(ordered).most_common(1)
    if twice and twice[0][1] > 1:
        raise InputError(f"{where} has two labels with the name {twice[0][0]!r}; rename one or join them.")
    return ordered


def is_number(label: object) -> bool:
    """Return whether a label, of any type, is written as a whole number."""
    return str(label).strip().removeprefix("-").isdecimal()
