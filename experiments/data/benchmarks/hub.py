"""Loads a registered data set from a root, `--data eurosat`, or from the Hugging Face hub, `--data eurosat:hf`.

The copies on the hub hold the pictures but not the benchmark's split. If a copy stores the names of its files and the
split file is below the root, the pictures get the order and the parts of the split file, which is the official split.
Otherwise the copy's own parts are used, and `DataSet.split` says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from ipo_prompts.experiments.data.assemble import assemble, check_parts
from ipo_prompts.experiments.data.benchmarks import (
    REGISTRY,
    ROOT_VARIABLE,
    LabelledParts,
    Registered,
    default_root,
    find_folder,
    local,
    official_data,
)
from ipo_prompts.experiments.data.dataset import DIFFERENT, PARTS, DataSet, Item, Part
from ipo_prompts.experiments.data.sources import hub
from ipo_prompts.metrics.decoding import AS_STORED
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture


def load_registered(entry: Registered, rest: str, seed: int, task: str | None) -> DataSet:
    """Load a registered data set. `rest` is the text behind its name in the spec; see `load_data`."""
    if rest == "hf" or rest.startswith("hf:"):
        return load_copy(entry, rest[3:], seed, task).on(AS_STORED)
    return official_data(entry, local.READERS[entry.rule](entry, find_folder(entry, rest)), task)


OFFICIAL = {name: partial(load_registered, entry) for name, entry in REGISTRY.items()}


def load_copy(entry: Registered, given: str, seed: int, task: str | None) -> DataSet:
    """Load the copy of a registered data set on the Hugging Face hub.

    Args:
        entry: the data set.
        given: the id of another copy, or a folder on this machine; "" takes the registered id.
        seed: the seed with which missing parts are cut, if the copy's own parts are used.
        task: replaces the registered task; None keeps it.

    Raises:
        InputError: the copy cannot be used or loaded, or its classes or parts do not fit.
    """
    if not entry.hub.usable and not given:
        raise InputError(
            f"the Hugging Face copy of {entry.title}, {entry.hub.id}, cannot be used: {entry.hub.caveat}; read "
            f"{entry.name} from a root in the CoOp layout."
        )
    source = given or entry.hub.id
    where = f"the Hugging Face data set {source}"
    advice = f"its caveat: {entry.hub.caveat}; {entry.name}:PATH_OF_ROOT reads {entry.title} from a local root"
    splits = hub.load_splits(where, advice, source)
    name = f"{entry.name}:hf"
    if entry.twins:
        return official_data(entry, _by_wnid(entry, splits, where), task, name)
    found, reason = _by_file_name(entry, splits, where)
    if found:
        return official_data(entry, found, task, name)
    read = hub.gather_splits(name, where, splits)
    rows = [replace(row, class_name=entry.hub.spelled(row.class_name)) for row in read.rows]
    names = tuple(map(entry.hub.spelled, read.class_names)) if read.class_names else None
    data = assemble(replace(read, rows=rows, class_names=names), seed, task or entry.task)
    check_parts({part: data.part(part) for part in PARTS}, data.class_names, where)
    classes = len(data.class_names)
    if classes != entry.classes:
        reason += f"; {classes} classes where the official split has {entry.classes}"
    return replace(data, hand_written=entry.hand_written, split=f"{DIFFERENT}the parts of {source}, because {reason}")


def _by_file_name(entry: Registered, splits: Mapping[str, Any], where: str) -> tuple[LabelledParts | None, str]:
    """Return the copy's pictures in the order and the parts of the split file, and "".

    If that is impossible, return None and the reason.
    """
    if entry.split_file is None:
        return None, f"the lists that split {entry.title} are used with a local root only"
    root = default_root()
    file = root / entry.folder / entry.split_file if root else None
    if file is None or not file.is_file():
        return None, f"there is no {entry.split_file} in {entry.folder}/ below {ROOT_VARIABLE}"
    split = local.parse_split(file)
    named = list(_named_pictures(entry, splits, where))
    pictures = dict(named)
    stems = [PurePosixPath(row.path).stem for part in PARTS for row in split[part]]
    absent = sum(stem not in pictures for stem in stems)
    if absent:
        return None, f"{absent} of the {len(stems)} files of the split are not named there"
    if len(set(stems)) < len(stems) or len(pictures) < len(named):
        return None, "several pictures have one file name"
    parts: dict[Part, list[Item]] = {
        part: [Item(pictures[PurePosixPath(row.path).stem], row.label, row.path) for row in split[part]]
        for part in PARTS
    }
    return LabelledParts(f"{where} in the parts of {file}", local.split_names(split, file), parts), ""


def _named_pictures(entry: Registered, splits: Mapping[str, Any], where: str) -> Iterator[tuple[str, Picture]]:
    columns = hub.find_columns(next(iter(splits.values())).features, where)
    for split, table in splits.items():
        for name, picture in zip(
            _file_names(table, columns.image, entry.hub.key),
            hub.cell_pictures(table, columns, f"{split} of {entry.name}:hf"),
            strict=True,
        ):
            if name:
                yield PurePosixPath(name).stem, picture


def _file_names(table: Any, image: str, key: str | None) -> list[str | None]:
    if key in table.column_names:
        return [None if value is None else str(value) for value in table[key][:]]
    # The stored paths are read from the table itself, because reading rows would read every picture.
    return [path for chunk in table.data.column(image).chunks for path in chunk.field("path").to_pylist()]


def _by_wnid(entry: Registered, splits: Mapping[str, Any], where: str) -> LabelledParts:
    """Read a copy of ImageNet or of a shifted version: rows have WordNet ids, and `classnames.txt` has their names."""
    root = default_root()
    if root is None:
        raise InputError(
            f"{entry.name}:hf needs CLIP's class names, from imagenet/classnames.txt below {ROOT_VARIABLE}, which is "
            "not set; set it to a root in the CoOp layout."
        )
    names = local.class_names(entry, root / entry.folder)
    columns = hub.find_columns(next(iter(splits.values())).features, where)
    chosen, stray = hub.choose_splits(splits, columns, where)
    wnids = {split: _wnids(splits[split], columns.label, names, where) for split in chosen}
    present = sorted(set().union(*wnids.values()))
    labels = {wnid: label for label, wnid in enumerate(present)}
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    for split, part in chosen.items():
        # The benchmark tests on ImageNet's val pictures. The shifted versions are only for testing.
        kept: Part = "train" if part == "train" and entry.rule == "imagenet" else "test"
        pictures = hub.cell_pictures(splits[split], columns, f"{split} of {entry.name}:hf")
        for i, (wnid, picture) in enumerate(zip(wnids[split], pictures, strict=True)):
            parts[kept].append(Item(picture, labels[wnid], f"row {i:07d} of {split}"))
    return LabelledParts(where, local.clip_names(present, names, where), parts, stray)


def _wnids(table: Any, label: str, names: Mapping[str, str], where: str) -> list[str]:
    if "wnid" in table.column_names:
        return [str(value) for value in table["wnid"][:]]
    labels = table[label][:]
    spelled = getattr(table.features[label], "names", None)
    if spelled and all(local.WNID.fullmatch(name) for name in spelled):
        return [spelled[number] for number in labels]
    if spelled and len(spelled) == len(names):  # ImageNet's labels number the sorted WordNet ids
        order = list(names)
        return [order[number] for number in labels]
    if labels and all(local.WNID.fullmatch(str(value)) for value in labels):
        return [str(value) for value in labels]
    raise InputError(
        f"{where} does not give its classes by WordNet id, in a column wnid or as labels, and {len(names)} names "
        "cannot be matched to it; read the data set from a root in the CoOp layout."
    )
