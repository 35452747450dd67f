"""`labels=several`: a table whose label cells name all classes that a picture shows, `cat|sofa`.

What k shots are, draw.py says. Where the table has no parts, they are cut class by class as ever, a picture counting
for the rarest class that it shows, which is its `label`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from ipo_prompts.experiments.data.assemble import Gathered, assemble, group_of
from ipo_prompts.experiments.data.dataset import DataSet, Item
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import tidy

BAR = "|"


def assemble_several(source: Gathered, seed: int, task: str | None) -> DataSet:
    """Build a data set of pictures that each show one class or more; see `assemble`.

    Raises:
        InputError: labels are numbers, or a cell has nothing beside a bar, or a name twice.
    """
    if source.class_names is not None:
        raise InputError(
            f"{source.where} has numbers as labels, and labels=several reads names; write cat{BAR}sofa as label, and "
            "take the column class_name out."
        )
    shown = [_names(row.class_name, f"{row.key} of {source.where}") for row in source.rows]
    classes = tuple(sorted({name for names in shown for name in names}))
    pairs = {(name, group_of(row)) for row, names in zip(source.rows, shown, strict=True) for name in names}
    size = Counter(name for name, _ in pairs)
    of_group: dict[str, str] = {}  # one for all variants of a picture
    for row, names in zip(source.rows, shown, strict=True):
        of_group.setdefault(group_of(row), min(names, key=lambda name: (size[name], name)))
    rows = [replace(row, class_name=of_group[group_of(row)]) for row in source.rows]
    data = assemble(replace(source, rows=rows, class_names=classes), seed, task)
    label = {name: i for i, name in enumerate(classes)}
    also = {
        id(row.picture): tuple(sorted(label[name] for name in names))
        for row, names in zip(source.rows, shown, strict=True)
    }

    def told(items: Iterable[Item]) -> tuple[Item, ...]:
        return tuple(replace(item, also=also[id(item.picture)]) for item in items)

    return replace(data, train=told(data.train), val=told(data.val), test=told(data.test), several=True)


def _names(cell: str, at: str) -> list[str]:
    names = [tidy(name) for name in cell.split(BAR)]
    if not all(names):
        raise InputError(f"{at} has the label {cell!r}, with nothing beside a {BAR}; write names between them.")
    if len(set(names)) < len(names):
        raise InputError(f"{at} has the label {cell!r}, which names a class twice; write it once.")
    return names
