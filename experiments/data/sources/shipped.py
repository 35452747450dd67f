"""`embedded[:NAME]`: the pictures that ship with IPO. NAME is a domain, by default the first domain.

`embedded:OP+OP` is the clean domain, rendered with the transformations that are joined by +. Parts, classes and base
pictures are the same in all these data sets.
"""

from __future__ import annotations

import json

from ipo_prompts.experiments import embedded
from ipo_prompts.experiments.data.assemble import Gathered, SourceRow
from ipo_prompts.experiments.data.dataset import PARTS
from ipo_prompts.metrics.pictures import Picture


def gather_shipped(rest: str) -> Gathered:
    """Read the shipped table; no picture is opened or rendered.

    Raises:
        InputError: there is no such domain or transformation.
    """
    from ipo_prompts.experiments.embedded import shifts  # imported here because it loads numpy

    name, transformations, folder = rest or embedded.DOMAINS[0], None, rest or embedded.DOMAINS[0]
    if name not in embedded.DOMAINS:
        transformations, folder = shifts.transformations_of(name), embedded.CLEAN_DOMAIN
        name = shifts.name_of_set(transformations)
    table = json.loads(embedded.SPLIT_FILE.read_text(encoding="utf-8"))
    rows = []
    for part in PARTS:
        for path, _, class_name, base in table[part]:
            picture = Picture.from_path(embedded.PICTURES_DIR / folder / path)
            shown = picture if transformations is None else shifts.shifted(picture, path, transformations)
            rows.append(SourceRow(shown, class_name, path, part, base))
    return Gathered(f"embedded:{name}", f"the embedded pictures {name!r}", rows, tuple(table["classes"]))
