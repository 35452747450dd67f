"""Tables: `table:PATH` and `hf:NAME[:CONFIG]`. A reader for each form gives cells, which become rows in one way.

Python reads CSV and JSON Lines. The library `datasets` reads parquet, WebDataset shards and the hub, because their
images may not fit into memory. A table of the user has these columns:

- `image` (or `path`, `file_name`, `img`): the path of the image, relative to the table. In parquet and shards, the
  column may hold the image itself, and is then found by its type.
- `label` (or `labels`, `class`): the name of the class, or its number from 0 if a column `class_name` holds the name.
  In parquet and on the hub, a column of numbers whose type has the names goes before all others.
- `split`, the part, and `group`, a name that all variants of a base image share, if the user wants them.

The settings `image=`, `label=` and `split=` name these columns if the table calls them otherwise. They travel as one
mapping, `columns`. If the user names no column of parts, a column that names parts, but is not used, is listed among
what is left out.

All cells are text, so `NA`, `none` and `001` are ordinary labels. A cell is empty if it holds nothing, or what Python
and pandas write for nothing: `None`, `NaN`, `nan` or `<NA>`.

What the columns `split` and `group` mean on the hub is not known. They are ignored there unless the user names them,
and the splits are the parts.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections.abc import Mapping
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.data.check import faults as looked_at
from ipo_prompts.experiments.data.dataset import Gathered, Part, Row, row_of_file
from ipo_prompts.experiments.data.draw import part_named, parts_named
from ipo_prompts.experiments.data.names import NAME_COLUMN, is_number, labels_of, numbered_names
from ipo_prompts.metrics.device import SECONDS, Unreachable, reach
from ipo_prompts.metrics.errors import InputError, InputFaults, reason, several
from ipo_prompts.metrics.files import open_regular, parse_json, read_text
from ipo_prompts.metrics.images import LazyImage, read_file

if TYPE_CHECKING:
    import pandas

USUAL = {
    "image": ["image", "path", "file_name", "img"],
    "label": ["label", "labels", "class", NAME_COLUMN],
    "split": ["split"],
}
"""Role → the usual names of its column."""
FITS = {"image": "string", "label": "string|u?int", "split": "."}
"""Role → the kinds of a column with a usual name."""
CLASS_NAMES = "classnames.txt"
FILES = {
    "parquet": ("parquet", "the parquet data", "check that these are parquet files"),
    "tar": ("webdataset", "the shards", "check that these are shards, with whole numbers in .cls or objects in .json"),
}
"""The ending of files that `datasets` reads → its name of the form, the words for the data, and what to check."""
_MARKS = ",;\t|"
"""The marks between the cells of CSV. The one that the header has most often separates all cells."""
_UNTYPED = "string or int"
"""The kind of the columns of CSV and JSON Lines."""
_EMPTY = ("None", "NaN", "nan", "<NA>")
_FETCHES_NONE = "an address, and IPO fetches none; download the images, and write the paths of the files"
_LOOKED = 2_000
"""The most images that are read to tell all faults of a table at once. More would take minutes."""
_MOST_BYTES = 2**29


# From cells to rows: one way for all forms.


def _gather(
    name: str,
    where: str,
    kinds: Mapping[str, str],
    tables: Mapping[str, pandas.DataFrame],
    columns: Mapping[str, str],
    folder: Path | None,
    faults: dict[str, list[object]],
    images: Mapping[str, Any],
    classes: Mapping[str, tuple[str, ...]],
) -> Gathered:
    """Find the columns, choose the splits, check the cells, and make the rows.

    Images are opened only if there are faults, to tell all faults at once.

    Args:
        name: the data set's short name.
        where: the data set's name in messages.
        kinds: column → "image" for images, "label" for numbers that stand for names, or the type of its cells.
        tables: split → the columns of labels and text, as text; the index has the numbers of the rows. A table without
            splits has one split, "".
        columns: `image`, `label` or `split` → the name of this column in the table, if the user named it.
        folder: the folder to which paths of images are relative. For data of the hub, None.
        faults: what is wrong with rows that are not among the cells → the numbers of these rows.
        images: split → the table of `datasets` that has the images; empty if these are files.
        classes: column of the kind "label" → its class names in label order.

    Raises:
        InputError: columns are missing, or rows are wrong. The message has all of these faults, with images that
            cannot be read if there is any other fault.
    """
    import pandas

    of_columns: list[str] = []
    image = _column("image", kinds, columns, of_columns)
    label = _column("label", kinds, columns, of_columns)
    split = _column("split", kinds, columns, of_columns) if "split" in columns or (folder and "split" in kinds) else ""
    chosen = _choose_splits(tables, label, where)
    stray = [f"split {part}" for part in tables if part not in chosen]
    cells = pandas.concat({part: tables[part] for part in chosen})
    named = NAME_COLUMN in cells and label != NAME_COLUMN and "int" in kinds.get(label, "")
    called = NAME_COLUMN if named else label
    for column in cells.columns.difference([image, label, called, split, *columns], sort=False):
        parts = {*map(part_named, {*cells[column]} - {""})}
        if len(parts) > 1 and None not in parts:
            stray.append(f"the column {column}, which names parts (to use it, type {shlex.quote(f'split={column}')})")
    places = list(cells.index)
    cells.index = [f"{number} of the split {part}" if part else number for part, number in places]
    wrong = {
        f"no {what} in the column {column} (nothing, or {', '.join(_EMPTY)}); fill it in, or take the row out": (
            cells[column] == ""
        )
        for column, what in {image: "image", label: "class", called: "class"}.items()
        if column in cells
    }
    if image in cells:
        wrong[_FETCHES_NONE] = cells[image].str.contains(r"\w://").astype(bool)
    if split in cells:
        wrong[f"no part in the column {split}; write train, val or test"] = cells[split].map(part_named).isna() & (
            cells[split] != ""
        )
    faults |= {what: list(cells.index[rows]) for what, rows in wrong.items()}
    if image in cells and not folder:
        of_columns.append(f"the column {image} of it holds text, not images; take data with the images in")
    records = [] if of_columns else cells.to_dict("records")
    if images and records:
        from datasets import Image

        images = {part: images[part].select_columns([image]).cast_column(image, Image(decode=False)) for part in chosen}
    rows: list[Row] = []
    above: dict[str, tuple[object, str]] = {}
    for (part, number), place, cell in zip(places, cells.index, records, strict=False):
        given = part_named(cell.get(split, "")) or chosen[part]
        group = (cell.get("group") or None) if folder else None
        if images:
            read = partial(_encoded, images[part], image, number, folder or Path())
            found = LazyImage(f"row {number} of {part} of {name}", read)
            rows.append(Row(found, cell[called], f"row {number:07d} of {part}", given, group))
            continue
        typed = cell[image]
        file = _file(folder or Path(), typed)
        # "./a.png" is "a.png", and links stay links
        first, other = above.setdefault(os.path.abspath(file), (place, cell[called]))  # noqa: PTH100
        if typed and first != place:
            also = "" if cell[called] == other else ", in another class"
            what = f"the same image as in another row{also}; keep one of these rows"
            faults.setdefault(what, []).append(f"{place} (as row {first})")
        said = f"row {place} of {where} names the image {typed!r}, relative to the table: "
        rows.append(row_of_file(file, cell[called], typed, given, group, said=said))
    names = classes.get(label)
    spelled = [(typed, row.label) for typed, row in zip(cells.get(label, ()), rows, strict=False) if typed]
    try:
        if named:
            names = numbered_names(spelled, "it")
        elif rows and not names and cells[label].map(is_number).all():
            of_columns.append(f"its labels are numbers and CLIP reads names; add a column {NAME_COLUMN} or write names")
        if spelled:
            labels_of(names or tuple(sorted({row.label for row in rows} - {""})), "it")
    except InputError as error:
        of_columns.append(str(error).removesuffix("."))
    if image in cells and (of_columns or any(faults.values())):
        looked = looked_at([row.image for row in rows[:_LOOKED]])
        faults[f"no image at the path in the column {image}; begin the path at the folder of the table"] = [
            place for place, typed, fault in zip(cells.index, cells[image], looked, strict=False) if typed and fault
        ]
    of_columns += [
        f"row{'s' * (len(found) > 1)} {several([str(place) for place in found], 10)}: {what}"
        for what, found in faults.items()
        if found
    ]
    if of_columns:
        raise InputFaults(where, of_columns)
    return Gathered(name, where, rows, names, tuple(stray))


def _column(role: str, kinds: Mapping[str, str], columns: Mapping[str, str], faults: list[str]) -> str:
    """Return the name of the column of a role. If no column fits, add to `faults` and return "".

    The user may have named the column. If not, it is the column whose type says the role. If there is none, it is the
    first column with a usual name and cells that fit.
    """
    usual = [columns[role]] if role in columns else USUAL[role]
    typed = [name for name in (usual if role in columns else kinds) if kinds.get(name) == role]
    found = typed or [name for name in usual if re.match(FITS[role], kinds.get(name, ""))][:1]
    best = found if len(found) == 1 else [name for name in usual if name in found]
    if best:
        return best[0]
    if found:
        faults.append(f"it has several {role} columns ({', '.join(found)}); name the right one: {role}={found[0]}")
    elif usual[0] in kinds:
        faults.append(f"the column {usual[0]} of it holds {kinds[usual[0]]}; name another one: {role}=COLUMN")
    else:
        wanted = usual[:3] if role == "image" else usual[:1]
        near = next((name for name in kinds if name.lower() in map(str.lower, wanted)), "COLUMN")
        faults.append(
            f"it has no column {' or '.join(wanted)}; its columns are: {', '.join(kinds) or 'none'}; "
            f"name it: {shlex.quote(f'{role}={near}')}"
        )
    return ""


def _choose_splits(tables: Mapping[str, pandas.DataFrame], label: str, where: str) -> Mapping[str, Part | None]:
    """Return a table of split → part for the splits to use.

    A split is left out if its name stands for no part, or its labels are not published. A split that is used alone is
    no part.
    """
    # Labels that are not published are -1 or nothing.
    labelled = [split for split, cells in tables.items() if not split or {*cells.get(label, "?")} - {"", "-1"}]
    if not labelled:
        raise InputError(f"{where} has no labelled images; its splits are: {', '.join(tables) or 'none'}.")
    chosen = parts_named(labelled, where, "splits")
    if not chosen and len(labelled) > 1:
        raise InputError(f"{where} has the splits {', '.join(tables)}, none of them called train, validation or test.")
    if len(chosen) < 2:
        return {next(iter(chosen or labelled)): None}
    return chosen


def _file(folder: Path, cell: str) -> Path:
    """Return the path in a cell. Backslashes, which Windows writes between folders, become slashes if need be."""
    path = folder / cell
    return path if path.exists() else folder / cell.replace("\\", "/")


def _text(cell: object) -> str:
    text = str(cell).strip()
    return "" if text in _EMPTY else text


# CSV and JSON Lines.


def gather_lines(rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a table in CSV or JSON Lines. Row 1 is the header, as in a spreadsheet, or the first line of JSON.

    Args:
        rest: the path of the table.
        columns: `image`, `label` or `split` → the name of this column in the table, if the user named it.

    Raises:
        InputError: the table cannot be read, or see `_gather`.
    """
    import pandas

    path = Path(rest).expanduser()
    where = f"the table {path}"
    text = read_text(path, "the table", _MOST_BYTES, "text", "save it so, in Excel as 'CSV UTF-8'")
    lines = io.StringIO(text, newline="")
    rows: dict[int, dict[Any, Any]] = {}  # a row that cannot be read has the key None
    if path.suffix.lower() == ".jsonl":
        kind, what = "json", "no JSON object; write one on each line"
        rows.update(enumerate(map(_object, lines), 1))
        header = list({key: 0 for row in rows.values() for key in row})
    else:
        kind, what = "csv", "more cells than the header; put a cell with a comma in quotes"
        first = lines.readline()
        records = csv.reader(chain([first], lines), delimiter=max(_MARKS, key=first.count), strict=True)
        try:
            header = [cell.strip() for cell in next(records)]
            for record in records:
                rows[len(rows) + 2] = dict(zip_longest(header, record))
        except csv.Error as error:
            raise InputError(
                f"row {len(rows) + 2} of {where} is no CSV ({error}); close its quotation marks, and double those in "
                "cells."
            ) from error
    kinds = dict.fromkeys(filter(None, header), _UNTYPED)  # Excel and pandas may write a column without a name
    broken: list[object] = [number for number, row in rows.items() if None in row]
    faults = {what: broken}
    cells = pandas.DataFrame([*rows.values()], [*rows], [*kinds], dtype=object).drop(broken).map(_text)
    for name in (*chain(*USUAL.values()), "group", *columns.values()):
        if header.count(name) > 1:
            faults[f"two columns {name}; keep one, or give the other another name"] = [1]
    cells = cells[(cells != "").any(axis="columns")]
    return _gather(f"{kind}:{path.stem}", where, kinds, {"": cells}, columns, path.parent, faults, {}, {})


