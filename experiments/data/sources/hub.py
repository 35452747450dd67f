"""`table:PATH` of parquet and of WebDataset shards, and `hf:NAME[:CONFIG]`: tables that the library `datasets` reads.

Columns are found by their type. There is one column of pictures, which may also be the `{bytes, path}` structs or plain
bytes that other tools write, and one column of labels (`ClassLabel`, text or whole numbers). A picture's bytes are read
when they are needed, and are not decoded here.

A parquet table of the user may also hold paths of pictures, and the columns `split` and `group`, as a `csv:` table may.
In data of the hub, the meaning of such columns is not known. They are ignored there, and the splits are the parts.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.data.assemble import Gathered, SourceRow
from ipo_prompts.experiments.data.dataset import Part
from ipo_prompts.experiments.data.draw import part_in_cell, part_named, parts_named
from ipo_prompts.experiments.data.sources.table import (
    IMAGE_COLUMNS,
    NAME_COLUMN,
    names_by_number,
    no_column,
)
from ipo_prompts.metrics.device import SECONDS, reach
from ipo_prompts.metrics.errors import InputError, reason
from ipo_prompts.metrics.files import open_regular, read_text
from ipo_prompts.metrics.pictures import Picture, read_file

_IMAGE_NAMES = ("image", "img")
CLASS_NAMES = "classnames.txt"
_LABEL_NAMES = ("label", "labels", "class", NAME_COLUMN)
_LABEL_TYPES = frozenset(["string", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))])


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


@_no_bars()
def gather_parquet(rest: str) -> Gathered:
    """Read a parquet file, or a folder of such files whose paths name the part (`train-….parquet`, `test/….parquet`).

    A column `split` holds the part of each row, and a column `group` the name of the base picture, which its variants
    share. Paths of pictures are relative to the folder of the files.

    Raises:
        InputError: the path is missing or unreadable, a column cannot be found, or a row has an unknown split.
    """
    path = Path(rest).expanduser()
    where = f"the parquet data {path}"
    files = _files(path, where, "parquet")
    splits = load_splits(where, "check that these are parquet files", "parquet", data_files=files)
    return gather_splits(f"parquet:{path.stem}", where, splits, _folder(path))


@_no_bars()
def gather_shards(rest: str) -> Gathered:
    """Read a shard of the format WebDataset, or a folder of shards whose paths name the part, as for parquet files.

    A shard is an archive with a picture and its label for each sample: `1.jpg` with `1.cls`, a number whose name stands
    on that line (from 0) of the file `classnames.txt` beside the shards, as clip_benchmark writes it; or `1.jpg` with
    `1.json`, an object with the keys `label` and, as in other tables, `class_name`, `split` and `group`.

    Raises:
        InputError: the path is missing or unreadable, it holds no shards, or there are no labels or names.
    """
    path = Path(rest).expanduser()
    where = f"the shards {path}"
    files = _files(path, where, "tar")
    if cut := next((file for part in files.values() for file in part if not _is_whole(file)), None):
        raise InputError(f"{cut} of {where} has no end mark, so a part of it is missing; get it anew.")
    advice = "check that these are shards, with whole numbers in .cls or objects in .json"
    splits = load_splits(where, advice, "webdataset", data_files=files)
    names_file = _folder(path) / CLASS_NAMES
    if next(iter(splits.values())).features.get("cls") is None:
        splits = {split: _from_json(table) for split, table in splits.items()}
    elif not names_file.exists():
        raise InputError(f"{where} has numbers as labels, and CLIP reads names; write {names_file}, one name a line.")
    else:
        names = [line.strip() for line in read_text(names_file, "the class names", 2**20, "text").strip().split("\n")]
        splits = {split: _named(table, names, where) for split, table in splits.items()}
    return gather_splits(f"tar:{path.stem}", where, splits, _folder(path))


def _from_json(table: Any) -> Any:
    """Return a table whose columns are also the keys of its column `json`."""
    flat = table.flatten() if "json" in table.column_names else table
    keys = {name: name.removeprefix("json.") for name in flat.column_names if name.startswith("json.")}
    return flat.rename_columns({name: key for name, key in keys.items() if key not in flat.column_names})


def _named(table: Any, names: Sequence[str], where: str) -> Any:
    """Return a table whose column `cls` of numbers is a column `label` of classes.

    Raises:
        InputError: a number has no name, or a name stands on two lines.
    """
    from datasets import ClassLabel

    try:
        return table.rename_column("cls", "label").cast_column("label", ClassLabel(names=list(names)))
    except ValueError as error:
        raise InputError(f"{CLASS_NAMES} does not fit {where}: {reason(error)}; write one name a line.") from error


def _is_whole(file: str) -> bool:
    """Whether an archive ends with the two blocks of zeros that end every tar file (POSIX.1)."""
    with open_regular(Path(file)) as archive:
        archive.seek(max(0, os.fstat(archive.fileno()).st_size - 1024))
        return not archive.read().strip(bytes(1))


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def gather_hf(rest: str) -> Gathered:
    """Read a data set of the Hugging Face hub, or its copy in the local cache.

    Raises:
        InputError: the data set cannot be reached or loaded, or a column cannot be found.
    """
    name, _, config = rest.partition(":")
    where = f"the Hugging Face data set {rest}"
    advice = "check the name, the configuration (hf:NAME:CONFIG) and the network, or use folder:, csv: or parquet:"
    splits = load_splits(where, advice, name, *([config] if config else []))
    return gather_splits(f"hf:{rest}", where, splits)


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


def load_splits(where: str, advice: str, *args: str, **kwargs: object) -> Mapping[str, Any]:
    """Return a table of split → its rows, as `datasets.load_dataset` loads them.

    Raises:
        InputError: the data set cannot be loaded. The message ends in `advice`.
    """
    import datasets

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # counting asks a host that nobody named, even for local files
    local = "data_files" in kwargs
    if not local:
        _reach(where, args[0], advice)
    try:
        loaded: Mapping[str, Any] = datasets.load_dataset(*args, **kwargs)
    except Exception as error:  # missing, gated, scripted, torn and unreachable data make it raise nearly anything
        offline = " (HF_HUB_OFFLINE is set)" if datasets.config.HF_HUB_OFFLINE and not local else ""
        raise InputError(f"cannot load {where}{offline}: {reason(error.__cause__ or error)}; {advice}.") from error
    return loaded


def _reach(where: str, name: str, advice: str) -> None:
    """Check that the hub answers, unless there is a local copy of the data set.

    Raises:
        InputError: the hub does not answer.
    """
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    cached = Path(datasets.config.HF_DATASETS_CACHE) / name.replace("/", "___")
    if datasets.config.HF_HUB_OFFLINE or Path(name).exists() or cached.exists():
        return
    with contextlib.suppress(HFValidationError):
        reach(lambda: HfApi().dataset_info(name, timeout=SECONDS), where, advice)


def gather_splits(name: str, where: str, splits: Mapping[str, Any], beside: Path | None = None) -> Gathered:
    """Read the rows of loaded splits.

    Args:
        name: the data set's short name.
        where: the data set's name in messages.
        splits: name of the split → its table.
        beside: for a parquet table of the user, the folder to which paths of pictures are relative. The columns `split`
            and `group` are then read. For data of the hub, None.
    """
    features = next(iter(splits.values())).features
    columns = find_columns(features, where, paths=beside is not None)
    chosen, stray = choose_splits(splits, columns, where)
    rows: list[SourceRow] = []
    pairs: list[tuple[object, str]] = []
    for split, part in chosen.items():
        table = splits[split]
        at = f"the split {split} of {where}"
        numbers, spelled = spelled_labels(table, columns, at)
        pairs.extend(zip(numbers, spelled, strict=True))
        groups = _texts(table, "group", used=beside is not None)
        cells = _texts(table, "split", used=beside is not None)
        for i, picture in enumerate(cell_pictures(table, columns, f"{split} of {name}", beside)):
            own = part_in_cell(cells[i], f"row {i} of {at}") or (part if len(chosen) > 1 else None)
            rows.append(SourceRow(picture, spelled[i], f"row {i:07d} of {split}", own, groups[i] or None))
    names = columns.names
    if names is None:
        names = names_by_number(pairs, where, named=columns.named)
    return Gathered(name, where, rows, names, stray)


def _texts(table: Any, column: str, *, used: bool) -> list[str]:
    """Return the cells of a column as text. All texts are empty if there is no such column, or `used` is false."""
    if not used or column not in table.column_names:
        return [""] * len(table)
    return ["" if cell is None else str(cell).strip() for cell in table[column][:]]


@dataclass(frozen=True)
class Columns:
    """The columns that are read from a table.

    Attributes:
        image: the name of the column of encoded pictures, or of their paths.
        label: the name of the column of class numbers or names; "" if labels are not read.
        names: the class names of a `ClassLabel`, in label order; None for other labels.
        named: whether a column `class_name` holds the names of the numbers in `label`.
    """

    image: str
    label: str
    names: tuple[str, ...] | None = None
    named: bool = False


def find_columns(features: Mapping[str, Any], where: str, *, paths: bool = False) -> Columns:
    """Find the columns to read. If several columns have the right type, the column with a usual name is taken.

    Args:
        features: name of the column → its type.
        where: the table's name in messages.
        paths: whether paths of pictures may be read. They are read from a text column with a name in `IMAGE_COLUMNS`,
            and only if no column holds pictures.

    Raises:
        InputError: no column fits, or several columns fit equally well; the message lists the columns.
    """
    pictures = [name for name, kind in features.items() if _is_image(name, kind)]
    texts = [name for name in IMAGE_COLUMNS if _dtype(features.get(name)) in ("string", "large_string")]
    if texts and not pictures and not paths:
        raise InputError(f"the column {texts[0]} of {where} holds text, not pictures; take data with the pictures in.")
    image = _pick(pictures or texts[:1], _IMAGE_NAMES, features, where, "image")
    classes, plain = _label_columns(features)
    if classes:
        label = _pick(classes, _LABEL_NAMES, features, where, "label")
        return Columns(image, label, tuple(features[label].names))
    if not plain:
        raise no_column(("label",), features, where)
    return Columns(image, plain[0], named="int" in _dtype(features[plain[0]]) and NAME_COLUMN in plain)


def _label_columns(features: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names of the `ClassLabel` columns, and of the text and number columns with a usual name for labels."""
    from datasets import ClassLabel

    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    return classes, [name for name in _LABEL_NAMES if _dtype(features.get(name)).removeprefix("large_") in _LABEL_TYPES]


