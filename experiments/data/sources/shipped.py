"""`embedded[:NAME]`: the pictures that ship with IPO; NAME is a domain, the first one by default, or operations.

`embedded:OP+OP` is the clean domain rendered with these operations: same parts, classes and base pictures.
"""

from __future__ import annotations

import json

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.data.assemble import Gathered, SourceRow
from ipo_prompts.experiments.data.dataset import PARTS
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.pictures import Picture


def gather(rest: str) -> Gathered:
    """Read the shipped split; no picture is opened or rendered.

    Raises:
        InputError: no such domain or operation, or a suite of many data sets.
    """
    from ipo_prompts.experiments.embedded import shifts  # which loads numpy

    name = rest or embedded.DOMAINS[0]
    operations: tuple[str, ...] = ()
    if name in shifts.SUITES:
        sets = shifts.suite(name)
        raise InputError(
            f"embedded:{name} stands for {len(sets)} data sets and is for the data of a grid, such as `ipo benchmark "
            f"suite`; name one of them here, such as {sets[0]}."
        )
    if name not in embedded.DOMAINS:
        operations = shifts.operations_of(name)
        name = shifts.name_of(operations)
    folder = embedded.PICTURES_DIR / (embedded.CLEAN if operations else name)
    split = json.loads(embedded.SPLIT_FILE.read_text(encoding="utf-8"))
    rows = []
    for part in PARTS:
        for path, _, class_name, base in split[part]:
            picture = Picture.from_path(folder / path)
            if operations:
                picture = shifts.shifted(picture, path, operations)
            rows.append(SourceRow(picture, class_name, path, part, base))
    return Gathered(f"embedded:{name}", f"the embedded pictures {name!r}", rows, tuple(split["classes"]))