def _object(line: str) -> dict[Any, Any]:
    """Return the object on a line of JSON, or an empty one if the line is blank. If there is none, its key is None."""
    try:
        row = parse_json(line.strip() or "{}")
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {None: line}


def write_frame(frame: pandas.DataFrame, file: Path, image: str | None = None) -> None:
    """Write a table in memory as CSV, with the absolute paths of its images.

    Args:
        frame: the table; its paths are relative to the current folder.
        file: the file to write.
        image: the name of the column of paths; None: one of `USUAL["image"]`.
    """
    frame = frame.copy()
    for name in frame.columns.intersection([image, *USUAL["image"]]):
        frame[name] = [os.path.join(os.getcwd(), str(cell)) for cell in frame[name]]  # noqa: PTH109, PTH118
    frame.to_csv(file, index=False, encoding="utf-8")


# Parquet, shards and the hub, by the library `datasets`.


def gather_files(ending: str, rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a file, or a folder of files whose paths name the part (`train-….parquet`, `test/….parquet`).

    The files are parquet files, or shards of the format WebDataset. A shard is an archive with an image and its label
    for each sample: `1.jpg` with `1.cls`, a number whose name stands on that line (from 0) of the file
    `classnames.txt` beside the shards, as clip_benchmark writes it; or `1.jpg` with `1.json`, an object whose keys are
    those of the columns of a table.

    Args:
        ending: the ending of the files' names, a key of `FILES`.
        rest: the path.
        columns: see `gather_lines`.

    Raises:
        InputError: the path is missing or unreadable, it holds no such files, there are no names of classes, or see
            `_gather`.
    """
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    path = Path(rest).expanduser()
    form, what, advice = FILES[ending]
    where = f"{what} {path}"
    if not path.exists():
        raise InputError(f"{where} does not exist; give a .{ending} file or a folder of them.")
    folder = path if path.is_dir() else path.parent
    files: dict[str, list[str]] = {}
    for file in sorted(path.rglob(f"*.{ending}")) if path.is_dir() else [path]:
        words = re.split(r"[^a-zA-Z]+", file.relative_to(folder).as_posix())
        files.setdefault(next(filter(None, map(part_named, words)), "rest"), []).append(str(file))
        if ending == "tar":
            with open_regular(file) as opened:
                opened.seek(max(0, file.stat().st_size - 1024))
                if opened.read().strip(bytes(1)):  # two blocks of zeros end every tar file (POSIX.1)
                    raise InputError(f"{file} of {where} has no end mark, so a part of it is missing; get it anew.")
    if not files:
        raise InputError(f"{where} has no .{ending} files; give the folder of them, or type folder:{path}.")
    silent = are_progress_bars_disabled()
    disable_progress_bars()  # files of this machine are read in seconds
    try:
        splits = _load(where, advice, form, data_files=files)
        if ending == "tar":
            splits = {split: _of_shards(table, folder / CLASS_NAMES, where) for split, table in splits.items()}
        return _of_splits(f"{ending}:{path.stem}", where, splits, columns, folder)
    finally:
        if not silent:
            enable_progress_bars()


def _of_shards(table: Any, file: Path, where: str) -> Any:
    """Return a table whose column `cls` of numbers is a column `label` of classes, which a file names.

    If there is no such column, the columns of the table are also the keys of its column `json`.

    Raises:
        InputError: there is no such file, or a name stands on two lines.
    """
    from datasets import ClassLabel

    if "cls" not in table.column_names:
        flat = table.flatten()
        keys = {name: name.removeprefix("json.") for name in flat.column_names}
        return flat.rename_columns({name: key for name, key in keys.items() if key not in flat.column_names})
    if not file.exists():
        raise InputError(f"{where} has numbers as labels, and CLIP reads names; write {file}, one name a line.")
    names = [line.strip() for line in read_text(file, "the class names", 2**20, "text").strip().split("\n")]
    try:
        return table.rename_column("cls", "label").cast_column("label", ClassLabel(names=names))
    except ValueError as error:
        raise InputError(f"{CLASS_NAMES} does not fit {where}: {reason(error)}; write one name a line.") from error


def gather_hf(rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a data set of the Hugging Face hub, or its copy in the local cache.

    First it asks whether the hub answers. If it does not, `datasets` only looks for a local copy. Without this
    question, `datasets` tries again for half a minute.

    Raises:
        InputError: the data set cannot be reached or loaded, or see `_gather`.
    """
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    name, _, config = rest.partition(":")
    where = f"the Hugging Face data set {rest}"
    advice = "check the name, the configuration (hf:NAME:CONFIG) and the network, or use folder:, csv: or parquet:"
    offline = datasets.config.HF_HUB_OFFLINE
    silent: Unreachable | None = None
    try:
        if not offline and not Path(name).exists():
            reach(lambda: HfApi().dataset_info(name, timeout=SECONDS), where, advice)
    except HFValidationError:  # `datasets` says what is wrong with the name
        pass
    except Unreachable as error:
        silent = error
        datasets.config.HF_HUB_OFFLINE = True
    try:
        splits = _load(where, advice, name, config or None)
    except InputError as error:
        raise silent or error from error.__cause__
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
    return _of_splits(f"hf:{rest}", where, splits, columns)


def _load(where: str, advice: str, *args: str | None, **kwargs: object) -> Mapping[str, Any]:
    """Return a table of split → its rows, as `datasets.load_dataset` loads them.

    Raises:
        InputError: the data set cannot be loaded. The message ends in `advice`.
    """
    import datasets

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # counting asks a host that nobody named, even for local files
    try:
        loaded: Mapping[str, Any] = datasets.load_dataset(*args, **kwargs)
    except Exception as error:  # missing, gated, scripted, torn and unreachable data make it raise nearly anything
        offline = " (HF_HUB_OFFLINE is set)" if datasets.config.HF_HUB_OFFLINE and not kwargs else ""
        raise InputError(f"cannot load {where}{offline}: {reason(error.__cause__ or error)}; {advice}.") from error
    return loaded


def _of_splits(
    name: str, where: str, splits: Mapping[str, Any], columns: Mapping[str, str], folder: Path | None = None
) -> Gathered:
    """Gather loaded splits, given split → its table; for the other arguments see `_gather`."""
    import pandas

    features = next(iter(splits.values())).features
    kinds = {column: _kind(column, feature) for column, feature in features.items()}
    classes = {column: tuple(features[column].names) for column, kind in kinds.items() if kind == "label"}
    tables = {}
    for split, table in splits.items():
        read = {one: table[one][:] for one, kind in kinds.items() if re.match(FITS["label"], kind)}
        tables[split] = pandas.DataFrame(read, dtype=object).map(_text)
        for column, names in classes.items():
            called = dict(enumerate(names))
            tables[split][column] = [called.get(number, "") for number in table[column][:]]
    return _gather(name, where, kinds, tables, columns, folder, {}, splits, classes)


def _kind(column: str, feature: Any) -> str:
    """Return "image" for images, also as `{bytes, path}` structs or plain bytes; "label" for numbers with names.

    For all else, return the type.
    """
    from datasets import ClassLabel, Image, Value

    if isinstance(feature, ClassLabel):
        return "label"
    kind = feature.dtype.removeprefix("large_") if isinstance(feature, Value) else str(feature)
    struct = isinstance(feature, Mapping) and {*feature} == {"bytes", "path"}
    is_image = isinstance(feature, Image) or struct or (kind == "binary" and column in USUAL["image"])
    return "image" if is_image else kind


def _encoded(table: Any, column: str, row: int, folder: Path) -> bytes:
    """Return the bytes of an encoded image: those in a cell, or those of the file that the cell names."""
    cell = table[row][column] or {}
    if cell.get("bytes") or not cell.get("path"):
        return cell.get("bytes") or b""
    path = _file(folder, cell["path"])
    try:
        return read_file(str(path))
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror or error}") from error