def _dtype(kind: Any) -> str:
    return str(getattr(kind, "dtype", ""))


def _is_image(name: str, kind: Any) -> bool:
    from datasets import Image

    is_plain = name in _IMAGE_NAMES and _dtype(kind) in ("binary", "large_binary")
    return is_plain or isinstance(kind, Image) or (isinstance(kind, Mapping) and set(kind) == {"bytes", "path"})


def _pick(found: list[str], usual: tuple[str, ...], features: Mapping[str, Any], where: str, what: str) -> str:
    if not found:
        raise no_column((what,), features, where)
    best = found if len(found) == 1 else [name for name in usual if name in found]
    if best:
        return best[0]
    raise InputError(
        f"{where} has several {what} columns ({', '.join(found)}); keep one, or call the right one {what}."
    )


def choose_splits(
    splits: Mapping[str, Any], columns: Columns, where: str
) -> tuple[Mapping[str, Part | None], tuple[str, ...]]:
    """Return a table of split → part for the splits to use, and words for each split that is left out.

    A split is left out if its name stands for no part, or its labels are not published.
    """
    hidden = {-1, None}  # stored for labels that are not published
    labelled = [split for split, table in splits.items() if len(table) and set(table.unique(columns.label)) - hidden]
    if not labelled:
        raise InputError(f"{where} has no labelled pictures; its splits are: {', '.join(splits) or 'none'}.")
    chosen: Mapping[str, Part | None] = parts_named(labelled, where, "splits") or {labelled[0]: None}
    if None in chosen.values() and len(labelled) > 1:
        raise InputError(f"{where} has the splits {', '.join(splits)}, none of them called train, validation or test.")
    return chosen, tuple(f"split {split}" for split in splits if split not in chosen)


