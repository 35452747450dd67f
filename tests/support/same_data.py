"""What two data sets must share to be the same data: names, labels, groups, parts and bytes, in order."""

from __future__ import annotations

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.metrics.template import written


def content(data: DataSet) -> object:
    """Return what identifies a data set, whatever its images and groups are called."""
    groups: dict[str, int] = {}
    rows = [
        (part, item.label, groups.setdefault(item.group, len(groups)), item.image.content())
        for part, item in data.items()
    ]
    return written(data.class_names), rows
