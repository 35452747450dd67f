"""What each row of raw cells gains, with intervals that know what its sets share: the numbers of the README's table.

Sets such as `embedded:upside-down+blur` share four geometric operations and all their pictures, so that they are no
independent sample. Each mean is given its interval with the sets as independent, and clustered by what stands before
the +: the residuals of a cluster are summed before they are squared (Liang & Zeger 1986), scaled by G/(G - 1) for G
clusters, with G - 1 degrees of freedom. The wider of the two counts. Looks are all templates that were scored on
labelled pictures: those proposed, those looked at, and the phrases that the describer `clip` ranks by them.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments
from scipy import stats

from ipo.experiments.compare.methods import METHODS
from ipo.experiments.compare.raw_cells import unpack
from ipo.experiments.run.config import build, nested
from ipo.metrics.arrays import Doubles

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Print a table in Markdown."""
    options = arguments(
        __doc__,
        cells={"type": Path, "default": DOCS / "suite-held-out.json.gz", "help": "raw cells of a grid"},
        over={"default": "anchor", "help": "the row that the others are compared with"},
    )
    grid, found, outcomes = unpack(options.cells)
    hits: dict[str, dict[tuple[str, int], Doubles]] = defaultdict(dict)
    looks: dict[str, list[int]] = defaultdict(list)
    labels: dict[str, int] = {}
    for entry, outcome in zip(found, outcomes, strict=True):
        if isinstance(outcome, str) or "test" not in outcome["scores"]:
            continue
        score, budget = outcome["scores"]["test"], outcome["budget"]
        values = [int(hit) for hit in score["hits"]] if score.get("hits") else score["values"]
        hits[entry.label][entry.cell.data, entry.cell.seed] = np.array(values, dtype=np.float64)
        method, config = METHODS[entry.cell.method], build(nested(dict(entry.cell.settings)), where=str(options.cells))
        described = method.uses_lm and config.asks_lm and config.describer in ("clip", "clip-greedy")
        looks[entry.label].append(budget["proposals"] + budget["looked_at"] + described * _phrases(outcomes))
        labels[entry.label] = method.labelled_per_class(config)
    sets = grid.data[: 4 if options.small else None]
    print(f"| row | accuracy | over {options.over}, points: sets independent | clustered | labels a class | looks |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row, own in hits.items():
        if not all((name, seed) in own for name in sets for seed in grid.seeds):
            continue
        accuracy = 100 * float(np.mean([own[name, seed].mean() for name in sets for seed in grid.seeds]))
        gains = _gains(own, hits[options.over], sets, grid.seeds)
        alone, clustered = (_interval(gains, of) for of in (list(sets), [name.partition("+")[0] for name in sets]))
        print(f"| {row} | {accuracy:.1f} | {alone} | {clustered} | {labels[row]} | {round(np.mean(looks[row])):,} |")


def _phrases(outcomes: Any) -> int:
    """Return how many phrases the bank has for these classes: what the row `bank` looked at."""
    found = [
        one["budget"]["looked_at"] for one in outcomes if isinstance(one, dict) and one["cell"]["method"] == "bank"
    ]
    return found[0] if found else 0


def _gains(ours: dict[Any, Doubles], theirs: dict[Any, Doubles], sets: list[str], seeds: list[int]) -> Doubles:
    """Return the gain in each set, mean over seeds, in points: (sets,)."""
    return np.array(
        [100 * np.mean([(ours[name, seed] - theirs[name, seed]).mean() for seed in seeds]) for name in sets]
    )


def _interval(gains: Doubles, clusters: list[str]) -> str:
    """Format the mean with its 95 % interval; units of a cluster are not independent."""
    residuals: dict[str, float] = defaultdict(float)
    for gain, cluster in zip(gains - gains.mean(), clusters, strict=True):
        residuals[cluster] += gain
    count = len(residuals)
    if count < 2:
        return f"{gains.mean():+.1f}"
    error = np.sqrt(count / (count - 1) * sum(value**2 for value in residuals.values())) / len(gains)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return f"{gains.mean():+.1f} [{gains.mean() - half:.1f}, {gains.mean() + half:.1f}]"


if __name__ == "__main__":
    main()