def spelled_labels(table: Any, columns: Columns, where: str) -> tuple[list[object], list[str]]:
    """Return the stored label of each row, and its class name. All are "" if labels are not read."""
    if not columns.label:
        return [""] * len(table), [""] * len(table)
    numbers: list[object] = table[columns.label][:]
    named: list[object] = table[NAME_COLUMN][:] if columns.named else numbers
    if columns.names is not None:
        outside = next(
            (i for i, n in enumerate(numbers) if n is None or not 0 <= int(str(n)) < len(columns.names)), None
        )
        if outside is not None:
            raise InputError(f"row {outside} of {where} has the label {numbers[outside]}, which no class has; fix it.")
        return numbers, [columns.names[int(str(n))] for n in numbers]
    empty = next((i for i, label in enumerate(named) if label is None or not str(label).strip()), None)
    if empty is not None:
        raise InputError(f"row {empty} of {where} has no label; fill it in or take the row out.")
    return numbers, [str(label) for label in named]


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


def cell_pictures(table: Any, columns: Columns, of: str, beside: Path | None = None) -> Iterable[Picture]:
    """Yield the pictures of a split. Their bytes are read when they are needed; paths of files start from `beside`."""
    from datasets import Image

    lazy = table.select_columns([columns.image]).cast_column(columns.image, Image(decode=False))
    for i in range(len(lazy)):
        yield Picture(f"row {i} of {of}", partial(_encoded, lazy, columns.image, i, beside))
