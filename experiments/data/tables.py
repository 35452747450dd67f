"""Tables: `table:PATH` and `hf:NAME[:CONFIG]`. Each becomes one frame of cells, which is checked in one way.

pandas reads CSV and JSON Lines. The library `datasets` reads parquet, WebDataset shards and the hub, because their
pictures may not fit into memory. A table of the user has these columns:

- `image` (or `path`, or `file_name`): the path of the picture, relative to the table. In parquet and shards, the column
  may hold the picture itself.
- `label`: the name of the class, or its number from 0 if a column `class_name` holds the name.
- `split`, the part, and `group`, a name that all variants of a base picture share, if the user wants them.

The settings `image=`, `label=` and `split=` name these columns if the table calls them otherwise. They travel as one
mapping, `columns`, and the columns are renamed when the table is read. A column that names parts, but is not used, is
listed among what is left out.

All cells are text, so `NA`, `none` and `001` are ordinary labels. A cell is empty if it holds nothing, or what Python
and pandas write for nothing: `None`, `NaN`, `nan` or `<NA>`.

In parquet and on the hub, columns are found by their type. What the columns `split` and `group` mean on the hub is not
known. They are ignored there unless the user names them, and the splits are the parts.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.data.dataset import Gathered, Part, Row, row_of_file
from ipo_prompts.experiments.data.draw import part_named, parts_named
from ipo_prompts.experiments.data.names import NAME_COLUMN, labels_of, names_by_number
from ipo_prompts.metrics.device import SECONDS, Unreachable, reach
from ipo_prompts.metrics.errors import InputError, InputFaults, reason, several
from ipo_prompts.metrics.files import open_lines, open_regular, parse_json, read_text
from ipo_prompts.metrics.pictures import Picture, read_file

if TYPE_CHECKING:
    import pandas

IMAGE_COLUMNS = ("image", "path", "file_name")
OPTIONAL = (NAME_COLUMN, "split", "group")
_READ = (*IMAGE_COLUMNS, "label", *OPTIONAL)
CLASS_NAMES = "classnames.txt"
_MARKS = ",;\t|"
"""The marks between the cells of CSV. The one that the header has most often separates all cells."""
_EMPTY = ("None", "NaN", "nan", "<NA>")
_FETCHES_NONE = "an address, and IPO fetches none; download the pictures, and write the paths of the files"
_UNUSED = " (unused)"
_LOOKED = 2_000
"""The most pictures that are read to tell all faults of a table at once. More would take minutes."""
_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "class", NAME_COLUMN)
_LABEL_TYPES = frozenset(["string", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))])


# CSV and JSON Lines.


def gather_csv(rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a table in CSV or JSON Lines. Pictures are opened only if there are faults, to tell all faults at once.

    Args:
        rest: the path of the table.
        columns: `image`, `label` or `split` → the name of this column in the table, if the user named it.

    Raises:
        InputError: the table cannot be read, columns are missing, or rows are wrong. The message has all of these
            faults, with pictures that cannot be read if there is any other fault. It names the columns and rows; row 1
            is the header, as in a spreadsheet, or the first line of JSON.
    """
    from ipo_prompts.experiments.data.check import faults as looked_at

    path = Path(rest).expanduser()
    where = f"the table {path}"
    cells, header, faults = _read(path, where, columns)
    image = next((name for name in IMAGE_COLUMNS if name in cells), "")
    of_columns = _of_columns(header) if header or not any(faults.values()) else []
    faults |= _of_cells(cells, [name for name in (image, "label", NAME_COLUMN) if name in cells])
    rows: list[Row] = []
    above: dict[str, tuple[int, str]] = {}
    for number, row in zip(cells.index, cells.to_dict("records"), strict=True):
        label = row.get(NAME_COLUMN, row.get("label", ""))
        typed = row.get(image, "")
        file = _file(path.parent, typed)
        # "./a.png" is "a.png", and links stay links
        first, called = above.setdefault(os.path.abspath(file), (number, label))  # noqa: PTH100
        if typed and first != number:
            also = "" if called == label else ", in another class"
            what = f"the same picture as in another row{also}; keep one of these rows"
            faults.setdefault(what, []).append(f"{number} (as row {first})")
        part = part_named(row.get("split", ""))
        said = f"row {number} of {where} names the picture {typed!r}, relative to the table: "
        rows.append(row_of_file(file, label, typed, part, row.get("group") or None, said=said))
    names = None
    pairs = [(label, row.label) for label, row in zip(cells.get("label", ()), rows, strict=False) if label]
    try:
        if pairs:
            names = names_by_number(pairs, "it", named=NAME_COLUMN in cells)
            labels_of(names or tuple(sorted({label for _, label in pairs})), "it")
    except InputError as error:
        of_columns.append(str(error).removesuffix("."))
    if of_columns or any(faults.values()):
        few = len(rows) <= _LOOKED
        looked = looked_at([row.image for row in rows]) if few else [row.fault for row in rows]
        faults[f"no picture at the path in the column {image}; begin the path at the folder of the table"] = [
            number for number, row, fault in zip(cells.index, rows, looked, strict=True) if fault and row.key
        ]
    _refuse(where, of_columns, faults)
    kind = "json" if path.suffix.lower() == ".jsonl" else "csv"
    return Gathered(f"{kind}:{path.stem}", where, rows, names, _naming_parts(cells.items(), _READ))


