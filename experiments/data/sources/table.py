"""`table:PATH`: a table with one row for each picture. The ending of the file's name says how it is written.

CSV and JSON Lines are read here, and parquet and shards in `hub.py`. The columns are `image`, `label` and, if the
user wants them, `class_name`, `split` and `group`. A label is the name of a class, or its number; the name is then in
the column `class_name`. Cells of CSV are separated by commas, or by tabs if the file's name ends in `.tsv`. All cells
are text, so `NA` and `001` are ordinary labels. Other sources also use the functions for labels.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TextIO, cast

from ipo_prompts.experiments.data.assemble import Gathered, SourceRow, row_of_file
from ipo_prompts.experiments.data.draw import part_named
from ipo_prompts.experiments.data.sources.folder import refuse_picture
from ipo_prompts.metrics.errors import InputError, InputFaults, several
from ipo_prompts.metrics.files import open_lines

IMAGE_COLUMNS = ("image", "path", "file_name")
NAME_COLUMN = "class_name"
_OPTIONAL = (NAME_COLUMN, "split", "group")
NO_LABELS = "give the column of classes this name; the classes of about six pictures of each are enough"
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
        InputError: the table cannot be read, columns are missing, or rows are wrong. The message has all of these
            faults, with missing files if there is any other fault. It names the columns and rows; row 1 is the header,
            as in a spreadsheet, or the first line of JSON.
    """
    path = Path(rest).expanduser()
    where = f"the table {path}"
    header, lines = _read(path, where)
    image = next((name for name in IMAGE_COLUMNS if name in header), "")
    named = NAME_COLUMN in header
    faults: dict[str, list[int]] = {what: [] for what in _of_columns(header)}
    rows: list[SourceRow] = []
    pairs: list[tuple[str, str]] = []
    seen: set[str] = set()
    missing: list[int] = []
    for number, line in lines.items():
        cells = dict(zip(header, line, strict=False))
        wrong = _of_cells(cells, [name for name in (image, "label", NAME_COLUMN) if name in header])
        if len(line) != len(header):
            wrong = [f"more or fewer cells than the header's {len(header)}; put a cell with a comma in quotes"]
        if picture := image and cells.get(image):
            file = os.path.abspath(path.parent / picture)  # noqa: PTH100 - "./a.png" is "a.png", and links stay links
            if file in seen:
                wrong.append("the same picture as in a row above; keep one of these rows")
            seen.add(file)
            label = cells.get("label", "")
            name = cells.get(NAME_COLUMN, label)
            part = part_named(cells.get("split", ""))
            said = f"row {number} of {where} names the picture {picture!r}, relative to the table: "
            row = row_of_file(path.parent / picture, name, picture, part, cells.get("group") or None, said=said)
            missing += [number] * (row.fault is not None)
            rows.append(row)
            pairs.append((label, name))
        for what in wrong:
            faults.setdefault(what, []).append(number)
    if faults:
        if missing:
            faults[f"no file at the path {image}; correct the path, which starts at the folder of the table"] = missing
        raise InputFaults(where, [_in_rows(numbers) + what for what, numbers in faults.items()])
    numbered = names_by_number(pairs, where, named=named) if rows else None
    kind = "json" if path.suffix.lower() == ".jsonl" else "csv"
    return Gathered(f"{kind}:{path.stem}", where, rows, numbered)


def _of_cells(cells: Mapping[str, str], needed: Sequence[str]) -> list[str]:
    """Return the faults of a row, given its cells by column, and the columns whose cells must be filled."""
    found = [
        f"an empty cell in the column {name}; fill it in, or take the row out" for name in needed if not cells.get(name)
    ]
    if cells.get("split") and not part_named(cells["split"]):
        found.append("no part in the column split; write train, val or test")
    return found


def _in_rows(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    return f"row{'s' * (len(numbers) > 1)} {several([str(number) for number in numbers], 10)}: "


def _of_columns(header: Sequence[str]) -> list[str]:
    """Return the faults of the columns."""
    wanted = [names for names in (IMAGE_COLUMNS, ("label",)) if not set(names) & set(header)]
    if len(header) == 1 and (mark := next((one for one in _MARKS if one in header[0]), None)):
        return [f"the cells are separated by {_MARKS[mark]}; separate them by commas"]
    twice = [name for name in (*IMAGE_COLUMNS, "label", *_OPTIONAL) if header.count(name) > 1]
    return [_lacks(names, header) for names in wanted] + [
        f"two columns {name}; keep one, or give the other another name" for name in twice
    ]


def no_column(wanted: Sequence[str], columns: Collection[str], where: str) -> InputError:
    """Return the error for a table that lacks a column.

    Args:
        wanted: the names that the missing column may have.
        columns: the names of the table's columns.
        where: the table's name in the message.
    """
    return InputError(f"{where} has {_lacks(wanted, columns)}.")


def _lacks(wanted: Sequence[str], columns: Collection[str]) -> str:
    near = next((name for name in columns if name.lower() in wanted), None)
    if near:
        hint = f"write {near.lower()} in place of {near}"
    else:
        hint = NO_LABELS if wanted == ("label",) else "give the column of pictures this name"
    return f"no column {' or '.join(wanted)}; its columns are: {', '.join(columns) or 'none'}; {hint}"


def _read(path: Path, where: str) -> tuple[list[str], dict[int, list[str]]]:
    """Return the names of the columns, and row number → cells without surrounding spaces. Blank rows are left out.

    Raises:
        InputError: the operating system or a parser reports an error; the message says in one sentence what is wrong.
    """
    form = "JSON Lines" if path.suffix.lower() == ".jsonl" else "CSV"
    try:
        with open_lines(path) as lines:
            header, rows = _read_json(lines) if form == "JSON Lines" else _read_csv(lines, path)
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}; check the path.") from error
    except (ValueError, csv.Error) as error:  # also: text that is not UTF-8, a path with a NUL
        raise InputError(f"{where} is not a {form} file in UTF-8 ({error}); save it as one.") from error
    return header, {number: row for number, row in rows if any(row)}


def _read_csv(lines: TextIO, path: Path) -> tuple[list[str], Iterable[tuple[int, list[str]]]]:
    mark = "\t" if path.suffix.lower() == ".tsv" else ","
    header, *rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark, strict=True)] or [[]]
    return header, enumerate(rows, 2)


def _read_json(lines: TextIO) -> tuple[list[str], Iterable[tuple[int, list[str]]]]:
    rows = {number: json.loads(line) for number, line in enumerate(lines, 1) if line.strip()}
    if wrong := [number for number, row in rows.items() if not isinstance(row, dict)]:
        raise ValueError(f"row {wrong[0]} is no object")
    header = list(dict.fromkeys(name for row in rows.values() for name in row))
    texts = {n: ["" if row.get(name) is None else str(row[name]).strip() for name in header] for n, row in rows.items()}
    return header, texts.items()


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
    gap = min(set(range(len(names))) - set(names), default=None)
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
