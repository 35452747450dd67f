"""What names found for the classes do on the sealed pictures, beside what the template does; and `classes.yaml`.

Template and names are two changes. The verdict of a run is the template's alone, at the names that it ships with. Here
both are taken apart: either template under either names, and what the names add to the template.

What each name wins is advice, as a person puts names back by it. So it is counted on the pictures that searched and
chose: classes that were changed by what the sealed pictures show could not be tested on these again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from ipo_prompts.experiments.data import DataSet
from ipo_prompts.experiments.data.dataset import NAMES_FILE
from ipo_prompts.experiments.run.comparison import Compared, gained, measured
from ipo_prompts.experiments.run.files import write_text
from ipo_prompts.experiments.run.openings import names_after
from ipo_prompts.experiments.run.scores import AnyPart, NamesFound, Renamed, TwoByTwo
from ipo_prompts.metrics.template import written
from ipo_prompts.programs.naming import NamesChosen

MOST = 200
"""Names that are put back one by one: each is a text pass over all classes."""


def what_names_do(named: NamesChosen, parts: Mapping[AnyPart, Compared]) -> NamesFound:
    """Measure other names of the classes.

    Args:
        named: what the search found.
        parts: with both templates under the names found.
    """
    found, renamed = named.found, named.renamed
    chose = [part for name, part in parts.items() if name in ("search", "selection")]
    return NamesFound(
        kept=bool(renamed),
        renamed=_one_by_one(named, chose),
        classes=len(named.given),
        alone=tuple(map(str, named.alone)),
        chose=sum(part.optimised.n for part in chose),
        candidates=named.candidates,
        asked=named.asked,
        gain=found.held.hits,
        standard_error=found.held.hits_error,
        loss=found.held.loss,
        loss_error=found.held.loss_error,
        permuted=found.permuted.hits,
        temperature=found.temperature,
        sealed=_two_by_two(named, parts["test"]) if renamed else None,
    )


def _two_by_two(named: NamesChosen, test: Compared) -> TwoByTwo:
    before = named.reward.renamed(named.given)
    initial, template = (before.score([side.template], test.units)[0] for side in (test.initial, test.optimised))
    return TwoByTwo(
        initial_given=measured(initial, test.sampling),
        template_given=measured(template, test.sampling),
        initial_found=measured(test.initial, test.sampling),
        template_found=measured(test.optimised, test.sampling),
        **gained(template, test.optimised, test.sampling),
    )


def _one_by_one(named: NamesChosen, chose: Sequence[Compared]) -> tuple[Renamed, ...]:
    """Put the old name of one class back at a time, on the pictures that searched and chose; no test."""
    found = [part.optimised for part in chose]
    renamed = []
    for label in named.renamed[:MOST]:
        names = list(named.class_names)
        names[label] = named.given[label]
        before = named.reward.renamed(names)
        without = [before.score([part.optimised.template], part.units)[0] for part in chose]
        were, are = (np.concatenate([one.hits for one in scores]) for scores in (without, found))
        losses = [sum(one.loss * one.n for one in scores) / len(are) for scores in (without, found)]
        given, called = str(named.given[label]), str(named.class_names[label])
        hits = round(float(are.sum()) - float(were.sum()))
        renamed.append(Renamed(given=given, found=called, hits=hits, loss=losses[1] - losses[0]))
    return tuple(renamed)


def write_names(folder: Path, data: DataSet, named: NamesChosen | None) -> None:
    """Write the `classes.yaml` of a run whose classes were renamed, for their folder; new classes keep their names."""
    if named is None or not named.renamed:
        return
    lines = [
        "# What a run found that the classes are best called; put it beside the folders of pictures.",
        "# Sealed pictures had no part in it. If they had one in a change of yours, only new ones can test that.",
    ]
    for own, value in zip(data.renamed_from or data.class_names, written(names_after(data, named)), strict=True):
        line = yaml.safe_dump({str(own): value}, allow_unicode=True, width=1000, default_flow_style=None)
        lines.append(line.strip().removeprefix("{").removesuffix("}") if isinstance(value, str) else line.strip())
    write_text(folder / NAMES_FILE, "\n".join(lines) + "\n")