def write_frame(frame: pandas.DataFrame, file: Path, image: str | None = None) -> None:
    """Write a table in memory as CSV, with the absolute paths of its pictures.

    Args:
        frame: the table; its paths are relative to the current folder.
        file: the file to write.
        image: the name of the column of paths; None: one of `IMAGE_COLUMNS`.
    """
    for name in {image, *IMAGE_COLUMNS} & {*frame}:
        frame = frame.assign(**{str(name): [os.path.join(os.getcwd(), str(cell)) for cell in frame[name]]})  # noqa: PTH109, PTH118
    frame.to_csv(file, index=False, encoding="utf-8")


def _file(folder: Path, cell: str) -> Path:
    """Return the path in a cell. Backslashes, which Windows writes between folders, become slashes if need be."""
    path = folder / cell
    return path if path.exists() else folder / cell.replace("\\", "/")


def _read(
    path: Path, where: str, columns: Mapping[str, str]
) -> tuple[pandas.DataFrame, list[str], dict[str, list[object]]]:
    """Return the cells as text without surrounding spaces, the header, and fault → the rows that cannot be read.

    The index of the cells is the row numbers. Blank rows, and rows that cannot be read, are left out.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or lacks a column that the user named.
    """
    import pandas

    rows: dict[int, dict[Any, Any]] = {}  # a row that cannot be read has the key None
    header: list[str] = []
    what = "no JSON object; write one on each line"
    try:
        with open_lines(path) as lines:
            if path.suffix.lower() == ".jsonl":
                rows.update(enumerate(map(_object, lines), 1))
                header = list({key: 0 for row in rows.values() for key in row if key})
            else:
                first = lines.readline()
                mark = max(_MARKS, key=first.count)
                records = csv.reader(chain([first], lines), delimiter=mark, strict=True)
                header = [cell.strip() for cell in next(records)]
                what = "more cells than the header; put a cell with a comma in quotes"
                for record in records:
                    rows[len(rows) + 2] = dict(zip_longest(header, record))
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}; check the path.") from error
    except csv.Error as error:
        raise InputError(
            f"row {len(rows) + 2} of {where} is no CSV ({error}); close its quotation marks, and double those in cells."
        ) from error
    except ValueError as error:  # also a path with a NUL
        raise InputError(
            f"{where} is not text in UTF-8 ({reason(error)}); save it so, in Excel as 'CSV UTF-8'."
        ) from error
    new = _new_names(header, columns, where)
    sound = {number: row for number, row in rows.items() if None not in row}
    cells = pandas.DataFrame([*sound.values()], [*sound], dtype=object).rename(columns=new).map(_text)
    header = [new[name] for name in header]
    return cells[(cells != "").any(axis="columns")], header, {what: [number for number in rows if number not in sound]}


def _object(line: str) -> dict[Any, Any]:
    """Return the object on a line of JSON, or an empty one if the line is blank. If there is none, its key is None."""
    try:
        row = parse_json(line) if line.strip() else {}
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {None: line}


def _text(cell: object) -> str:
    text = str(cell).strip()
    return "" if text in _EMPTY else text


def _new_names(header: Sequence[str], columns: Mapping[str, str], where: str) -> dict[str, str]:
    """Return name → new name of each column: the columns that the user named get the names that are read here.

    Raises:
        InputError: there is no column with a name that the user typed.
    """
    new = {role: role + _UNUSED for role in columns} | {name: role for role, name in columns.items()}
    for name in columns.values():
        if name not in header:
            raise InputError(f"{where} has {_lacks((name,), header, new[name])}.")
    return {name: new.get(name, name) for name in header}


def _naming_parts(columns: Iterable[tuple[Any, Iterable[str]]], read: Iterable[str]) -> tuple[str, ...]:
    """Return words for each column that is not read, though its cells name two parts or more."""
    found = []
    for name, cells in columns:
        words = {*cells} - {""}
        parts = {*map(part_named, words)}
        if name not in read and len(parts) > 1 and None not in parts and not name.endswith(_UNUSED):
            found.append(f"the column {name}, which names parts (to use it, type {shlex.quote(f'split={name}')})")
    return tuple(found)


