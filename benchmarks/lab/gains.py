"""The gains of rows of raw cells, with intervals that allow for what sets share: the tables of pages.

Sets such as `embedded:upside-down+blur` share transformations, base images and seeds, so that they are no independent
sample. The 95 % interval of a mean over sets adds the variance of each shared thing, with a quantile of its own: see
`crossed_interval`. The four test images of a class
are of the same few drawings in all sets, so that base images are a class of drawings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lab.bed import shared
from benchmarks.lab.crossed import crossed_interval
from ipo_prompts.experiments.compare.cell import Result
from ipo_prompts.experiments.compare.documents import table_of, to_frame, unpack
from ipo_prompts.experiments.run.result import Tested
from ipo_prompts.metrics.sampling import Variance

CELLS = Path(__file__).parents[2] / "docs/evidence/cells"


@dataclass(frozen=True)
class Row:
    """A row: accuracy in percent; gain over the baseline template in points, with interval.

    `cells`: set and seed → the test, image by image; none where several CLIPs are together.
    """

    accuracy: float
    over_baseline: str
    labels: int
    looks: float
    cells: dict[tuple[str, int], Tested] = field(default_factory=dict, repr=False)


def rows_of(file: Path, column: str, data: Callable[[str], bool] = lambda name: True) -> dict[str, Row]:
    """Read the rows of a file of cells that have a value in all its sets, or in those that `data` takes."""
    whole, *cells = _read(file)
    grid = whole.model_copy(update={"data": [name for name in whole.data if data(name)]})
    kept = [(entry, one) for entry, one in zip(*cells, strict=True) if data(entry.data)]
    if not kept:
        return {}
    found, outcomes = [entry for entry, _ in kept], [_of_column(one, column) for _, one in kept]
    table = table_of(grid, found, outcomes)
    if table is None:
        return {}
    frame = to_frame(table)
    scope = "average" if len(grid.data) > 1 else grid.data[0]
    scores: dict[str, dict[Any, Any]] = defaultdict(dict)
    looks: dict[str, list[float]] = defaultdict(list)
    labels = {}
    for entry, outcome in zip(found, outcomes, strict=True):
        if isinstance(outcome, str):
            continue  # the table has no row of it either
        scores[entry.label][entry.data, entry.seed] = outcome.tests[column]
        looks[entry.label].append(outcome.budget.proposals + outcome.budget.scored_only)
        labels[entry.label] = entry.placed(outcome).facts.labelled
    here = frame[(frame["data"] == scope) & (frame["column"] == column)].set_index("method")
    gains = here[here.over == "baseline"]
    values = here[(here.over == "") & here.value.notna()]

    def gain(row: str) -> str:
        if row not in gains.index:
            return ""
        mean, low, high = gains.loc[row, ["value", "low", "high"]]
        each = _gains(scores[row], scores["baseline"])
        if len(each) > 1:
            ends = crossed_interval(list(each.values()), shared(list(each)), [_images(scores[row], scores["baseline"])])
            # Sets that agree by chance prove no more than their images do.
            low, high = min(low, ends.low), max(high, ends.high)
        return f"{mean:+.1f} [{low:.1f}, {high:.1f}]"

    return {
        name: Row(value, gain(name), labels[name], float(np.mean(looks[name])), scores[name])
        for name, value in values.value.items()
    }


@cache
def _read(file: Path) -> Any:
    return unpack(file)


def _of_column(outcome: Result | str, column: str) -> Result | str:
    """Leave out the other columns of a cell; a cell without the column is a gap."""
    if isinstance(outcome, str) or column not in outcome.tests:
        return outcome if isinstance(outcome, str) else outcome.absent or "not run"
    return outcome.model_copy(update={"tests": {column: outcome.tests[column]}})


def together(ours: Sequence[Row], theirs: Sequence[Row]) -> str:
    """Return the mean gain of a row over another row, both with several CLIPs, in points, with its interval.

    CLIPs, sets, transformations and drawings are crossed; each CLIP has all sets.
    """
    gains = [_gains(one.cells, other.cells) for one, other in zip(ours, theirs, strict=True)]
    joint = (
        {(name, (clip, seed)): score for clip, row in enumerate(rows) for (name, seed), score in row.cells.items()}
        for rows in (ours, theirs)
    )
    values = np.array([list(each.values()) for each in gains])
    clips, sets = values.shape
    names = list(gains[0]) * clips
    factors = [*shared(names), names, np.repeat(range(clips), sets).tolist()]
    low, high = crossed_interval(values.ravel(), factors, [_images(*joint)])
    return f"{values.mean():+.1f} [{low:.1f}, {high:.1f}]"


def _gains(ours: Any, theirs: Any) -> dict[str, Any]:
    """Return for each set the mean gain over seeds, in points."""
    each = defaultdict(list)
    for (name, seed), score in ours.items():
        each[name].append(100 * float(np.mean(score.values - theirs[name, seed].values)))
    return {name: np.mean(values) for name, values in each.items()}


def _images(ours: Any, theirs: Any) -> Variance:
    """Return the variance that shared drawings add to the mean over sets, in points²."""
    own = 0.0
    sums: dict[Any, float] = defaultdict(float)
    sets, seeds = (list(dict.fromkeys(key)) for key in zip(*ours, strict=True))
    for name in sets:
        base = name.rpartition("/")[0]
        pairs = [(ours[name, seed], theirs[name, seed]) for seed in seeds]
        gain = np.mean([one.values - other.values for one, other in pairs], axis=0)
        labels = np.array(pairs[0][0].labels)
        each = np.bincount(labels, gain - gain.mean()) * 100 / len(gain) / len(sets)
        own += float(each @ each)
        for label, value in enumerate(each.tolist()):
            sums[base, label] += value
    return Variance(max(0.0, sum(value**2 for value in sums.values()) - own), len(sums) - 1.0)
