"""Builds a data set from the rows of a source: checks the rows, numbers the classes, and cuts the parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.data.dataset import PARTS, DataSet, Item, Part, default_task
from ipo_prompts.experiments.data.draw import cut, settle_parts
from ipo_prompts.metrics.errors import InputError, invisible
from ipo_prompts.metrics.pictures import Picture
from ipo_prompts.metrics.template import SLOT, as_read, tidy

BAR = "|"
"""The character between the names of a label that names several classes, such as `cat|sofa`."""


@dataclass(frozen=True)
class SourceRow:
    """One picture of a source.

    Attributes:
        picture: the picture; its file is read only when the pixels are needed.
        class_name: the class's name, as the source spells it.
        key: a name of the picture that is the same on every machine: its relative path, or its row number.
        part: the part that the source assigns; None if the source assigns none.
        group: the name of the base picture; None if the picture is its own base picture.
        fault: the error that says why there is no file; None if there is one. Reading `picture` raises the same error.
    """

    picture: Picture
    class_name: str
    key: str
    part: Part | None = None
    group: str | None = None
    fault: InputError | None = None


def row_of_file(
    path: Path, class_name: str, key: str, part: Part | None, group: str | None = None, *, said: str = ""
) -> SourceRow:
    """Return the row of a picture file. If the file is missing, the row has a fault, whose text begins with `said`."""
    try:
        return SourceRow(Picture.from_path(path), class_name, key, part, group)
    except InputError as error:
        fault = InputError(f"{said}{error}")
        return SourceRow(Picture.absent(path, fault), class_name, key, part, group, fault)


@dataclass(frozen=True)
class Gathered:
    """The pictures of a source, before they are made into a data set.

    Attributes:
        name: the data set's short name.
        where: the source's name in messages.
        rows: one row for each picture, in an order that is the same on every machine.
        class_names: the class names in label order; None stands for the sorted class names of the rows.
        stray: the names of files and splits that were left out.
        names: class → its names in prompts; None if the source gives no such names. See dataset.py.
    """

    name: str
    where: str
    rows: list[SourceRow]
    class_names: tuple[str, ...] | None = None
    stray: tuple[str, ...] = ()
    names: Mapping[Any, Any] | None = None


def assemble(source: Gathered, seed: int, task: str | None) -> DataSet:
    """Check the rows, cut the parts that the source lacks (by the rule in draw.py), and build the data set.

    A class without pictures is no error here, because `exclude` may still leave it out. If it does not, `load_data`
    raises the error.

    Raises:
        InputError: there are no pictures; `labels_of` refuses the class names; a group is in two classes or two parts;
            only some rows have a part; or there are val and test parts but no train part.
    """
    where = source.where
    if not source.rows:
        raise InputError(f"{where} has no pictures; put pictures there or name another source.")
    names = source.class_names or tuple(sorted({row.class_name for row in source.rows}))
    labels = labels_of(names, where)
    _whole_groups(source)
    place = _places(source, labels, seed)
    parts: dict[Part, list[Item]] = {part: [] for part in PARTS}
    for row in source.rows:
        group = group_of(row)
        parts[place[group]].append(Item(row.picture, labels[row.class_name], group))
    clean = tuple(tidy(name) for name in names)
    return DataSet(
        name=source.name,
        class_names=clean,
        task=task or default_task(clean),
        train=tuple(parts["train"]),
        val=tuple(parts["val"]),
        test=tuple(parts["test"]),
        variants=len(place) < len(source.rows),
        stray=source.stray,
    )


def refuse_several(source: Gathered) -> None:
    """Refuse a table if most of its labels name several classes; a few names of classes may have a bar.

    Raises:
        InputError: most labels have a bar, such as `cat|sofa`.
    """
    barred = [row.class_name for row in source.rows if BAR in row.class_name]
    if 2 * len(barred) > len(source.rows):
        raise InputError(
            f"{source.where} has labels such as {barred[0]!r}, and several labels of a picture are not supported; an "
            "own reward is the way: ipo docs own-reward."
        )


def check_parts(parts: Mapping[Part, Sequence[Item]], names: Sequence[str], where: str, needed: Sequence[Part]) -> None:
    """Check that each needed part has pictures of every class.

    Raises:
        InputError: a part has no picture of a class; the message names the part and the class.
    """
    for part in needed:
        missing = sorted(set(range(len(names))) - {item.label for item in parts[part]})
        if missing:
            raise InputError(
                f"the class {names[missing[0]]!r} (label {missing[0]}) has no pictures in the {part} part of {where} "
                f"({len(missing)} of {len(names)} classes have none); every class needs pictures in each part."
            )


def labels_of(names: tuple[str, ...], where: str) -> dict[str, int]:
    """Return a table of class name → label. Labels count from 0 in the order of `names`.

    Raises:
        InputError: there are fewer than two classes, a name is blank or contains the slot of templates, or two names
            look the same in a prompt.
    """
    if len(names) < 2:
        raise InputError(
            f"{where} has one class only ({names[0]!r}) and a classifier needs at least two; "
            "is the folder or the label column one level too deep?"
        )
    seen: dict[str, str] = {}
    for name in names:
        read = as_read(name)
        if all(one == " " or invisible(one) for one in read):
            raise InputError(f"{where} has a class whose name {name!r} is blank; give it a name.")
        if SLOT in name:
            raise InputError(
                f"{where} has a class whose name {name!r} has {SLOT} in it, which stands for the name in templates; "
                "rename it."
            )
        if read in seen:
            raise InputError(
                f"{where} has two classes, {seen[read]!r} and {name!r}, that read the same in a prompt; "
                "rename one or join them."
            )
        seen[read] = name
    return {name: label for label, name in enumerate(names)}


def _whole_groups(source: Gathered) -> None:
    first: dict[str, SourceRow] = {}
    for row in source.rows:
        known = first.setdefault(group_of(row), row)
        if known is row:
            continue
        for what, one, other in (("class", known.class_name, row.class_name), ("part", known.part, row.part)):
            if one != other:
                raise InputError(
                    f"the group {group_of(row)!r} of {source.where} is in two "
                    f"{what}{'es' if what == 'class' else 's'}: {known.key} is in {one!r} and {row.key} in {other!r}; "
                    "variants of one picture belong together."
                )


def _places(source: Gathered, labels: dict[str, int], seed: int) -> dict[str, Part]:
    """Return a table of group → part: the source's parts, or parts that are cut here."""
    given = {row.part for row in source.rows}
    if None in given and len(given) > 1:
        lost = next(row for row in source.rows if row.part is None)
        raise InputError(f"{lost.key} of {source.where} has no split while others have one; give it one.")
    served = settle_parts({part for part in given if part}, source.where)
    groups: dict[int, set[str]] = defaultdict(set)
    for row in source.rows:
        if served is None or row.part == "train":
            groups[labels[row.class_name]].add(group_of(row))
    if served is None:
        return cut(groups, seed, test=True)
    places = {group_of(row): served[row.part] for row in source.rows if row.part}
    if "val" not in served.values():
        places |= cut(groups, seed, test=False)
    return places


def group_of(row: SourceRow) -> str:
    """Return the name of a row's base picture; a row that names no base picture is its own base picture."""
    return row.key if row.group is None else row.group