def _of_columns(header: Sequence[str]) -> list[str]:
    """Return the faults of the columns."""
    lacking = [names for names in (IMAGE_COLUMNS, ("label",)) if not set(names) & set(header)]
    return [_lacks(names, header) for names in lacking] + [
        f"two columns {name}; keep one, or give the other another name" for name in _READ if header.count(name) > 1
    ]


def _lacks(wanted: Sequence[str], columns: Sequence[str], role: str = "") -> str:
    near = next((name for name in columns if name.lower() in map(str.lower, wanted)), "COLUMN")
    typed = shlex.quote(f"{role or wanted[0]}={near}")
    return f"no column {' or '.join(wanted)}; its columns are: {', '.join(columns) or 'none'}; name it: {typed}"


def _of_cells(cells: pandas.DataFrame, needed: Sequence[str]) -> dict[str, list[object]]:
    """Return fault → the rows that have it, given the columns whose cells must be filled."""
    found = {}
    for name in needed:
        what = "class"
        if name in IMAGE_COLUMNS:
            what = "picture"
            found[_FETCHES_NONE] = cells[name].map(lambda cell: bool(re.search(r"\w://", cell)))
        found[f"no {what} in the column {name} (nothing, or {', '.join(_EMPTY)}); fill it in, or take the row out"] = (
            cells[name] == ""
        )
    if "split" in cells:
        found["no part in the column split; write train, val or test"] = cells["split"].map(
            lambda cell: cell != "" and part_named(cell) is None
        )
    return {what: list(cells.index[rows.astype(bool)]) for what, rows in found.items()}


def _refuse(where: str, of_columns: Sequence[str], of_rows: Mapping[str, Sequence[object]]) -> None:
    faults = [
        f"row{'s' * (len(rows) > 1)} {several([str(row) for row in rows], 10)}: {what}"
        for what, rows in of_rows.items()
        if rows
    ]
    if of_columns or faults:
        raise InputFaults(where, [*of_columns, *faults])


# Parquet, shards and the hub.


