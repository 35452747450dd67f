"""Published numbers with their sources, shown beside or below ours and never mixed with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from ipo_prompts.experiments.run.files import Content, read_settings
from ipo_prompts.metrics.errors import input_error
from ipo_prompts.metrics.template import problem

Values = dict[str, float]
"""Column → value in percent."""

TEMPLATE = "initial_template"
"""The setting whose published ablations are tables of printed templates."""


Follows = dict[str, Values]
"""Row → column → the value that follows from a printed number's neighbours, if it differs from the printed number."""


class Published(Content):
    """A method's printed numbers under one protocol.

    `shots` is None for a method that uses no shots: its numbers stand beside tables of any number of shots. `note` is
    about all rows. `notes` has notes about one data set or about the average.
    """

    protocol: Literal["base-to-new", "cross-dataset"]
    shots: int | None
    method: str
    label: str
    source: str
    note: str = ""
    notes: dict[str, str] = Field({})
    follows: Follows = Field({})
    rows: dict[str, Values] = Field({})
    average: Values = Field({})


class Ablation(Content):
    """One published ablation.

    `factor` is the name of the thing that was varied, and `setting` is our key for it. `where` says where the numbers
    were measured. `values` has the numbers for each value of the factor: value → column → percent.
    """

    factor: str
    setting: str
    where: str
    source: str
    note: str = ""
    follows: Follows = Field({})
    values: dict[str, Values]


class TemplateRow(Content):
    """A printed template with its printed accuracies in percent; H is the harmonic mean of base and new.

    `decides` is False where the numbers are not one measurement of one CLIP, for instance where they are means over
    seeds.
    """

    template: str
    base: float = Field(ge=0, le=100)
    new: float = Field(ge=0, le=100)
    H: float = Field(ge=0, le=100)
    follows: Values = Field({})
    decides: bool = True
    note: str = ""

    @field_validator("template")
    @classmethod
    def _valid(cls, template: str) -> str:
        wrong = problem(template)
        if wrong:
            raise ValueError(f"the template {template[:80]!r} cannot be used: {wrong}")
        return template


class TemplateTable(Content):
    """Printed templates of one data set. `data` is a spec for `load_data`; if `decides` is False, no row decides."""

    data: str
    source: str
    checked: bool
    decides: bool = True
    note: str = ""
    rows: tuple[TemplateRow, ...] = Field(min_length=1)


class Library(Content):
    """The content of `published.yaml`. In a user's own file, tables and ablations may be left out."""

    version: Literal[1] = Field(alias="schema")
    aliases: dict[str, str] = Field({})
    tables: list[Published] = Field([])
    ablations: list[Ablation] = Field([])
    templates: list[TemplateTable] = Field([])


@cache
def library() -> Library:
    """Read `published.yaml`."""
    return read_library(Path(__file__).with_name("published.yaml"))


def read_library(file: Path) -> Library:
    """Read a file of published numbers.

    Raises:
        InputError: the file cannot be read, or has another form; the message names the fault.
    """
    try:
        return Library.model_validate(read_settings(file))
    except ValidationError as error:
        raise input_error(error, str(file)) from error


@cache
def data_key(name: str) -> str:
    """Reduce a data set's name to the key of `published.yaml`: lower case, letters and digits, aliases resolved.

    A path after a colon does not count: `eurosat:ROOT` is eurosat, but `folder:eurosat` is not.

    >>> data_key("Oxford-Pets") == data_key("pets:data/pets") == "oxfordpets"
    True
    """
    known = {one for table in library().tables for data, row in table.rows.items() for one in (data, *row)}
    parts = (re.sub("[^a-z0-9]", "", part.lower()) for part in (name, name.partition(":")[0]))
    keys = [library().aliases.get(part, part) for part in parts]
    return next((key for key in keys if key in known), name)


def published_rows(protocol: str, shots: int | None, data: Iterable[str]) -> list[dict[str, Any]]:
    """Return the published numbers that belong beside one of our tables, as lines of its frame.

    Args:
        protocol: the protocol, as in our cells.
        shots: search pictures per class; None leaves out methods that need shots.
        data: our data sets, under any of their usual names. The published average row is returned only for exactly the
            11 data sets that it averages.

    Returns:
        Lines in the order of `published.yaml`; for each method its data sets, then its average.
    """
    names = {data_key(name): name for name in data}
    if set(names) == set(library().tables[0].rows):
        names["average"] = "average"
    lines = []
    for table in library().tables:
        printed = {**table.rows, "average": table.average}
        for key, name in names.items():
            if table.protocol == protocol and table.shots in (None, shots) and key in printed:
                found = contradictions(printed[key], table.follows.get(key, {}))
                remark = " ".join(filter(None, [f"{table.source}.", table.note, *found, table.notes.get(key, "")]))
                about = {"data": name, "split": "official", "method": table.label, "origin": "published"}
                lines += [
                    {**about, "column": column, "value": x / 100, "remark": remark}
                    for column, x in printed[key].items()
                ]
    return lines


def contradictions(printed: Values, follows: Values) -> list[str]:
    """Return a sentence for each printed number that contradicts its neighbours."""
    return [
        f"The printed {column} ({printed[column]:.2f}) does not follow from its neighbours, which give {value:.2f}."
        for column, value in follows.items()
    ]


def ablated_settings() -> list[str]:
    """Return the settings that published ablations varied."""
    return list(dict.fromkeys([*(part for one in library().ablations for part in one.setting.split(", ")), TEMPLATE]))


def ablations_of(setting: str | None, data: Iterable[str]) -> list[Ablation]:
    """Return the published ablations that vary a setting, alone or with another setting. None gives an empty list.

    For `initial_template`, each ablation is the printed templates of one of the data sets `data`.
    """
    if setting == TEMPLATE:
        keys = {data_key(name) for name in data}
        return [_as_ablation(table) for table in library().templates if data_key(table.data) in keys]
    return [one for one in library().ablations if setting in one.setting.split(", ")]


def _as_ablation(table: TemplateTable) -> Ablation:
    """Return a table of printed templates as an ablation. If a template is printed twice, only the first row counts."""
    rows: dict[str, TemplateRow] = {}
    for row in table.rows:
        rows.setdefault(row.template, row)
    return Ablation(
        factor="template",
        setting=TEMPLATE,
        where=data_key(table.data),
        source=table.source,
        note=table.note,
        follows={name: row.follows for name, row in rows.items() if row.follows},
        values={name: {"base": row.base, "new": row.new, "H": row.H} for name, row in rows.items()},
    )
