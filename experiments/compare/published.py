"""Published numbers with their sources, shown beside or below ours and never mixed with them.

All are in `published.yaml`, in percent. `tables` are the numbers of a method under a protocol. A method without `shots`
stands beside tables of any number of shots. `note` is about all its rows; `notes` are about one data set or the
average. `ablations` have the numbers for each value of a `factor`; `setting` is our key for it, and `where` says where
they were measured. `templates` are the printed templates of a data set. `follows` has the value that follows from a
printed number's neighbours, if it differs from the printed number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ipo_prompts.experiments.run.files import read_settings

TEMPLATE = "initial_template"
"""The setting whose published ablations are tables of printed templates."""


@cache
def library() -> dict[str, Any]:
    """Read `published.yaml`."""
    return read_settings(Path(__file__).with_name("published.yaml"))


@cache
def data_key(name: str) -> str:
    """Reduce a data set's name to the key of `published.yaml`: lower case, letters and digits, aliases resolved.

    A path after a colon does not count: `eurosat:ROOT` is eurosat, but `folder:eurosat` is not.

    >>> data_key("Oxford-Pets") == data_key("pets:data/pets") == "oxfordpets"
    True
    """
    rows = [table.get("rows", {}) for table in library()["tables"]]
    known = {one for table in rows for data, row in table.items() for one in (data, *row)}
    parts = (re.sub("[^a-z0-9]", "", part.lower()) for part in (name, name.partition(":")[0]))
    keys = [library()["aliases"].get(part, part) for part in parts]
    return next((key for key in keys if key in known), name)


def published_rows(protocol: str, shots: int | None, data: Iterable[str]) -> list[dict[str, Any]]:
    """Return the published numbers that belong beside one of our tables, as lines of its frame.

    Args:
        protocol: the protocol, as in our cells.
        shots: train images per class; None leaves out methods that need shots.
        data: our data sets, under any of their usual names. The published average row is returned only for exactly the
            11 data sets that it averages.

    Returns:
        Lines in the order of `published.yaml`; for each method its data sets, then its average.
    """
    names = {data_key(name): name for name in data}
    if set(names) == set(library()["tables"][0]["rows"]):
        names["average"] = "average"
    lines = []
    for table in library()["tables"]:
        printed = {**table.get("rows", {}), "average": table.get("average", {})}
        for key, name in names.items():
            if table["protocol"] == protocol and table["shots"] in (None, shots) and key in printed:
                found = contradictions(printed[key], table.get("follows", {}).get(key, {}))
                notes = [f"{table['source']}.", table.get("note"), *found, table.get("notes", {}).get(key)]
                about = {"data": name, "split": "official", "method": table["label"], "origin": "published"}
                about["remark"] = " ".join(filter(None, notes))
                lines += [{**about, "column": column, "value": x / 100} for column, x in printed[key].items()]
    return lines


def contradictions(printed: Mapping[str, float], follows: Mapping[str, float]) -> list[str]:
    """Return a sentence for each printed number that contradicts its neighbours."""
    return [
        f"The printed {column} ({printed[column]:.2f}) does not follow from its neighbours, which give {value:.2f}."
        for column, value in follows.items()
    ]


def ablations_of(setting: str | None, data: Iterable[str]) -> list[dict[str, Any]]:
    """Return the published ablations that vary a setting, alone or with another setting. None gives an empty list.

    For `initial_template`, each ablation is the printed templates of one of the data sets `data`. If a template is
    printed twice, only the first row counts.
    """
    found = [one for one in library()["ablations"] if setting in one["setting"].split(", ")]
    if setting == TEMPLATE:
        keys = {data_key(name) for name in data}
        found = [_as_ablation(table) for table in library()["templates"] if data_key(table["data"]) in keys]
    return [{"note": "", "follows": {}, **one} for one in found]


def _as_ablation(table: dict[str, Any]) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    for row in table["rows"]:
        rows.setdefault(row["template"], row)
    return {
        "factor": "template",
        "setting": TEMPLATE,
        "where": data_key(table["data"]),
        "source": table["source"],
        "note": table.get("note", ""),
        "follows": {name: row["follows"] for name, row in rows.items() if "follows" in row},
        "values": {name: {column: row[column] for column in ("base", "new", "H")} for name, row in rows.items()},
    }