def gather_parquet(rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a parquet file, or a folder of such files whose paths name the part (`train-….parquet`, `test/….parquet`).

    Raises:
        InputError: the path is missing or unreadable, a column cannot be found, or rows are wrong.
    """
    path = Path(rest).expanduser()
    where = f"the parquet data {path}"
    files = _files(path, where, "parquet")
    with _no_bars():
        splits = _load(where, "check that these are parquet files", "parquet", data_files=files)
        return _gather(f"parquet:{path.stem}", where, splits, columns, _folder(path))


def gather_shards(rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a shard of the format WebDataset, or a folder of shards whose paths name the part, as for parquet files.

    A shard is an archive with a picture and its label for each sample: `1.jpg` with `1.cls`, a number whose name stands
    on that line (from 0) of the file `classnames.txt` beside the shards, as clip_benchmark writes it; or `1.jpg` with
    `1.json`, an object whose keys are those of the columns of a table.

    Raises:
        InputError: the path is missing or unreadable, it holds no shards, or there are no labels or names.
    """
    path = Path(rest).expanduser()
    where = f"the shards {path}"
    files = _files(path, where, "tar")
    if cut := next((file for part in files.values() for file in part if not _is_whole(file)), None):
        raise InputError(f"{cut} of {where} has no end mark, so a part of it is missing; get it anew.")
    with _no_bars():
        advice = "check that these are shards, with whole numbers in .cls or objects in .json"
        splits = _load(where, advice, "webdataset", data_files=files)
        named = next(iter(splits.values())).features.get("cls") is not None
        splits = {
            split: _named(table, _folder(path) / CLASS_NAMES, where) if named else _from_json(table)
            for split, table in splits.items()
        }
        return _gather(f"tar:{path.stem}", where, splits, columns, _folder(path))


def gather_hf(rest: str, columns: Mapping[str, str]) -> Gathered:
    """Read a data set of the Hugging Face hub, or its copy in the local cache.

    Raises:
        InputError: the data set cannot be reached or loaded, or a column cannot be found.
    """
    name, _, config = rest.partition(":")
    where = f"the Hugging Face data set {rest}"
    advice = "check the name, the configuration (hf:NAME:CONFIG) and the network, or use folder:, csv: or parquet:"
    with _answering(name, where, advice):
        splits = _load(where, advice, name, *([config] if config else []))
    return _gather(f"hf:{rest}", where, splits, columns)


@contextlib.contextmanager
def _answering(name: str, where: str, advice: str) -> Iterator[None]:
    """Ask whether the hub answers. If it does not, let `datasets` only look for a local copy in the block.

    Without this question, `datasets` tries again for half a minute.

    Raises:
        InputError: the hub does not answer, and the block fails.
    """
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

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
        yield
    except InputError as error:
        raise silent or error from error.__cause__
    finally:
        datasets.config.HF_HUB_OFFLINE = offline


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Let `datasets` show no progress bars in the block: files of this machine are read in seconds."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


def _from_json(table: Any) -> Any:
    """Return a table whose columns are also the keys of its column `json`."""
    flat = table.flatten() if "json" in table.column_names else table
    keys = {name: name.removeprefix("json.") for name in flat.column_names if name.startswith("json.")}
    return flat.rename_columns({name: key for name, key in keys.items() if key not in flat.column_names})


def _named(table: Any, file: Path, where: str) -> Any:
    """Return a table whose column `cls` of numbers is a column `label` of classes, which a file names.

    Raises:
        InputError: there is no such file, or a name stands on two lines.
    """
    from datasets import ClassLabel

    if not file.exists():
        raise InputError(f"{where} has numbers as labels, and CLIP reads names; write {file}, one name a line.")
    names = [line.strip() for line in read_text(file, "the class names", 2**20, "text").strip().split("\n")]
    try:
        return table.rename_column("cls", "label").cast_column("label", ClassLabel(names=names))
    except ValueError as error:
        raise InputError(f"{CLASS_NAMES} does not fit {where}: {reason(error)}; write one name a line.") from error


def _is_whole(file: str) -> bool:
    """Whether an archive ends with the two blocks of zeros that end every tar file (POSIX.1)."""
    with open_regular(Path(file)) as archive:
        archive.seek(max(0, os.fstat(archive.fileno()).st_size - 1024))
        return not archive.read().strip(bytes(1))


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _files(path: Path, where: str, ending: str) -> dict[str, list[str]]:
    """Return a table of part → its files. A file whose path names no part is listed under "rest"."""
    if not path.exists():
        raise InputError(f"{where} does not exist; give a .{ending} file or a folder of them.")
    splits: dict[str, list[str]] = {}
    for file in sorted(path.rglob(f"*.{ending}")) if path.is_dir() else [path]:
        words = re.split(r"[^a-zA-Z]+", file.relative_to(path.parent if file == path else path).as_posix())
        named = (part for word in words if (part := part_named(word)))
        splits.setdefault(next(named, "rest"), []).append(str(file))
    if not splits:
        raise InputError(f"{where} has no .{ending} files; give the folder of them, or type folder:{path}.")
    return splits


def _load(where: str, advice: str, *args: str, **kwargs: object) -> Mapping[str, Any]:
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


def _gather(
    name: str, where: str, splits: Mapping[str, Any], columns: Mapping[str, str], beside: Path | None = None
) -> Gathered:
    """Read the rows of loaded splits.

    Args:
        name: the data set's short name.
        where: the data set's name in messages.
        splits: name of the split → its table.
        columns: the columns that the user named; see `gather_csv`.
        beside: for a table of the user, the folder to which paths of pictures are relative. The columns `split` and
            `group` are then read. For data of the hub, None.
    """
    import pandas
    from datasets import Image

    new = _new_names(next(iter(splits.values())).column_names, columns, where)
    splits = {split: table.rename_columns(new) for split, table in splits.items()}
    features = next(iter(splits.values())).features
    image = _image_column(features, where, paths=beside is not None)
    label = _label_column(features, where)
    names = getattr(features[label], "names", None)  # of a `ClassLabel`
    chosen, stray = _choose_splits(splits, label, where)
    read = {"label": label} | {column: column for column in OPTIONAL[1:] if column in (features if beside else columns)}
    if _dtype(features[image]) == "string":
        read[image] = image
    if named := "int" in _dtype(features[label]) and not names and NAME_COLUMN in features:
        read[NAME_COLUMN] = NAME_COLUMN
    cells = pandas.concat(
        {
            split: pandas.DataFrame({name: splits[split][column][:] for name, column in read.items()}, dtype=object)
            for split in chosen
        }
    )
    numbers = cells["label"]
    cells = cells.map(_text)
    if names:
        cells["label"] = [names[n] if n is not None and 0 <= n < len(names) else "" for n in numbers]
    cells.index = [f"{number} of the split {split}" for split, number in cells.index]
    _refuse(where, [], _of_cells(cells, [one for one in read if one not in ("split", "group")]))
    records = cells.to_dict("records")
    rows: list[Row] = []
    for split, part in chosen.items():
        pictures = splits[split].select_columns([image]).cast_column(image, Image(decode=False))
        for i in range(len(pictures)):
            cell = records[len(rows)]
            picture = Picture(f"row {i} of {split} of {name}", partial(_encoded, pictures, image, i, beside))
            given = part_named(cell.get("split", "")) or (part if len(chosen) > 1 else None)
            spelled = cell[NAME_COLUMN] if named else cell["label"]
            rows.append(Row(picture, spelled, f"row {i:07d} of {split}", given, cell.get("group") or None))
    texts = [
        (one, {_text(cell) for split in chosen for cell in splits[split].unique(one)})
        for one, kind in features.items()
        if _dtype(kind) == "string"
    ]
    if not names:
        pairs = zip(cells["label"], (row.label for row in rows), strict=True)
        names = names_by_number(list(pairs), where, named=named)
    return Gathered(name, where, rows, names, (*stray, *_naming_parts(texts, read.values())))


def _encoded(table: Any, column: str, row: int, beside: Path | None) -> bytes:
    """Return the bytes of an encoded picture: those in a cell, or those of the file that the cell names."""
    value: dict[str, Any] | None = table[row][column]
    if not value or (value["bytes"] is None and not value["path"]):
        return b""
    if value["bytes"] is not None:
        return bytes(value["bytes"])
    path = _file(beside or Path(), value["path"])
    try:
        return read_file(str(path))
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror or error}") from error


