"""`embedded[:NAME]`: the pictures that ship with IPO; NAME is the domain, the first one by default."""

from __future__ import annotations

import json
from typing import Any

from ipo.experiments import embedded
from ipo.experiments.data.assemble import Gathered, Row
from ipo.experiments.data.dataset import PARTS
from ipo.metrics.errors import InputError
from ipo.metrics.nearest import did_you_mean
from ipo.metrics.pictures import Picture

_SCHEMA = 1


def gather(rest: str) -> Gathered:
    """Read the shipped split; no picture is opened.

    Raises:
        InputError: no such domain, or the installation lacks the files.
    """
    domain = rest or embedded.DOMAINS[0]
    if domain not in embedded.DOMAINS:
        known = [f"embedded:{name}" for name in embedded.DOMAINS]
        hint = did_you_mean(rest, embedded.DOMAINS)
        raise InputError(f"there are no pictures embedded:{domain}; there are: {', '.join(known)}{hint}.")
    where = f"the embedded pictures {domain!r}"
    folder = embedded.PICTURES_DIR / domain
    split = _split(where)
    names = tuple(split["classes"])
    rows = []
    for part in PARTS:
        for path, label, name, base in split[part]:
            if names[label] != name:
                raise InputError(
                    f"{where} call the label {label} {name!r} and {names[label]!r}; reinstall ipo-prompts."
                )
            rows.append(Row(Picture.from_path(folder / path), name, path, part, base))
    return Gathered(f"embedded:{domain}", where, rows, names)


def _split(where: str) -> dict[str, Any]:
    try:
        split: dict[str, Any] = json.loads(embedded.SPLIT_FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{where} are not in this installation ({error}); reinstall ipo-prompts.") from error
    if split.get("schema") != _SCHEMA:
        raise InputError(f"{where} have the schema {split.get('schema')!r}, not {_SCHEMA}; reinstall ipo-prompts.")
    return split
