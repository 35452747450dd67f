"""The tables of the command `label-free`: mean accuracies, differences with intervals, and an answer about fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.lab import label_free
from benchmarks.lab.bed import shared
from benchmarks.lab.crossed import crossed_interval
from benchmarks.lab.label_free import CENTRING, FIT, FIT_OFF, HITS_SAME, INITIAL, THING, WRONG, Found
from ipo_prompts.experiments.compare.layout import text_table
from ipo_prompts.metrics.sampling import mean_interval

MOST = f"{label_free.SIZES[0]} pictures"
"""The condition in which all rows are measured."""
COMPARED = (
    (FIT, WRONG),
    (WRONG, INITIAL),
    (FIT, INITIAL),
    (FIT, THING),
    (FIT, CENTRING),
    (CENTRING, INITIAL),
    (FIT_OFF, CENTRING),
    (FIT, HITS_SAME),
)
TOGETHER = "all together"
Sets = Mapping[str, Found]
"""Spec of a set → the measurements of the set."""


class Difference(NamedTuple):
    """The lead of one row over another in points, with a 95 % interval, and the sets in which the row is behind."""

    mean: float
    low: float
    high: float
    behind: list[str]

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:.1f}, {self.high:.1f}]"


def ahead(sets: Sets, row: str, other: str, condition: str = MOST) -> Difference:
    """Compare two rows in one condition. The comparison is paired by set, or for a single set by test picture.

    The interval takes into account that sets share transformations. Both rows need values in the condition.
    """
    each = {name: found[condition][row] - found[condition][other] for name, found in sets.items()}
    means = np.array([values.mean() for values in each.values()])
    one_set = next(iter(each.values()))
    low, high = mean_interval(one_set) if len(each) == 1 else crossed_interval(means, shared(list(each)))
    behind = [name for name, value in zip(each, means, strict=True) if value < 0]
    mean = float(means.mean())
    return Difference(100 * mean, 100 * low, 100 * high, behind)


def answer_of_fit(sets: Sets) -> str:
    """Return the answer to the question whether the measure fit uses the class names, as a text."""
    names = ahead(sets, FIT, WRONG)
    if names.low > 0:
        return f"Right names beat names of other things by {names} points: here fit uses the names of the classes."
    return (
        f"That right names beat names of other things is not shown: {names} points. Here fit finds how pictures "
        "look, and needs no names for that; describer=fit has it describe them."
    )


def beds_of(found: Mapping[str, Sets]) -> dict[str, Sets]:
    """Return name → sets, for each bed. If there are several beds, add an entry with all sets together."""
    if len(found) < 2:
        return dict(found)
    return {**found, TOGETHER: {name: one for sets in found.values() for name, one in sets.items()}}


def label_free_documents(found: Mapping[str, Sets], clip: str) -> dict[str, str]:
    """Return the documents by name: `table.md` has the answer, and the accuracies and differences of each bed."""
    beds, numbers = beds_of(found), in_numbers(found)
    names = [bed.rpartition(":")[2] for bed in beds]
    blocks = [f"### What chooses a template without labels: {clip}", list(numbers.values())[-1]["verdict"]]
    blocks += ["Accuracy on the test pictures, %, mean over sets:"]
    blocks += [text_table(["searched on", "row", *names], accuracies(beds))]
    blocks += ["Points between rows, with 95 % intervals over sets, and in how many sets the first is behind:"]
    blocks += [text_table(["searched on", "difference", *names], differences(beds))]
    return {"table.md": "\n\n".join(blocks) + "\n"}


def accuracies(beds: Mapping[str, Sets]) -> list[list[str]]:
    """Return rows: a condition, the name of a row, and the mean accuracy on each bed in percent."""
    told = [_accuracy(sets) for sets in beds.values()]
    return [
        [condition, row, *(f"{one[condition][row]:.1f}" for one in told)]
        for condition, rows in told[0].items()
        for row in rows
    ]


def differences(beds: Mapping[str, Sets]) -> list[list[str]]:
    """Return rows: a condition, two rows, and the lead of the first in points on each bed."""
    rows = []
    for condition in next(iter(next(iter(beds.values())).values())):
        for row, other in COMPARED:
            if condition == MOST or (row, other) in COMPARED[:3]:
                found = [(ahead(sets, row, other, condition), len(sets)) for sets in beds.values()]
                cells = [f"{one}, {len(one.behind)} of {count}" for one, count in found]
                rows.append([condition, f"{row} − {other}", *cells])
    return rows


def _accuracy(sets: Sets) -> dict[str, dict[str, float]]:
    """Return condition → row → the mean accuracy over sets in percent."""
    return {
        condition: {
            row: round(100 * float(np.mean([has[condition][row].mean() for has in sets.values()])), 1) for row in rows
        }
        for condition, rows in next(iter(sets.values())).items()
    }


def in_numbers(found: Mapping[str, Sets]) -> dict[str, dict[str, Any]]:
    """Return the content that `--json` prints: for each bed its accuracies in percent and its differences in points."""

    def one(sets: Sets) -> dict[str, Any]:
        gains = [{"row": row, "over": other, **ahead(sets, row, other)._asdict()} for row, other in COMPARED]
        return {"sets": list(sets), "accuracy": _accuracy(sets), "differences": gains, "verdict": answer_of_fit(sets)}

    return {bed: one(sets) for bed, sets in beds_of(found).items()}
