"""Pictures without labels: which there are, and the classes that somebody names beside them.

    ipo optimize --data folder:HOLIDAY class_names=names.txt

The names are a text file with one a line, a YAML file with a list or a table (as `classes.yaml`, with synonyms), or a
list. A list says that the pictures have no labels; `labels=none` takes labels away that there are, so that what is
found without them can be compared. All pictures are in one part, and no label of theirs is kept anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.data.assemble import Gathered, group_of, labels_of
from ipo_prompts.experiments.data.dataset import UNLABELLED, DataSet, Item, checked_names, default_task
from ipo_prompts.experiments.data.sources import folder, hub, table
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.files import read_text, read_yaml
from ipo_prompts.metrics.template import as_read, every_name, named

Names = Mapping[Any, Any] | Sequence[Any]
GIVE = "class_names=names.txt, a text file with one name a line"
TABLES = ("csv", "parquet", "hf")
MOST_BYTES = 10_000_000
"""Of a file of names: a million of them."""


def read_class_names(given: str) -> Names:
    """Read the file that `class_names` names: a table or a list of YAML, else one name a line.

    Raises:
        InputError: it cannot be read, or names nothing.
    """
    file = Path(given).expanduser()
    if file.suffix.lower() in (".yaml", ".yml"):
        content = read_yaml(file, "the class names")
        if not isinstance(content, (dict, list)):
            raise InputError(f"{file} holds no class names; write a list of them, or a table such as sofa: [sofa].")
        return content
    lines = read_text(file, "the file of class names", MOST_BYTES, "text").splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise InputError(f"{file} names no class; write one name a line.")
    return found


def is_list(names: Names | None) -> bool:
    """Whether names say which classes there are, and nothing of labels: see the head of this file."""
    return names is not None and not isinstance(names, Mapping)


def gather_pictures(kind: str, rest: str, names: Names | None, *, hidden: bool) -> Gathered | None:
    """Gather the pictures of a folder or a table that has no labels, or a list of names; None for other data.

    Raises:
        InputError: there are labels beside a list of names, unless they are `hidden`; or pictures without either.
    """
    found: Gathered | None = None
    if kind == "folder" and (is_list(names) or folder.is_flat(rest)):
        found = folder.gather_all(rest)
        if names is not None and is_list(names) and not hidden:
            _refuse_labels(found, names)
    elif kind in TABLES and names is not None:
        labels, read = with_labels(kind, rest)
        if labels and is_list(names) and not hidden:
            raise both(f"{kind}:{rest} has a column of labels")
        found = read() if is_list(names) or not labels else None
    if found and names is None:
        raise InputError(
            f"{found.where} has pictures but no class folders; put the pictures of each class in a folder, or, if "
            f"they have no labels, name the classes: {GIVE}."
        )
    return found


def with_labels(kind: str, rest: str) -> tuple[bool, Callable[[], Gathered]]:
    """Return whether the table behind `csv`, `parquet` or `hf` has labels, and what reads its pictures alone.

    Raises:
        InputError: it cannot be read.
    """
    if kind == "csv":
        return table.has_labels(rest), partial(table.gather, rest, labelled=False)
    return hub.with_labels(kind, rest)


def _refuse_labels(found: Gathered, names: Names) -> None:
    tops = {as_read(row.key.partition("/")[0]) for row in found.rows if "/" in row.key}
    texts = [text for entry in names for text in (entry if isinstance(entry, list) else [entry])]
    if shared := sorted(tops & {as_read(text) for text in texts if isinstance(text, str)}):
        raise both(f"{found.where} has a folder {shared[0]!r}, as one of class_names is called")


def both(what: str) -> InputError:
    """Say that there are labels and a list of names; `what` tells that there are labels."""
    return InputError(
        f"{what}, so these pictures seem to have labels, and a list of class_names is for pictures that have none; "
        "leave class_names out to use the labels, or set labels=none so that nothing looks at them."
    )


def named_pictures(source: Gathered, names: Names, task: str | None) -> DataSet:
    """Return pictures without labels as a data set of the classes that are named.

    Raises:
        InputError: there are no pictures; or the names, which are fewer than two, too long, unusable, or shared.
    """
    if not source.rows:
        raise InputError(f"{source.where} has no pictures; put pictures there or name another source.")
    classes = classes_of(names)
    items = tuple(Item(row.picture, UNLABELLED, group_of(row)) for row in source.rows)
    return DataSet(
        name=source.name,
        class_names=classes,
        task=task or default_task(classes),
        train=items,
        val=(),
        test=(),
        variants=len({item.group for item in items}) < len(items),
        stray=source.stray,
        labelled=False,
    )


def classes_of(names: Names) -> tuple[str, ...]:
    """Return the classes that somebody named, in their order; of a table the keys stand for what has no name.

    >>> classes_of({"sofa": ["sofa", "couch"], "cat": "cat"})
    ('sofa', 'cat')

    Raises:
        InputError: see `named_pictures`.
    """
    pairs = list(names.items()) if isinstance(names, Mapping) else [(None, entry) for entry in names]
    found = []
    for number, (key, value) in enumerate(pairs, 1):
        what = f"class_names: the class {key!r}" if key is not None else f"class_names: entry {number}"
        found.append(named(checked_names(value, what, "sofa" if key is None else str(key))))
    if len(found) < 2:
        raise InputError(
            f"class_names has {len(found) or 'no'} name{'s' * (len(found) != 1)} and a classifier needs at least two "
            "classes; write one name a line."
        )
    labels_of(tuple(map(str, found)), "class_names")
    owner: dict[str, str] = {}
    for name in found:
        for one in every_name([name]):
            other = owner.setdefault(as_read(one), str(name))
            if other != str(name):
                raise InputError(
                    f"class_names calls both {other!r} and {str(name)!r} {one!r}; take it from one of them."
                )
    return tuple(found)


def without_labels(data: DataSet, names: Names | None) -> DataSet:
    """Return labelled pictures as ones that have no labels, all in one part; a list of names replaces the classes."""
    given = classes_of(names) if names is not None and is_list(names) else None
    classes = given or data.class_names
    own_task = data.task == default_task(data.class_names)
    return replace(
        data,
        class_names=classes,
        task=default_task(classes) if own_task else data.task,
        train=tuple(replace(item, label=UNLABELLED) for _, item in data.items()),
        val=(),
        test=(),
        unnamed=() if given else data.unnamed,
        renamed_from=() if given else data.renamed_from,
        labelled=False,
    )
