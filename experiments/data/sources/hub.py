"""`parquet:PATH` and `hf:NAME[:CONFIG]`: tables that the `datasets` library reads.

Columns are found by their type: one image column (also the `{bytes, path}` structs and plain bytes that other tools
write) and one label column (`ClassLabel`, or text). A picture's bytes are read when asked for, and not decoded here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipo.experiments.data.assemble import Gathered, Row
from ipo.experiments.data.dataset import Part
from ipo.experiments.data.sources.columns import Columns, find_columns
from ipo.experiments.data.sources.labels import NAME_COLUMN, numbered_names, refuse_numbers
from ipo.experiments.data.split import part_named
from ipo.metrics.errors import InputError
from ipo.metrics.hub import SECONDS, reach
from ipo.metrics.pictures import Picture, read_file, stamp_of


def gather_parquet(rest: str) -> Gathered:
    """Read one parquet file, or a folder of them whose paths name the split (`train-….parquet`, `test/….parquet`).

    A column `group` names the base picture that variants share.

    Raises:
        InputError: the path is missing or unreadable, or a column cannot be found.
    """
    if not rest:
        raise InputError("parquet: needs a path, for example parquet:pictures/train.parquet.")
    path = Path(rest).expanduser()
    where = f"the parquet data {path}"
    splits = load_splits(where, "check that these are parquet files", "parquet", data_files=_files(path, where))
    return gather(f"parquet:{path.stem}", where, splits, grouped=True)


def gather_hf(rest: str) -> Gathered:
    """Read a data set of the Hugging Face hub, or its copy in the local cache.

    Raises:
        InputError: it cannot be reached or loaded, or a column cannot be found.
    """
    name, _, config = rest.partition(":")
    if not name:
        raise InputError("hf: needs the name of a data set on the Hugging Face hub, for example hf:tanganke/dtd.")
    where = f"the Hugging Face data set {rest}"
    advice = "check the name, the configuration (hf:NAME:CONFIG) and the network, or use folder:, csv: or parquet:"
    splits = load_splits(where, advice, name, *([config] if config else []))
    return gather(f"hf:{rest}", where, splits, grouped=False)


def _files(path: Path, where: str) -> dict[str, list[str]]:
    """Return split → files; a file whose path names no split goes to "rest"."""
    if not path.exists():
        raise InputError(f"{where} does not exist; give a parquet file or a folder of them.")
    splits: dict[str, list[str]] = {}
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        words = re.split(r"[^a-zA-Z]+", file.relative_to(path.parent if file == path else path).as_posix())
        named = (part for word in words if (part := part_named(word)))
        splits.setdefault(next(named, "rest"), []).append(str(file))
    if not splits:
        raise InputError(f"{where} has no .parquet files; give the folder that holds them.")
    return splits


def load_splits(where: str, advice: str, *args: str, **kwargs: object) -> Mapping[str, Any]:
    """Return the splits that `datasets.load_dataset` finds, its errors as one sentence that ends in `advice`."""
    import datasets

    if args[0] != "parquet":
        _reach(where, args[0], advice)
    try:
        loaded: Mapping[str, Any] = datasets.load_dataset(*args, **kwargs)
    # What load_dataset raises for missing, gated, scripted, torn and unreachable data; ConnectionError is an OSError.
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if datasets.config.HF_HUB_OFFLINE and args[0] != "parquet" else ""
        reason = " ".join(str(error.__cause__ or error).split())[:300].rstrip(".") or type(error).__name__
        raise InputError(f"cannot load {where}{offline}: {reason}; {advice}.") from error
    return loaded


def _reach(where: str, name: str, advice: str) -> None:
    """Refuse a data set at once that is nowhere here when the hub does not answer."""
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    cached = Path(datasets.config.HF_DATASETS_CACHE) / name.replace("/", "___")
    if datasets.config.HF_HUB_OFFLINE or Path(name).exists() or cached.exists():
        return
    with contextlib.suppress(HFValidationError):
        reach(lambda: HfApi().dataset_info(name, timeout=SECONDS), where, advice)


def gather(name: str, where: str, splits: Mapping[str, Any], *, grouped: bool) -> Gathered:
    """Read the rows of loaded splits; `grouped` uses a column `group`."""
    columns = find_columns(next(iter(splits.values())).features, where)
    chosen, stray = choose_splits(splits, columns, where)
    rows: list[Row] = []
    pairs: list[tuple[object, str]] = []
    for split, part in chosen.items():
        table = splits[split]
        groups = table["group"][:] if grouped and "group" in table.column_names else None
        numbers, spelled = spelled_labels(table, columns, f"the split {split} of {where}")
        pairs.extend(zip(numbers, spelled, strict=True))
        for i, picture in enumerate(cell_pictures(table, columns, f"{split} of {name}")):
            group = None if groups is None or groups[i] is None else str(groups[i])
            rows.append(Row(picture, spelled[i], f"row {i:07d} of {split}", part, group))
    if columns.named:
        return Gathered(name, where, rows, numbered_names(pairs, where), stray)
    if columns.names is None:
        refuse_numbers([label for label, _ in pairs], where)
    return Gathered(name, where, rows, columns.names, stray)


def choose_splits(
    splits: Mapping[str, Any], columns: Columns, where: str
) -> tuple[dict[str, Part | None], tuple[str, ...]]:
    """Return the splits to use, each with its part, and those left out: unknown names, hidden labels."""
    labelled = [split for split, table in splits.items() if len(table) and not _hidden(table, columns)]
    if not labelled:
        raise InputError(f"{where} has no labelled pictures; its splits are: {', '.join(splits) or 'none'}.")
    chosen: dict[str, Part | None] = {split: part_named(split) for split in labelled if part_named(split)}
    if not chosen and len(labelled) > 1:
        raise InputError(f"{where} has the splits {', '.join(splits)}, none of them called train, validation or test.")
    if not chosen:
        chosen = {labelled[0]: None}
    if len(set(chosen.values())) < len(chosen):
        raise InputError(f"{where} has two splits for one part ({', '.join(chosen)}); join them.")
    return chosen, tuple(f"split {split}" for split in splits if split not in chosen)


def _hidden(table: Any, columns: Columns) -> bool:
    """Whether a benchmark hides the labels of this split: all are -1 or absent."""
    return set(table.unique(columns.label)) <= {-1, None}


def spelled_labels(table: Any, columns: Columns, where: str) -> tuple[list[object], list[str]]:
    """Return each row's label as stored, and as a name."""
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


@dataclass(frozen=True)
class _Cell:
    """Reads the encoded bytes of one cell."""

    table: Any
    column: str
    row: int

    def __call__(self) -> bytes:
        value: dict[str, Any] | None = self.table[self.row][self.column]
        if not value or (value["bytes"] is None and not value["path"]):
            return b""
        return read_file(value["path"]) if value["bytes"] is None else bytes(value["bytes"])


def cell_pictures(table: Any, columns: Columns, of: str) -> Iterable[Picture]:
    """Yield the pictures of a split; their bytes are read when asked for."""
    from datasets import Image

    lazy = table.select_columns([columns.image]).cast_column(columns.image, Image(decode=False))
    stamps = [stamp_of(entry["filename"], os.stat(entry["filename"])) for entry in table.cache_files]  # noqa: PTH116
    inside = len(lazy) and (lazy[0][columns.image] or {}).get("bytes") is not None  # else they lie in files beside it
    stamp = "|".join(str(one) for one in stamps) if inside and None not in stamps else ""
    for i in range(len(lazy)):
        yield Picture(f"row {i} of {of}", _Cell(lazy, columns.image, i), f"{stamp}|{i}" if stamp else None)
