"""`embedded[:NAME]`: the pictures that ship with IPO; NAME is a domain, the first one by default, or operations.

`embedded:OP+OP` is the clean domain rendered with these operations: same parts, classes and base pictures.
`embedded:held-back/OP+OP` is the same of other base pictures, which no CLIP of ours has met, of fewer classes. With
`@SEED` behind it a set has a seed of its own, which draws its parts, too. `clean` stands for no operation.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import Any

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.data.assemble import Gathered, SourceRow
from ipo_prompts.experiments.data.dataset import PARTS
from ipo_prompts.metrics.pictures import Picture


def gather_shipped(rest: str) -> Gathered:
    """Read a shipped table; no picture is opened or rendered.

    Raises:
        InputError: no such domain or operation.
    """
    from ipo_prompts.experiments.embedded import shifts  # which loads numpy

    name = rest or embedded.DOMAINS[0]
    of = None if name in embedded.DOMAINS else shifts.set_of(name)
    folder = name if of is None else of.base or embedded.CLEAN_DOMAIN
    name = name if of is None else of.name
    file = embedded.HELD_BACK_FILE if folder == embedded.HELD_BACK else embedded.SPLIT_FILE
    table = json.loads(file.read_text(encoding="utf-8"))
    if of and of.seed:
        _draw_parts(table, of.seed)
    rows = []
    for part in PARTS:
        for path, _, class_name, base in table[part]:
            picture = Picture.from_path(embedded.PICTURES_DIR / folder / path)
            if of:
                picture = shifts.shifted(picture, path, of)
            rows.append(SourceRow(picture, class_name, path, part, base))
    return Gathered(f"embedded:{name}", f"the embedded pictures {name!r}", rows, tuple(table["classes"]))


def _draw_parts(table: dict[str, Any], seed: int) -> None:
    """Deal the pictures of each class to the parts anew; each part keeps its number of them."""
    by_class: dict[str, list[Any]] = defaultdict(list)
    for row in (row for part in PARTS for row in table[part]):
        by_class[row[2]].append(row)
    for name, rows in by_class.items():
        random.Random(f"{seed}/{name}").shuffle(rows)
    for part in PARTS:
        table[part] = [by_class[row[2]].pop() for row in table[part]]
