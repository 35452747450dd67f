"""Tables: `table:PATH` and `hf:NAME[:CONFIG]`. Each becomes one frame of cells, which is checked in one way.

pandas reads CSV and JSON Lines. The library `datasets` reads parquet, WebDataset shards and the hub, because their
pictures may not fit into memory. A table of the user has these columns:

- `image` (or `path`, or `file_name`): the path of the picture, relative to the table. In parquet and shards, the column
  may hold the picture itself.
- `label`: the name of the class, or its number from 0 if a column `class_name` holds the name.
- `split`, the part, and `group`, a name that all variants of a base picture share, if the user wants them.

All cells are text, so `NA` and `001` are ordinary labels. In parquet and on the hub, columns are found by their type.
What the columns `split` and `group` mean on the hub is not known. They are ignored there, and the splits are the parts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipo_prompts.experiments.data.dataset import Gathered, Part, Row, row_of_file
from ipo_prompts.experiments.data.draw import part_named, parts_named
from ipo_prompts.experiments.data.names import NAME_COLUMN, names_by_number
from ipo_prompts.metrics.device import SECONDS, Unreachable, reach
from ipo_prompts.metrics.errors import InputError, InputFaults, reason, several
from ipo_prompts.metrics.files import open_lines, open_regular, read_text
from ipo_prompts.metrics.pictures import Picture, read_file

if TYPE_CHECKING:
    import pandas

IMAGE_COLUMNS = ("image", "path", "file_name")
OPTIONAL = (NAME_COLUMN, "split", "group")
CLASS_NAMES = "classnames.txt"
_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "class", NAME_COLUMN)
_LABEL_TYPES = frozenset(["string", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))])


# CSV and JSON Lines.


def gather_csv(rest: str) -> Gathered:
    """Read a table in CSV or JSON Lines; no picture is opened. Cells are separated by tabs if the name ends in `.tsv`.

    Raises:
        InputError: the table cannot be read, columns are missing, or rows are wrong. The message has all of these
            faults, with missing files if there is any other fault. It names the columns and rows; row 1 is the header,
            as in a spreadsheet, or the first line of JSON.
    """
    path = Path(rest).expanduser()
    where = f"the table {path}"
    cells = _read(path, where)
    image = next((name for name in IMAGE_COLUMNS if name in cells), "")
    of_columns = _of_columns(list(cells.columns))
    cells = cells.loc[:, ~cells.columns.duplicated()]
    faults = _of_cells(cells, [name for name in (image, "label", NAME_COLUMN) if name in cells])
    rows: list[Row] = []
    if image:
        # "./a.png" is "a.png", and links stay links
        files = cells[image].map(lambda cell: os.path.abspath(path.parent / cell))  # noqa: PTH100
        twice = files.duplicated() & (cells[image] != "")
        faults["the same picture as in a row above; keep one of these rows"] = list(cells.index[twice])
        for number, row in zip(cells.index, cells.to_dict("records"), strict=True):
            label = row.get(NAME_COLUMN, row.get("label", ""))
            part = part_named(row.get("split", ""))
            said = f"row {number} of {where} names the picture {row[image]!r}, relative to the table: "
            group = row.get("group") or None
            rows.append(row_of_file(path.parent / row[image], label, row[image], part, group, said=said))
    if of_columns or any(faults.values()):
        missing = [number for number, row in zip(cells.index, rows, strict=False) if row.fault and row.key]
        faults[f"no file at the path in the column {image}; begin the path at the folder of the table"] = missing
    _refuse(where, of_columns, faults)
    names = names_by_number(
        list(zip(cells["label"], (row.label for row in rows), strict=True)), where, named=NAME_COLUMN in cells
    )
    return Gathered(f"{'json' if path.suffix.lower() == '.jsonl' else 'csv'}:{path.stem}", where, rows, names)


def _read(path: Path, where: str) -> pandas.DataFrame:
    """Return the cells as text without surrounding spaces; the index is the row numbers. Blank rows are left out.

    Raises:
        InputError: the operating system or a parser reports an error; the message says in one sentence what is wrong.
    """
    import pandas

    form = "JSON Lines" if path.suffix.lower() == ".jsonl" else "CSV"
    try:
        with open_lines(path) as lines:
            if form == "JSON Lines":
                objects = {number: json.loads(line) for number, line in enumerate(lines, 1) if line.strip()}
                if wrong := [number for number, row in objects.items() if not isinstance(row, dict)]:
                    raise ValueError(f"row {wrong[0]} is no object")
                cells = pandas.DataFrame([*objects.values()], [*objects], dtype=object)
                cells = cells.map(_text)
            else:
                mark = "\t" if path.suffix.lower() == ".tsv" else ","
                cells = pandas.read_csv(
                    lines, sep=mark, header=None, dtype=str, na_filter=False, skip_blank_lines=False
                ).map(str.strip)
                cells = cells[1:].set_axis(cells.iloc[0], axis="columns").set_axis(range(2, len(cells) + 1))
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}; check the path.") from error
    except pandas.errors.EmptyDataError:
        return pandas.DataFrame()
    except ValueError as error:  # also: text that is not UTF-8, a path with a NUL
        why = reason(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(
            f"{where} is not a {form} file in UTF-8 ({why}); save it as one, and put cells with a comma in quotes."
        ) from error
    return cells[(cells != "").any(axis="columns")]


def _text(cell: object) -> str:
    return "" if cell is None or cell != cell else str(cell).strip()


def _of_columns(header: Sequence[str]) -> list[str]:
    """Return the faults of the columns."""
    wanted = [names for names in (IMAGE_COLUMNS, ("label",)) if not set(names) & set(header)]
    if len(header) == 1 and (mark := next((one for one in _MARKS if one in header[0]), None)):
        return [f"the cells are separated by {_MARKS[mark]}; separate them by commas"]
    twice = [name for name in (*IMAGE_COLUMNS, "label", *OPTIONAL) if header.count(name) > 1]
    return [_lacks(names, header) for names in wanted] + [
        f"two columns {name}; keep one, or give the other another name" for name in twice
    ]


def _lacks(wanted: Sequence[str], columns: Sequence[str]) -> str:
    near = next((name for name in columns if name.lower() in wanted), None)
    if near:
        hint = f"write {near.lower()} in place of {near}"
    elif wanted == ("label",):
        hint = "call the column of classes label"
    else:
        hint = f"call the column of pictures {wanted[0]}"
    return f"no column {' or '.join(wanted)}; its columns are: {', '.join(columns) or 'none'}; {hint}"


def _of_cells(cells: pandas.DataFrame, needed: Sequence[str]) -> dict[str, list[object]]:
    """Return fault → the rows that have it, given the columns whose cells must be filled."""
    found = {}
    for name in needed:
        what = "picture" if name in IMAGE_COLUMNS else "class"
        found[f"no {what} in the column {name}; fill it in, or take the row out"] = cells[name] == ""
    if "split" in cells:
        strange = cells["split"].map(lambda cell: cell != "" and part_named(cell) is None)
        found["no part in the column split; write train, val or test"] = strange.astype(bool)
    return {what: list(cells.index[rows]) for what, rows in found.items()}


def _refuse(where: str, of_columns: Sequence[str], of_rows: Mapping[str, Sequence[object]]) -> None:
    faults = [
        f"row{'s' * (len(rows) > 1)} {several([str(row) for row in rows], 10)}: {what}"
        for what, rows in of_rows.items()
        if rows
    ]
    if of_columns or faults:
        raise InputFaults(where, [*of_columns, *faults])


# Parquet, shards and the hub.


def gather_parquet(rest: str) -> Gathered:
    """Read a parquet file, or a folder of such files whose paths name the part (`train-….parquet`, `test/….parquet`).

    Raises:
        InputError: the path is missing or unreadable, a column cannot be found, or rows are wrong.
    """
    path = Path(rest).expanduser()
    where = f"the parquet data {path}"
    files = _files(path, where, "parquet")
    with _no_bars():
        splits = _load(where, "check that these are parquet files", "parquet", data_files=files)
        return _gather(f"parquet:{path.stem}", where, splits, _folder(path))


def gather_shards(rest: str) -> Gathered:
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
        return _gather(f"tar:{path.stem}", where, splits, _folder(path))


def gather_hf(rest: str) -> Gathered:
    """Read a data set of the Hugging Face hub, or its copy in the local cache.

    Raises:
        InputError: the data set cannot be reached or loaded, or a column cannot be found.
    """
    name, _, config = rest.partition(":")
    where = f"the Hugging Face data set {rest}"
    advice = "check the name, the configuration (hf:NAME:CONFIG) and the network, or use folder:, csv: or parquet:"
    with _answering(name, where, advice):
        splits = _load(where, advice, name, *([config] if config else []))
    return _gather(f"hf:{rest}", where, splits)


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


def _gather(name: str, where: str, splits: Mapping[str, Any], beside: Path | None = None) -> Gathered:
    """Read the rows of loaded splits.

    Args:
        name: the data set's short name.
        where: the data set's name in messages.
        splits: name of the split → its table.
        beside: for a table of the user, the folder to which paths of pictures are relative. The columns `split` and
            `group` are then read. For data of the hub, None.
    """
    import pandas
    from datasets import Image

    features = next(iter(splits.values())).features
    image = _image_column(features, where, paths=beside is not None)
    label, names = _label_column(features, where)
    chosen, stray = _choose_splits(splits, label, where)
    read = {"label": label} | {column: column for column in OPTIONAL[1:] if beside and column in features}
    if named := "int" in _dtype(features[label]) and not names and NAME_COLUMN in features:
        read[NAME_COLUMN] = NAME_COLUMN
    cells = pandas.concat(
        {
            split: pandas.DataFrame({name: splits[split][column][:] for name, column in read.items()}, dtype=object)
            for split in chosen
        }
    )
    if names:
        cells["label"] = [names[n] if n is not None and 0 <= n < len(names) else "" for n in cells["label"]]
    cells = cells.map(_text)
    cells.index = [f"{number} of the split {split}" for split, number in cells.index]
    _refuse(where, [], _of_cells(cells, [NAME_COLUMN if named else "label"]))
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
    if not names:
        pairs = zip(cells["label"], (row.label for row in rows), strict=True)
        names = names_by_number(list(pairs), where, named=named)
    return Gathered(name, where, rows, names, stray)


def _encoded(table: Any, column: str, row: int, beside: Path | None) -> bytes:
    """Return the bytes of an encoded picture: those in a cell, or those of the file that the cell names."""
    value: dict[str, Any] | None = table[row][column]
    if not value or (value["bytes"] is None and not value["path"]):
        return b""
    if value["bytes"] is not None:
        return bytes(value["bytes"])
    path = (beside or Path()) / value["path"]
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


def _label_column(features: Mapping[str, Any], where: str) -> tuple[str, tuple[str, ...] | None]:
    """Return the name of the column of labels, and the class names of a `ClassLabel`; None for other labels.

    Other labels are text or whole numbers in a column with a usual name.

    Raises:
        InputError: no column fits, or several columns fit equally well; the message lists the columns.
    """
    from datasets import ClassLabel

    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    plain = [name for name in _LABEL_NAMES if _dtype(features.get(name)) in _LABEL_TYPES]
    label = _pick(classes or plain[:1], _LABEL_NAMES, features, where, "label")
    return label, tuple(features[label].names) if classes else None


def _dtype(kind: Any) -> str:
    return str(getattr(kind, "dtype", "")).removeprefix("large_")


def _pick(found: list[str], usual: tuple[str, ...], features: Mapping[str, Any], where: str, what: str) -> str:
    if not found:
        raise InputError(f"{where} has {_lacks((what,), list(features))}.")
    best = found if len(found) == 1 else [name for name in usual if name in found]
    if best:
        return best[0]
    raise InputError(
        f"{where} has several {what} columns ({', '.join(found)}); keep one, or call the right one {what}."
    )


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