def _image_column(features: Mapping[str, Any], where: str, *, paths: bool) -> str:
    """Return the name of the column of encoded pictures, which may also be `{bytes, path}` structs or plain bytes.

    If `paths`, and no column holds pictures, it may be a column of paths with a name in `IMAGE_COLUMNS`.

    Raises:
        InputError: no column fits, or several columns fit equally well; the message lists the columns.
    """
    from datasets import Image

    pictures = [
        name
        for name, kind in features.items()
        if isinstance(kind, Image)
        or (isinstance(kind, Mapping) and set(kind) == {"bytes", "path"})
        or (name in _IMAGE_NAMES and _dtype(kind) == "binary")
    ]
    texts = [name for name in IMAGE_COLUMNS if _dtype(features.get(name)) == "string"]
    if texts and not pictures and not paths:
        raise InputError(f"the column {texts[0]} of {where} holds text, not pictures; take data with the pictures in.")
    return _pick(pictures or texts[:1], _IMAGE_NAMES, features, where, "image")


def _label_column(features: Mapping[str, Any], where: str) -> str:
    """Return the name of the column of labels: a `ClassLabel`, or text or whole numbers under a usual name.

    Raises:
        InputError: no column fits, or several columns fit equally well; the message lists the columns.
    """
    from datasets import ClassLabel

    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    plain = [name for name in _LABEL_NAMES if _dtype(features.get(name)) in _LABEL_TYPES]
    return _pick(classes or plain[:1], _LABEL_NAMES, features, where, "label")


def _dtype(kind: Any) -> str:
    return str(getattr(kind, "dtype", "")).removeprefix("large_")


def _pick(found: list[str], usual: tuple[str, ...], features: Mapping[str, Any], where: str, what: str) -> str:
    if not found and what in features:
        raise InputError(f"the column {what} of {where} holds {features[what]}; name another one: {what}=COLUMN.")
    if not found:
        raise InputError(f"{where} has {_lacks((what,), list(features))}.")
    best = found if len(found) == 1 else [name for name in usual if name in found]
    if best:
        return best[0]
    raise InputError(f"{where} has several {what} columns ({', '.join(found)}); name the right one: {what}={found[0]}.")


def _choose_splits(
    splits: Mapping[str, Any], label: str, where: str
) -> tuple[Mapping[str, Part | None], tuple[str, ...]]:
    """Return a table of split → part for the splits to use, and words for each split that is left out.

    A split is left out if its name stands for no part, or its labels are not published.
    """
    hidden = {-1, None}  # stored for labels that are not published
    labelled = [split for split, table in splits.items() if len(table) and set(table.unique(label)) - hidden]
    if not labelled:
        raise InputError(f"{where} has no labelled pictures; its splits are: {', '.join(splits) or 'none'}.")
    chosen: Mapping[str, Part | None] = parts_named(labelled, where, "splits") or {labelled[0]: None}
    if None in chosen.values() and len(labelled) > 1:
        raise InputError(f"{where} has the splits {', '.join(splits)}, none of them called train, validation or test.")
    return chosen, tuple(f"split {split}" for split in splits if split not in chosen)
