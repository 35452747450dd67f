"""The published numbers, each with its source: shown beside or below ours, never mixed with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import Field

from ipo.experiments.compare.text_table import text_table
from ipo.experiments.run.files import Content

Values = dict[str, float]
"""Column → percent."""


class Published(Content):
    """One method's printed numbers under one protocol. `shots` None: the method uses none and fits every count."""

    protocol: Literal["base-to-new", "cross-dataset", "domain-generalization"]
    shots: int | None
    method: str
    label: str
    source: str
    checked: bool
    note: str = ""
    rows: dict[str, Values] = Field({})
    average: Values = Field({})


class Ablation(Content):
    """One ablation: what was varied (`setting`, our key for it), `where`, and the numbers per value."""

    factor: str
    setting: str
    where: str
    source: str
    checked: bool
    note: str = ""
    values: dict[str, Values]


class Library(Content):
    """The whole of `published.yaml`."""

    version: Literal[1] = Field(alias="schema")
    aliases: dict[str, str]
    tables: list[Published]
    ablations: list[Ablation]


class PublishedRow(NamedTuple):
    """A published row beside ours: percent per column; `data` is our name of the data set, None for an average row."""

    data: str | None
    method: str
    label: str
    values: Values
    source: str
    checked: bool
    note: str


@cache
def library() -> Library:
    """Read `published.yaml`."""
    content = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return Library.model_validate(content)


def data_key(name: str) -> str:
    """Reduce a data set's name to the key of `published.yaml`: lower case, letters and digits, aliases resolved.

    A place after a colon does not count: `eurosat:ROOT` is eurosat; `folder:eurosat` is not.

    >>> data_key("Oxford-Pets") == data_key("pets:data/pets") == "oxfordpets"
    True
    """
    known = {one for table in library().tables for data, row in table.rows.items() for one in (data, *row)}
    for part in (name, name.partition(":")[0]):
        key = re.sub("[^a-z0-9]", "", part.lower())
        key = library().aliases.get(key, key)
        if key in known:
            return key
    return name


def published_rows(protocol: str, shots: int | None, data: Iterable[str]) -> list[PublishedRow]:
    """Return what was published for a table of ours.

    Args:
        protocol: as in our cells.
        shots: search pictures per class; None leaves out methods that need shots.
        data: our data sets, under any of their usual names. The published average row comes only with exactly the 11
            data sets that it averages.

    Returns:
        Rows in the order of `published.yaml`, of each method first its data sets and then its average.
    """
    names = {data_key(name): name for name in data}
    rows = []
    eleven = set(library().tables[0].rows)
    for table in library().tables:
        if table.protocol != protocol or table.shots not in (None, shots):
            continue
        found = [(name, table.rows[key]) for key, name in names.items() if key in table.rows]
        average = [(None, table.average)] if table.average and set(names) == eleven else []
        origin = (table.source, table.checked, table.note)
        rows += [PublishedRow(name, table.method, table.label, row, *origin) for name, row in [*found, *average]]
    return rows


def ablated_settings() -> list[str]:
    """Return the settings that were varied in the published ablations."""
    return list(dict.fromkeys(part for one in library().ablations for part in one.setting.split(", ")))


def ablations_of(setting: str | None) -> list[Ablation]:
    """Return the published ablations that vary a setting, alone or with another; none for None."""
    return [one for one in library().ablations if setting in one.setting.split(", ")]


def section(ablation: Ablation) -> str:
    """Return an ablation as Markdown: its values, where they were measured, and their source."""
    columns = list(dict.fromkeys(column for values in ablation.values.values() for column in values))
    rows = [
        [name, *(f"{found[column]:.2f}" if column in found else "" for column in columns)]
        for name, found in ablation.values.items()
    ]
    checked = "" if ablation.checked else " Not checked against the source."
    note = f" {ablation.note}" if ablation.note else ""
    source = f"Percent, {ablation.where}. Source: {ablation.source}.{checked}{note}"
    return f"\n### Published: {ablation.factor}\n\n{text_table([ablation.factor, *columns], rows)}\n\n{source}\n"
